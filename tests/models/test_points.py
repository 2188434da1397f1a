"""The five points are found exactly, wherever about they were supposed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien import geometry
from mien.models.detectors.points import ExactPoints
from mien.types import F32, U8

# The astronaut's eyes, nose tip and mouth corners as MediaPipe's face landmarker sees them.
TRUE = np.array(
    [[[203.9, 101.2], [246.8, 103.6], [223.7, 129.4], [202.7, 139.2], [244.6, 140.7]]],
    np.float32,
)


@pytest.fixture(scope="module")
def points() -> ExactPoints:
    return ExactPoints.load()


def off(found: F32, true: F32) -> float:
    """Mean distance in eye distances."""
    eyes = np.linalg.norm(true[0, 0] - true[0, 1])
    return float(np.linalg.norm(found - true, axis=2).mean() / eyes)


def supposed(turn: float, scale: float, shift: tuple[float, float]) -> F32:
    """The true points moved about their middle: degrees, a factor, pixels."""
    middle = TRUE.mean(axis=1)[0]
    cos, sin = (
        scale * np.cos(np.deg2rad(turn)),
        scale * np.sin(np.deg2rad(turn)),
    )
    about = np.array([[cos, sin], [-sin, cos]], np.float32)
    return ((TRUE - middle) @ about + middle + shift).astype(np.float32)


@pytest.mark.parametrize(
    ("turn", "scale", "shift"),
    [(0, 1, (0, 0)), (12, 1, (4, 0)), (-12, 0.85, (0, -5)), (-25, 1.15, (-3, 3))],
)
def test_points_come_right(
    turn: float,
    scale: float,
    shift: tuple[float, float],
    points: ExactPoints,
    astronaut: U8,
) -> None:
    assert off(points(astronaut, supposed(turn, scale, shift)), TRUE) < 0.08


def test_one_look_is_nearer(points: ExactPoints, astronaut: U8) -> None:
    start = supposed(12, 1, (4, 0))
    quick = points(astronaut, start, quick=True)
    assert off(points(astronaut, start), TRUE) < off(quick, TRUE) < off(start, TRUE) / 2


def test_a_small_blurred_face_too(points: ExactPoints, astronaut: U8) -> None:
    small = geometry.shrink(astronaut, 0.3)
    true = (TRUE + 0.5) * 0.3 - 0.5
    about = (supposed(-10, 1.1, (5, 0)) + 0.5) * 0.3 - 0.5
    assert off(points(small, about.astype(np.float32)), true.astype(np.float32)) < 0.1


def test_a_moved_face_has_moved_points(points: ExactPoints, astronaut: U8) -> None:
    rng, seen = np.random.default_rng(0), []
    start = points(astronaut, supposed(0, 1, (0, 0)))
    for _ in range(8):
        dx, dy = rng.uniform(0, 1, 2)
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        moved = np.asarray(cv2.warpAffine(astronaut, move, (512, 512)), np.int16)
        noisy = np.clip(moved + rng.normal(0, 2, moved.shape), 0, 255).astype(np.uint8)
        seen.append(points(noisy, start + rng.normal(0, 1, 2)) - (dx, dy))
    eyes = np.linalg.norm(TRUE[0, 0] - TRUE[0, 1])
    assert np.std(seen, axis=0).mean() / eyes < 0.005


def test_no_face_no_points(points: ExactPoints, astronaut: U8) -> None:
    assert points(astronaut, np.zeros((0, 5, 2), np.float32)).shape == (0, 5, 2)
