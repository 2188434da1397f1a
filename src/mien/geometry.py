"""Pure functions on boxes, points and pictures."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.types import F32, F64, I64, U8

# Where five landmarks of a frontal face fall in dlib's 150-pixel chip: image-left eye, image-right eye, nose,
# image-left and image-right mouth corner. Means over the exact landmarks of 239 faces of CACD-VS, folds 0 to 4.
CHIP_LANDMARKS = np.array(
    [[47.0, 46.0], [100.2, 46.0], [73.3, 79.4], [49.8, 101.7], [97.4, 101.7]],
    dtype=np.float32,
)
CHIP_SIZE = 150
_HEAD = (
    64.0,
    81.3,
)  # pixels of the chip: half the width and height of a detector's box
CHIP_FACE = (
    25.0,
    125.0,
)  # the chip is the face box with a quarter of its size around it


_EXACT_WARP = (
    int(cv2.__version__.partition(".")[0]) >= 5
)  # OpenCV 4 rounds where it samples to 1/32 of a pixel


def warp(image: U8 | F32, matrix: F64, size_wh: tuple[int, int]) -> U8 | F32:
    """A picture (H, W) or (H, W, C) sampled bilinearly: output pixel p shows what lies at matrix @ (p, 1).

    Beyond the border the border's pixels go on. The same numbers with OpenCV 4 and 5.
    """
    if _EXACT_WARP:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(
            image, matrix, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return cast("U8 | F32", out)
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    at = np.stack([row[0] * x + row[1] * y + row[2] for row in matrix])
    at = np.clip(
        at, 0, np.array([image.shape[1] - 1, image.shape[0] - 1])[:, None, None]
    )
    low = np.floor(at).astype(np.int64)
    high = np.minimum(
        low + 1, np.array([image.shape[1] - 1, image.shape[0] - 1])[:, None, None]
    )
    share = (
        (at - low).reshape(2, *at.shape[1:], *[1] * (image.ndim - 2)).astype(np.float32)
    )
    upper = image[low[1], low[0]] * (1 - share[0]) + image[low[1], high[0]] * share[0]
    lower = image[high[1], low[0]] * (1 - share[0]) + image[high[1], high[0]] * share[0]
    out = upper * (1 - share[1]) + lower * share[1]
    rounded = np.rint(out) if image.dtype == np.uint8 else out
    return cast("U8 | F32", rounded.astype(image.dtype))


def iou(a: F32, b: F32) -> F32:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4), xyxy -> (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    across = np.maximum(high - low, 0)
    inter = across[..., 0] * across[..., 1]
    union = area(a)[:, None] + area(b)[None, :] - inter
    return np.asarray(inter / np.maximum(union, 1e-9), dtype=np.float32)


def area(boxes: F32) -> F32:
    """Area of each box (N, 4) xyxy -> (N,)."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.asarray(
        np.clip(width, 0, None) * np.clip(height, 0, None), dtype=np.float32
    )


