from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import mien
from mien.dlib_models import hog
from mien.errors import InputError
from mien.runtime import Compute, OnnxModel
from mien.types import F32, I64, U8

from .conftest import rgb

Found = tuple[I64, F32, I64]
FILTERS = hog.loads((Path(mien.__file__).parent / "weights" / "hog.npz").read_bytes())


@pytest.fixture(scope="module")
def score() -> hog.Scorer:
    model = OnnxModel(hog.to_onnx(FILTERS), "hog", Compute("cpu", 1))
    return lambda features: np.asarray(model(features)[0], np.float32)


@pytest.fixture(scope="module")
def theirs(dlib: ModuleType) -> Callable[[U8, int, float], Found]:
    detector = dlib.get_frontal_face_detector()

    def detect(image: U8, upsample: int, threshold: float) -> Found:
        boxes, scores, filters = detector.run(image, upsample, threshold)
        edges = [[box.left(), box.top(), box.right(), box.bottom()] for box in boxes]
        return (
            np.array(edges, np.int64).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(filters, np.int64),
        )

    return detect


def same(ours: Found, expected: Found) -> None:
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_allclose(ours[1], expected[1], atol=2e-5)
    np.testing.assert_array_equal(ours[2], expected[2])


def pictures(astronaut: U8) -> dict[str, U8]:
    colour = rgb(astronaut)
    hard = np.clip((colour.astype(int) - 128) * 6 + 128, 0, 255).astype(
        np.uint8
    )  # gradients beyond 16 bits
    return {
        "colour": colour,
        "grey": np.ascontiguousarray(colour[..., 1]),
        "odd size": np.ascontiguousarray(colour[:301, :277]),
        "small": np.ascontiguousarray(colour[:90, :110]),
        "less than a cell": np.ascontiguousarray(colour[:11, :7]),
        "one cell high": np.ascontiguousarray(colour[:12, :300]),
        "three greys": np.repeat(
            colour[..., 1:2], 3, axis=2
        ),  # the channels always tie
        "steep": hard,
        "no edges": np.full((200, 200, 3), 255, np.uint8),
    }


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("upsample", [0, 1, 2])
@pytest.mark.parametrize(
    "name", ["colour", "grey", "odd size", "small", "three greys", "steep"]
)
def test_boxes_are_dlibs(
    name: str,
    upsample: int,
    astronaut: U8,
    score: hog.Scorer,
    theirs: Callable[..., Found],
) -> None:
    image = pictures(astronaut)[name]
    expected = theirs(image, upsample, -0.7)
    same(hog.detect(score, image, upsample=upsample, threshold=-0.7), expected)
    assert len(expected[0]) > 0 or name == "small"


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("cut", [6, 10, 14, 18, 22])
def test_boxes_that_leave_the_image_are_dlibs(
    cut: int, astronaut: U8, score: hog.Scorer, theirs: Callable[..., Found]
) -> None:
    image = np.ascontiguousarray(rgb(astronaut)[76 + cut : 300, 170 + cut : 400])
    expected = theirs(image, 1, -0.5)
    same(hog.detect(score, image, upsample=1, threshold=-0.5), expected)
    assert expected[0].min() < 0


@pytest.mark.slow
@pytest.mark.oracle
def test_boxes_of_the_shared_photos_are_dlibs(
    fixture_photos: list[Path], score: hog.Scorer, theirs: Callable[..., Found]
) -> None:
    found = 0
    for path in fixture_photos[:12]:
        image = rgb(
            cv2.resize(cv2.imread(str(path)), (480, 360), interpolation=cv2.INTER_AREA)
        )
        expected = theirs(image, 0, 0.0)
        same(hog.detect(score, image), expected)
        found += len(expected[0])
    assert found > 3


@pytest.mark.oracle
@pytest.mark.parametrize(
    "size", [(426, 426), (1025, 1026), (50, 51), (333, 700), (3, 2), (1, 1)]
)
@pytest.mark.parametrize("grey", [False, True])
def test_resize_is_dlibs_to_the_bit(
    size: tuple[int, int], grey: bool, astronaut: U8, dlib: ModuleType
) -> None:
    image = rgb(astronaut)
    planes = image[None, ..., 0] if grey else image.transpose(2, 0, 1)
    expected = dlib.resize_image(
        np.ascontiguousarray(image[..., 0] if grey else image), *size
    )
    ours = hog.resize(np.ascontiguousarray(planes), *size)
    np.testing.assert_array_equal(
        ours[0] if grey else ours.transpose(1, 2, 0), expected
    )


@pytest.mark.parametrize(
    ("upsample", "box", "score_of_it"),
    [(0, [179, 83, 266, 170], 1.534), (1, [175, 76, 265, 166], 1.164)],
)
def test_finds_the_astronaut(
    upsample: int, box: list[int], score_of_it: float, astronaut: U8, score: hog.Scorer
) -> None:
    boxes, scores, _ = hog.detect(score, rgb(astronaut), upsample=upsample)
    assert boxes.tolist()[0] == box
    assert scores[0] == pytest.approx(score_of_it, abs=0.001)


@pytest.mark.parametrize(
    "name", ["small", "less than a cell", "one cell high", "no edges"]
)
def test_nobody_there(name: str, astronaut: U8, score: hog.Scorer) -> None:
    boxes, scores, _ = hog.detect(score, pictures(astronaut)[name])
    assert (boxes.shape, boxes.dtype, scores.shape, scores.dtype) == (
        (0, 4),
        np.int64,
        (0,),
        np.float32,
    )


@pytest.mark.slow
def test_threads_at_once_change_nothing(astronaut: U8, score: hog.Scorer) -> None:
    image = rgb(astronaut)
    alone = hog.detect(score, image, upsample=1, threshold=-0.7)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(
            lambda _: hog.detect(score, image, upsample=1, threshold=-0.7), range(12)
        ):
            np.testing.assert_array_equal(alone[0], found[0])
            np.testing.assert_array_equal(alone[1], found[1])


def test_numpy_scores_as_the_graph_does(astronaut: U8, score: hog.Scorer) -> None:
    image = rgb(astronaut)[:200, :300]
    ours = hog.detect(hog.numpy_scorer(FILTERS), image, threshold=-1.2)
    assert len(ours[0]) > 1
    same(ours, hog.detect(score, image, threshold=-1.2))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9), np.float32),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_refuses_what_is_no_image(image: Any, score: hog.Scorer) -> None:
    with pytest.raises(InputError, match="uint8"):
        hog.detect(score, image)


@settings(max_examples=30)
@given(st.integers(8, 90), st.integers(8, 90), st.booleans(), st.integers(0, 2**32 - 1))
def test_votes_sum_up_the_gradients_seen(
    height: int, width: int, grey: bool, seed: int
) -> None:
    """Features are bounded, and there is one per inner cell, whatever the size."""
    image = np.random.default_rng(seed).integers(
        0, 256, (height, width) if grey else (height, width, 3), np.uint8
    )
    found = hog.features(image)
    cells = [max(0, int(n / 8 + 0.5) - 2) for n in (height, width)]
    expected = (31, *cells) if min(cells) else (31, 0, 0)
    assert found.shape == expected
    assert (found >= 0).all()
    assert (found <= 2).all()
