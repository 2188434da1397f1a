"""dlib's frontal face detector (HOG, five filters) without dlib: the same boxes, sooner.

The pyramid is dlib's to the last bit, its float rounding and its truncation included, because one grey level in a flat
area moves the score by up to 0.02. Resizing, gradients and votes are kernels (`mien.dlib_models.kernels`); the filters
are one convolution, run by whoever calls (`to_onnx` builds it).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mien import onnx_files
from mien.dlib_models import mmod
from mien.dlib_models.kernels import Arena, arena
from mien.errors import InputError
from mien.types import F32, F64, I64, U8

Scorer = Callable[
    [F32], F32
]  # features (1, 32, H, W) -> scores (1, 15, H - 9, (W - 9) / 3), see `to_onnx`

CELL = 8
WINDOW = 10  # cells
PAD = 4  # cells around the features, so that a window is named by its fifth cell
MIN_FACE = CELL * WINDOW  # pixels: the smallest face found without upsampling
MIN_SIDE = 64  # pixels; the pyramid ends below it
CHANNELS = 32  # 31 features and a plane of zeros: a multiple of 16 makes the convolution three times as fast
SHIFTS = 3  # neighbouring windows scored by one convolution: 5 filters x 3 fill a vector register of 16
NMS_RATIO = (
    0.33008  # intersection over the bounding box of both; dlib frontal_face_detector
)
NMS_COVERED = 0.78857  # share of either box that is covered
DIRECTIONS = (
    np.array(  # unit vectors (x, y) every 20 degrees, rounded as in dlib fhog.h
        [
            (1.0, 0.0),
            (0.9397, 0.3420),
            (0.7660, 0.6428),
            (0.5, 0.8660),
            (0.1736, 0.9848),
            (-0.1736, 0.9848),
            (-0.5, 0.8660),
            (-0.7660, 0.6428),
            (-0.9397, 0.3420),
        ],
        np.float32,
    )
)


@dataclass(frozen=True, slots=True)
class Filters:
    """The detector's weights: `weights` (5, 31, 10, 10), `thresholds` (5,)."""

    weights: F32
    thresholds: F32


def loads(data: bytes) -> Filters:
    """The filter values from the .npz that `training/hog/take_filters.py` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Filters(arrays["weights"], arrays["thresholds"])


def detect(
    score: Scorer, image: U8, *, upsample: int = 0, threshold: float = 0.0
) -> tuple[I64, F32, I64]:
    """Boxes of upright faces as dlib's `get_frontal_face_detector().run` gives them, best first.

    Args:
        score: runs the graph of `to_onnx`, or `numpy_scorer(filters)`.
        image: (H, W, 3) RGB or (H, W) grey. The channel order matters only where two gradients are equally strong.
        upsample: how many times the image is doubled first; finds faces from 80 / 2**upsample pixels.
        threshold: smallest score; above 0 fewer false faces, below 0 more faces.

    Returns:
        boxes (N, 4) left, top, right, bottom, last pixel included, may reach outside the image; scores (N,);
        which of the five filters found each (N,).
    """
    with arena() as memory:
        bins, planes = memory.put(_orientation_table()), _planes(memory, image)
        for _ in range(upsample):
            larger = _resize(
                memory, planes, 2 * planes.height + 1, 2 * planes.width + 2
            )
            planes = replace(larger, at=memory.move(larger.at, planes.at, larger.size))
        boxes, scores, filters = _LevelScan(memory, bins, score, threshold).over(planes)
    keep = _nms(boxes, scores)
    return mmod.brought_down(boxes[keep], upsample), scores[keep], filters[keep]


def resize(planes: U8, height: int, width: int) -> U8:
    """(C, H, W) -> (C, height, width): dlib's bilinear `resize_image`, corners aligned, to the bit."""
    with arena() as memory:
        image = planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)
        return (
            _resize(memory, _planes(memory, image), height, width).pixels(memory).copy()
        )


