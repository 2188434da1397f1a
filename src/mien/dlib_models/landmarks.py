"""dlib's shape predictors (5 and 68 landmarks), bit for bit: the file, a quick form of it, and prediction.

Order of the five points, in image terms for an upright face: 0 outer and 1 inner corner of the eye on the image's
right, 2 outer and 3 inner corner of the eye on the image's left, 4 base of the nose. This is not the order of
``Faces.landmarks``. The 68 points are those of iBUG 300-W (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67).
"""

from __future__ import annotations

import io
import struct
import threading
import zipfile
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.dlib_models.kernels import Arena
from mien.dlib_models.reader import IntStream, Reader
from mien.errors import ModelError
from mien.types import F32, F64, I64, U8

_MAX_POINTS, _MAX_DEPTH, _MAX_CASCADES, _MAX_TREES, _MAX_PIXELS = (
    512,
    4,
    64,
    4096,
    1 << 15,
)


@dataclass(frozen=True)
class ShapePredictor:
    """C cascades of T trees of depth D over F sampled pixels, for P points.

    A pixel is given relative to a landmark (its anchor) in units of the face box. Trees are full: S = 2^D - 1 splits.
    """

    mean: F32  # (P, 2) in units of the box
    pixels: I64  # (C, T, S, 2) indices of the two pixels compared
    thresholds: F32  # (C, T, S): go left if first - second > threshold
    leaves: F32  # (C, T, S + 1, 2P) added to the shape
    anchors: I64  # (C, F) landmark indices
    deltas: F32  # (C, F, 2) from the anchor, in units of the box

    @property
    def points(self) -> int:
        """P, the number of landmarks."""
        return len(self.mean)

    @cached_property
    def kernel(self) -> _Kernel:
        """This predictor where the compiled code can see it."""
        return _Kernel(self)

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]], name: str) -> ShapePredictor:
        """Of stored columns. Raises ModelError where they are damaged."""
        whole = ("pixels", "anchors")
        for key, column in columns.items():
            if column.dtype != (np.uint16 if key in whole else np.float32):
                raise ModelError(
                    f"{name} is damaged: {key} holds {column.dtype}; delete it, it is made again"
                )
            if not np.isfinite(column.sum(dtype=np.float64)):
                raise ModelError(
                    f"{name} is damaged: {key} is not finite; delete it, it is made again"
                )
        made: dict[str, NDArray[Any]] = {
            k: v.astype(np.int64) if k in whole else v for k, v in columns.items()
        }
        predictor = cls(**made)
        if not predictor.is_consistent():
            raise ModelError(
                f"{name} is damaged: its parts do not fit together; delete it, it is made again"
            )
        return predictor

    def is_consistent(self) -> bool:
        """Whether the parts fit together."""
        if (self.mean.ndim, self.thresholds.ndim, self.anchors.ndim) != (
            2,
            3,
            2,
        ) or self.mean.shape[1] != 2:
            return False
        cascades, trees, splits = self.thresholds.shape
        if (
            not (splits and trees and cascades and self.anchors.size)
            or splits & (splits + 1)
            or splits >= 1 << _MAX_DEPTH
        ):
            return False
        shapes = self.pixels.shape == (cascades, trees, splits, 2)
        shapes &= self.leaves.shape == (cascades, trees, splits + 1, 2 * self.points)
        shapes &= len(self.anchors) == cascades and self.deltas.shape == (
            *self.anchors.shape,
            2,
        )
        return bool(
            shapes
            and self.pixels.max() < self.anchors.shape[1]
            and self.anchors.max() < self.points
        )


