"""Pure functions on boxes and points."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mien import geometry
from mien.types import U8


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (10, 10, 20, 20), 0.0),
        ((0, 0, 10, 10), (20, 20, 10, 10), 0.0),
    ],
    ids=["same", "half over", "touching", "inverted"],
)
def test_iou(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert geometry.iou(boxes(a), boxes(b))[0, 0] == pytest.approx(expected)


def test_iou_of_none() -> None:
    assert geometry.iou(boxes(), boxes((0, 0, 1, 1))).shape == (0, 1)


def test_nms_keeps_the_best_of_each_place() -> None:
    rows = boxes((0, 0, 10, 10), (1, 1, 11, 11), (50, 50, 60, 60))
    kept = geometry.nms(rows, np.float32([0.5, 0.9, 0.7]), threshold=0.3)
    assert kept.tolist() == [1, 2]
    assert geometry.nms(boxes(), np.zeros(0, np.float32), threshold=0.3).tolist() == []


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_similarity_finds_the_transform_that_moved_the_points(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[a, -b, shift[0]], [b, a, shift[1]]], np.float32)
    moved = geometry.transform(geometry.CHIP_LANDMARKS, matrix)
    found = geometry.similarity(geometry.CHIP_LANDMARKS, moved)
    np.testing.assert_allclose(
        geometry.transform(geometry.CHIP_LANDMARKS, found),
        moved,
        atol=1e-2 * max(1, scale),
    )
    back = geometry.transform(moved, geometry.invert(found))
    np.testing.assert_allclose(back, geometry.CHIP_LANDMARKS, atol=0.2)


def test_square_boxes_and_mean_landmarks_are_inverse() -> None:
    rows = boxes((10, 20, 110, 120), (-5, 0, 35, 40))
    np.testing.assert_allclose(
        geometry.square_boxes(geometry.mean_landmarks(rows)), rows, atol=1e-2
    )
    assert geometry.square_boxes(geometry.mean_landmarks(boxes())).shape == (0, 4)


@pytest.mark.parametrize(
    ("shape", "padded"),
    [((32, 64), (32, 64)), ((33, 1), (64, 32))],
    ids=["fits", "grows"],
)
def test_padding_keeps_the_picture_top_left(
    shape: tuple[int, int], padded: tuple[int, int]
) -> None:
    picture = np.full((*shape, 3), 7, np.uint8)
    grown = geometry.pad_to_multiple(picture, 32)
    assert grown.shape == (*padded, 3)
    assert (grown[: shape[0], : shape[1]] == 7).all()
    assert grown.sum() == picture.sum()


def test_l2_distances_equal_the_plain_formula() -> None:
    rng = np.random.default_rng(1)
    a, b = (
        rng.normal(size=(5, 128)).astype(np.float32),
        rng.normal(size=(7, 128)).astype(np.float32),
    )
    plain = np.linalg.norm(a[:, None] - b[None], axis=2)
    np.testing.assert_allclose(geometry.l2_distances(a, b), plain, atol=1e-4)


@pytest.mark.parametrize("scale", [0.5, 0.4, 1 / 3, 0.16])
def test_a_picture_made_small_is_the_mean_of_what_was_there(
    astronaut: U8, scale: float
) -> None:
    small = geometry.shrink(astronaut, scale)
    mean = cv2.resize(astronaut, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert small.shape == (round(512 * scale), round(512 * scale), 3)
    assert np.abs(small.astype(int) - mean).mean() < 5


def test_odd_pictures_are_made_small_too(astronaut: U8) -> None:
    assert geometry.shrink(astronaut[:511, :509], 0.3).shape == (153, 153, 3)


def test_a_line_can_be_made_small(astronaut: U8) -> None:
    assert geometry.shrink(astronaut[:1], 0.1).shape == (1, 51, 3)