def to_onnx(filters: Filters) -> bytes:
    """The five filters as one ONNX convolution: features -> score minus threshold.

    Each output position answers for three neighbouring windows (channel = 3 * filter + shift), which fills the vector
    registers that five channels would leave two thirds empty.
    """
    weights = np.zeros((5, SHIFTS, CHANNELS, WINDOW, WINDOW + SHIFTS - 1), np.float32)
    for shift in range(SHIFTS):
        weights[:, shift, :31, :, shift : shift + WINDOW] = filters.weights
    bias = -np.repeat(filters.thresholds, SHIFTS)
    scores = onnx_files.node(
        "Conv", ["features", "weights", "bias"], ["scores"], strides=[1, SHIFTS]
    )
    model = onnx_files.model(
        "hog",
        [scores],
        [onnx_files.value("features", ["N", CHANNELS, "H", "W"])],
        [onnx_files.value("scores", ["N", 5 * SHIFTS, "rows", "columns"])],
        [
            onnx_files.tensor(
                weights.reshape(5 * SHIFTS, CHANNELS, WINDOW, -1), "weights"
            ),
            onnx_files.tensor(bias.astype(np.float32), "bias"),
        ],
    )
    return bytes(model.SerializeToString())


def numpy_scorer(filters: Filters) -> Scorer:
    """The same convolution in numpy: slow, for tests and for those without a runtime."""

    def score(features: F32) -> F32:
        windows = np.lib.stride_tricks.sliding_window_view(
            features[0, :31], (WINDOW, WINDOW), axis=(1, 2)
        )
        windows = windows[:, :, : windows.shape[2] // SHIFTS * SHIFTS]
        sums = np.einsum("chwij,fcij->fhw", windows, filters.weights, optimize=True)
        sums -= filters.thresholds[:, None, None]
        shifted = sums.reshape(5, sums.shape[1], -1, SHIFTS).transpose(0, 3, 1, 2)
        return np.asarray(shifted.reshape(1, 5 * SHIFTS, sums.shape[1], -1), np.float32)

    return score


def features(image: U8) -> F32:
    """Felzenszwalb's 31 features of each 8x8 cell but the outermost: (31, rows, columns), maybe empty.

    Args:
        image: (H, W, 3) RGB or (H, W) grey.
    """
    with arena() as memory:
        bins, planes = memory.put(_orientation_table()), _planes(memory, image)
        rows, columns = planes.cells
        return _features(memory, planes, bins)[
            0, :31, PAD : PAD + rows, PAD : PAD + columns
        ].copy()


# --- pictures in the kernels' memory ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Planes:
    """An image as planes (C, H, stride) at an address, of which `width` columns count."""

    at: int
    channels: int
    height: int
    width: int

    @property
    def stride(self) -> int:
        return -(-self.width // 32) * 32

    @property
    def size(self) -> int:
        return self.channels * self.height * self.stride

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of features: cells of 8 pixels without the outermost."""
        rows, columns = (
            int(np.float32(n) / np.float32(CELL) + 0.5) - 2
            for n in (self.height, self.width)
        )
        return (rows, columns) if min(rows, columns) > 0 else (0, 0)

    def pixels(self, memory: Arena) -> U8:
        whole: U8 = memory.view(
            self.at, (self.channels, self.height, self.stride), np.uint8
        )
        return whole[:, :, : self.width]

    def levels(self, memory: Arena) -> Iterator[_Planes]:
        """Itself, then levels 5/6 of the one before, while dlib's own rounding says that both sides keep 64 pixels.

        Each takes the place of the one before.
        """
        planes = self
        right, bottom = planes.width - 1, planes.height - 1
        yield planes
        while True:
            right, bottom = (
                int(np.floor((n - 0.3) * 5 / 6 + 0.5)) for n in (right, bottom)
            )
            if min(right, bottom) + 1 < MIN_SIDE:
                return
            smaller = _resize(
                memory, planes, 5 * planes.height // 6, 5 * planes.width // 6
            )
            planes = replace(
                smaller, at=memory.move(smaller.at, planes.at, smaller.size)
            )
            yield planes


def _planes(memory: Arena, image: U8) -> _Planes:
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
        or not image.size
    ):
        raise InputError(
            f"an image must be uint8 (H, W, 3) or (H, W), not empty; got {image.dtype} {image.shape}"
        )
    height, width = image.shape[:2]
    planes = _Planes(0, 3 if image.ndim == 3 else 1, height, width)
    planes = replace(planes, at=memory.take(planes.size))
    if image.ndim == 2:
        planes.pixels(memory)[0] = image
    else:
        at = memory.put(np.ascontiguousarray(image))
        memory.call("planes", at, height, width, planes.stride, planes.at)
        memory.release(at)
    return planes


def _resize(memory: Arena, planes: _Planes, height: int, width: int) -> _Planes:
    new = replace(planes, at=0, height=height, width=width)
    new = replace(new, at=memory.take(new.size))
    x, y = (
        _Axis.along(planes.width, width).put(memory),
        _Axis.down(planes.height, height).put(memory),
    )
    masks = memory.take(4 * new.stride)
    old = (planes.channels, planes.height, planes.width, planes.stride)
    memory.call("resize", planes.at, *old, new.at, new.stride, y, x, masks)
    return new


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where each output sample lies between two input samples; from `exact` on dlib computes in double."""

    table: bytes  # low (int32), low and high weight (float32), fraction (float64), each of `room` numbers
    room: int
    size: int
    exact: int

    @classmethod
    def of(cls, low: F64, fraction: F64, low_weight: F32, exact: int) -> _Axis:
        room = -(-len(low) // 4) * 4
        columns = (
            low.astype(np.int32),
            low_weight,
            fraction.astype(np.float32),
            fraction,
        )
        parts = [np.pad(column, (0, room - len(low))).tobytes() for column in columns]
        return cls(b"".join(parts), room, len(low), exact)

    def put(self, memory: Arena) -> int:
        """The address of the struct `Axis` of hog.c."""
        at = memory.put(self.table)
        starts = [at + 4 * self.room * i for i in range(4)]
        return memory.put(struct.pack("<6i", *starts, self.size, self.exact))

    @classmethod
    @lru_cache(maxsize=256)
    def down(cls, size: int, new_size: int) -> _Axis:
        """dlib walks down the rows in double."""
        scale = (size - 1) / max(new_size - 1, 1)
        position = np.cumsum(np.concatenate([[-scale], np.full(new_size, scale)]))[1:]
        low = np.floor(position)
        return _Axis.of(
            low, position - low, (1 - (position - low)).astype(np.float32), new_size
        )

    @classmethod
    @lru_cache(maxsize=256)
    def along(cls, size: int, new_size: int) -> _Axis:
        """dlib walks along a row four floats at a time, adding up rounding errors, and ends it in double."""
        scale = (size - 1) / max(new_size - 1, 1)
        lanes = np.array([-4 * scale + i * scale for i in range(4)], np.float32)
        steps = np.full((new_size // 4 + 2, 4), np.float32(4 * scale), np.float32)
        walked = np.cumsum(
            np.concatenate([lanes[None], steps]), axis=0, dtype=np.float32
        )[1:]
        whole = int(np.argmax(walked[:, 3].astype(np.intp) + 1 >= size)) * 4
        last = np.cumsum(
            np.concatenate(
                [[-scale + whole * scale], np.full(max(new_size - whole, 0), scale)]
            )
        )[1:]
        position = np.concatenate([walked.ravel()[:whole].astype(np.float64), last])[
            :new_size
        ]
        low = np.minimum(np.floor(position), size - 1)
        return _Axis.of(
            low,
            position - low,
            np.float32(1) - (position - low).astype(np.float32),
            whole,
        )


# --- features --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _orientation_table() -> bytes:
    """Index 511 * (dy + 255) + dx + 255 -> nearest of 18 directions, in dlib's float arithmetic and order."""
    step = np.arange(-255, 256, dtype=np.float32)
    dx, dy = step[None, :], step[:, None]
    best, choice = np.zeros((511, 511), np.float32), np.zeros((511, 511), np.uint8)
    for i, (x, y) in enumerate(DIRECTIONS):
        dot = dx * x + dy * y
        for value, number in ((dot, i), (-dot, i + 9)):
            better = value > best
            best[better], choice[better] = value[better], number
    return choice.tobytes()


def _features(memory: Arena, planes: _Planes, bins: int) -> F32:
    """What the filters look at: (1, 32, rows + 9, columns + 9 or a little more), zeros around the features.

    It stays until the memory's next use.
    """
    rows, columns = planes.cells
    line, lines = -(-columns // SHIFTS) * SHIFTS + WINDOW - 1, rows + WINDOW - 1
    if not rows:
        return np.zeros((1, CHANNELS, lines, line), np.float32)
    out = memory.take(4 * CHANNELS * lines * line)
    room = memory.take(
        memory.call("scratch", planes.stride, rows + 2, columns + 2) or 0
    )
    memory.view(out, (CHANNELS * lines * line,), np.float32)[:] = 0
    first = out + 4 * (PAD * line + PAD)
    shape = (planes.channels, planes.height, planes.width, planes.stride)
    memory.call("features", planes.at, *shape, bins, first, lines * line, line, room)
    memory.release(out)
    seen: F32 = memory.view(out, (1, CHANNELS, lines, line), np.float32)
    return seen


# --- pyramid, boxes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LevelScan:
    """Looks at one level: the windows that reach the threshold.

    Boxes (N, 4) in pixels of level 0, scores (N,), filters (N,).
    """

    memory: Arena
    bins: int
    score: Scorer
    threshold: float

    def __call__(self, level: int, planes: _Planes) -> tuple[F64, F32, I64]:
        seen = _features(self.memory, planes, self.bins)
        rows, columns = planes.cells
        # (5, rows, columns): the score of the window centred on each cell.
        found: F32 = np.zeros((5, 0, 0), np.float32)
        if rows:
            found = self.score(seen).reshape(5, SHIFTS, rows, -1).transpose(0, 2, 3, 1)
            found = found.reshape(5, rows, -1)[:, :, :columns]
        number, row, column = np.nonzero(found >= np.float32(self.threshold))
        # Cells -> image: the centre of the first and last cell, then up the pyramid, rounded once.
        cells = np.stack([column, row, column + WINDOW - 1, row + WINDOW - 1], axis=1)
        corners = (cells - 3) * CELL + 1
        boxes = (corners + np.where(corners < 0, -(CELL // 2), CELL // 2)).astype(
            np.float64
        )
        for _ in range(level):
            boxes = boxes * (6 / 5) + 0.3
        return np.floor(boxes + 0.5), found[number, row, column], number

    def over(self, planes: _Planes) -> tuple[F64, F32, I64]:
        """All windows of all levels that reach the threshold, best first: boxes, scores, filters."""
        parts = [
            self(level, smaller)
            for level, smaller in enumerate(planes.levels(self.memory))
        ]
        boxes, scores, filters = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        order = np.argsort(-scores, kind="stable")
        return boxes[order], scores[order], filters[order]


def _nms(boxes: F64, scores: F32) -> list[int]:
    """Indices that stay, best first (`scores` are sorted)."""
    kept: list[int] = []
    left = np.arange(len(scores))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        box, others = boxes[best], boxes[left]
        area, areas = (
            _area(box[None, :2], box[None, 2:]),
            _area(others[:, :2], others[:, 2:]),
        )
        inner = _area(
            np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
        )
        outer = _area(
            np.minimum(box[:2], others[:, :2]), np.maximum(box[2:], others[:, 2:])
        )
        overlaps = inner / outer > NMS_RATIO
        overlaps |= inner / np.minimum(area, areas) > NMS_COVERED
        left = left[~((inner > 0) & overlaps)]
    return kept


def _area(low: F64, high: F64) -> F64:
    return np.asarray(np.maximum(high - low + 1, 0).prod(axis=1))
