"""The whole path on real photos."""

from __future__ import annotations

import copy
import csv
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien import geometry, pipeline
from mien.attribute import Attribute
from mien.errors import InputError, ManyFacesError, NoFaceError
from mien.gallery import SqliteGallery, make_gallery
from mien.media import images
from mien.pipeline import Analyzer, tolerance_for
from mien.types import U8, Faces, Scores
from mien.zoo import DLIB


def test_the_astronaut(analyzer: Analyzer, astronaut: U8) -> None:
    result = analyzer.analyze(astronaut)
    assert (result.width, result.height) == (512, 512)
    (face,) = result.faces
    assert face.gender == "female"
    assert face.emotion == "happiness"
    assert face.age is not None
    assert 20 < face.age < 55
    assert face.embedding is not None
    assert 1.2 < np.linalg.norm(face.embedding) < 1.7
    eyes, mouth = face.landmarks[:2], face.landmarks[3:]
    assert eyes[0, 0] < face.landmarks[2, 0] < eyes[1, 0]
    assert eyes[:, 1].max() < face.landmarks[2, 1] < mouth[:, 1].min()


def test_nobody(analyzer: Analyzer, face_free: U8) -> None:
    result = analyzer.analyze(face_free)
    assert len(result.faces) == 0
    assert result.faces.embeddings is not None
    assert result.faces.embeddings.shape == (0, 128)


def test_paths_and_arrays_give_the_same(
    analyzer: Analyzer, astronaut: U8, astronaut_file: Path
) -> None:
    by_path, by_array = analyzer.analyze(astronaut_file), analyzer.analyze(astronaut)
    assert by_path.source == str(astronaut_file)
    np.testing.assert_array_equal(by_path.faces.boxes, by_array.faces.boxes)
    assert by_path.faces.embeddings is not None
    np.testing.assert_array_equal(by_path.faces.embeddings, by_array.faces.embeddings)


def test_boxes_lie_in_the_picture_and_the_aligner_sees_them_whole(
    analyzer: Analyzer, astronaut: U8
) -> None:
    picture = np.ascontiguousarray(astronaut[:, 180:])  # the border cuts the cheek
    found = analyzer.detector(picture)
    reaching = copy.copy(analyzer)
    reaching.detector = lambda image: replace(
        found, boxes=found.boxes + np.float32([-40, -90, 0, 600])
    )
    result = reaching.analyze(picture)
    np.testing.assert_allclose(result.faces.boxes[0, [0, 1, 3]], [0, 0, 512])
    assert found.boxes[0, 0] - 40 < 0
    np.testing.assert_allclose(result.faces.landmarks, found.landmarks)
    if analyzer.detector.aligns_by == "landmarks":
        np.testing.assert_allclose(
            result.faces.embeddings, analyzer.analyze(picture).faces.embeddings
        )


def test_errors_speak_to_callers_in_python(analyzer: Analyzer, astronaut: U8) -> None:
    with pytest.raises(
        InputError,
        match=r"there are identity, age, gender, emotion, .* did you mean 'emotion'",
    ) as wrong:
        Analyzer(only=["emotoin"])
    with pytest.raises(ManyFacesError) as many:
        analyzer.photo(
            cv2.imencode(".png", np.hstack([astronaut, astronaut]))[1].tobytes()
        )
    assert "--" not in f"{wrong.value}{many.value}"


def test_input_is_left_as_it_was(analyzer: Analyzer, astronaut: U8) -> None:
    before = astronaut.copy()
    analyzer.analyze(astronaut)
    np.testing.assert_array_equal(astronaut, before)


