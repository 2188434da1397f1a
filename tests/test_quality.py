"""How much a look is worth falls with size, sharpness and frontality; every photo's faces say so, and their angle."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien import geometry
from mien.output.schemas import frame_record
from mien.pipeline import Analyzer
from mien.quality import judged, measure
from mien.types import F32, U8, Faces

BOX = np.array([[167, 62, 276, 193]], np.float32)  # the astronaut's face
POINTS = np.array(
    [[[203, 117], [253, 115], [232, 147], [206, 161], [251, 159]]], np.float32
)
FACE = Faces(BOX, np.ones(1, np.float32), POINTS)


def test_of_nobody() -> None:
    parts = measure(np.zeros((50, 50, 3), np.uint8), Faces.empty())
    assert (
        parts.whole.shape
        == parts.size.shape
        == parts.sharpness.shape
        == parts.frontality.shape
        == (0,)
    )


def test_blur_takes_the_sharpness_alone(astronaut: U8) -> None:
    clear = measure(astronaut, FACE)
    soft = measure(np.asarray(cv2.GaussianBlur(astronaut, (0, 0), 8), np.uint8), FACE)
    assert soft.sharpness[0] < 0.5 * clear.sharpness[0]
    assert (soft.size[0], soft.frontality[0]) == (clear.size[0], clear.frontality[0])
    assert soft.whole[0] < clear.whole[0]


def test_the_whole_is_between_0_and_1_and_no_more_than_each_part(astronaut: U8) -> None:
    parts = measure(astronaut, FACE)
    assert (
        0
        < parts.whole[0]
        <= min(parts.size[0], parts.sharpness[0], parts.frontality[0])
        <= 1
    )


@pytest.mark.parametrize("degrees", [-170.0, -90.0, -20.0, 0.0, 20.0, 90.0, 170.0])
def test_the_angle_is_that_of_the_landmarks_clockwise(
    degrees: float, astronaut: U8
) -> None:
    upright = np.rad2deg(geometry.turns(POINTS)[0])
    turned = judged(
        astronaut, Faces(BOX, np.ones(1, np.float32), clockwise(POINTS, degrees))
    )
    assert turned.angles is not None
    assert (turned.angles[0] - upright - degrees + 180) % 360 - 180 == pytest.approx(
        0, abs=0.1
    )


def clockwise(points: F32, degrees: float) -> F32:
    """Points turned about the face's middle, as a clock's hand goes on the screen."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    middle = points.mean(axis=1, keepdims=True)
    return np.asarray(
        (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle, np.float32
    )


def test_results_tell_both(analyzer: Analyzer, astronaut: U8) -> None:
    result = analyzer.analyze(astronaut)
    face = result.faces.face(0)
    assert face.quality is not None
    assert face.angle is not None
    assert 0.2 < face.quality <= 1
    assert abs(face.angle) < 15
    record = frame_record(result).to_dict()["faces"][0]  # type: ignore[index]
    assert (record["quality"], record["angle"]) == (
        round(face.quality, 3),
        round(face.angle, 1),
    )
