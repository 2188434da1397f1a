"""dlib's frontal face detector (HOG, five filters) without dlib: the same boxes, at about the same speed.

The pyramid is dlib's to the last bit, its float rounding and its truncation included, because one grey level in a flat
area moves the score by up to 0.02. Gradients are worked off in bands that stay in the processor's cache, the votes are
one sparse product per band, and the filters are one convolution, run by whoever calls (`to_onnx` builds it).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from mien.errors import InputError
from mien.types import F32, I64, U8

Scorer = Callable[[F32], F32]  # features (1, 32, H, W) -> scores (1, 15, H - 9, (W - 9) / 3), see `to_onnx`

CELL = 8
WINDOW = 10  # cells
MIN_FACE = CELL * WINDOW  # pixels: the smallest face found without upsampling
MIN_SIDE = 64  # pixels; the pyramid ends below it
BIN_COUNT = 18
BAND_PIXELS = 16_384  # pixels of a band, so that its dozen float buffers stay in the second-level cache
CHANNELS = 32  # 31 features and a plane of zeros: a multiple of 16 makes the convolution three times as fast
SHIFTS = 3  # neighbouring windows scored by one convolution: 5 filters x 3 fill a vector register of 16
NMS_RATIO = 0.33008  # intersection over the bounding box of both; dlib frontal_face_detector
NMS_COVERED = 0.78857  # share of either box that is covered
DIRECTIONS = np.array(  # unit vectors (x, y) every 20 degrees, rounded as in dlib fhog.h
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


@dataclass(frozen=True, slots=True)
class Filters:
    """The detector's weights: `weights` (5, 31, 10, 10), `thresholds` (5,)."""

    weights: F32
    thresholds: F32


def loads(data: bytes) -> Filters:
    """The filter values from the .npz that `training/hog/take_filters.py` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Filters(arrays["weights"], arrays["thresholds"])


def detect(score: Scorer, image: U8, *, upsample: int = 0, threshold: float = 0.0, threads: int = 1) -> tuple[I64, F32]:
    """Boxes of upright faces as dlib's `get_frontal_face_detector().run` gives them, best first.

    Args:
        score: runs the graph of `to_onnx`, or `numpy_scorer(filters)`.
        image: (H, W, 3) RGB or (H, W) grey. The channel order matters only where two gradients are equally strong.
        upsample: how many times the image is doubled first; finds faces from 80 / 2**upsample pixels.
        threshold: smallest score; above 0 fewer false faces, below 0 more faces.
        threads: how many levels of the pyramid are worked off at a time; the answer is the same.

    Returns:
        boxes (N, 4) left, top, right, bottom, last pixel included, may reach outside the image; scores (N,).
    """
    planes = _planes(image)
    for _ in range(upsample):
        planes = _resize(planes, 2 * planes.height + 1, 2 * planes.width + 2)
    boxes, scores = _scan(_Look(score, threshold), planes, threads)
    keep = _nms(boxes, scores)
    return _downscale(boxes[keep], upsample), scores[keep]


def resize(planes: U8, height: int, width: int) -> U8:
    """(C, H, W) -> (C, height, width): dlib's bilinear `resize_image`, corners aligned, to the bit."""
    return _resize(_Planes(planes, planes.shape[2]), height, width).inside()


