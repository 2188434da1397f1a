"""TFLite files as ONNX graphs, without TensorFlow: floats only, and only the operators that our networks use.

The file is a flatbuffer: tables whose fields are found by number. Every offset is checked by Python's own bounds; what
is out of them, or unknown, is said and nothing is guessed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.graph import INPUT, Graph

Array = NDArray[Any]

_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8"}
_SAME = 0  # the kind of padding that keeps the size
_RELU = 1
_MAGIC = b"TFL3"
_DAMAGED = (struct.error, LookupError, ValueError, TypeError, OverflowError)


def to_onnx(data: bytes, name: str) -> bytes:
    """A TFLite file's bytes as a serialised ONNX model. Its one input is float32 and keeps its shape, one at a time.

    Raises:
        ModelError: The bytes are damaged, or the network does something that is not known here.
    """
    try:
        return _TfliteGraph(_Table.root(data))()
    except _DAMAGED as exc:
        raise ModelError(
            f"{name} is no TFLite network that can be read: {exc}"
        ) from exc


class _Table:
    """A table of a flatbuffer. Fields are asked for by their number in the schema."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        if not 0 <= at <= len(data) - 4:
            raise ValueError("it ends too early")

    @classmethod
    def root(cls, data: bytes) -> _Table:
        if data[4:8] != _MAGIC:
            raise ValueError("it does not begin like one")
        return cls(data, struct.unpack_from("<I", data)[0])

    def place(self, field: int) -> int:
        """Where a field's value stands; 0 where it has its default."""
        table = self.at - self.number("<i", self.at)
        if 4 + 2 * field >= self.number("<H", table):
            return 0
        offset = self.number("<H", table + 4 + 2 * field)
        return self.at + offset if offset else 0

    def number(self, kind: str, at: int) -> int:
        if at < 0:
            raise ValueError("it points before its beginning")
        return int(struct.unpack_from(kind, self.data, at)[0])

    def scalar(self, field: int, kind: str, default: int = 0) -> int:
        at = self.place(field)
        return self.number(kind, at) if at else default

    def vector(self, field: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many there are."""
        at = self.place(field)
        if not at:
            return 0, 0
        at += self.number("<I", at)
        return at + 4, self.number("<I", at)

    def array(self, field: int, kind: str) -> Array:
        at, count = self.vector(field)
        if not count:
            return np.zeros(0, kind)
        return np.frombuffer(self.data, kind, count, at)

    def tables(self, field: int) -> list[_Table]:
        at, count = self.vector(field)
        if count > len(self.data):
            raise ValueError("it counts more than it holds")
        places = [at + 4 * i for i in range(count)]
        return [_Table(self.data, p + self.number("<I", p)) for p in places]

    def table(self, field: int) -> _Table | None:
        at = self.place(field)
        return _Table(self.data, at + self.number("<I", at)) if at else None


class _TfliteGraph:
    """The graph, operator by operator in the file's order."""

    def __init__(self, model: _Table) -> None:
        self.buffers = model.tables(4)
        (main,) = model.tables(2)
        self.main = main
        self.tensors = main.tables(0)
        self.codes = [
            max(code.scalar(0, "<b"), code.scalar(3, "<i")) for code in model.tables(1)
        ]
        self.graph = Graph()
        self.values: dict[int, str] = {}  # of tensors that the graph computes
        self.constants: dict[int, Array] = {}

    def __call__(self) -> bytes:
        inputs, outputs = self.main.array(1, "<i4"), self.main.array(2, "<i4")
        (first,) = inputs.tolist()
        self.values[first] = INPUT
        for operator in self.main.tables(3):
            self.add(operator)
        shape = self.tensors[first].array(0, "<i4").tolist()
        names = [self.values[i] for i in outputs.tolist()]
        return bytes(self.graph.model_of(shape, names).SerializeToString())

    def add(self, operator: _Table) -> None:
        code = self.codes[operator.scalar(0, "<I")]
        inputs = operator.array(1, "<i4").tolist()
        (output,) = operator.array(2, "<i4").tolist()
        if code == _DEQUANTIZE:
            self.constants[output] = self.constant(inputs[0]).astype(np.float32)
            return
        if code not in _OPERATORS:
            raise ValueError(f"it has the operator {code}")
        options = operator.table(4) or operator
        self.values[output] = _OPERATORS[code](self, inputs, options)

    def constant(self, tensor: int) -> Array:
        """What a tensor of the file holds."""
        if tensor in self.constants:
            return self.constants[tensor]
        table = self.tensors[tensor]
        kind = _TYPES[table.scalar(1, "<b")]
        values = self.buffers[table.scalar(2, "<I")].array(0, "u1").view(kind)
        return values.reshape(table.array(0, "<i4"))

    def value(self, tensor: int) -> str:
        """A tensor's name in the graph."""
        if tensor not in self.values:
            self.values[tensor] = self.graph.weight(self.constant(tensor))
        return self.values[tensor]

    def simple(self, kind: str, inputs: Sequence[int], **options: Any) -> str:
        return self.graph.node(kind, [self.value(i) for i in inputs], options)

    def rectified(self, value: str, kind: int) -> str:
        if kind not in (0, _RELU):
            raise ValueError(f"it has the activation {kind}")
        return self.graph.node("Relu", [value]) if kind == _RELU else value

    def windowed(
        self, kind: str, inputs: Sequence[str], options: _Table, **more: Any
    ) -> str:
        """A convolution or pooling: pictures are (N, H, W, C) in the file and (N, C, H, W) in ONNX."""
        strides = [options.scalar(2, "<i"), options.scalar(1, "<i")]
        pad = "SAME_UPPER" if options.scalar(0, "<b") == _SAME else "VALID"
        x = self.graph.transpose(inputs[0], (0, 3, 1, 2))
        how = {"strides": strides, "auto_pad": pad, **more}
        return self.graph.transpose(
            self.graph.node(kind, [x, *inputs[1:]], how), (0, 2, 3, 1)
        )

    def conv(self, inputs: Sequence[int], options: _Table) -> str:
        """A convolution."""
        return _convolved(self, inputs, options, (0, 3, 1, 2), 3)

    def depthwise(self, inputs: Sequence[int], options: _Table) -> str:
        """A convolution of each channel by itself."""
        return _convolved(self, inputs, options, (3, 0, 1, 2), 4)

    def max_pool(self, inputs: Sequence[int], options: _Table) -> str:
        """The largest of each window."""
        shape = [options.scalar(4, "<i"), options.scalar(3, "<i")]
        x = [self.value(inputs[0])]
        return self.windowed("MaxPool", x, options, kernel_shape=shape)

    def squared_difference(self, inputs: Sequence[int], _: _Table) -> str:
        """The squares of differences."""
        away = self.simple("Sub", inputs)
        return self.graph.node("Mul", [away, away])

    def pad(self, inputs: Sequence[int], _: _Table) -> str:
        """Zeros around."""
        pads = self.constant(inputs[1]).T.ravel().astype(np.int64)
        return self.graph.node("Pad", [self.value(inputs[0]), self.graph.weight(pads)])

    def reshape(self, inputs: Sequence[int], _: _Table) -> str:
        """Another shape."""
        shape = self.graph.weight(self.constant(inputs[1]).astype(np.int64))
        return self.graph.node("Reshape", [self.value(inputs[0]), shape])

    def mean(self, inputs: Sequence[int], options: _Table) -> str:
        """The mean over axes."""
        axes = self.constant(inputs[1]).ravel().tolist()
        keep = options.scalar(0, "<b")
        return self.simple("ReduceMean", inputs[:1], axes=axes, keepdims=keep)

    def sum(self, inputs: Sequence[int], options: _Table) -> str:
        """The sum over axes."""
        axes = self.graph.weight(self.constant(inputs[1]).ravel().astype(np.int64))
        keep = {"keepdims": options.scalar(0, "<b")}
        return self.graph.node("ReduceSum", [self.value(inputs[0]), axes], keep)

    def transpose(self, inputs: Sequence[int], _: _Table) -> str:
        """Other axes first."""
        return self.graph.transpose(
            self.value(inputs[0]), self.constant(inputs[1]).tolist()
        )

    def concat(self, inputs: Sequence[int], options: _Table) -> str:
        """Side by side."""
        return self.simple("Concat", inputs, axis=options.scalar(0, "<i"))

    def slice(self, inputs: Sequence[int], options: _Table) -> str:
        """From each axis a range; masked ends are the axis's own, and shrunk axes go."""
        begin, end, step = (self.constant(i).astype(np.int64) for i in inputs[1:4])
        masks = [options.scalar(i, "<i") for i in range(5)]
        if masks[2] or masks[3] or (step < 1).any():
            raise ValueError("it has a slice of an unknown kind")
        axes = np.arange(len(begin))
        begin = np.where(masks[0] >> axes & 1, 0, begin)
        end = np.where(masks[1] >> axes & 1, np.iinfo(np.int64).max, end)
        shrunk = axes[(masks[4] >> axes & 1).astype(bool)]
        end[shrunk] = begin[shrunk] + 1
        weights = [self.graph.weight(part) for part in (begin, end, axes, step)]
        found = self.graph.node("Slice", [self.value(inputs[0]), *weights])
        if not len(shrunk):
            return found
        return self.graph.node("Squeeze", [found, self.graph.weight(shrunk)])


def _convolved(
    network: _TfliteGraph,
    inputs: Sequence[int],
    options: _Table,
    order: Sequence[int],
    activation: int,
) -> str:
    kernels = network.constant(inputs[1]).transpose(order)
    if any(options.scalar(activation + i, "<i", 1) != 1 for i in (1, 2)):
        raise ValueError("it has a dilated convolution")
    weights = [network.graph.weight(kernels)]
    weights += [network.value(i) for i in inputs[2:]]
    group = len(kernels) if order[0] == 3 else 1
    found = network.windowed(
        "Conv",
        [network.value(inputs[0]), *weights],
        options,
        kernel_shape=list(kernels.shape[2:]),
        group=group,
    )
    return network.rectified(found, options.scalar(activation, "<b"))


def _binary(kind: str) -> Callable[[_TfliteGraph, Sequence[int], _Table], str]:
    def add(network: _TfliteGraph, inputs: Sequence[int], options: _Table) -> str:
        activation = options.scalar(0, "<b")
        return network.rectified(network.simple(kind, inputs), activation)

    return add


def _unary(*kinds: str) -> Callable[[_TfliteGraph, Sequence[int], _Table], str]:
    def add(network: _TfliteGraph, inputs: Sequence[int], _: _Table) -> str:
        value = network.value(inputs[0])
        for kind in kinds:
            value = network.graph.node(kind, [value])
        return value

    return add


_DEQUANTIZE = 6
_OPERATORS: dict[int, Callable[[_TfliteGraph, Sequence[int], _Table], str]] = {
    0: _binary("Add"),
    2: _TfliteGraph.concat,
    3: _TfliteGraph.conv,
    4: _TfliteGraph.depthwise,
    14: _unary("Sigmoid"),
    17: _TfliteGraph.max_pool,
    18: _binary("Mul"),
    22: _TfliteGraph.reshape,
    34: _TfliteGraph.pad,
    39: _TfliteGraph.transpose,
    40: _TfliteGraph.mean,
    41: _binary("Sub"),
    42: _binary("Div"),
    45: _TfliteGraph.slice,
    54: lambda network, inputs, _: network.simple("PRelu", inputs),
    59: _unary("Neg"),
    74: _TfliteGraph.sum,
    75: _unary("Sqrt"),
    76: _unary("Sqrt", "Reciprocal"),
    99: _TfliteGraph.squared_difference,
}
