"""Faces are found whichever way up they are, and are told of only where that is not in doubt."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mien import geometry
from mien.models.detectors.angle import AngleNet
from mien.models.detectors.compact import Compact
from mien.pipeline import Analyzer
from mien.session import SessionOptions
from mien.types import F32, U8, Faces, Frame

TURNS = range(0, 360, 30)
FACE = np.array([[178, 60, 270, 184]], np.float32)  # the astronaut's


def turned(image: U8, angle: float) -> tuple[U8, F32]:
    """The whole of a square picture turned clockwise, and the map (2, 3) that did it."""
    side = image.shape[0]
    wide = int(np.ceil(side * np.sqrt(2)))
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -angle, 1)
    matrix[:, 2] += (wide - side) / 2
    drawn = cv2.warpAffine(image, matrix, (wide, wide), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.uint8), matrix.astype(np.float32)


def degrees_off(angle: float, expected: float) -> float:
    return abs((angle - expected + 180) % 360 - 180)


@pytest.mark.parametrize("angle", TURNS)
def test_a_face_is_found_and_set_upright_at_every_angle(
    angle: int, compact: Compact, astronaut: U8
) -> None:
    picture, matrix = turned(astronaut, angle)
    faces = compact(picture)
    nose = geometry.transform(compact(astronaut).landmarks[:1, 2:3], matrix)[0, 0]
    assert len(faces) == 1
    assert np.linalg.norm(faces.landmarks[0, 2] - nose) < 15
    assert (
        degrees_off(float(np.rad2deg(geometry.turns(faces.landmarks)[0])), angle) < 15
    )


@pytest.mark.parametrize("angle", [90, 180])
def test_who_stands_on_the_head_is_as_old_as_upright(
    angle: int, analyzer: Analyzer, astronaut: U8
) -> None:
    (upright,), (face,) = (
        analyzer.analyze(astronaut).faces,
        analyzer.analyze(turned(astronaut, angle)[0]).faces,
    )
    assert face.age == pytest.approx(upright.age, abs=6)
    assert (face.gender, face.emotion) == (upright.gender, upright.emotion)
    assert degrees_off(face.angle or 0.0, angle) < 15
    assert face.embedding == pytest.approx(upright.embedding, abs=0.12)


def test_of_a_face_that_does_not_stand_as_its_landmarks_say_nothing_is_told(
    analyzer: Analyzer, astronaut: U8
) -> None:
    upright = analyzer.detector(astronaut)
    wrong = np.array([511, 511], np.float32) - upright.landmarks
    upside_down = np.ascontiguousarray(astronaut[::-1, ::-1])
    mirrored = geometry.square_boxes(wrong)
    stands = geometry.mean_landmarks(
        mirrored
    )  # what a detector that knows upright faces says of it
    seen = Faces(mirrored, upright.scores, stands)
    (face,) = analyzer.describe(upside_down, seen)
    assert (face.age, face.age_group, face.gender, face.emotion, face.embedding) == (
        None,
    ) * 5
    assert all(not estimate.probs for estimate in face.attributes.values())


def test_a_detector_that_knows_the_angle_is_not_asked_again(
    analyzer: Analyzer, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(AngleNet, "doubtful", lambda *_: asked.append(1))
    (face,) = analyzer.analyze(astronaut).faces
    assert not asked
    assert face.age is not None
    assert isinstance(analyzer.detector, Compact)
    assert analyzer.angle is analyzer.detector.angle


def test_a_face_in_doubt_is_told_by_the_detector(
    analyzer: Analyzer, astronaut: U8
) -> None:
    seen = analyzer.detector(astronaut)
    (face,) = analyzer.describe(
        astronaut, replace(seen, angles=np.full(1, np.nan, np.float32))
    )
    assert (face.age, face.embedding) == (None, None)


def test_nobody_is_looked_for_at_few_angles(
    compact: Compact, face_free: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = [], Compact._cells
    monkeypatch.setattr(
        Compact, "_cells", lambda *of: looks.append(of[1].shape) or look(*of)
    )
    assert len(compact(face_free)) == 0
    patches = [shape for shape in looks if shape[:2] == (96, 96)]
    assert len(patches) <= 3 * compact.few
    assert len(looks) - len(patches) <= 2  # the picture, and as one that a face fills


def test_streams_look_for_faces_that_stand_unless_asked(
    analyzer: Analyzer, astronaut: U8
) -> None:
    frame = Frame(np.ascontiguousarray(astronaut[::-1, ::-1]))
    assert len(analyzer.session().step(frame).faces) == 0
    assert len(analyzer.session(SessionOptions(any_angle=True)).step(frame).faces) == 1


def test_the_network_knows_up_from_down(compact: Compact, astronaut: U8) -> None:
    up = compact.angle(astronaut, FACE)
    down = compact.angle(
        np.ascontiguousarray(astronaut[::-1, ::-1]), 512 - FACE[:, [2, 3, 0, 1]]
    )
    assert abs(up.angles[0]) < np.deg2rad(25)
    assert abs(down.angles[0]) > np.deg2rad(155)
    assert min(up.sure[0], down.sure[0]) > 0.3


def test_no_face_no_angle(compact: Compact, astronaut: U8) -> None:
    nobody = Faces.empty()
    angle: AngleNet = compact.angle
    assert angle(astronaut, nobody.boxes).angles.shape == (0,)
    assert angle.doubtful(astronaut, nobody.landmarks).shape == (0,)
