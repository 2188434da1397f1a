"""dlib's serialisation format: a bounded reader for numbers, tensors and the two networks mien uses.

The stream is not self-describing: the nesting of a network is a C++ type. All wrappers are written first, outermost
to innermost (one version number each), then the input layer, then each layer's details from the inside out.
Nothing in a file is trusted: every length is checked against the bytes that are left before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from mien.errors import ModelError
from mien.types import F32, F64, I64

_MAX_STRING = 4096
_MAX_KERNEL = 64
_MAX_WINDOWS = 256
_MAX_FLOAT = 2.0**20  # in a shape predictor: grey values, shares of a face box


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution as ONNX wants it: cross-correlation, OIHW weights."""

    weight: F32  # (O, I, kh, kw)
    bias: F32  # (O,)
    stride: int
    padding: int

    def scaled(self, gamma: F32, beta: F32) -> Conv:
        """The same convolution followed by ``y * gamma + beta`` per channel, folded into one."""
        weight = self.weight * gamma[:, None, None, None]
        return Conv(weight, self.bias * gamma + beta, self.stride, self.padding)

    def for_bytes(self, mean_rgb: F32) -> Conv:
        """The same for raw BGR bytes: colour order, mean and 1/256 folded in. Only where there is no padding."""
        weight = np.ascontiguousarray(self.weight[:, ::-1] / np.float32(256))
        means = mean_rgb.astype(np.float64)
        shift = np.einsum("oihw,i->o", self.weight.astype(np.float64), means) / 256
        bias = (self.bias - shift).astype(np.float32)
        return Conv(weight, bias, self.stride, self.padding)


@dataclass(frozen=True, slots=True)
class FaceResnet:
    """dlib's face recognition network: 29 convolutions with their affine layers folded in, in forward order."""

    mean_rgb: F32  # (3,), subtracted before the division by 256
    convs: tuple[Conv, ...]
    fc: F32  # (256, 128): embedding = pooled @ fc


@dataclass(frozen=True, slots=True)
class MmodNet:
    """dlib's max-margin face detector: 7 convolutions with batch normalisation folded in, and how to read its map."""

    mean_rgb: F32  # (3,), subtracted before the division by 256
    convs: tuple[Conv, ...]
    window_wh: tuple[int, int]  # detection window in canvas pixels
    nms_overlap: float  # a box is dropped above this overlap with a better one
    nms_covered: float  # or above this part of it being covered


