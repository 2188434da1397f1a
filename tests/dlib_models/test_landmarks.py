from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mien.dlib_models import landmarks
from mien.dlib_models.landmarks import ShapePredictor
from mien.errors import ModelError
from mien.types import I64, U8

from .conftest import Face, rectangle, rgb

Predictors = Callable[[int], ShapePredictor]


def jittered(box: I64, times: int) -> I64:
    """The box, and the box moved and sized at random by up to 8 %."""
    moves = np.random.default_rng(7).uniform(-0.08, 0.08, (times, 4)) * (
        box[2] - box[0]
    )
    moves[0] = 0
    return (box + moves).astype(np.int64)


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("points", [5, 68])
def test_landmarks_are_dlibs(
    points: int,
    predictor: Predictors,
    oracle: Callable[[int], Any],
    dlib: ModuleType,
    many_faces: list[Face],
) -> None:
    theirs = oracle(points)
    for face in many_faces:
        boxes = jittered(face.box, 3)
        got = landmarks.predict(predictor(points), face.image, boxes)
        for found, box in zip(got, boxes, strict=True):
            parts = theirs(rgb(face.image), rectangle(dlib, box)).parts()
            assert found.tolist() == [[p.x, p.y] for p in parts], face.name


@pytest.mark.oracle
def test_grey_photos_and_boxes_off_the_photo_are_dlibs(
    predictor: Predictors, oracle: Callable[[int], Any], dlib: ModuleType, astronaut: U8
) -> None:
    grey = astronaut[..., 1].copy()
    boxes = np.array(
        [
            [168, 65, 276, 173],
            [-60, -60, 80, 80],
            [440, 440, 600, 600],
            [5000, 5000, 5100, 5100],
        ]
    )
    got = landmarks.predict(predictor(5), grey, boxes)
    for found, box in zip(got, boxes, strict=True):
        assert found.tolist() == [
            [p.x, p.y] for p in oracle(5)(grey, rectangle(dlib, box)).parts()
        ]


def test_faces_do_not_depend_on_each_other(
    predictor: Predictors, astronaut: U8
) -> None:
    boxes = jittered(np.array([168, 65, 276, 173]), 6)
    together = landmarks.predict(predictor(5), astronaut, boxes)
    alone = [landmarks.predict(predictor(5), astronaut, box[None])[0] for box in boxes]
    assert (together == alone).all()
    assert together.shape == (6, 5, 2)
    assert together.dtype == np.float32


def test_order_of_the_five_points_in_image_terms(
    predictor: Predictors, faces: list[Face]
) -> None:
    right_outer, right_inner, left_outer, left_inner, nose = landmarks.predict(
        predictor(5), faces[0].image, faces[0].box[None]
    )[0]
    assert left_outer[0] < left_inner[0] < nose[0] < right_inner[0] < right_outer[0]
    assert nose[1] > max(left_inner[1], right_inner[1])


def test_colour_order_does_not_matter(predictor: Predictors, faces: list[Face]) -> None:
    bgr, box = faces[0].image, faces[0].box[None]
    assert (
        landmarks.predict(predictor(5), bgr, box)
        == landmarks.predict(predictor(5), rgb(bgr), box)
    ).all()


def test_no_face(predictor: Predictors, astronaut: U8) -> None:
    assert landmarks.predict(
        predictor(5), astronaut, np.zeros((0, 4), dtype=np.int64)
    ).shape == (0, 5, 2)


def test_dumps_and_loads(predictor: Predictors, faces: list[Face]) -> None:
    data = landmarks.dumps(predictor(5))
    again = landmarks.loads(data, "five.npz")
    face = faces[0]
    assert (
        landmarks.predict(again, face.image, face.box)
        == landmarks.predict(predictor(5), face.image, face.box)
    ).all()
    assert landmarks.dumps(again) == data


def tiny(**changed: Any) -> ShapePredictor:
    """One cascade of two trees with one split over three pixels, two points."""
    columns: dict[str, Any] = {
        "mean": np.array([[0.2, 0.5], [0.8, 0.5]], dtype=np.float32),
        "pixels": np.zeros((1, 2, 1, 2), dtype=np.int64),
        "thresholds": np.zeros((1, 2, 1), dtype=np.float32),
        "leaves": np.zeros((1, 2, 2, 4), dtype=np.float32),
        "anchors": np.zeros((1, 3), dtype=np.int64),
        "deltas": np.zeros((1, 3, 2), dtype=np.float32),
    }
    return ShapePredictor(**{**columns, **changed})


def test_tiny_predictor_gives_its_mean_shape(astronaut: U8) -> None:
    again = landmarks.loads(landmarks.dumps(tiny()), "tiny.npz")
    found = landmarks.predict(again, astronaut, np.array([[10, 10, 110, 110]]))
    assert found.tolist() == [[[30, 60], [90, 60]]]


@pytest.mark.parametrize(
    "changed",
    [
        {"pixels": np.full((1, 2, 1, 2), 3)},
        {"anchors": np.full((1, 3), 2)},
        {"mean": np.zeros((3, 2), dtype=np.float32)},
        {"mean": np.zeros((2, 3), dtype=np.float32)},
        {"leaves": np.zeros((1, 2, 3, 4), dtype=np.float32)},
        {"deltas": np.zeros((1, 4, 2), dtype=np.float32)},
        {"thresholds": np.zeros((1, 2, 1), dtype=np.float64)},
        {"thresholds": np.zeros((1, 2, 2), dtype=np.float32)},
        {"anchors": np.zeros((0, 0), dtype=np.int64)},
        {"mean": np.full((2, 2), np.nan, dtype=np.float32)},
    ],
    ids=str,
)
def test_loads_refuses_parts_that_do_not_fit(changed: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"tiny\.npz is damaged"):
        landmarks.loads(landmarks.dumps(tiny(**changed)), "tiny.npz")


def test_loads_never_unpickles() -> None:
    data = landmarks.dumps(tiny()).replace(b"'descr': '<f4'", b"'descr': '|O' ")
    with pytest.raises(ModelError, match="is damaged"):
        landmarks.loads(data, "tiny.npz")


@pytest.mark.parametrize("keep", [0, 1, 50, 0.3, 0.9, 0.999])
def test_loads_refuses_a_cut_file(keep: float) -> None:
    data = landmarks.dumps(tiny())
    with pytest.raises(ModelError, match=r"tiny\.npz is damaged"):
        landmarks.loads(
            data[: int(keep if keep >= 1 else keep * len(data))], "tiny.npz"
        )
