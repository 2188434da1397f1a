"""Frames of a film that are worth enrolling choose themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from commands import Inside
from mien.best_frames import MOST, best_photos
from mien.errors import NoFaceError, SourceError
from mien.geometry import l2_distances
from mien.pipeline import Analyzer
from mien.types import U8

Film = Callable[[list[U8]], str]


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Makes a film of pictures, five a second."""

    def make(pictures: list[U8]) -> str:
        path = tmp_path / "clip.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=5, options={"crf": "12"})
            stream.width = stream.height = 384
            stream.pix_fmt = "yuv420p"
            for picture in pictures:
                small = cv2.resize(picture, (384, 384), interpolation=cv2.INTER_AREA)
                frame = av.VideoFrame.from_ndarray(small, format="bgr24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return str(path)

    return make


def views(picture: U8) -> list[U8]:
    """The same face in looks that are unlike each other."""
    dark = np.asarray(picture // 4, np.uint8)
    turned = cv2.getRotationMatrix2D((256, 100), 24, 1.0)
    tilted = cv2.warpAffine(picture, turned, (512, 512))
    narrow = cv2.resize(picture, (340, 512))
    narrow = cv2.copyMakeBorder(narrow, 0, 0, 86, 86, cv2.BORDER_REPLICATE)
    return [picture, dark, np.asarray(tilted, np.uint8), np.asarray(narrow, np.uint8)]


@pytest.mark.slow
def test_sharp_frames_unlike_each_other(
    analyzer: Analyzer, film: Film, astronaut: U8, face_free: U8
) -> None:
    blurred = np.asarray(cv2.GaussianBlur(astronaut, (0, 0), 9), np.uint8)
    nobody = np.asarray(cv2.resize(face_free, (512, 512)), np.uint8)
    pair = np.hstack([astronaut, np.ascontiguousarray(astronaut[:, ::-1])])
    two = np.asarray(cv2.resize(pair, (512, 512)), np.uint8)
    pictures = [one for view in views(astronaut) for one in [view] * 3]
    pictures += [blurred] * 3 + [nobody] * 3 + [two] * 3
    photos = best_photos(analyzer, film(pictures))
    assert 2 <= len(photos) <= MOST
    assert all(photo.quality > 0.3 and not photo.poor for photo in photos)
    rows = np.stack([photo.embedding for photo in photos])
    between = l2_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    assert between.min() > 0.125
    assert len({photo.sha256 for photo in photos}) == len(photos)
    for photo in photos:
        picture = cv2.imdecode(np.frombuffer(photo.content, np.uint8), 1)
        assert picture.shape == (384, 384, 3)


@pytest.mark.slow
def test_a_still_film_gives_one_photo(
    analyzer: Analyzer, film: Film, astronaut: U8
) -> None:
    assert len(best_photos(analyzer, film([astronaut] * 12))) == 1


def test_a_film_without_a_face_and_none_at_all(
    analyzer: Analyzer, film: Film, face_free: U8
) -> None:
    nobody = np.asarray(cv2.resize(face_free, (512, 512)), np.uint8)
    with pytest.raises(NoFaceError, match="come nearer"):
        best_photos(analyzer, film([nobody] * 4))
    with pytest.raises(SourceError):
        best_photos(analyzer, "nothing.mp4")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["people", "people.db"])
def test_the_command_takes_a_film(
    inside: Inside, film: Film, astronaut: U8, tmp_path: Path, place: str
) -> None:
    clip = film([one for view in views(astronaut)[:2] for one in [view] * 3])
    gallery = ["--gallery", tmp_path / place]
    done = inside("enroll", "Ada", clip, "--json", *gallery)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["photos"]
    assert {one["verdict"] for one in told} == {"good"}
    assert "clip.mp4 at " in told[0]["source"]
    (ada,) = json.loads(inside("people", "--json", *gallery).stdout)
    assert (ada["name"], ada["photos"]) == ("Ada", len(told))


def test_a_camera_that_is_not_there(inside: Inside, tmp_path: Path) -> None:
    done = inside("enroll", "Ada", "--camera", "97", "--gallery", tmp_path / "p.db")
    assert (done.returncode, "97" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr
