"""One crop and twelve, the crop by the box, and how the classic networks are fed, each against a plain computation."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien.errors import InputError, ModelError
from mien.models.classifier import (
    Classifier,
    aligned_crops,
    bilinear,
    box_crops,
    standardized,
)
from mien.pipeline import Analyzer
from mien.types import F32, F64, U8, Faces

SIZE, AROUND = 45, 64
CLASSIC = {
    "size": SIZE, "resize": AROUND, "crop": "box", "padding": 0, "padding_px": 20, "sampling": "corner",
    "standardize": True,
}  # fmt: skip
WEIGHTS = (
    np.random.default_rng(0).normal(size=(SIZE * SIZE * 3, 3)).astype(np.float32) * 0.02
)


def linear(path: Path, **preprocessing: object) -> Path:
    """A network of one dense layer over all pixels, (N, 45, 45, 3) -> 3 logits."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["logits"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", SIZE, SIZE, 3])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(
        nodes, "linear", [x], [y], [numpy_helper.from_array(WEIGHTS, "w")]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    helper.set_model_props(
        model, {"labels": '["a", "b", "c"]', "preprocessing": json.dumps(preprocessing)}
    )
    onnx.save(model, path)
    return path


def plain_resize(image: F64, size: int, *, corner: bool) -> F64:
    """Bilinear, pixel by pixel."""
    height, width = image.shape[:2]
    out = np.empty((size, size, 3))
    for y in range(size):
        for x in range(size):
            v = y * height / size if corner else (y + 0.5) * height / size - 0.5
            u = x * width / size if corner else (x + 0.5) * width / size - 0.5
            v, u = min(max(v, 0), height - 1), min(max(u, 0), width - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            b, a = v - top, u - left
            upper = image[top, left] * (1 - a) + image[top, right] * a
            lower = image[bottom, left] * (1 - a) + image[bottom, right] * a
            out[y, x] = upper * (1 - b) + lower * b
    return out


def plain_crops(picture: F64, *, corner: bool) -> list[F64]:
    free = AROUND - SIZE
    views = [plain_resize(picture, SIZE, corner=corner)]
    for y, x in (
        (0, 0),
        (0, free),
        (free, 0),
        (free, free),
        (int(free / 2), int(free / 2)),
    ):
        views.append(picture[y : y + SIZE, x : x + SIZE])
    return [side for view in views for side in (view, view[:, ::-1])]


def plain_softmax(view: F64, *, standardize: bool) -> F64:
    rgb = view[..., ::-1]
    mean, deviation = (
        (rgb.mean(), max(rgb.std(), 1 / rgb.size**0.5)) if standardize else (128, 64)
    )
    rgb = (rgb - mean) / deviation
    raised = np.exp(rgb.ravel() @ WEIGHTS.astype(np.float64))
    return raised / raised.sum()


def two_faces() -> Faces:
    """One well inside a photo of 512 pixels, one over its lower right corner."""
    boxes = np.array(
        [[170.4, 60.2, 281.7, 190.0], [420, 430, 600, 640]], dtype=np.float32
    )
    inside = np.array(
        [[0.3, 0.35], [0.7, 0.35], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]],
        dtype=np.float32,
    )
    landmarks = boxes[:, None, :2] + inside * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.ones(2, np.float32), landmarks.astype(np.float32))


@pytest.mark.parametrize("crops", [1, 12])
def test_the_classic_way_of_cropping(tmp_path: Path, astronaut: U8, crops: int) -> None:
    """The box and 20 pixels, cut at the border, its aspect not kept, to 64 pixels, then 45; standardised; averaged."""
    stage = Classifier.load(linear(tmp_path / "m.onnx", **CLASSIC), "mood", crops=crops)
    probs = stage(astronaut, two_faces()).attributes["mood"].probs
    for row, (x1, y1, x2, y2) in zip(
        probs, ((150, 40, 302, 210), (400, 410, 512, 512)), strict=True
    ):
        picture = plain_resize(
            astronaut[y1:y2, x1:x2].astype(np.float64), AROUND, corner=True
        )
        views = plain_crops(picture, corner=True)[:crops]
        expected = np.mean(
            [plain_softmax(view, standardize=True) for view in views], axis=0
        )
        assert np.abs(row - expected).max() <= 1e-4
    assert probs.std(axis=1).min() > 0.01


def test_twelve_looks_at_an_aligned_face(tmp_path: Path, astronaut: U8) -> None:
    """Cut by the landmarks at the size that crops are taken of; without one said, a little larger than a crop."""
    how = {"size": SIZE, "mean": [128], "std": [64], "padding": 0.25}
    stage = Classifier.load(
        linear(tmp_path / "m.onnx", **how, resize=AROUND), "mood", crops=12
    )
    probs = stage(astronaut, two_faces()).attributes["mood"].probs
    crops = aligned_crops(astronaut, two_faces().landmarks, size=AROUND, padding=0.25)
    for row, crop in zip(probs, crops, strict=True):
        views = plain_crops(crop.astype(np.float64), corner=False)
        expected = np.mean(
            [plain_softmax(view, standardize=False) for view in views], axis=0
        )
        assert np.abs(row - expected).max() <= 1e-4
    without = Classifier.load(linear(tmp_path / "w.onnx", **how), "mood", crops=12)(
        astronaut, two_faces()
    )
    assert np.allclose(without.attributes["mood"].probs.sum(axis=1), 1, atol=1e-5)


def test_many_faces_go_through_in_parts(tmp_path: Path, astronaut: U8) -> None:
    stage = Classifier.load(linear(tmp_path / "m.onnx", **CLASSIC), "mood", crops=12)
    faces = two_faces()[np.arange(7) % 2]
    probs = stage(astronaut, faces).attributes["mood"].probs
    assert np.array_equal(
        probs[:2], stage(astronaut, two_faces()).attributes["mood"].probs
    )
    assert np.array_equal(probs[::2], np.repeat(probs[:1], 4, axis=0))


def test_boxes_are_cut_at_the_border(astronaut: U8) -> None:
    boxes = np.array(
        [[-40, -30, 60, 70], [500, 500, 530, 540], [600, 600, 700, 700]],
        dtype=np.float32,
    )
    first, second, outside = box_crops(astronaut, boxes, padding=0.1)
    assert np.array_equal(first, astronaut[:80, :70])
    assert np.array_equal(second, astronaut[496:512, 497:512])
    assert outside.shape == (1, 1, 3), "a face beyond the photo still gives a picture"


@pytest.mark.parametrize(("height", "width"), [(90, 41), (12, 200), (64, 64), (1, 1)])
def test_bilinear_between_centres_is_opencv_s(height: int, width: int) -> None:
    image = (
        np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(np.float32)
    )
    expected = cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(bilinear(image, 64, sampling="centre") - expected).max() <= 0.05


def test_a_picture_of_one_colour_is_standardised_to_nothing() -> None:
    grey: F32 = np.full((1, 8, 8, 3), 77, np.float32)
    assert np.array_equal(standardized(grey), np.zeros_like(grey))


@pytest.mark.parametrize(
    ("preprocessing", "reason"),
    [
        ({"crop": "circle"}, "crop is 'circle'"),
        ({"sampling": "nearest"}, "sampling"),
        ({"channels": "grey"}, "channels"),
        ({"resize": 20}, "do not fit"),
        ({"size": 0}, "do not fit"),
        ({"size": "big"}, "cannot be read"),
    ],
)
def test_preprocessing_that_cannot_be_is_refused(
    tmp_path: Path, preprocessing: dict[str, object], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        Classifier.load(linear(tmp_path / "m.onnx", **preprocessing), "mood")


@pytest.mark.parametrize("crops", [0, 2, 10, -1])
def test_crops_are_one_or_twelve(crops: int) -> None:
    with pytest.raises(InputError, match="1 or 12"):
        Analyzer(only=["identity"], crops=crops)
