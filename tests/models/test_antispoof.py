"""Liveness: as the original tells it, through everything that tells of faces, and where it is required."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from commands import Inside
from mien import store
from mien.cli.playing import Play, Stats
from mien.errors import ModelError, SpoofError
from mien.media.images import read_image
from mien.models.attributes import antispoof, minifasnet
from mien.models.attributes.antispoof import (
    LIVE,
    AntiSpoof,
    alive,
    crops_of,
    refuse_spoof,
)
from mien.runtime import in_chunks
from mien.sources import open_source
from mien.types import F32, U8, Faces, Scores
from mien.zoo import asked_as, spec_of, specs_of

# What the original networks say in PyTorch of these boxes (class 1; at 2.7, at 4.0), cut as the original cuts.
ASTRONAUT = {
    (170, 70, 270, 195): (0.96042, 0.85991),
    (0, 300, 90, 420): (0.99911, 0.94236),
    (180.5, 80.25, 255.75, 170.5): (0.89612, 0.95662),
    (100, 10, 500, 500): (0.39548, 0.86012),
}
SINGLE = {(100, 100, 220, 240): (0.94098, 0.95252)}


def faces_at(*boxes: Sequence[float], real: Sequence[float] | None = None) -> Faces:
    count = len(boxes)
    points = np.zeros((count, 5, 2), np.float32)
    found = Faces(np.array(boxes, np.float32), np.ones(count, np.float32), points)
    if real is None:
        return found
    probs = np.array([[p, 1 - p] for p in real], np.float32)
    return found.with_attributes(Scores(LIVE, probs))


class Says:
    """A network that is always of one mind."""

    def __init__(self, real: float) -> None:
        self.real = real

    def __call__(self, crops: F32, outputs: None = None) -> list[F32]:
        assert crops.shape[1:] == (3, 80, 80)
        row = [(1 - self.real) / 2, self.real, (1 - self.real) / 2]
        return [np.tile(np.array(row, np.float32), (len(crops), 1))]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """What the networks say of every face, without their weights."""

    def choose(real: float) -> None:
        model = AntiSpoof({2.7: Says(real), 4.0: Says(real)})  # type: ignore[dict-item]
        monkeypatch.setattr(AntiSpoof, "load", lambda compute=None: model)

    return choose


@pytest.fixture(scope="session")
def weights(shared: Path) -> Iterator[AntiSpoof]:
    """The published networks, taken in from files."""
    for file in sorted((shared / "weights").glob("*MiniFASNet*.pth")):
        assert asked_as(store.import_file(file)) == "antispoof"
    yield AntiSpoof.load()
    for spec in specs_of("antispoof"):
        store.path_of(spec).unlink()


def test_both_networks_tell_what_the_originals_tell(
    weights: AntiSpoof, astronaut: U8, shared: Path
) -> None:
    single = read_image(shared / "fixtures" / "photos" / "single_face.jpg")
    assert list(weights.networks) == [2.7, 4.0]
    for image, golden in ((astronaut, ASTRONAUT), (single, SINGLE)):
        boxes = np.array(list(golden), np.float32)
        for scale, expected in zip(
            (2.7, 4.0), np.array(list(golden.values())).T, strict=True
        ):
            crops = crops_of(image, boxes, scale=scale)
            (told,) = in_chunks(weights.networks[scale], crops)
            np.testing.assert_allclose(told[:, 1], expected, atol=1e-3)
            np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
        told_live = weights(image, faces_at(*golden)).attributes["live"].probs
        mean = np.mean(list(golden.values()), axis=1)
        np.testing.assert_allclose(told_live[:, 0], mean, atol=1e-3)


def test_liveness_is_told_by_name_and_beside_the_rest(
    weights: AntiSpoof, inside: Inside, astronaut_file: Path
) -> None:
    for options in (("--only", "live"), ("--attributes", "live")):
        done = inside("analyze", astronaut_file, *options, "--format", "json")
        assert done.returncode == 0, done.stderr
        (face,) = json.loads(done.stdout)[0]["faces"]
        assert (face["live"], face["live_sure"]) == ("live", True)
        assert face["live_probs"]["live"] > 0.9
        assert ("age" in face and face["age"] is not None) == ("--only" not in options)


def test_it_is_not_there_unless_asked_for_and_says_how_to_get_it(
    analyzer: mien.Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "live" not in analyzer.parts
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="run 'mien models get antispoof'"):
        mien.Analyzer(only=["live"])
    assert [spec.scale for spec in specs_of("antispoof")] == [2.7, 4.0]
    assert specs_of("yunet") == (spec_of("yunet"),)
    with pytest.raises(ModelError, match="antispoof"):
        specs_of("antispoofing")


@pytest.mark.parametrize(
    ("box", "scale", "seen"),
    [
        ((40, 40, 60, 60), 2.0, (30, 30, 71, 71)),
        ((0, 0, 20, 20), 2.0, (0, 0, 41, 41)),  # moved into the picture
        ((90, 190, 100, 200), 3.0, (69, 169, 100, 200)),
        ((10, 50, 60, 150), 4.0, (0, 1, 100, 200)),  # the largest there is
        ((30, 30, 30, 30), 4.0, (28, 28, 33, 33)),  # a box of nothing
    ],
)
def test_a_crop_is_cut_as_the_original_cuts(
    box: tuple[float, ...], scale: float, seen: tuple[int, ...]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (200, 100, 3), np.uint8)
    x1, y1, x2, y2 = seen
    expected = cv2.resize(image[y1:y2, x1:x2], (80, 80)).transpose(2, 0, 1)
    (crop,) = crops_of(image, np.array([box], np.float32), scale=scale)
    np.testing.assert_array_equal(crop, expected)


def test_nobody_is_neither_alive_nor_a_spoof(astronaut: U8) -> None:
    told = AntiSpoof({})(astronaut, Faces.empty())
    assert told.attributes["live"].probs.shape == (0, 2)
    assert alive(Faces.empty()).shape == (0,)


def test_only_the_sure_are_refused_and_only_the_live_are_named() -> None:
    faces = faces_at(*[(0, 0, 9, 9)] * 4, real=[0.9, 0.51, 0.4, float("nan")])
    assert alive(faces).tolist() == [True, True, False, False]
    assert not alive(faces_at((0, 0, 9, 9))).any()  # nobody was asked
    refuse_spoof(faces, source="a.jpg")
    with pytest.raises(SpoofError, match=r"the face in b\.jpg .* \(95%\)"):
        refuse_spoof(faces_at((0, 0, 9, 9), real=[0.05]), source="b.jpg")


@pytest.mark.parametrize(("real", "code"), [(0.95, 0), (0.3, 0), (0.02, 1)])
def test_enrolment_refuses_what_is_surely_a_spoof(
    says: Callable[[float], None],
    inside: Inside,
    astronaut_file: Path,
    tmp_path: Path,
    real: float,
    code: int,
) -> None:
    says(real)
    order = ("enroll", "Ada", astronaut_file, "--gallery", tmp_path / "people.db")
    done = inside(*order, "--require-live")
    assert bool(done.returncode) == bool(code), done.stderr
    assert ("seems to be a picture or a screen" in done.stderr) == bool(code)
    assert inside(*order).returncode == 0  # not asked, nobody is refused


@pytest.mark.slow
def test_a_film_of_a_screen_is_refused_too(
    says: Callable[[float], None], inside: Inside, face_film: Path, tmp_path: Path
) -> None:
    order = ("enroll", "Ada", face_film, "--gallery", tmp_path / "people.db")
    says(0.02)
    refused = inside(*order, "--require-live")
    assert "seems to be a picture or a screen" in refused.stderr
    assert "0 of 1 photo in" in refused.stdout
    says(0.95)
    assert inside(*order, "--require-live").returncode == 0
    tagged = inside("enroll", face_film, "--from-tags", "--require-live")
    assert "leave out --from-tags" in tagged.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("real", "name"), [(0.95, "Ada"), (0.1, None)])
def test_a_stream_names_only_the_living(
    says: Callable[[float], None],
    astronaut_file: Path,
    face_film: Path,
    tmp_path: Path,
    real: float,
    name: str | None,
) -> None:
    says(real)
    parts = ["identity", "live"]
    place = tmp_path / "people"
    place.mkdir()
    analyzer = mien.Analyzer(gallery=place, only=parts, threads=1)
    assert analyzer.gallery is not None
    analyzer.gallery.enroll("Ada", [analyzer.photo(astronaut_file.read_bytes())])
    with open_source(str(face_film)) as film:
        play = Play(analyzer, film, None, 20, require_live=True)
        *_, last = play.results(Stats())
    (face,) = last.result.faces
    assert (face.name, face["live"]) == (name, "live" if name else "spoof")
    assert (face.distance is None) == (name is None)
    assert len(play._to_keep(last.result).faces) == (1 if name else 0)
    analyzer.close()


def test_the_command_asks_for_what_it_requires(
    says: Callable[[float], None], inside: Inside, face_film: Path
) -> None:
    says(0.1)
    few = ("live", face_film, "--no-window", "--max-frames", "3", "--stats")
    done = inside(*few, "--require-live", "--only", "identity", "--gallery", "none")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faces"] == 3


def test_another_network_is_refused_by_name() -> None:
    assert antispoof.LIVE.labels == ("live", "spoof")
    with pytest.raises(ModelError, match=r"net\.pth is no file of weights"):
        minifasnet.to_onnx(b"no weights", "net.pth")
