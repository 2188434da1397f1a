"""Which faces are kept as unknown: good looks at people nobody knows, in streams once in a while."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.collecting import UnknownCollector, thumbnail
from mien.gallery.unknown import UnknownFaces
from mien.pipeline import Analyzer
from mien.types import U8, Faces, Frame, FrameResult, Matches
from mien.zoo import DLIB


@pytest.fixture(scope="module")
def described(analyzer: Analyzer, astronaut: U8) -> Faces:
    return analyzer.analyze(astronaut).faces


@pytest.fixture
def collector(tmp_path: Path) -> UnknownCollector:
    unknown = UnknownFaces(tmp_path / "people.db", space=replace(DLIB, name="test"))
    return UnknownCollector(unknown, days=30, tolerance=0.6)


def known(faces: Faces, name: str | None, distance: float) -> Faces:
    return replace(faces, matches=Matches((name,), np.array([distance], np.float32)))


def shrunk(faces: Faces, scale: float) -> Faces:
    return replace(
        faces,
        boxes=faces.boxes * np.float32(scale),
        landmarks=faces.landmarks * np.float32(scale),
    )


def test_a_good_look_at_a_stranger_is_kept(
    collector: UnknownCollector, astronaut: U8, described: Faces
) -> None:
    assert len(described) == 1
    assert collector.keep(astronaut, described, source="a.png") == 1
    assert (
        collector.keep(astronaut, known(described, None, 0.61), source="b.png") == 0
    )  # the same picture again
    assert collector.unknown.waiting() == 1
    (group,) = collector.unknown.groups(least=1)
    assert group.faces[0].source == "a.png"
    assert group.faces[0].expires - group.faces[0].seen == pytest.approx(30 * 86_400)


@pytest.mark.parametrize(
    ("name", "distance", "kept"),
    [("Ada", 0.4, 0), (None, 0.59, 0), (None, 0.61, 1), (None, np.nan, 1)],
    ids=["known", "near enough, but named no one", "a stranger", "nobody is known"],
)
def test_known_people_are_not_kept(
    collector: UnknownCollector,
    astronaut: U8,
    described: Faces,
    name: str | None,
    distance: float,
    kept: int,
) -> None:
    assert (
        collector.keep(astronaut, known(described, name, distance), source="a.png")
        == kept
    )


@pytest.mark.parametrize(("sigma", "kept"), [(0, 1), (12, 0)])
def test_blurred_faces_are_not_kept(
    collector: UnknownCollector, astronaut: U8, described: Faces, sigma: int, kept: int
) -> None:
    image = cv2.GaussianBlur(astronaut, (0, 0), sigma) if sigma else astronaut
    assert (
        collector.keep(np.asarray(image, np.uint8), described, source="a.png") == kept
    )


@pytest.mark.parametrize(("scale", "kept"), [(1.0, 1), (0.5, 1), (0.25, 0)])
def test_small_faces_are_not_kept(
    collector: UnknownCollector,
    astronaut: U8,
    described: Faces,
    scale: float,
    kept: int,
) -> None:
    image = cv2.resize(
        astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    assert (
        collector.keep(
            np.asarray(image, np.uint8), shrunk(described, scale), source="a.png"
        )
        == kept
    )


def test_faces_nobody_looked_at_are_not_kept(
    collector: UnknownCollector, astronaut: U8, described: Faces
) -> None:
    blank = replace(described, embeddings=np.full((1, 128), np.nan, np.float32))
    assert collector.keep(astronaut, blank, source="a.png") == 0
    assert (
        collector.keep(astronaut, replace(described, embeddings=None), source="a.png")
        == 0
    )
    assert collector.keep(astronaut, Faces.empty(), source="a.png") == 0


def test_a_stream_keeps_a_track_every_ten_seconds(
    collector: UnknownCollector, astronaut: U8, described: Faces
) -> None:
    stream = collector.stream()
    kept = []
    for i, (time_s, track) in enumerate(
        [(0, 1), (0.1, 1), (5, 1), (5.1, 2), (10.1, 1), (12, 2), (15.2, 2)]
    ):
        image = np.roll(astronaut, i, axis=1)
        faces = replace(described, track_ids=np.array([track], np.int64))
        result = FrameResult("clip.mp4", i, time_s, 512, 512, faces)
        kept.append(stream.keep(Frame(image, i, time_s, "clip.mp4"), result))
    assert kept == [1, 0, 0, 1, 1, 0, 1]


def test_a_thumbnail_is_small_and_holds_the_face(
    analyzer: Analyzer, astronaut: U8, described: Faces
) -> None:
    large = cv2.resize(astronaut, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    content = thumbnail(np.asarray(large, np.uint8), described.boxes[0] * 3)
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert max(picture.shape[:2]) <= 224
    assert len(content) < 25_000
    again = analyzer.describe_photo(content)
    assert len(again) == 1
    assert np.linalg.norm(again.embeddings[0] - described.embeddings[0]) < 0.3
