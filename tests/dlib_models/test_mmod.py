from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from mien.dlib_models import mmod
from mien.runtime import Compute, OnnxModel
from mien.types import F32, I64, U8

from .conftest import MMOD, rgb, weights_path


@pytest.fixture(scope="module")
def run(weights: Callable[[str], bytes]) -> mmod.Run:
    model = OnnxModel(mmod.to_onnx(weights(MMOD)), MMOD, Compute("cpu", 1))
    return lambda canvas: model(canvas)[0]


@pytest.fixture(scope="module")
def theirs(dlib: ModuleType) -> Callable[[U8, int], tuple[I64, F32]]:
    """dlib's boxes and scores of a BGR photo, doubled so many times."""
    network = dlib.cnn_face_detection_model_v1(str(weights_path(MMOD)))

    def detect(image: U8, ups: int) -> tuple[I64, F32]:
        hits: list[Any] = list(network(rgb(image), ups))
        boxes = [
            [h.rect.left(), h.rect.top(), h.rect.right(), h.rect.bottom()] for h in hits
        ]
        return np.array(boxes).reshape(-1, 4), np.array(
            [h.confidence for h in hits], dtype=np.float32
        )

    return detect


def agree(ours: tuple[I64, F32], theirs: tuple[I64, F32]) -> None:
    np.testing.assert_allclose(ours[1], theirs[1], atol=0.002)
    assert np.abs(ours[0] - theirs[0]).max(initial=0) <= 1


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize(
    ("ups", "min_face", "area"), [(0, 80, np.s_[:, :]), (1, 40, np.s_[20:260, 90:340])]
)
def test_boxes_are_dlibs(
    ups: int,
    min_face: int,
    area: Any,
    run: mmod.Run,
    theirs: Callable[..., Any],
    astronaut: U8,
) -> None:
    image = np.ascontiguousarray(astronaut[area])
    expected = theirs(image, ups)
    assert len(expected[0]) == 1
    agree(mmod.detect(run, image, min_face=min_face), expected)


@pytest.mark.slow
@pytest.mark.oracle
def test_boxes_are_dlibs_on_the_fixtures(
    run: mmod.Run, theirs: Callable[..., Any], fixture_photos: list[Any]
) -> None:
    found = 0
    for path in fixture_photos[1:8:2] + fixture_photos[-1:]:
        image = cv2.imread(str(path))
        assert image is not None
        scale = min(1.0, 360 / max(image.shape))
        small = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
            dtype=np.uint8,
        )
        expected = theirs(small, 0)
        found += len(expected[0])
        agree(mmod.detect(run, small, min_face=80), expected)
    assert found >= 4


@pytest.mark.slow
def test_window_by_window_is_the_same(
    run: mmod.Run, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.concatenate([astronaut[:300, :400], astronaut[:300, 100:500]], axis=1)
    whole = mmod.detect(run, image, min_face=60, threshold=-0.5)
    monkeypatch.setattr(mmod, "CANVAS_PIXELS", 1)
    monkeypatch.setattr(mmod, "_WINDOW_PIXELS", 300_000)
    sizes = set()

    def counted(canvas: F32) -> F32:
        sizes.add(canvas.shape)
        return run(canvas)

    parts = mmod.detect(counted, image, min_face=60, threshold=-0.5)
    assert len(whole[0]) >= 2
    assert parts[0].tolist() == whole[0].tolist()
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-4)
    assert len(sizes) == 1  # so that memory is reused
    assert next(iter(sizes))[2] * next(iter(sizes))[3] < 400_000


@pytest.mark.slow
@pytest.mark.parametrize("min_face", [40, 90])
def test_levels_that_are_not_held_find_the_same_faces(
    min_face: int, run: mmod.Run, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = astronaut[:300, 60:360]
    whole = mmod.detect(run, image, min_face=min_face)
    for limit in ("CANVAS_PIXELS", "_HELD_PIXELS", "_FLOATS_PIXELS", "_FLOAT_PIXELS"):
        monkeypatch.setattr(mmod, limit, 50_000)
    rough = mmod.detect(run, image, min_face=min_face)
    assert len(whole[0]) == len(rough[0]) == 1
    np.testing.assert_allclose(rough[1], whole[1], atol=0.05)
    assert np.abs(rough[0] - whole[0]).max() <= 16


@pytest.mark.parametrize(
    ("min_face", "ups", "first"),
    [(20, 2, 0), (40, 1, 0), (60, 1, 2), (80, 0, 0), (96, 0, 1), (160, 0, 3)],
)
def test_pyramid_starts_where_the_smallest_face_fills_the_window(
    min_face: int, ups: int, first: int
) -> None:
    levels = mmod.pyramid(480, 640, min_face=min_face)
    assert (levels.ups, levels.skipped) == (ups, first)
    assert levels.sizes[0][0] / 480 * min_face == pytest.approx(mmod.WINDOW, rel=0.2)
    assert levels.sizes[0][0] / 480 * min_face >= mmod.WINDOW * 0.99


def test_layout_is_dlibs_for_640_by_480() -> None:
    levels = mmod.pyramid(480, 640, min_face=80)
    tiles, size = mmod.layout(levels.sizes)
    assert size == (1782, 662)
    assert len(tiles) == 24
    assert tiles[0].tolist() == [11, 11, 640, 480]


@pytest.mark.parametrize(
    ("height", "width"),
    [(480, 640), (640, 480), (100, 3000), (3000, 40), (7, 7), (1, 90)],
)
def test_tiles_lie_in_the_canvas_and_apart(height: int, width: int) -> None:
    tiles, (canvas_height, canvas_width) = mmod.layout(
        mmod.pyramid(height, width, min_face=80).sizes
    )
    used = np.zeros((canvas_height, canvas_width), dtype=int)
    for x, y, w, h in tiles:
        assert min(x, y) >= 0
        used[y : y + h, x : x + w] += 1
    assert used.max() == 1
    assert used.sum() == (tiles[:, 2] * tiles[:, 3]).sum()


def test_upsample_is_corner_on_corner() -> None:
    image = np.array(
        [[[0, 0, 9], [60, 6, 9]], [[120, 6, 9], [180, 0, 9]]], dtype=np.uint8
    )
    grown = mmod.upsample(image)
    assert grown.shape == (5, 6, 3)
    assert grown[::4, ::5].tolist() == image.tolist()
    assert grown[0, :, 0].tolist() == [0, 12, 24, 36, 48, 60]
    assert (grown[..., 2] == 9).all()
    assert mmod.upsample(image[..., 0]).tolist() == grown[..., 0].tolist()


@pytest.mark.parametrize(
    "shape",
    [(0, 0, 3), (0, 50, 3), (1, 1, 3), (2, 2, 3), (1, 700, 3), (700, 1, 3), (5, 9, 3)],
)
def test_photos_without_room_for_a_face(shape: tuple[int, ...], run: mmod.Run) -> None:
    boxes, scores = mmod.detect(run, np.full(shape, 99, dtype=np.uint8), min_face=80)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_no_face_in_a_photo_of_coffee(run: mmod.Run, face_free: U8) -> None:
    boxes, scores = mmod.detect(run, face_free, min_face=80)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


def test_min_face_of_nothing_is_refused(run: mmod.Run, astronaut: U8) -> None:
    with pytest.raises(ValueError, match="min_face is 0"):
        mmod.detect(run, astronaut, min_face=0)