class Reader:
    """Reads dlib's primitives from bytes; anything damaged is a ModelError that names the file."""

    def __init__(self, data: bytes | memoryview, name: str) -> None:
        self.data = memoryview(data)
        self.name = name
        self.pos = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.pos

    def fail(self, what: str) -> NoReturn:
        """Raise the one error of this module."""
        raise ModelError(
            f"{self.name} is damaged or not the expected file: {what} at byte {self.pos} of {len(self.data)}; "
            "install or download it again"
        )

    def raw(self, count: int) -> memoryview:
        """The next ``count`` bytes."""
        if count < 0 or count > self.left:
            self.fail(f"{count} bytes wanted, {self.left} left")
        self.pos += count
        return self.data[self.pos - count : self.pos]

    def int_(self) -> int:
        """A dlib integer: control byte (sign, length 1..8), then magnitude, little endian."""
        control = self.raw(1)[0]
        length = control & 0x0F
        if control & 0x70 or not 1 <= length <= 8:
            self.fail(f"bad number marker 0x{control:02x}")
        value = int.from_bytes(self.raw(length), "little")
        return -value if control & 0x80 else value

    def ints(self, count: int) -> tuple[int, ...]:
        """``count`` integers; the count is ours, never the file's."""
        return tuple(self.int_() for _ in range(count))

    def count(self, least_bytes: int, limit: int) -> int:
        """An integer that counts items of at least ``least_bytes`` bytes each."""
        value = self.int_()
        if not 0 <= value <= limit or value * least_bytes > self.left:
            self.fail(f"impossible count {value}")
        return value

    def expect(self, *versions: int) -> int:
        """A version number out of those known."""
        value = self.int_()
        if value not in versions:
            self.fail(f"unknown version {value}, expected one of {versions}")
        return value

    def bool_(self) -> bool:
        """ASCII '1' or '0'."""
        byte = bytes(self.raw(1))
        if byte not in (b"0", b"1"):
            self.fail(f"bad truth value {byte!r}")
        return byte == b"1"

    def float_(self) -> float:
        """A finite float: mantissa first, then exponent."""
        mantissa, exponent = self.int_(), self.int_()
        if abs(exponent) > 2000 or abs(mantissa) >= 1 << 54:
            self.fail("a number that is not finite")
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError:
            self.fail("a number that is not finite")

    def floats(self, count: int) -> tuple[float, ...]:
        """``count`` floats; the count is ours, never the file's."""
        return tuple(self.float_() for _ in range(count))

    def string(self) -> str:
        """A length and that many ASCII bytes."""
        raw = bytes(self.raw(self.count(1, _MAX_STRING)))
        if not raw.isascii():
            self.fail("a name that is not ASCII")
        return raw.decode("ascii")

    def layer(self, *names: str) -> str:
        """The version string that opens a layer's details."""
        found = self.string()
        if found not in names:
            self.fail(f"layer {found[:40]!r} where {' or '.join(names)} belongs")
        return found

    def tensor(self) -> F32:
        """A resizable_tensor, flat: version 2, four sizes, raw little-endian float32."""
        self.expect(2)
        size = self.volume(self.ints(4))
        values = np.frombuffer(self.raw(4 * size), dtype="<f4").astype(np.float32)
        if not np.isfinite(values).all():
            self.fail("weights that are not finite")
        return values

    def volume(self, sizes: tuple[int, ...]) -> int:
        """Product of four tensor sizes, checked against the whole file."""
        if min(sizes) < 0 or math.prod(sizes) * 4 > len(self.data):
            self.fail(f"impossible tensor size {sizes}")
        return math.prod(sizes)

    def empty_tensor(self) -> None:
        """A training-time tensor: read and dropped."""
        self.tensor()

    def alias(self) -> tuple[int, ...]:
        """An alias_tensor: the four sizes of a view into the parameters before it."""
        self.expect(1)
        sizes = self.ints(4)
        self.volume(sizes)
        return sizes

    def end(self) -> None:
        """Nothing may follow."""
        if self.left:
            self.fail(f"{self.left} bytes too many")


def read_resnet(data: bytes, name: str) -> FaceResnet:
    """Read ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        ModelError: the bytes are damaged or another model.
    """
    reader = Reader(data, name)
    reader.expect(1)
    reader.layer("loss_metric_2")
    reader.floats(2)
    net = _Net(reader, _RESNET)
    mean = net.input_layer("input_rgb_image_sized")
    if reader.ints(2) != (150, 150):
        reader.fail("an input size other than 150x150")
    convs = tuple(net.body())
    fc = net.weights
    reader.end()
    if fc is None or tuple(_geometry(convs)) != _RESNET_GEOMETRY:
        reader.fail("a network of another shape")
    return FaceResnet(mean, convs, fc)


def read_mmod(data: bytes, name: str) -> MmodNet:
    """Read ``mmod_human_face_detector.dat``.

    Raises:
        ModelError: the bytes are damaged or another model.
    """
    reader = Reader(data, name)
    reader.expect(1)
    window, overlap, covered = _mmod_options(reader)
    net = _Net(reader, _MMOD)
    mean = net.input_layer("input_rgb_image_pyramid", "input_rgb_image_pyramid2")
    if net.input_name.endswith("2"):
        reader.ints(2)
    convs = tuple(net.body())
    reader.end()
    return MmodNet(mean, convs, window, overlap, covered)


