"""Caffe: a deploy `.prototxt`, a `.caffemodel` and, where it has one, the mean image (`.binaryproto`).

Layers: convolution, ReLU, pooling, local response normalisation across channels, dropout, inner product, softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mien.errors import InputError, ModelError
from mien.graph import INPUT, Graph
from mien.models.classifier import Preprocessing
from mien.train.importers.caffe_files import (
    Layer,
    input_of,
    layers,
    parse_text,
    read_mean,
    read_weights,
)
from mien.train.importers.network import ImportedNetwork
from mien.types import F32

_WARP = 256  # photos are brought to this size before they are cropped to what the network takes (caffe.Classifier)
_MAX, _AVERAGE = 0, 1  # PoolMethod
Pair = tuple[int, int]  # down, across


@dataclass(frozen=True, slots=True)
class Value:
    """A value in the graph and its shape without the batch: (C, H, W) or (C,)."""

    name: str
    shape: tuple[int, ...]


def read_files(
    files: Sequence[Path], architecture: str | None = None
) -> ImportedNetwork:
    """The network of one .prototxt, one .caffemodel and, if it has one, a mean .binaryproto.

    Raises:
        InputError: These are others.
    """
    by_ending = {file.suffix: file for file in files}
    if (
        len(by_ending) != len(files)
        or not {".prototxt", ".caffemodel"} <= by_ending.keys()
    ):
        raise InputError(
            "a Caffe network is one .prototxt, one .caffemodel and, if it has one, a mean .binaryproto"
        )
    return read_caffe(
        by_ending[".prototxt"], by_ending[".caffemodel"], by_ending.get(".binaryproto")
    )


def read_caffe(
    prototxt: Path, weights: Path, mean: Path | None = None
) -> ImportedNetwork:
    """The network of a deploy prototxt with the weights of a caffemodel.

    It takes BGR pixels 0 to 255; the mean image, brought to the input's size, is subtracted inside the graph, as
    Caffe's own classifier does.

    Raises:
        ModelError: A file is damaged or foreign, they do not belong together, or a layer is not one of those above.
    """
    net = parse_text(prototxt)
    name, shape = input_of(net, prototxt)
    builder = _CaffeGraph(prototxt, weights, read_weights(weights))
    value = Value(INPUT, shape)
    if mean is not None:
        value = Value(
            builder.graph.node(
                "Sub", [INPUT, builder.graph.weight(read_mean(mean, shape))]
            ),
            shape,
        )
    output = builder.run(layers(net, prototxt), {name: value})
    side = shape[1]
    how = Preprocessing(
        size=side,
        padding=0,
        channels="bgr",
        layout="nchw",
        crop="box",
        padding_px=50,
        resize=max(_WARP, side),
    )
    sources = (prototxt, weights) if mean is None else (prototxt, weights, mean)
    return ImportedNetwork(builder.graph.model(output, shape), how, "Caffe", sources)


class _CaffeGraph:
    """Turns layers into nodes."""

    def __init__(
        self, prototxt: Path, weights_file: Path, weights: Mapping[str, list[F32]]
    ) -> None:
        self.prototxt = prototxt
        self.weights_file = weights_file
        self.weights = weights
        self.graph = Graph()

    def run(self, layers: Iterable[Layer], blobs: dict[str, Value]) -> str:
        """The name of the last layer's value, (N, K), from the named input."""
        last = next(iter(blobs.values()))
        for layer in layers:
            if layer.type != "Input":
                last = self.layer(layer, blobs)
                blobs[layer.tops[0]] = last
        return self.graph.node("Flatten", [last.name])

    def layer(self, layer: Layer, blobs: Mapping[str, Value]) -> Value:
        """What a layer makes of what is before it."""
        makers: dict[str, Callable[[Layer, Value], Value]] = {
            "Convolution": self.convolution,
            "ReLU": self.relu,
            "Pooling": self.pooling,
            "LRN": self.lrn,
            "Dropout": lambda _layer, x: x,  # does nothing outside training
            "InnerProduct": self.inner_product,
            "Softmax": self.softmax,
        }
        if layer.type not in makers:
            self._refuse(
                layer, f"is a {layer.type}; what can be read is {', '.join(makers)}"
            )
        if len(layer.bottoms) != 1 or len(layer.tops) != 1:
            self._refuse(layer, "must have one bottom and one top")
        if layer.bottoms[0] not in blobs:
            self._refuse(
                layer, f"reads {layer.bottoms[0]!r}, which no layer before it makes"
            )
        return makers[layer.type](layer, blobs[layer.bottoms[0]])

    def convolution(self, layer: Layer, x: Value) -> Value:
        """Sizes are rounded down, unlike those of pooling."""
        given = layer.message.convolution_param
        window = self._window(layer, given, x)
        dilation = _pair(given.dilation, 1)
        expected = (given.num_output, x.shape[0] // max(1, given.group), *window.kernel)
        y = self.conv(
            layer,
            x.name,
            expected,
            window,
            {"dilations": dilation, "group": given.group},
        )
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, window.kernel, strict=True)]
        sides = [
            (side + 2 * pad - far) // step + 1
            for side, pad, far, step in zip(
                x.shape[1:], window.pad, reach, window.stride, strict=True
            )
        ]
        if min(sides) < 1:
            self._refuse(layer, "has a kernel larger than its input")
        return Value(y, (given.num_output, *sides))

    def conv(
        self,
        layer: Layer,
        x: str,
        shape: tuple[int, ...],
        window: _Window,
        more: dict[str, Any],
    ) -> str:
        """The node of a convolution, with its weights."""
        weights = self._blob(layer, 0, shape)
        bias = (
            [self._blob(layer, 1, shape[:1])]
            if layer.message.convolution_param.bias_term
            else []
        )
        options = {
            "kernel_shape": window.kernel,
            "strides": window.stride,
            "pads": window.pad * 2,
            **more,
        }
        return self.graph.node(
            "Conv",
            [x, self.graph.weight(weights), *map(self.graph.weight, bias)],
            options,
        )

    def pooling(self, layer: Layer, x: Value) -> Value:
        """Sizes are rounded up; a last window that would begin beyond the input and its padding is left out. The mean
        counts padding, but nothing beyond it."""
        given = layer.message.pooling_param
        window = self._window(layer, given, x)
        sides = [
            _pooled(
                x.shape[i + 1],
                window.kernel[i],
                window.stride[i],
                window.pad[i],
                clip=any(window.pad),
            )
            for i in (0, 1)
        ]
        options = {"kernel_shape": window.kernel, "strides": window.stride}
        value, before = x.name, window.pad
        if given.pool == _AVERAGE:
            value, before = self.zero_padded(x.name, window.pad), (0, 0)
        elif given.pool != _MAX:
            self._refuse(layer, "pools at random; what can be read is MAX and AVE")
        whole = [
            side + window.pad[i] * (2 if given.pool == _AVERAGE else 1)
            for i, side in enumerate(x.shape[1:])
        ]
        after = [
            max(0, (sides[i] - 1) * window.stride[i] + window.kernel[i] - whole[i])
            for i in (0, 1)
        ]
        if any(end >= kernel for end, kernel in zip(after, window.kernel, strict=True)):
            self._refuse(
                layer, "has a stride so large that its last window sees nothing"
            )
        kind = "AveragePool" if given.pool == _AVERAGE else "MaxPool"
        return Value(
            self.graph.node(kind, [value], {**options, "pads": [*before, *after]}),
            (x.shape[0], *sides),
        )

    def zero_padded(self, x: str, pad: Pair) -> str:
        """With zeros around; as it is where there is nothing to add."""
        if not any(pad):
            return x
        return self.graph.node(
            "Pad",
            [x, self.graph.weight(np.array([0, 0, *pad, 0, 0, *pad], dtype=np.int64))],
        )

    def lrn(self, layer: Layer, x: Value) -> Value:
        """Caffe divides alpha by the number of channels it sums over, as ONNX does."""
        given = layer.message.lrn_param
        if given.norm_region:
            self._refuse(
                layer, "normalises within channels; what can be read is ACROSS_CHANNELS"
            )
        options = {
            "size": given.local_size,
            "alpha": given.alpha,
            "beta": given.beta,
            "bias": given.k,
        }
        return Value(self.graph.node("LRN", [x.name], options), x.shape)

    def relu(self, layer: Layer, x: Value) -> Value:
        slope = layer.message.relu_param.negative_slope
        y = (
            self.graph.node("LeakyRelu", [x.name], {"alpha": slope})
            if slope
            else self.graph.node("Relu", [x.name])
        )
        return Value(y, x.shape)

    def inner_product(self, layer: Layer, x: Value) -> Value:
        given, inputs = layer.message.inner_product_param, math.prod(x.shape)
        if given.axis != 1:
            self._refuse(layer, "does not begin at axis 1")
        shape = (
            (inputs, given.num_output)
            if given.transpose
            else (given.num_output, inputs)
        )
        weights = self._blob(layer, 0, shape)
        values = [self.graph.weight(weights if given.transpose else weights.T)]
        if given.bias_term:
            values.append(self.graph.weight(self._blob(layer, 1, (given.num_output,))))
        return Value(
            self.graph.node("Gemm", [self.graph.node("Flatten", [x.name]), *values]),
            (given.num_output,),
        )

    def softmax(self, layer: Layer, x: Value) -> Value:
        if layer.message.softmax_param.axis != 1:
            self._refuse(layer, "is not over axis 1")
        return Value(self.graph.node("Softmax", [x.name], {"axis": 1}), x.shape)

    def _blob(self, layer: Layer, index: int, shape: tuple[int, ...]) -> F32:
        """A layer's weights (0) or bias (1); older files write them with leading ones."""
        blobs, foreign = (
            self.weights.get(layer.name, []),
            f"{self.weights_file} does not belong to {self.prototxt}",
        )
        if index >= len(blobs):
            raise ModelError(
                f"{foreign}: it holds no {'bias' if index else 'weights'} of layer {layer.name}"
            )
        blob = blobs[index]
        if blob.size != math.prod(shape) or blob.shape[-len(shape) :] != shape:
            raise ModelError(
                f"{foreign}: layer {layer.name} has numbers of shape {blob.shape}, expected {shape}"
            )
        return blob.reshape(shape)

    def _window(self, layer: Layer, given: Any, x: Value) -> _Window:
        if len(x.shape) != 3:
            self._refuse(layer, "reads a row of numbers, not a picture")
        kernel = _pair(given.kernel_size, 0, given.kernel_h, given.kernel_w)
        if getattr(given, "global_pooling", False):
            kernel = (x.shape[1], x.shape[2])
        stride = _pair(given.stride, 1, given.stride_h, given.stride_w)
        pad = _pair(given.pad, 0, given.pad_h, given.pad_w)
        fits = all(
            0 <= p < k <= side + 2 * p
            for p, k, side in zip(pad, kernel, x.shape[1:], strict=True)
        )
        if not fits or min(stride) < 1:
            self._refuse(
                layer,
                f"has kernel {kernel}, stride {stride} and padding {pad} on {x.shape[1:]} pixels",
            )
        return _Window(kernel, stride, pad)

    def _refuse(self, layer: Layer, why: str) -> NoReturn:
        raise ModelError(f"{self.prototxt}: layer {layer.name!r} {why}")


@dataclass(frozen=True, slots=True)
class _Window:
    kernel: Pair
    stride: Pair
    pad: Pair


def _pair(values: Any, default: int, down: int = 0, across: int = 0) -> Pair:
    """One value for both directions, one for each, or the fields that name the direction."""
    if down or across:
        return down, across
    if not values:
        return default, default
    return values[0], values[-1]


def _pooled(side: int, kernel: int, stride: int, pad: int, *, clip: bool) -> int:
    windows = math.ceil((side + 2 * pad - kernel) / stride) + 1
    return windows - 1 if clip and (windows - 1) * stride >= side + pad else windows