@pytest.mark.slow
def test_eight_threads_see_what_one_sees(analyzer: Analyzer, astronaut: U8) -> None:
    alone = analyzer.analyze(astronaut).faces
    seen: list[Faces] = []
    threads = [
        threading.Thread(target=lambda: seen.append(analyzer.analyze(astronaut).faces))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    for faces in seen:
        np.testing.assert_array_equal(faces.boxes, alone.boxes)
        np.testing.assert_allclose(faces.embeddings, alone.embeddings, atol=1e-5)


@pytest.mark.parametrize("only", [(), ("shoe size",)])
def test_unknown_parts_are_refused(only: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="identity, age, gender, emotion"):
        Analyzer(only=only)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tolerance": -1.0},
        {"tolerance": float("nan")},
        {"threads": 0},
        {"threads": 10**9},
        {"min_face": 0},
    ],
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))}: .*got "):
        Analyzer(**wrong)


def test_a_face_at_the_prompt_is_short(analyzer: Analyzer, astronaut: U8) -> None:
    face = analyzer.analyze(astronaut).faces[0]
    assert len(repr(face)) < 800
    assert f"<Estimate: age {face.age:.1f}>" in repr(face)
    assert "<Estimate: gender 'female'>" in repr(face)


class Twins:
    """Tells two attributes."""

    attributes = (Attribute("left"), Attribute("right"))

    def __init__(self, compute: None = None) -> None: ...

    def __call__(self, image: U8, faces: Faces) -> Faces:
        one = np.ones((len(faces), 1), np.float32)
        return faces.with_attributes(*(Scores(a, one) for a in self.attributes))


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"only": ["twins"]}, {"left", "right"}),
        ({"only": ["right"], "attributes": ["twins"]}, {"right"}),
        ({"only": ["left"], "attributes": [Twins()]}, {"left"}),
    ],
)
def test_of_several_attributes_those_asked_for_are_told(
    monkeypatch: pytest.MonkeyPatch,
    astronaut: U8,
    chosen: dict[str, list[object]],
    told: set[str],
) -> None:
    monkeypatch.setattr(pipeline, "_model_of", lambda name: {"twins": Twins}[name])
    twins = Analyzer(threads=1, **chosen)  # type: ignore[arg-type]
    (face,) = twins.analyze(astronaut).faces
    assert face.attributes.keys() == told == set(twins.parts)


@pytest.mark.slow
def test_enrolling_asks_for_exactly_one_face(
    analyzer: Analyzer, astronaut: U8, face_free: U8, tmp_path: Path
) -> None:
    one, none, two = (tmp_path / f"{name}.png" for name in ("one", "none", "two"))
    images.write_image(one, astronaut)
    images.write_image(none, face_free)
    images.write_image(two, np.hstack([astronaut, astronaut]))
    assert analyzer.photo(one.read_bytes()).embedding.shape == (128,)
    with pytest.raises(NoFaceError):
        analyzer.photo(none.read_bytes())
    with pytest.raises(ManyFacesError):
        analyzer.photo(two.read_bytes())
    assert analyzer.photo(two.read_bytes(), largest=True).embedding.shape == (128,)


@pytest.mark.slow
def test_people_far_behind_do_not_disturb_enrolling(
    analyzer: Analyzer, astronaut: U8, tmp_path: Path
) -> None:
    scene = np.hstack(
        [cv2.resize(astronaut, (1536, 1536)), np.full((1536, 512, 3), 200, np.uint8)]
    )
    scene[:128, 1600:1728] = cv2.resize(astronaut[20:220, 120:320], (128, 128))
    file = tmp_path / "scene.png"
    images.write_image(file, scene)
    assert len(analyzer.analyze(file).faces) >= 2
    assert analyzer.photo(file.read_bytes()).embedding.shape == (128,)


def test_small_faces_must_be_nearer() -> None:
    widths = [100, 32, 24, 16, 8]
    boxes = np.array([[0, 0, w, w] for w in widths], np.float32)
    tolerances = tolerance_for(geometry.mean_landmarks(boxes), 0.6, DLIB)
    np.testing.assert_allclose(tolerances, [0.6, 0.6, 0.54, 0.48, 0.48], atol=1e-3)