def _mmod_options(reader: Reader) -> tuple[tuple[int, int], float, float]:
    reader.layer("loss_mmod_")
    version = reader.expect(1, 2, 3, 4)
    windows = []
    for _ in range(1 if version == 1 else reader.count(6, _MAX_WINDOWS)):
        kind = 1 if version == 1 else reader.expect(1, 2)
        windows.append(reader.ints(2))
        if kind == 2:
            reader.string()
    if len(windows) != 1:
        reader.fail(f"{len(windows)} detection windows; one is supported")
    window = windows[0]
    if not all(8 <= side <= 4096 for side in window):
        reader.fail(f"impossible window {window}")
    values = reader.floats(3 + 2 + 2)
    if version >= 3:
        reader.raw(1)
    if version >= 4:
        reader.bool_()
        reader.float_()
    return (window[0], window[1]), values[3], values[4]


# Wrappers, outermost first. "tag" and "skip" carry a version only; all others are layers with details.
_ARES = ["relu", "add", "affine", "con", "relu", "affine", "con", "tag"]
_DOWN = [
    "relu",
    "add",
    "avg",
    "skip",
    "tag",
    "affine",
    "con",
    "relu",
    "affine",
    "con",
    "tag",
]
_RESNET = [
    "fc",
    "avg",
    *_DOWN,
    *_ARES * 2,
    *_DOWN,
    *_ARES * 2,
    *_DOWN,
    *_ARES * 3,
    *_DOWN,
    *_ARES * 3,
] + [
    "max",
    "relu",
    "affine",
    "con",
]
_MMOD = ["con"] + ["relu", "affine", "con"] * 6
_POOLS = (
    (3, 3, 2, 2, 0, 0),
    (2, 2, 2, 2, 0, 0),
    (0, 0, 1, 1, 0, 0),
)  # rows, columns, two strides, two paddings


def _stage(before: int, channels: int, blocks: int) -> tuple[tuple[int, ...], ...]:
    """Geometry of a stage whose first block halves the picture."""
    return ((before, channels, 3, 2, 0),) + ((channels, channels, 3, 1, 1),) * (
        2 * blocks - 1
    )


_RESNET_GEOMETRY = (
    ((3, 32, 7, 2, 0),)
    + ((32, 32, 3, 1, 1),) * 6
    + _stage(32, 64, 4)
    + _stage(64, 128, 3)
    + _stage(128, 256, 3)
    + _stage(256, 256, 1)
)


def _geometry(convs: tuple[Conv, ...]) -> Iterator[tuple[int, ...]]:
    """Channels in and out, kernel, stride and padding of each convolution."""
    for conv in convs:
        yield (
            conv.weight.shape[1],
            conv.weight.shape[0],
            conv.weight.shape[2],
            conv.stride,
            conv.padding,
        )


