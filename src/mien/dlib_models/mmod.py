"""dlib's CNN face detector (max-margin object detection): its network as ONNX, its image pyramid, its boxes.

All levels of the pyramid lie in one canvas, so that one run of the network sees them all. A canvas too large for
memory is run window by window; windows overlap by what the network sees around a cell, so the scores are the same.

Boxes are dlib's rectangles: left, top, right, bottom in whole pixels of the photo, corners included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from mien import onnx_files
from mien.dlib_models.reader import MmodNet, read_mmod
from mien.errors import ModelError
from mien.geometry import warp
from mien.types import F32, F64, I64, U8

INPUT, OUTPUT = "canvas", "scores"
WINDOW = 80  # pixels of a level: the smallest face found at scale 1
MEAN_BGR = (104.298, 117.001, 122.782)
NMS_OVERLAP = 0.3382761351109955  # of the box around both, not of their union
CANVAS_PIXELS = 5_000_000  # the largest canvas run at once, room for 640x480 doubled
_WINDOW_PIXELS = 2_500_000  # larger canvases are run in windows of at most so much
_HELD_PIXELS = 8_000_000  # larger levels are sampled window by window, never held
_FLOATS_PIXELS = 12_000_000  # levels of larger canvases are held in 8 bits ...
_FLOAT_PIXELS = 1_000_000  # ... but for those up to this size
_OUTER, _PADDING = 11, 10  # dlib's borders around the canvas and between its tiles
_STRIDE, _FIRST, _SEEN = (
    8,
    14,
    29,
)  # cell c looks at pixels 8c .. 8c + 28 before the padded layers
_CONTEXT = 10  # cells: how far the padded layers look
_LAYERS = (
    (5, 2, 0),
    (5, 2, 0),
    (5, 2, 0),
    (5, 1, 2),
    (5, 1, 2),
    (5, 1, 2),
    (9, 1, 4),
)  # kernel, stride, padding

Planes = tuple[U8 | F32, ...]  # three (H, W) planes in BGR order
Run = Callable[[F32], F32]  # canvas (1, 3, H, W) -> scores (1, 1, h, w)


def to_onnx(data: bytes, name: str = "mmod_human_face_detector.dat") -> bytes:
    """The ``.dat`` file's bytes as a serialised ONNX model.

    Input ``canvas``: float32 (N, 3, H, W), BGR 0-255, background ``MEAN_BGR``. Output ``scores``: float32
    (N, 1, h, w), one per 8x8 pixels, a face where above 0.

    Raises:
        ModelError: the bytes are damaged or another model.
    """
    net = read_mmod(data, name)
    layers = tuple(
        (conv.weight.shape[2], conv.stride, conv.padding) for conv in net.convs
    )
    chained = all(
        b.weight.shape[1] == a.weight.shape[0] for a, b in pairwise(net.convs)
    )
    ends = (
        chained
        and net.convs[0].weight.shape[1] == 3
        and net.convs[-1].weight.shape[0] == 1
    )
    same_mean = np.allclose(net.mean_rgb[::-1], MEAN_BGR, atol=1e-3)
    if (
        layers != _LAYERS
        or not ends
        or net.window_wh != (WINDOW, WINDOW)
        or not same_mean
    ):
        raise ModelError(
            f"{name} holds another detector than dlib's mmod_human_face_detector; install it again"
        )
    return _build(net)


def _build(net: MmodNet) -> bytes:
    nodes, weights, x = [], [], INPUT
    for index, conv in enumerate(
        (net.convs[0].for_bytes(net.mean_rgb), *net.convs[1:])
    ):
        last = index == len(net.convs) - 1
        weights.append(onnx_files.tensor(conv.weight, f"w{index}"))
        weights.append(onnx_files.tensor(conv.bias, f"b{index}"))
        options: dict[str, Any] = {"kernel_shape": list(conv.weight.shape[2:])}
        options |= {"strides": [conv.stride] * 2, "pads": [conv.padding] * 4}
        y, name = OUTPUT if last else f"y{index}", f"conv{index}"
        nodes.append(
            onnx_files.node("Conv", [x, f"w{index}", f"b{index}"], [y], name, **options)
        )
        x = f"x{index + 1}"
        if not last:
            nodes.append(onnx_files.node("Relu", [y], [x], f"relu{index}"))
    model = onnx_files.model(
        "dlib_mmod",
        nodes,
        [onnx_files.value(INPUT, ["N", 3, "H", "W"])],
        [onnx_files.value(OUTPUT, ["N", 1, "h", "w"])],
        weights,
    )
    return bytes(model.SerializeToString())


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The levels looked at: the photo doubled ``ups`` times, shrunk by 5/6 each; the first ``skipped`` are left out."""

    ups: int
    skipped: int
    sizes: tuple[tuple[int, int], ...]  # (height, width) of each level looked at

    def pictures(self, image: U8, count: int) -> Iterator[Planes]:
        """What to sample each level from: itself, or the photo where it is too large to be held."""
        picture: Planes | None = None
        areas = [math.prod(size) for size in self.sizes[:count]]
        floats = _FLOAT_PIXELS if sum(areas[1:]) > _FLOATS_PIXELS else _FLOATS_PIXELS
        for index, (size, area) in enumerate(zip(self.sizes, areas, strict=False)):
            if area > _HELD_PIXELS:
                yield _planes(image)
                continue
            if picture is not None:
                picture = tuple(
                    _warp(p.astype(np.float32) if area <= floats else p, size)
                    for p in picture
                )
            else:
                picture = (
                    _first_picture(image, self) if index == 0 else _resized(image, size)
                )
            yield picture


@dataclass(frozen=True, slots=True)
class Canvas:
    """Levels of a pyramid laid out for one run of the network."""

    pixels: F32  # (1, 3, H, W) BGR
    tiles: I64  # (T, 4) left, top, width, height in the canvas
    first: int  # level of tile 0, counted from the doubled photo
    ups: int  # how often the photo was doubled


def pyramid(height: int, width: int, *, min_face: int = 40) -> Pyramid:
    """The levels that find faces of ``min_face`` pixels and more; 80 is dlib without upsampling, 40 with one."""
    if min_face < 1:
        raise ValueError(f"min_face is {min_face}, expected 1 or more pixels")
    ups = max(0, math.ceil(math.log2(WINDOW / min_face) - 1e-6))
    for _ in range(ups):
        height, width = 2 * height + 1, 2 * width + 2
    sizes = [(height, width)]
    while (height := math.floor(5 / 6 * height)) >= 5 and (
        width := math.floor(5 / 6 * width)
    ) > 0:
        sizes.append((height, width))
    skipped = int(math.log(2**ups * min_face / WINDOW) / math.log(1.2) + 1e-6)
    skipped = min(skipped, len(sizes) - 1)
    return Pyramid(ups, skipped, tuple(sizes[skipped:]))


def layout(sizes: tuple[tuple[int, int], ...]) -> tuple[I64, tuple[int, int]]:
    """Where dlib puts the levels: a column downwards, then a second one upwards at its right.

    Returns:
        tiles (T, 4) left, top, width, height, and the canvas's (height, width). The smallest levels are left out
        where they find no room.
    """
    height, width = _first_column(sizes), sizes[0][1]
    tiles: list[tuple[int, int, int, int]] = []
    y = _OUTER
    for h, w in sizes:
        if y >= height + _OUTER:
            break
        tiles.append((_OUTER, y, w, h))
        y += h + _PADDING
    bottom = y - _PADDING
    for h, w in sizes[len(tiles) :]:
        left, top = _OUTER + width - w, bottom - h
        if top <= _OUTER + sizes[0][0] - 1:
            break
        tiles.append((left, top, w, h))
        bottom -= h + _PADDING
    return np.array(tiles, dtype=np.int64), (height + 2 * _OUTER, width + 2 * _OUTER)


def _first_column(sizes: tuple[tuple[int, int], ...]) -> int:
    """Height of the first column: it ends where the next level fits beside the last one and half of all is done."""
    total = sum(h + _PADDING for h, _ in sizes) - 2 * _PADDING
    first_height, first_width = sizes[0]
    height, previous = 0, 0
    for h, w in sizes:
        if (
            w <= first_width - previous - _PADDING
            and (height - first_height) * 2 >= total - first_height
        ):
            break
        height += h + _PADDING
        previous = w
    return height - _PADDING


def upsample(image: U8, times: int = 1) -> U8:
    """dlib's ``pyramid_up``: bilinear, corner on corner, to (2H + 1, 2W + 2), truncated."""
    for _ in range(times):
        height, width = image.shape[:2]
        size = (2 * height + 1, 2 * width + 2)
        planes = np.moveaxis(np.atleast_3d(image), 2, 0)
        grown = [_warp(plane.astype(np.float32), size) for plane in planes]
        # A whole number must not be truncated to the one below for a rounding error's sake.
        whole = [(plane + np.float32(1e-3)).astype(np.uint8) for plane in grown]
        image = np.stack(whole, axis=-1).reshape(*size, *image.shape[2:])
    return image


def tile(image: U8, *, min_face: int = 40) -> Canvas:
    """The whole pyramid of a BGR photo (H, W, 3) in one canvas, exactly as dlib lays it out."""
    levels = pyramid(*image.shape[:2], min_face=min_face)
    return _tile(_first_picture(image, levels), levels)


def _tile(picture: Planes, levels: Pyramid) -> Canvas:
    """A canvas of all levels, of which ``picture`` is the first."""
    tiles, size = layout(levels.sizes)
    pixels = _background(size)
    for plane, source in zip(pixels[0], picture, strict=True):
        views = [plane[y : y + h, x : x + w] for x, y, w, h in tiles]
        views[0][:] = source
        for above, below in pairwise(views):
            below[:] = _warp(above, below.shape)
    return Canvas(pixels, tiles, levels.skipped, levels.ups)


def _background(size: tuple[int, int]) -> F32:
    pixels = np.empty((1, 3, *size), dtype=np.float32)
    pixels[:] = np.array(MEAN_BGR, dtype=np.float32)[:, None, None]
    return pixels


def _warp(plane: U8 | F32, size: tuple[int, ...]) -> U8 | F32:
    """Bilinear, corner pixel centre on corner pixel centre."""
    scale = [
        (old - 1) / max(new - 1, 1) for old, new in zip(plane.shape, size, strict=True)
    ]
    return _warp_by(plane, np.array([[scale[1], 0, 0], [0, scale[0], 0]]), size)


def _warp_by(plane: U8 | F32, matrix: F64, size: tuple[int, ...]) -> U8 | F32:
    return warp(plane, matrix, (size[1], size[0]))


def decode(scores: F32, canvas: Canvas, *, threshold: float = 0.0) -> tuple[I64, F32]:
    """Boxes (N, 4) and scores (N,), best first, from the network's map (1, 1, h, w) of one canvas."""
    centres, values = _hits(scores[0, 0], threshold)
    return _merge(
        _canvas_boxes(centres, canvas.tiles, canvas.first), values, canvas.ups
    )


def _hits(scores: F32, threshold: float) -> tuple[F64, F32]:
    """Canvas positions (N, 2) x, y of the cells above the threshold, and their scores."""
    rows, columns = np.nonzero(scores > threshold)
    centres = np.stack([columns, rows], axis=1).astype(np.float64) * _STRIDE + _FIRST
    return centres, scores[rows, columns].astype(np.float32)


def _canvas_boxes(centres: F64, tiles: I64, first: int) -> F64:
    """Windows around canvas positions, as boxes in the doubled photo; each belongs to the nearest tile."""
    low = tiles[:, :2].astype(np.float64)
    gap = centres[:, None] - np.clip(centres[:, None], low, low + tiles[:, 2:] - 1)
    nearest = (gap**2).sum(axis=2).argmin(axis=1)
    # Windows around positions in levels, as boxes in the doubled photo: p -> 1.2 p + 0.3, once per level.
    centres = centres - low[nearest]
    levels = first + nearest
    half = (WINDOW - 1) / 2
    corners = np.concatenate([centres - half, centres + half], axis=1)
    for step in range(int(levels.max(initial=0))):
        corners = np.where((levels > step)[:, None], corners * 1.2 + 0.3, corners)
    return corners


def _merge(boxes: F64, scores: F32, ups: int) -> tuple[I64, F32]:
    """Round, drop what overlaps a better box, and bring the rest down to the photo, best first.

    dlib divides the overlap by the box around both, not by their union.
    """
    whole = np.floor(boxes + 0.5)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        a, b = whole[best], whole[order]
        inner = np.clip(
            np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]) + 1, 0, None
        ).prod(axis=1)
        outer = np.maximum(a[2:], b[:, 2:]) - np.minimum(a[:2], b[:, :2]) + 1
        order = order[inner <= NMS_OVERLAP * outer.prod(axis=1)]
    rows = np.array(kept, dtype=np.int64)
    return brought_down(whole[rows], ups), scores[rows]


def brought_down(boxes: F64, ups: int) -> I64:
    """Boxes of a picture that was enlarged so many times, in the photo."""
    for _ in range(ups):
        boxes = boxes / 2 - (1.25, 0.75, 1.25, 0.75)
    return np.floor(boxes + 0.5).astype(np.int64)


def detect(
    run: Run, image: U8, *, min_face: int = 40, threshold: float = 0.0
) -> tuple[I64, F32]:
    """Faces of a BGR photo (H, W, 3) in bounded memory.

    Args:
        run: the network of ``to_onnx``: canvas (1, 3, H, W) to scores (1, 1, h, w).
        image: uint8.
        min_face: smallest face looked for, pixels. 40 is dlib with one upsampling, 80 without; larger is quicker.
        threshold: confidence a face must exceed; dlib's is 0.

    Returns:
        boxes (N, 4) whole pixels, corners included, possibly outside the photo, and scores (N,), best first. They are
        dlib's where ``min_face`` is 20, 40 or 80. Levels of large photos are held in 8 bits, which moves scores by
        some thousandths.
    """
    levels = (
        pyramid(*image.shape[:2], min_face=min_face)
        if min(image.shape[:2])
        else Pyramid(0, 0, ((0, 0),))
    )
    tiles, size = layout(levels.sizes)
    if min(size) < _SEEN:
        return np.zeros((0, 4), dtype=np.int64), np.zeros(0, dtype=np.float32)
    if math.prod(size) <= CANVAS_PIXELS:
        canvas = _tile(_first_picture(image, levels), levels)
        return decode(run(canvas.pixels), canvas, threshold=threshold)
    parts = list(_Virtual(image, levels, tiles, size).search(run, threshold))
    centres, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _merge(_canvas_boxes(centres, tiles, levels.skipped), scores, levels.ups)


def _longest(spans: list[tuple[int, int]], cells: int) -> int:
    """Cells of a window that gives any of the spans its context."""
    return min(cells, max(b - a for a, b in spans) + 2 * _CONTEXT)


def _start(first: int, length: int, cells: int) -> int:
    """First cell of a window of so many cells around a span that starts at ``first``."""
    return min(max(first - _CONTEXT, 0), cells - length)


def _cells(pixels: int) -> int:
    """How many cells the network makes of so many pixels."""
    for kernel, stride, padding in _LAYERS:
        pixels = (pixels + 2 * padding - kernel) // stride + 1
    return pixels


