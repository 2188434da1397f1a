"""Small inputs that once failed, each of a kind: files of the shared data, as users give them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import Inside
from mien.gallery import SqliteGallery
from mien.media import images
from mien.pipeline import Analyzer
from mien.sources import open_source
from mien.zoo import DLIB

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faults(shared: Path) -> Path:
    return shared / "faults"


def test_a_mirror_image_gets_nobody_elses_name(faults: Path) -> None:
    known = Analyzer(gallery=faults / "two-people-gallery", only=("identity",))
    faces = known.analyze(faults / "reflection.jpg").faces
    assert [face.name for face in faces] == ["person one", "person one"]
    assert all(face.distance < 0.3 for face in faces)
    alone = images.read_image(faults / "two-people-gallery" / "person one.jpg")
    own = known.analyze(alone).faces.embeddings[0]
    apart = np.linalg.norm(faces.embeddings - own, axis=1)
    assert [face.distance for face in faces] == pytest.approx(apart.tolist(), abs=0.02)


def test_upside_down_is_told_as_upright(faults: Path, analyzer: Analyzer) -> None:
    turned = images.read_image(faults / "upside-down.jpg")
    (face,) = analyzer.analyze(turned).faces
    (upright,) = analyzer.analyze(np.ascontiguousarray(turned[::-1, ::-1])).faces
    assert abs(abs(face.angle) - 180) < 15
    assert face.gender == upright.gender
    assert face.age == pytest.approx(upright.age, abs=5)
    assert np.linalg.norm(face.embedding - upright.embedding) < 0.2


def test_a_box_of_a_face_at_the_border_lies_in_the_picture(
    faults: Path, analyzer: Analyzer
) -> None:
    image = images.read_image(faults / "face-cut-by-border.png")
    boxes = analyzer.analyze(image).faces.boxes
    height, width = image.shape[:2]
    assert len(boxes) == 1
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()


@pytest.mark.parametrize("name", ["ir16-low-contrast.tif", "dng-thumbnail-first.dng"])
def test_a_face_in_an_odd_picture_is_found(
    faults: Path, analyzer: Analyzer, name: str
) -> None:
    (face,) = analyzer.analyze(faults / name).faces
    assert face.score > 0.9


def test_who_is_in_a_wide_film_is_known(faults: Path, shared: Path) -> None:
    """Pixels twice as wide as high, or mirrored: the person of the film that both were made from."""
    names = ["anamorphic-sar2.mp4", "mirrored-matrix.mp4"]
    films = [shared / "fixtures" / "video" / "WolfgangLanger_Pexels.mp4"]
    films += [faults / name for name in names]
    looks = Analyzer(only=("identity",))
    seen = []
    for film in films:
        with open_source(str(film)) as frames:
            seen.append(looks.analyze(next(iter(frames)).image).faces.embeddings)
    whole, *others = seen
    assert [len(rows) for rows in seen] == [1, 1, 1]
    assert all(np.linalg.norm(other - whole) < 0.2 for other in others)


@pytest.mark.parametrize("name", ["ac3-sound.mp4", "aac-in-ts.ts"])
def test_an_odd_sound_does_not_end_a_copy(
    faults: Path, tmp_path: Path, inside: Inside, name: str
) -> None:
    table, copy = tmp_path / "faces.csv", tmp_path / "copy.mp4"
    made = ("--format", "csv", "--output", table, "--draw", copy)
    done = inside("analyze", faults / name, *made)
    assert done.returncode == 0, done.stderr
    with open_source(str(faults / name)) as before, open_source(str(copy)) as after:
        frames = len(list(before))
        assert frames == len(list(after)) > 0
    assert len(table.read_text().splitlines()) > frames


def test_photos_shown_one_after_the_other_are_judged_as_photos(
    faults: Path, tmp_path: Path
) -> None:
    """A second each: samples find everybody, and after a cut nobody bears the name of who was there before."""
    film = str(faults / "slides.mp4")
    SqliteGallery(tmp_path / "people.db", space=DLIB).close()
    known = Analyzer(only=("identity",), gallery=tmp_path / "people.db")
    assert known.gallery is not None
    with open_source(film) as frames:
        shown = [frame.image for frame in islice(frames, 100) if frame.index % 25 == 12]
    for number, image in enumerate(shown):
        content = cv2.imencode(".png", image)[1].tobytes()
        known.gallery.enroll(str(number), [known.photo(content, largest=True)])
    expected = [{face.name for face in known.analyze(image).faces} for image in shown]
    assert all(str(number) in names for number, names in enumerate(expected))
    for result in islice(known.stream(film), 100):
        names = {face.name for face in result.faces}
        assert names <= {*expected[result.index // 25], None}, result.index