def to_onnx(filters: Filters) -> bytes:
    """The five filters as one ONNX convolution: features -> score minus threshold.

    Each output position answers for three neighbouring windows (channel = 3 * filter + shift), which fills the vector
    registers that five channels would leave two thirds empty.
    """
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((5, SHIFTS, CHANNELS, WINDOW, WINDOW + SHIFTS - 1), np.float32)
    for shift in range(SHIFTS):
        weights[:, shift, :31, :, shift : shift + WINDOW] = filters.weights
    bias = -np.repeat(filters.thresholds, SHIFTS)
    node = helper.make_node("Conv", ["features", "weights", "bias"], ["scores"], strides=[1, SHIFTS])
    graph = helper.make_graph(
        [node],
        "hog",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", CHANNELS, "H", "W"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 5 * SHIFTS, "rows", "columns"])],
        [
            numpy_helper.from_array(weights.reshape(5 * SHIFTS, CHANNELS, WINDOW, -1), "weights"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def numpy_scorer(filters: Filters) -> Scorer:
    """The same convolution in numpy: slow, for tests and for those without a runtime."""

    def score(features: F32) -> F32:
        windows = np.lib.stride_tricks.sliding_window_view(features[0, :31], (WINDOW, WINDOW), axis=(1, 2))
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
    return _features(_planes(image))


@dataclass(frozen=True, slots=True)
class _Planes:
    """An image as planes (C, H, stride), of which `width` columns count: whole rows are one run in memory."""

    data: U8
    width: int

    @property
    def height(self) -> int:
        return int(self.data.shape[1])

    def inside(self) -> U8:
        return self.data[:, :, : self.width]


def _planes(image: U8) -> _Planes:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        raise InputError(f"an image must be uint8 (H, W, 3) or (H, W), not empty; got {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    data = np.zeros((3 if image.ndim == 3 else 1, height, _padded(width)), np.uint8)
    data[:, :, :width] = image if image.ndim == 2 else image.transpose(2, 0, 1)
    return _Planes(data, width)


def _padded(width: int) -> int:
    """Rounded up, so that photos of many sizes share their plans."""
    return -(-width // 32) * 32


# --- exact bilinear resize -------------------------------------------------------------------------------------------


def _resize(planes: _Planes, height: int, width: int) -> _Planes:
    x, y = _columns(planes.width, width), _rows(planes.height, height)
    out = np.empty((len(planes.data), height, x.low.size), np.uint8)
    step = max(1, BAND_PIXELS // width)
    for start in range(0, height, step):
        band = slice(start, min(start + step, height))
        out[:, band] = _resize_band(planes, y.part(band), x, width)
    return _Planes(out, width)


def _resize_band(planes: _Planes, y: _Axis, x: _Axis, width: int) -> F32:
    """Some rows of the new image, so few that all of it stays in the cache; whole numbers after truncation."""
    rows = planes.data[:, y.low[0] : y.low[-1] + 2]
    channels, count = rows.shape[:2]
    turned = cv2.transpose(rows.reshape(channels * count, -1))
    left, right = (
        np.asarray(cv2.transpose(turned[column]), np.uint8).reshape(channels, count, -1)
        for column in (x.low, np.minimum(x.low + 1, planes.width - 1))
    )
    y = replace(y, low=y.low - y.low[0])
    out = _blend(left, right, y, x)
    out[:, :, x.exact : width] = _blend_last(left, right, y, x.part(slice(x.exact, width)))
    return out


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where each output sample lies between two input samples; from `exact` on dlib computes in double."""

    low: NDArray[np.intp]
    high_weight: F32
    low_weight: F32
    fraction: NDArray[np.float64]
    exact: int

    def part(self, band: slice) -> _Axis:
        return _Axis(self.low[band], self.high_weight[band], self.low_weight[band], self.fraction[band], self.exact)


@lru_cache(maxsize=256)
def _rows(size: int, new_size: int) -> _Axis:
    """dlib walks down the rows in double."""
    scale = (size - 1) / max(new_size - 1, 1)
    position = np.cumsum(np.concatenate([[-scale], np.full(new_size, scale)]))[1:]
    low = np.floor(position).astype(np.intp)
    fraction = position - low
    return _Axis(low, fraction.astype(np.float32), (1 - fraction).astype(np.float32), fraction, new_size)


@lru_cache(maxsize=256)
def _columns(size: int, new_size: int) -> _Axis:
    """dlib walks along a row four floats at a time, adding up rounding errors, and ends it in double."""
    scale = (size - 1) / max(new_size - 1, 1)
    lanes = np.array([-4 * scale + i * scale for i in range(4)], np.float32)
    steps = np.full((new_size // 4 + 2, 4), np.float32(4 * scale), np.float32)
    walked = np.cumsum(np.concatenate([lanes[None], steps]), axis=0, dtype=np.float32)[1:]
    whole = int(np.argmax(walked[:, 3].astype(np.intp) + 1 >= size)) * 4
    last = np.cumsum(np.concatenate([[-scale + whole * scale], np.full(max(new_size - whole, 0), scale)]))[1:]
    position = np.concatenate([walked.ravel()[:whole].astype(np.float64), last])[:new_size]
    low = np.minimum(np.floor(position).astype(np.intp), size - 1)
    fraction = position - low
    high = fraction.astype(np.float32)
    unused = (0, _padded(new_size) - new_size)
    low, fraction = np.pad(low, unused), np.pad(fraction, unused)
    return _Axis(low, np.pad(high, unused), np.pad(np.float32(1) - high, unused), fraction, whole)


def _blend(left: U8, right: U8, y: _Axis, x: _Axis) -> F32:
    """One band of rows; the order of the products and sums is dlib's (a fused multiply-add would not do)."""
    bottom = np.minimum(y.low + 1, left.shape[1] - 1)
    out = _weighted(left, y.low, y.low_weight, x.low_weight)
    for source, row, down, across in (
        (right, y.low, y.low_weight, x.high_weight),
        (left, bottom, y.high_weight, x.low_weight),
        (right, bottom, y.high_weight, x.high_weight),
    ):
        cv2.add(out, _weighted(source, row, down, across), out)
    if len(left) == 1:
        out += np.float32(0.5)  # grey is rounded, colour truncated
    return out.reshape(len(left), len(bottom), -1)


def _weighted(planes: U8, rows: NDArray[np.intp], down: F32, across: F32) -> F32:
    """Rows of each plane times down x across: (C, rows * columns)."""
    taken = np.take(planes, rows, axis=1).astype(np.float32).reshape(len(planes), -1)
    weight = np.dot(down[:, None], across[None]).reshape(1, -1)
    for plane in taken:
        cv2.multiply(plane[None], weight, plane[None])
    return taken


def _blend_last(left: U8, right: U8, y: _Axis, x: _Axis) -> U8:
    """The last columns, that fill no register of four: dlib's plain code, double for colour, half float for grey."""
    kind = np.float32 if left.shape[0] == 1 else np.float64
    part = slice(x.exact, x.exact + x.low.size)
    fraction, down = x.fraction.astype(kind), y.fraction[:, None]
    across = (1 - fraction) * left[:, :, part].astype(kind) + fraction * right[:, :, part].astype(kind)
    bottom = np.minimum(y.low + 1, left.shape[1] - 1)
    mixed = (1 - down) * across[:, y.low] + down * across[:, bottom]
    return np.asarray(mixed.astype(kind).astype(np.uint8))


# --- gradients and votes ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _orientation_table() -> NDArray[np.int32]:
    """Index 511 * (dy + 255) + dx + 255 -> nearest of 18 directions, in dlib's float arithmetic and order."""
    step = np.arange(-255, 256, dtype=np.float32)
    dx, dy = step[None, :], step[:, None]
    best, choice = np.zeros((511, 511), np.float32), np.zeros((511, 511), np.int32)
    for i, (x, y) in enumerate(DIRECTIONS):
        dot = dx * x + dy * y
        for value, number in ((dot, i), (-dot, i + 9)):
            better = value > best
            best[better], choice[better] = value[better], number
    return choice.ravel()


def _features(planes: _Planes) -> F32:
    rows, columns = (int(np.float32(n) / np.float32(CELL) + 0.5) for n in (planes.height, planes.width))
    if min(rows, columns) <= 2:
        return np.zeros((31, 0, 0), np.float32)
    return _normalise(_histogram(planes, rows, columns))


def _histogram(planes: _Planes, rows: int, columns: int) -> F32:
    """Votes of every pixel for the four cells around it: (18, rows, columns)."""
    height, width = min(CELL * rows, planes.height) - 1, min(CELL * columns, planes.width) - 1
    plan = _vote_plan(planes.data.shape[2])
    band = _Band(plan, min(plan.rows, CELL * (rows + 1)))
    cells = np.zeros((rows + band.rows // CELL + 2, plan.row + 1, BIN_COUNT), np.float32)  # one more on every side
    for first in range(-(CELL // 2), height, band.rows):  # from centre to centre of the cells
        top, bottom = max(first, 1), min(first + band.rows, height)
        if top < bottom:
            votes = band.votes(planes.data[:, top - 1 : bottom + 1], slice(top - first, bottom - first), width)
            place = slice((first + CELL // 2) // CELL, None)
            _add_corners(cells[place], votes)
    inner = np.ascontiguousarray(cells[1 : rows + 1, 1 : columns + 1])
    return np.asarray(cv2.transpose(inner.reshape(-1, BIN_COUNT)), np.float32).reshape(BIN_COUNT, rows, columns)


def _add_corners(cells: F32, votes: F32) -> None:
    """Adds the votes of squares (rows, squares, 18, 4) to the cells at their corners."""
    rows, squares = votes.shape[:2]
    corners = cv2.transpose(votes.reshape(-1, 4)).reshape(4, rows, squares, BIN_COUNT)
    for corner, (down, across) in zip(corners, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
        cells[down : down + rows, across : across + squares] += corner


@dataclass(frozen=True, slots=True)
class _VotePlan:
    """For the pixels of a band of full rows: first bin of their square, weights for its four corners."""

    rows: int  # of a band
    row: int  # squares side by side
    squares: NDArray[np.int32]  # (rows, stride)
    weights: F32  # (rows * stride, 4)
    pointers: NDArray[np.int32]


class _Band:
    """Sums up the votes of a band of rows: one sparse matrix (bins, pixels) whose numbers change from band to band."""

    def __init__(self, plan: _VotePlan, rows: int) -> None:
        stride = plan.squares.shape[1]
        self.rows, self.squares, self.weights = rows, plan.squares, plan.weights[: rows * stride]
        self.strength, self.bins = np.zeros((rows, stride), np.float32), plan.squares[:rows].copy()
        self.shape = (rows // CELL, plan.row, BIN_COUNT, 4)
        entries = (self.strength.reshape(-1), self.bins.reshape(-1), plan.pointers[: rows * stride + 1])
        self.matrix = csc_array(entries, (rows // CELL * plan.row * BIN_COUNT, rows * stride), copy=False)

    def votes(self, planes: U8, part: slice, width: int) -> F32:
        """Votes (square rows, squares, 18, 4 corners) of the rows `part`; `planes` has one more row at either end."""
        self.strength[: part.start] = 0
        self.strength[part.stop :] = 0
        index = _gradients(planes, width, self.strength[part])
        bins = self.bins[part]
        np.take(_orientation_table(), index, mode="clip", out=bins)
        bins += self.squares[part]
        return np.asarray(self.matrix @ self.weights).reshape(self.shape)


@lru_cache(maxsize=64)
def _vote_plan(stride: int) -> _VotePlan:
    half = CELL // 2
    rows = CELL * max(2, BAND_PIXELS // (CELL * stride))
    y, x = np.arange(rows), np.arange(stride) + half
    row = int(x[-1]) // CELL + 1
    down, across = (((n % CELL + 0.5) / CELL).astype(np.float32) for n in (y, x))
    corners = [(1 - down, 1 - across), (down, 1 - across), (1 - down, across), (down, across)]
    weights = np.stack([a[:, None] * b for a, b in corners], axis=-1).reshape(-1, 4)
    squares = ((y // CELL)[:, None] * row + x // CELL) * BIN_COUNT
    return _VotePlan(rows, row, squares.astype(np.int32), weights, np.arange(squares.size + 1, dtype=np.int32))


def _gradients(planes: U8, width: int, strength: F32) -> NDArray[np.intp]:
    """Table index of each gradient but the first and last row's; lengths go to `strength` (0 beside the image).

    Rows lie one after the other in memory, so that each step is one pass; what runs over their ends is zeroed.
    """
    stride = planes.shape[2]
    flat = planes.astype(np.int16).reshape(len(planes), -1)
    count = flat.shape[1] - 2 * stride
    dx = flat[:, stride + 1 : stride + 1 + count] - flat[:, stride - 1 : stride - 1 + count]
    dy = flat[:, 2 * stride :] - flat[:, :count]
    shape = (-1, stride)
    across, down = (part.astype(np.float32).reshape(shape) for part in _longest(dx, dy, (stride, width)))
    index = cv2.scaleAdd(down, 511, across)
    cv2.accumulateSquare(down, cv2.multiply(across, across, across))
    np.sqrt(across, out=strength)
    strength[:, 0] = 0
    strength[:, width:] = 0
    return np.add(index, np.float32(255 * 511 + 255)).astype(np.intp)


I16 = NDArray[np.int16]


def _longest(dx: I16, dy: I16, row: tuple[int, int]) -> tuple[I16, I16]:
    """The channel with the longest gradient; dx, dy (C, pixels), `row` is a row's (stride, width).

    On a tie the last, but the first in the columns that fill no register of eight in dlib.
    """
    if len(dx) == 1:
        return dx[0], dy[0]
    length = cv2.add((dx * dx).view(np.uint16), (dy * dy).view(np.uint16))  # stops at 65535
    if length.max() == np.uint16(65535):
        length = np.square(dx, dtype=np.int32) + np.square(dy, dtype=np.int32)
    best, x, y = length[0], dx[0], dy[0]
    single = 1 + 8 * max(0, -(-(row[1] - 8) // 8))
    for other, other_x, other_y in zip(length[1:], dx[1:], dy[1:], strict=True):
        better = other >= best
        rows = better.reshape(-1, row[0])
        rows[:, single:] &= (other != best).reshape(-1, row[0])[:, single:]
        mask = better.view(np.uint8)[None]
        cv2.copyTo(other_x[None], mask, x[None])
        cv2.copyTo(other_y[None], mask, y[None])
        best = np.maximum(best, other)
    return x, y


def _normalise(cells: F32) -> F32:
    """Histograms (18, rows, columns) -> 31 features of the inner cells, each clipped at four block energies."""
    both = cells[:9] + cells[9:]
    energy = np.square(both).sum(axis=0)
    blocks = energy[:-1, :-1] + energy[:-1, 1:]
    blocks += energy[1:, :-1]
    blocks += energy[1:, 1:]
    limit = np.float32(0.2) * np.sqrt(blocks + np.float32(0.0001))
    scale = np.float32(0.1) / limit
    rows, columns = cells.shape[1] - 2, cells.shape[2] - 2
    inner = np.concatenate([cells, both])[:, 1:-1, 1:-1].reshape(27, -1)
    out = np.zeros((31, rows * columns), np.float32)
    for i, (y, x) in enumerate(((1, 1), (0, 1), (1, 0), (0, 0))):
        block = (slice(y, y + rows), slice(x, x + columns))
        clipped = np.minimum(inner, limit[block].ravel())
        clipped *= scale[block].ravel()
        out[:27] += clipped
        np.multiply(clipped[:18].sum(axis=0), np.float32(2 * 0.2357), out=out[27 + i])
    return out.reshape(31, rows, columns)


# --- pyramid, boxes --------------------------------------------------------------------------------------------------


def _pyramid(planes: _Planes) -> Iterator[_Planes]:
    """Levels 5/6 of the one before, while dlib's own rounding says that both sides keep 64 pixels."""
    right, bottom = planes.width - 1, planes.height - 1
    yield planes
    while True:
        right, bottom = (int(np.floor((n - 0.3) * 5 / 6 + 0.5)) for n in (right, bottom))
        if min(right, bottom) + 1 < MIN_SIDE:
            return
        planes = _resize(planes, 5 * planes.height // 6, 5 * planes.width // 6)
        yield planes


@dataclass(frozen=True, slots=True)
class _Look:
    """Looks at one level: boxes (N, 4) of the windows that reach the threshold, in pixels of level 0, and scores."""

    score: Scorer
    threshold: float

    def __call__(self, numbered: tuple[int, _Planes]) -> tuple[NDArray[np.float64], F32]:
        level, planes = numbered
        found = _scores(self.score, _features(planes))
        number, row, column = np.nonzero(found >= np.float32(self.threshold))
        return _window_boxes(column, row, level), found[number, row, column]


def _scan(look: _Look, planes: _Planes, threads: int) -> tuple[NDArray[np.float64], F32]:
    """All windows of all levels that reach the threshold, best first."""
    levels = enumerate(_pyramid(planes))
    if threads > 1:
        with ThreadPoolExecutor(threads, "hog") as pool:
            parts = list(pool.map(look, levels))
    else:
        parts = [look(level) for level in levels]
    boxes, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]


def _scores(score: Scorer, cells: F32) -> F32:
    """Features of one level -> (5, rows, columns): the score of the window centred on each cell."""
    rows, columns = cells.shape[1:]
    if not rows or not columns:
        return np.zeros((5, 0, 0), np.float32)
    whole = -(-columns // SHIFTS) * SHIFTS
    padded = np.zeros((1, CHANNELS, rows + WINDOW - 1, whole + WINDOW - 1), np.float32)
    padded[0, :31, 4 : 4 + rows, 4 : 4 + columns] = cells
    found = score(padded).reshape(5, SHIFTS, rows, -1).transpose(0, 2, 3, 1)
    return found.reshape(5, rows, whole)[:, :, :columns]


def _window_boxes(column: NDArray[np.intp], row: NDArray[np.intp], level: int) -> NDArray[np.float64]:
    """Cells -> image: the centre of the first and last cell, then up the pyramid, rounded once."""
    cells = np.stack([column, row, column + WINDOW - 1, row + WINDOW - 1], axis=1)
    corners = (cells - 3) * CELL + 1
    boxes = (corners + np.where(corners < 0, -(CELL // 2), CELL // 2)).astype(np.float64)
    for _ in range(level):
        boxes = boxes * (6 / 5) + 0.3
    return np.floor(boxes + 0.5)


def _downscale(boxes: NDArray[np.float64], upsample: int) -> I64:
    for _ in range(upsample):
        boxes = boxes / 2 - np.array([1.25, 0.75, 1.25, 0.75])
    return np.floor(boxes + 0.5).astype(np.int64)


def _nms(boxes: NDArray[np.float64], scores: F32) -> list[int]:
    """Indices that stay, best first (`scores` are sorted)."""
    kept: list[int] = []
    for i in range(len(scores)):
        if not kept or not _overlaps(boxes[i], boxes[kept]).any():
            kept.append(i)
    return kept


def _overlaps(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    inner = _area(np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:]))
    outer = _area(np.minimum(box[:2], others[:, :2]), np.maximum(box[2:], others[:, 2:]))
    covered = inner / np.minimum(_area(box[None, :2], box[None, 2:]), _area(others[:, :2], others[:, 2:]))
    return np.asarray((inner > 0) & ((inner / outer > NMS_RATIO) | (covered > NMS_COVERED)))


def _area(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(high - low + 1, 0).prod(axis=1))