def nms(boxes: F32, scores: F32, *, threshold: float) -> I64:
    """Indices of the boxes that survive greedy non-maximum suppression at this IoU, best first."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    corner_and_size = np.concatenate(
        [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1
    ).astype(np.float64)
    ranks = np.empty(len(scores), np.float32)  # OpenCV takes no scores below zero
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    kept = cv2.dnn.NMSBoxes(corner_and_size, ranks, 0.0, threshold)  # type: ignore[arg-type]
    return np.asarray(kept, np.int64).reshape(-1)


def similarity(source: F32, target: F32) -> F32:
    """The least-squares similarity (2, 3) that maps points `source` (..., P, 2) on `target` (P, 2) (Umeyama 1991)."""
    # Points as complex numbers: a turn with a scale is a product. In few steps, as arrays of five points are so small
    # that each step takes longer to call than to compute.
    s, t = _as_complex(source), _as_complex(target)
    mean_s = s.sum(axis=-1, keepdims=True) / s.shape[-1]
    mean_t = t.sum(axis=-1, keepdims=True) / t.shape[-1]
    s, t = s - mean_s, t - mean_t
    power = np.maximum((s.real**2 + s.imag**2).sum(axis=-1), 1e-9)
    turn = (s.conj() * t).sum(axis=-1) / power
    shift = mean_t[..., 0] - turn * mean_s[..., 0]
    maps = np.empty((*turn.shape, 2, 3), np.float32)
    maps[..., 0, 0] = maps[..., 1, 1] = turn.real
    maps[..., 1, 0] = turn.imag
    maps[..., 0, 1] = -turn.imag
    maps[..., 0, 2], maps[..., 1, 2] = shift.real, shift.imag
    return maps


def _as_complex(points: F32) -> NDArray[np.complex128]:
    """Points (..., P, 2) as x + iy (..., P)."""
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[..., 0]


def invert(transforms: F32) -> F32:
    """The inverses of affine transforms (..., 2, 3)."""
    a, b, c, d = (transforms[..., i, j] for i in (0, 1) for j in (0, 1))
    x, y = transforms[..., 0, 2], transforms[..., 1, 2]
    whole = a.astype(np.float64) * d - b.astype(np.float64) * c
    inverse = np.empty(transforms.shape, np.float32)
    inverse[..., 0, 0], inverse[..., 0, 1] = d / whole, -b / whole
    inverse[..., 1, 0], inverse[..., 1, 1] = -c / whole, a / whole
    inverse[..., 0, 2] = (b * y - d * x) / whole
    inverse[..., 1, 2] = (c * x - a * y) / whole
    return inverse


def transform(points: F32, transforms: F32) -> F32:
    """Points (..., P, 2) moved by affine transforms (..., 2, 3)."""
    x, y = points[..., :1], points[..., 1:]
    across, down = transforms[..., None, :, 0], transforms[..., None, :, 1]
    moved = x * across + y * down + transforms[..., None, :, 2]
    return np.asarray(moved, dtype=np.float32)


def turns(landmarks: F32) -> F32:
    """How far each face (N,) is turned clockwise from upright, radians, by its five landmarks (N, 5, 2)."""
    to_chip = similarity(landmarks, CHIP_LANDMARKS)
    return np.asarray(
        -np.arctan2(to_chip[..., 1, 0], to_chip[..., 0, 0]), dtype=np.float32
    )


def degrees(landmarks: F32) -> F32:
    """How far each face (N,) is turned clockwise from upright, degrees, by its five landmarks (N, 5, 2)."""
    return np.rad2deg(turns(landmarks)).astype(np.float32)


def square_boxes(landmarks: F32) -> F32:
    """The upright square face boxes (N, 4), as dlib draws them, around five landmarks (N, 5, 2)."""
    to_image = invert(similarity(landmarks, CHIP_LANDMARKS))
    centre = transform(np.full((1, 2), CHIP_SIZE / 2, np.float32), to_image)[..., 0, :]
    scale = np.hypot(to_image[..., 0, 0], to_image[..., 1, 0])
    half = scale[..., None] * (CHIP_FACE[1] - CHIP_FACE[0]) / 2
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def head_boxes(landmarks: F32) -> F32:
    """The boxes (N, 4) that detectors draw around heads, turned like the five landmarks (N, 5, 2) are.

    A head is an ellipse, 1.63 times as long as dlib's square, which lies lower; its box is the ellipse's.
    """
    to_image = invert(similarity(landmarks, CHIP_LANDMARKS))
    centre = transform(np.array([[75.0, 61.5]], np.float32), to_image)[..., 0, :]
    half = np.abs(to_image[..., :2]) ** 2 @ np.array(
        [_HEAD[0] ** 2, _HEAD[1] ** 2], np.float32
    )
    half = np.sqrt(half)
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def face_sizes(landmarks: F32) -> F32:
    """The width of each face (N,) in pixels, as `square_boxes` draws it around five landmarks (N, 5, 2)."""
    to_chip = similarity(landmarks, CHIP_LANDMARKS)
    scale = np.hypot(to_chip[..., 0, 0], to_chip[..., 1, 0])
    width = np.float32(CHIP_FACE[1] - CHIP_FACE[0])
    return np.asarray(width / np.maximum(scale, 1e-9), dtype=np.float32)


def mean_landmarks(boxes: F32) -> F32:
    """Where the five landmarks of an upright face lie in boxes as dlib draws them: (N, 4) -> (N, 5, 2)."""
    inside = (CHIP_LANDMARKS - CHIP_FACE[0]) / (CHIP_FACE[1] - CHIP_FACE[0])
    size = boxes[:, None, 2:] - boxes[:, None, :2]
    return np.asarray(boxes[:, None, :2] + inside * size, dtype=np.float32)


def clip_boxes(boxes: F32, *, width: int, height: int) -> F32:
    """Boxes cut at the border of the picture."""
    limit = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(boxes, 0, limit).astype(np.float32)


def shrink(image: U8, scale: float) -> U8:
    """The picture scaled by `scale` (area averaging when it gets smaller); the same object at 1.

    It is halved as often as that goes, which OpenCV does many times as fast as any other averaging, and only the
    rest is interpolated.
    """
    if scale == 1:
        return image
    size_wh = (
        max(1, round(image.shape[1] * scale)),
        max(1, round(image.shape[0] * scale)),
    )
    way = cv2.INTER_AREA if 0.5 < scale < 1 else cv2.INTER_LINEAR
    while scale <= 0.5 and min(image.shape[:2]) > 1:
        # Half its size; without the last row or column where there is an odd one.
        height, width = image.shape[0] // 2, image.shape[1] // 2
        even = image[: 2 * height, : 2 * width]
        half = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        image, scale = np.asarray(half, dtype=np.uint8), scale * 2
    small = cv2.resize(image, size_wh, interpolation=way)
    return np.asarray(small, dtype=np.uint8)


def cut(image: U8, to_square: F32, *, size: int) -> U8:
    """The square (size, size, 3) of a picture that a similarity (2, 3) maps there; black outside the picture."""
    (a, b, across), (c, d, down) = to_square.astype(np.float64).tolist()
    scale, whole = math.hypot(a, c), a * d - b * c
    # Where the square's corners lie in the picture: plain numbers, as arrays so small take ten times as long.
    corners = [(x - across, y - down) for x in (0, size) for y in (0, size)]
    xs = [(d * x - b * y) / whole for x, y in corners]
    ys = [(a * y - c * x) / whole for x, y in corners]
    left, top = max(0, int(min(xs)) - 2), max(0, int(min(ys)) - 2)
    right, bottom = max(0, int(max(xs)) + 3), max(0, int(max(ys)) + 3)
    part = image[top:bottom, left:right]
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    across, down = across + a * left + b * top, down + c * left + d * top
    averaged = int(1 / scale)  # pixels that become one, so that nothing flickers
    if averaged > 1 and min(part.shape[:2]) >= averaged:
        height, width = (length // averaged * averaged for length in part.shape[:2])
        small = (width // averaged, height // averaged)
        part = np.asarray(
            cv2.resize(part[:height, :width], small, interpolation=cv2.INTER_AREA),
            np.uint8,
        )
        shift = (averaged - 1) / 2
        across, down = across + (a + b) * shift, down + (c + d) * shift
        a, b, c, d = a * averaged, b * averaged, c * averaged, d * averaged
    move = np.array([[a, b, across], [c, d, down]])
    return np.asarray(cv2.warpAffine(part, move, (size, size)), np.uint8)


def pad_to_multiple(image: U8, multiple: int) -> U8:
    """The picture with black rows below and columns to the right, so that both sides divide by `multiple`."""
    bottom, right = -image.shape[0] % multiple, -image.shape[1] % multiple
    if not bottom and not right:
        return image
    padded = cv2.copyMakeBorder(
        image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )
    return np.asarray(padded, dtype=np.uint8)


def l2_distances(a: F32 | F64, b: F32 | F64) -> F32:
    """Euclidean distance of every row of `a` (N, D) to every row of `b` (M, D) -> (N, M)."""
    a, b = (
        a.astype(np.float64),
        b.astype(np.float64),
    )  # so that equal rows are 0 apart, not 0.001
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), dtype=np.float32)