class _Net:
    """The walk through one network's stream; yields convolutions with what follows them folded in."""

    def __init__(self, reader: Reader, wrappers: list[str]) -> None:
        self.reader = reader
        self.weights: F32 | None = None
        self.input_name = ""
        self.steps = [
            (kind, self.version(kind, index == len(wrappers) - 1))
            for index, kind in enumerate(wrappers)
        ]

    def version(self, kind: str, on_input: bool) -> int:
        """What is read of a wrapper that says how it was written."""
        if kind in ("tag", "skip"):
            return self.reader.expect(1)
        return self.reader.expect(2, 3) if on_input else self.reader.expect(1, 2)

    def input_layer(self, *names: str) -> F32:
        """The mean colour that opens the input layer; what follows it depends on its kind."""
        self.input_name = self.reader.layer(*names)
        return np.array(self.reader.floats(3), dtype=np.float32)

    def body(self) -> Iterator[Conv]:
        """Convolutions from the input on; an affine layer is folded into the one before it."""
        pending: Conv | None = None
        for index, (kind, version) in enumerate(reversed(self.steps)):
            if kind == "con":
                if pending is not None:
                    yield pending
                pending = self.con()
            elif kind == "affine" and pending is not None:
                pending = pending.scaled(*self.affine(len(pending.bias)))
            else:
                self.plain(kind)
            if kind not in ("tag", "skip"):
                self.trailer(version, on_input=index == 0)
        if pending is not None:
            yield pending

    def trailer(self, version: int, *, on_input: bool) -> None:
        """What stands behind a layer: flags and gradients, of which nothing is used."""
        for _ in range(3):
            self.reader.bool_()
        for _ in range(3 if on_input or version == 2 else 2):
            self.reader.empty_tensor()
        if on_input and version >= 3:
            self.reader.int_()

    def con(self) -> Conv:
        """A convolution, checked."""
        reader = self.reader
        kind = reader.layer("con_4", "con_5", "con_6")
        params = reader.tensor()
        filters, *geometry = reader.ints(7)
        weight_shape, bias_shape = reader.alias(), reader.alias()
        reader.floats(4)
        for _ in range("456".index(kind[-1])):
            reader.bool_()
        height, width, stride, stride_x, padding, padding_x = geometry
        square = height == width and stride == stride_x and padding == padding_x
        if (
            not square
            or not 1 <= height <= _MAX_KERNEL
            or not 1 <= stride <= height
            or not 0 <= padding < height
        ):
            reader.fail(f"impossible convolution {geometry}")
        size = math.prod(weight_shape)
        if (
            weight_shape[0] != filters
            or weight_shape[2:] != (height, width)
            or min(weight_shape) < 1
        ):
            reader.fail(f"filters {weight_shape} that do not fit their layer")
        if math.prod(bias_shape) != filters or size + filters != len(params):
            reader.fail(f"{len(params)} parameters where {size + filters} belong")
        return Conv(params[:size].reshape(weight_shape), params[size:], stride, padding)

    def affine(self, channels: int) -> tuple[F32, F32]:
        """Scale and shift of each channel."""
        reader = self.reader
        kind = reader.layer("affine_", "affine_2", "bn_con2")
        params = reader.tensor()
        if (
            math.prod(reader.alias()) != channels
            or math.prod(reader.alias()) != channels
        ):
            reader.fail(f"an affine layer that does not fit {channels} channels")
        if len(params) != 2 * channels:
            reader.fail(f"{len(params)} parameters where {2 * channels} belong")
        gamma, beta = params[:channels], params[channels:]
        if kind == "bn_con2":
            return self.batch_norm(gamma, beta)
        if reader.int_() not in (0, 1):
            reader.fail("an unknown affine mode")
        if kind == "affine_2":
            reader.bool_()
        return gamma, beta

    def batch_norm(self, gamma: F32, beta: F32) -> tuple[F32, F32]:
        """The same of what was learnt about a batch."""
        reader = self.reader
        _, _, mean, variance = (reader.tensor() for _ in range(4))
        reader.ints(2)
        eps = reader.floats(5)[4]
        if (
            len(mean) != len(gamma)
            or len(variance) != len(gamma)
            or variance.min(initial=0) < 0
            or eps <= 0
        ):
            reader.fail("impossible batch statistics")
        gain = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + eps)
        return gain.astype(np.float32), (beta - gain * mean).astype(np.float32)

    def plain(self, kind: str) -> None:
        """A layer without weights of its own, or the last one."""
        reader = self.reader
        if kind == "relu" and reader.layer("relu_", "relu_2") == "relu_2":
            reader.bool_()
        elif kind == "add":
            reader.layer("add_prev_")
        elif kind in ("avg", "max"):
            reader.layer(f"{kind}_pool_2")
            if reader.ints(6) not in _POOLS:
                reader.fail("a pooling layer of another shape")
        elif kind == "fc":
            self.weights = self.fc()

    def fc(self) -> F32:
        """The last layer (256, 128), which has no bias."""
        reader = self.reader
        kind = reader.layer("fc_2", "fc_3")
        outputs, inputs = reader.ints(2)
        params = reader.tensor()
        shape = reader.alias()
        reader.alias()
        bias_mode = reader.int_()
        reader.floats(4)
        if kind == "fc_3":
            reader.bool_()
        if (
            bias_mode != 1
            or (outputs, inputs) != (128, 256)
            or len(params) != 128 * 256
            or shape[:2] != (256, 128)
        ):
            reader.fail("a last layer other than 256 to 128 without bias")
        return params.reshape(inputs, outputs)