class _Kernel:
    """A predictor's numbers in the memory of an instance of the kernels; one face at a time."""

    def __init__(self, predictor: ShapePredictor) -> None:
        self._lock = threading.Lock()
        self._memory = memory = Arena()
        self._points = predictor.points
        numbers = 2 * predictor.points
        room = -(-numbers // 4) * 4
        limits = np.clip(
            np.floor(predictor.thresholds), -512, 512
        )  # whole intensities: x > t means x > floor(t)
        columns = (
            np.pad(predictor.mean.ravel(), (0, room - numbers)),
            _fit(predictor.mean),
            predictor.pixels.astype(np.uint16),
            limits.astype(np.int16),
            np.pad(predictor.leaves, ((0, 0), (0, 0), (0, 0), (0, room - numbers))),
            predictor.anchors.astype(np.uint16),
            predictor.deltas,
        )
        at = [memory.put(np.ascontiguousarray(column)) for column in columns]
        sizes = (numbers, room, *predictor.thresholds.shape, predictor.anchors.shape[1])
        self._model = memory.put(struct.pack("<13i", *at, *sizes))
        self._box, self._part = memory.take(32), memory.take(32)
        self._values, self._found = (
            memory.take(2 * predictor.anchors.shape[1]),
            memory.take(4 * room),
        )
        self._free = memory.take(0)

    def __call__(self, image: U8, box: I64) -> F32:
        """(P, 2) whole pixels of the face in a box (4,)."""
        # Its pixels are looked for in the box and half of its size around it first.
        width, height = (box[2:] - box[:2]) // 2
        left, right = np.clip(
            [box[0] - width, box[2] + width], 0, image.shape[1]
        ).tolist()
        top, bottom = np.clip(
            [box[1] - height, box[3] + height], 0, image.shape[0]
        ).tolist()
        near = (left, top, max(left, right), max(top, bottom))
        with self._lock:
            missed, found = self._refine(image, near, box)
            if missed:  # a landmark strayed far from the box
                _, found = self._refine(
                    image, (0, 0, image.shape[1], image.shape[0]), box
                )
            return found

    def _refine(
        self, image: U8, near: tuple[int, int, int, int], box: I64
    ) -> tuple[bool, F32]:
        left, top, right, bottom = near
        part = image[top:bottom, left:right]
        memory, channels = self._memory, image.shape[2] if image.ndim == 3 else 1
        memory.release(self._free)
        at = memory.take(part.size)
        memory.view(at, part.shape, np.uint8)[:] = part
        shape = (channels, *part.shape[:2], left, top, *image.shape[:2])
        memory.view(self._part, (8,), np.int32)[:] = at, *shape
        memory.view(self._box, (4,), np.float64)[:] = *box[:2], *(box[2:] - box[:2])
        missed = memory.call(
            "landmarks", self._model, self._part, self._box, self._values, self._found
        )
        return bool(missed), memory.view(
            self._found, (self._points, 2), np.float32
        ).copy()


def _fit(mean: F32) -> F64:
    """(2P, 2) double: shape (2P,) @ fit is (a, b) of the least-squares similarity from the mean shape."""
    centred = mean.astype(np.float64) - mean.astype(np.float64).mean(axis=0)
    turned = np.stack([-centred[:, 1], centred[:, 0]], axis=1)
    both = np.stack([centred.ravel(), turned.ravel()], axis=1)
    return both / max(float((centred**2).sum()), np.finfo(np.float64).tiny)


def predict(predictor: ShapePredictor, image: U8, boxes: I64) -> F32:
    """Landmarks (N, P, 2) in whole pixels, as dlib finds them.

    Args:
        predictor: the 5- or the 68-point one.
        image: (H, W, 3) in BGR or RGB order, or (H, W) grey.
        boxes: (N, 4) whole numbers left, top, right, bottom, corners included, as dlib draws them; they may leave
            the image (pixels outside count as black).
    """
    boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    found = [predictor.kernel(image, box) for box in boxes]
    return np.stack(found) if found else np.zeros((0, predictor.points, 2), np.float32)


def read_shape_predictor(data: bytes, name: str) -> ShapePredictor:
    """Read ``shape_predictor_5_face_landmarks.dat`` or its 68-point sibling.

    Raises:
        ModelError: the bytes are damaged or another model.
    """
    reader = Reader(data, name)
    reader.expect(1)
    size, one = (-n for n in reader.ints(2))
    if one != 1 or not 4 <= size <= 2 * _MAX_POINTS or size % 2:
        reader.fail(f"impossible shape size {size} x {one}")
    stream = IntStream(reader)
    mean = stream.floats(size).reshape(-1, 2)
    pixels, thresholds, leaves = _read_forests(stream, size)
    anchors = _read_rows(stream, len(pixels), 1)[..., 0]
    deltas = stream.to_floats(
        _read_rows(stream, len(pixels), 4).reshape(*anchors.shape, 2, 2)
    )
    if len(stream.ready) or reader.left:
        reader.fail("bytes too many")
    if (
        pixels.min() < 0
        or pixels.max() >= anchors.shape[1]
        or anchors.min() < 0
        or anchors.max() >= size // 2
    ):
        reader.fail("an index out of range")
    return ShapePredictor(mean, pixels, thresholds, leaves, anchors, deltas)


def _read_forests(stream: IntStream, size: int) -> tuple[I64, F32, F32]:
    cascades = _between(stream, 1, _MAX_CASCADES)
    parts = [_read_cascade(stream, size) for _ in range(cascades)]
    if len({part[1].shape for part in parts}) != 1:
        stream.reader.fail("cascades of different sizes")
    return (
        np.stack([part[0] for part in parts]),
        np.stack([part[1] for part in parts]),
        np.stack([part[2] for part in parts]),
    )


def _read_cascade(stream: IntStream, size: int) -> tuple[I64, F32, F32]:
    """One cascade's trees: every tree takes the same number of integers, so they are rows of one array."""
    trees = _between(stream, 1, _MAX_TREES)
    splits = _between(stream, 1, (1 << _MAX_DEPTH) - 1)
    if splits & (splits + 1):
        stream.reader.fail(f"a tree that is not full ({splits} splits)")
    head, leaf = 1 + 4 * splits, 2 + 2 * size
    width = head + 1 + (splits + 1) * leaf
    rows = np.concatenate([[splits], stream.take(trees * width - 1)]).reshape(
        trees, width
    )
    leaves = rows[:, head + 1 :].reshape(trees, splits + 1, leaf)
    if not _all(rows[:, 0], splits) or not _all(rows[:, head], splits + 1):
        stream.reader.fail("trees of different sizes")
    if not _all(leaves[..., 0], -size) or not _all(leaves[..., 1], -1):
        stream.reader.fail("leaves of another size than the shape")
    nodes = rows[:, 1:head].reshape(trees, splits, 4)
    values = stream.to_floats(leaves[..., 2:].reshape(trees, splits + 1, size, 2))
    return nodes[..., :2].copy(), stream.to_floats(nodes[..., 2:]), values


def _read_rows(stream: IntStream, rows: int, items: int) -> I64:
    """A vector of ``rows`` equally long vectors of elements of ``items`` integers."""
    if _between(stream, 1, _MAX_CASCADES) != rows:
        stream.reader.fail(f"a list that has not {rows} rows")
    found = []
    for _ in range(rows):
        count = _between(stream, 1, _MAX_PIXELS)
        found.append(stream.take(count * items).reshape(count, items))
        if len(found[0]) != count:
            stream.reader.fail("rows of different lengths")
    return np.stack(found)


def _between(stream: IntStream, low: int, high: int) -> int:
    value = int(stream.take(1)[0])
    if not low <= value <= high:
        stream.reader.fail(f"impossible count {value}")
    return value


def _all(values: I64, wanted: int) -> bool:
    return bool((values == wanted).all())


def dumps(predictor: ShapePredictor) -> bytes:
    """The predictor as an uncompressed ``.npz``, read back by ``loads`` a hundred times faster than the ``.dat``."""
    buffer = io.BytesIO()
    small = {"pixels": np.uint16, "anchors": np.uint16}
    columns = {f.name: getattr(predictor, f.name) for f in fields(predictor)}
    np.savez(
        buffer,
        allow_pickle=False,
        **{k: v.astype(small.get(k, v.dtype)) for k, v in columns.items()},
    )
    return buffer.getvalue()


def loads(data: bytes, name: str) -> ShapePredictor:
    """The inverse of ``dumps``.

    Raises:
        ModelError: the bytes are damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            columns = {f.name: file[f.name] for f in fields(ShapePredictor)}
    except (
        ValueError,
        KeyError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        NotImplementedError,
        MemoryError,
    ) as exc:
        raise ModelError(
            f"{name} is damaged: {exc}; delete it, it is made again"
        ) from exc
    return ShapePredictor.of(columns, name)