@pytest.fixture(scope="module", params=["default", "yunet"])
def over_fixtures(
    request: pytest.FixtureRequest,
    fixture_photos: list[Path],
    yunet: str,
    tmp_path_factory,
):  # type: ignore[no-untyped-def]
    """Every fixture photo analysed, with A, B and C enrolled from one photo each."""
    gallery = str(tmp_path_factory.mktemp("gallery") / "people.db")
    chosen = {} if request.param == "default" else {"detector": yunet}
    make_gallery(gallery)
    analyzer = Analyzer(gallery, only=["identity"], **chosen)
    for photo, name in (("004_A.jpg", "A"), ("007_B.jpg", "B"), ("009_C.jpg", "C")):
        file = next(p for p in fixture_photos if p.name == photo)
        assert isinstance(analyzer.gallery, SqliteGallery)
        analyzer.gallery.enroll(
            name, [analyzer.photo(file.read_bytes(), source=photo, largest=True)]
        )
    return {photo.name: analyzer.analyze(photo) for photo in fixture_photos}


@pytest.mark.slow
def test_every_nose_lies_in_exactly_one_box(over_fixtures, shared: Path) -> None:  # type: ignore[no-untyped-def]
    with (shared / "fixtures" / "photos" / "noses.csv").open() as file:
        noses = [row for row in csv.DictReader(file) if row["x"]]
    assert len(noses) > 30
    missed = []
    for nose in noses:
        x, y = float(nose["x"]), float(nose["y"])
        boxes = over_fixtures[nose["file"]].faces.boxes
        inside = (
            (boxes[:, 0] <= x)
            & (x <= boxes[:, 2])
            & (boxes[:, 1] <= y)
            & (y <= boxes[:, 3])
        )
        if inside.sum() != 1:
            missed.append((nose["file"], x, y, int(inside.sum())))
    assert missed == []


@pytest.mark.slow
def test_nothing_is_found_where_there_is_no_face(over_fixtures) -> None:  # type: ignore[no-untyped-def]
    for name in ("017_0.jpg", "free-mountain-vector-01.jpg"):
        assert len(over_fixtures[name].faces) == 0, name


@pytest.mark.slow
def test_people_are_named_in_their_photos_and_nowhere_else(over_fixtures) -> None:  # type: ignore[no-untyped-def]
    for name, result in over_fixtures.items():
        person = name[4] if name[4:5] in {"A", "B", "C"} and name[3] == "_" else None
        names = {face.name for face in result.faces} - {None}
        assert names == ({person} if person else set()), name


def test_a_mirror_image_bears_nobody_elses_name(
    analyzer: Analyzer, astronaut: U8, tmp_path: Path
) -> None:
    """Somebody else is near enough to be named, and far from as near as she is."""
    own = analyzer.photo(cv2.imencode(".png", astronaut)[1].tobytes())
    aside = np.random.default_rng(0).normal(size=128)
    other = replace(
        own,
        embedding=(own.embedding + 0.5 * aside / np.linalg.norm(aside)).astype(
            np.float32
        ),
    )
    known = copy.copy(analyzer)
    known.gallery = SqliteGallery(tmp_path / "people.db", space=analyzer.space)
    known.gallery.enroll("person one", [own])
    known.gallery.enroll("person two", [other])
    faces = known.analyze(
        np.hstack([astronaut, np.ascontiguousarray(astronaut[:, ::-1])])
    ).faces
    assert faces.matches is not None
    assert faces.matches.names == ("person one", "person one")
    apart = geometry.l2_distances(faces.embeddings, own.embedding[None])[:, 0]
    np.testing.assert_allclose(faces.matches.distances, apart, atol=1e-5)


def test_a_folder_is_said_to_be_one(analyzer: Analyzer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        analyzer.analyze(tmp_path)
    with pytest.raises(InputError, match="name is empty"):
        analyzer.analyze("")