class IntStream:
    """A stream of nothing but dlib integers, decoded block by block in numpy (tens of millions in 2-3 seconds).

    Where each integer starts depends on all before it. Inside a block the step "one integer on" is squared until
    it means 64 integers; Python follows those long steps only, numpy fills in what lies between.
    """

    _BLOCK = 1 << 16
    _DOUBLINGS = 6
    _MASK = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], dtype=np.uint32)

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.ready: I64 = np.zeros(0, dtype=np.int64)

    @property
    def most(self) -> int:
        """The largest number of integers that can still come: each takes two bytes or more."""
        return len(self.ready) + self.reader.left // 2

    def take(self, count: int) -> I64:
        """The next ``count`` integers."""
        if count < 0 or count > self.most:
            self.reader.fail(f"impossible count {count}")
        parts, have = [self.ready], len(self.ready)
        while have < count:
            parts.append(self._block())
            have += len(parts[-1])
        joined = np.concatenate(parts)
        self.ready = joined[count:].copy()
        return joined[:count]

    def floats(self, count: int) -> F32:
        """The next ``count`` floats, each mantissa then exponent."""
        return self.to_floats(self.take(2 * count).reshape(count, 2))

    def to_floats(self, pairs: I64) -> F32:
        """(..., 2) mantissas and exponents to (...) float32, exactly; none may be larger than a predictor's are."""
        exponents = pairs[..., 1]
        if exponents.size and (exponents.max() > 127 or exponents.min() < -1100):
            self.reader.fail("a number that is not finite")
        values: F64 = np.ldexp(
            pairs[..., 0].astype(np.float64), exponents.astype(np.int32)
        )
        if values.size and np.abs(values).max() > _MAX_FLOAT:
            self.reader.fail("a number far too large")
        return values.astype(np.float32)

    def _block(self) -> I64:
        reader = self.reader
        size = min(self._BLOCK, reader.left)
        raw = np.zeros(size + 32, dtype=np.uint8)
        have = min(size + 16, reader.left)
        raw[:have] = reader.data[reader.pos : reader.pos + have]
        starts, after = _starts(raw, size, self._DOUBLINGS)
        if size == 0 or after > reader.left:
            reader.fail("the end of the file in the middle of a number")
        values = self._values(raw, starts)
        reader.pos += after
        return values

    def _values(self, raw: np.ndarray, starts: I64) -> I64:
        control = raw.take(starts)
        length = control & 0x0F
        if (control & 0x70).any() or length.min() < 1 or length.max() > 4:
            self.reader.fail("a bad number marker")
        words = np.ndarray(
            (len(raw) - 4,), dtype="<u4", buffer=raw.data, offset=1, strides=(1,)
        )
        values = (words.take(starts) & self._MASK.take(length)).astype(np.int64)
        np.negative(values, out=values, where=control >= 0x80)
        return values


def _starts(raw: np.ndarray, size: int, doublings: int) -> tuple[I64, int]:
    """Where the integers start in ``raw[:size]``, the first at 0, and where the first one after ``size`` starts."""
    step = np.arange(len(raw), dtype=np.int64)
    step[:size] += 1 + (raw[:size] & 0x0F)
    steps = [step]
    for _ in range(doublings):
        steps.append(steps[-1].take(steps[-1]))
    heads, far, here = [], memoryview(steps[-1].data), 0
    while here < size:
        heads.append(here)
        here = far[here]
    starts = np.array(heads, dtype=np.int64)[:, None]
    for jump in steps[:-1]:
        starts = np.concatenate([starts, jump.take(starts)], axis=1)
    flat = starts.ravel()
    return flat[flat < size], here