def _spans(cells: int, pixels: int) -> list[tuple[int, int]]:
    """Cuts a row of cells into even parts whose windows are at most so many pixels long."""
    most = max((pixels - _SEEN) // _STRIDE + 1 - 2 * _CONTEXT, 1)
    parts = -(-cells // most)
    edges = [round(cells * part / parts) for part in range(parts + 1)]
    return list(pairwise(edges))


class _Virtual:
    """A canvas too large to be held: its levels, and any window of it on demand."""

    def __init__(
        self, image: U8, levels: Pyramid, tiles: I64, size: tuple[int, int]
    ) -> None:
        self.tiles = tiles
        self.size = size
        self.sizes = levels.sizes[: len(tiles)]
        self.pictures = list(levels.pictures(image, len(tiles)))

    def window(self, start: tuple[int, int], shape: tuple[int, int]) -> F32:
        """The pixels (1, 3, h, w) under ``shape`` cells from cell ``start`` on, (row, column) each."""
        top, left = (_STRIDE * cell for cell in start)
        bottom, right = (
            _STRIDE * (a + n - 1) + _SEEN for a, n in zip(start, shape, strict=True)
        )
        pixels = _background((bottom - top, right - left))
        for (x, y, w, h), picture, size in zip(
            self.tiles, self.pictures, self.sizes, strict=True
        ):
            x0, y0, x1, y1 = (
                max(x, left),
                max(y, top),
                min(x + w, right),
                min(y + h, bottom),
            )
            if x0 < x1 and y0 < y1:
                part = (y0 - y, y1 - y, x0 - x, x1 - x)
                for plane, source in zip(pixels[0], picture, strict=True):
                    plane[y0 - top : y1 - top, x0 - left : x1 - left] = _part(
                        source, size, part
                    )
        return pixels

    def search(self, run: Run, threshold: float) -> Iterator[tuple[F64, F32]]:
        """Hits as canvas positions, from windows that overlap by what the padded layers of the network see."""
        rows, columns = (_cells(side) for side in self.size)
        across = _spans(columns, math.isqrt(_WINDOW_PIXELS))
        down = _spans(
            rows, _WINDOW_PIXELS // (_STRIDE * _longest(across, columns) + _SEEN)
        )
        shape = (
            _longest(down, rows),
            _longest(across, columns),
        )  # one for all: memory is reused
        for top, bottom in down:
            for left, right in across:
                start = (_start(top, shape[0], rows), _start(left, shape[1], columns))
                scores = run(self.window(start, shape))[0, 0]
                inner = scores[
                    top - start[0] : bottom - start[0],
                    left - start[1] : right - start[1],
                ]
                centres, values = _hits(inner, threshold)
                yield centres + (_STRIDE * left, _STRIDE * top), values


def _first_picture(image: U8, levels: Pyramid) -> Planes:
    if levels.skipped == 0:
        return _planes(upsample(image, levels.ups))
    return _resized(image, levels.sizes[0])


def _planes(image: U8) -> Planes:
    return image[..., 0], image[..., 1], image[..., 2]


def _resized(image: U8, size: tuple[int, int]) -> Planes:
    flag = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return _planes(
        np.asarray(
            cv2.resize(image, (size[1], size[0]), interpolation=flag), dtype=np.uint8
        )
    )


def _part(
    picture: U8 | F32, size: tuple[int, int], part: tuple[int, int, int, int]
) -> U8 | F32:
    """Top, bottom, left, right ``part`` of the picture as it would be at ``size``."""
    y0, y1, x0, x1 = part
    if picture.shape == size:
        return picture[y0:y1, x0:x1]
    scale = [
        (old - 1) / max(new - 1, 1)
        for old, new in zip(picture.shape, size, strict=True)
    ]
    top, left = int(y0 * scale[0]), int(x0 * scale[1])
    crop = picture[top : int(y1 * scale[0]) + 2, left : int(x1 * scale[1]) + 2].astype(
        np.float32
    )
    matrix = np.array(
        [[scale[1], 0, x0 * scale[1] - left], [0, scale[0], y0 * scale[0] - top]]
    )
    return _warp_by(crop, matrix, (y1 - y0, x1 - x0))
