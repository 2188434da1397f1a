"""Frozen TensorFlow graphs (`.pb`) as the old retrain script wrote them: Inception v3 (2015) or MobileNet v1.

Read without TensorFlow. Pictures keep TensorFlow's layout (N, H, W, C); ONNX Runtime takes the transpositions around
convolutions out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.graph import INPUT, Graph
from mien.models.classifier import Preprocessing
from mien.train.importers.graph_files import Node, array_of, read_graph
from mien.train.importers.network import ImportedNetwork

Array = NDArray[Any]
RESULT = "final_result"  # the retrain script's --final_tensor_name
_SAME_THING = frozenset(
    "Identity CheckNumerics StopGradient PlaceholderWithDefault Snapshot".split()
)
_ELEMENTWISE = {  # TensorFlow's name: ONNX's
    "Add": "Add",
    "AddV2": "Add",
    "BiasAdd": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "RealDiv": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
}


def read_files(
    files: Sequence[Path], architecture: str | None = None
) -> ImportedNetwork:
    """The network of a GRAPH.pb, which knows its own architecture."""
    (file,) = files
    return read_frozen_graph(file)


def read_frozen_graph(file: Path) -> ImportedNetwork:
    """The network of a frozen graph, from its resized picture to its probabilities.

    Inception is fed at `Mul`, behind the decoding and resizing that its graph carries; a MobileNet at its placeholder.

    Raises:
        ModelError: The file is damaged or foreign, or an operation is not among those of these networks.
    """
    nodes = read_graph(file)
    entry, how = _entry(nodes, file)
    builder = _FrozenGraph(nodes, file, entry)
    output = builder.value(_result(nodes, file))
    return ImportedNetwork(
        builder.graph.model(output, (how.size, how.size, 3)),
        how,
        "TensorFlow frozen graph",
        (file,),
    )


def _entry(nodes: Mapping[str, Node], file: Path) -> tuple[str, Preprocessing]:
    """The node that is fed, and with what."""
    resizer = next(
        (node for node in nodes.values() if node.op == "ResizeBilinear"), None
    )
    if resizer is not None and "Mul" in nodes:
        size = nodes.get(resizer.inputs[1]) if len(resizer.inputs) > 1 else None
        given: list[int] = []
        if size is not None and size.op == "Const":
            given = [int(side) for side in array_of(size, file).ravel()]
        return "Mul", _preprocessing(given, 128.0, file)
    places = [node for node in nodes.values() if node.op == "Placeholder"]
    if len(places) != 1:
        raise ModelError(
            f"{file} has {len(places)} placeholders; a retrained graph has one, or a 'Mul' to be fed"
        )
    shape = places[0].attributes.get("shape")
    sides = [] if shape is None else [dim.size for dim in shape.shape.dim][1:3]
    return places[0].name, _preprocessing(sides, 127.5, file)


def _preprocessing(sides: Sequence[int], mean: float, file: Path) -> Preprocessing:
    """Pixels become -1 to 1, as the retrain script feeds them."""
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] < 1:
        raise ModelError(
            f"{file} does not say how large its pictures are (found {list(sides) or 'nothing'})"
        )
    return Preprocessing(
        size=sides[0], crop="box", mean=(mean,), std=(mean,), sampling="corner"
    )


def _result(nodes: Mapping[str, Node], file: Path) -> str:
    """`final_result`, or else the one softmax that nothing reads."""
    if RESULT in nodes:
        return RESULT
    read = {name for node in nodes.values() for name in node.inputs}
    ends = [
        node.name
        for node in nodes.values()
        if node.op == "Softmax" and node.name not in read
    ]
    if len(ends) != 1:
        raise ModelError(
            f"{file} holds no node {RESULT!r} and {len(ends)} softmax layers at its end; is it retrained?"
        )
    return ends[0]


class _FrozenGraph:
    """Lays the nodes that the result needs."""

    def __init__(self, nodes: Mapping[str, Node], file: Path, entry: str) -> None:
        self.nodes = nodes
        self.file = file
        self.graph = Graph()
        self.values = {entry: INPUT}

    def value(self, wanted: str) -> str:
        """The ONNX name of a node's output; what it needs is laid first (by a stack: graphs are deep)."""
        waiting = [wanted]
        while waiting:
            name = waiting[-1]
            missing = (
                []
                if name in self.values
                else [i for i in self._node(name).inputs if i not in self.values]
            )
            if any(i in waiting for i in missing):
                raise ModelError(
                    f"{self.file}: node {name} needs itself; the graph is damaged"
                )
            waiting.extend(missing)
            if not missing:
                waiting.pop()
                if name not in self.values:
                    self.values[name] = self.lay(self.nodes[name])
        return self.values[wanted]

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            raise ModelError(
                f"{self.file} lacks its node {name}; the graph is damaged, or cut"
            )
        return self.nodes[name]

    def lay(self, node: Node) -> str:
        """The node in the graph, and what it reads before it."""
        if node.op in _SAME_THING and node.inputs:
            return self.values[node.inputs[0]]
        if node.op in _ELEMENTWISE:
            return self.graph.node(_ELEMENTWISE[node.op], self._inputs(node))
        make = self.makers().get(node.op)
        if make is None:
            if node.op.startswith(("Variable", "VarHandle", "ReadVariable")):
                why_not = (
                    "the graph is not frozen: run TensorFlow's freeze_graph on it first"
                )
            elif node.op.startswith(("Quantiz", "Dequantiz", "FakeQuant", "Requantiz")):
                why_not = "quantised graphs are not supported: take the network that is not quantised"
            else:
                why_not = "what can be read are the operations of the retrain script's Inception v3 and MobileNet"
            self._refuse(node, "cannot be read; " + why_not)
        try:
            return make(node)
        except (IndexError, KeyError) as exc:
            raise ModelError(
                f"{self.file}: {node.op} {node.name} lacks an input or an attribute ({exc})"
            ) from exc

    def makers(self) -> Mapping[str, Callable[[Node], str]]:
        """What makes a node of each kind."""
        return {
            "Const": lambda node: self.graph.weight(array_of(node, self.file)),
            "Conv2D": self.conv,
            "DepthwiseConv2dNative": self.depthwise,
            "MaxPool": lambda node: self.pool(node, "MaxPool"),
            "AvgPool": lambda node: self.pool(node, "AveragePool"),
            "BatchNormWithGlobalNormalization": self.old_batch_norm,
            **dict.fromkeys(
                ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
                self.batch_norm,
            ),
            "LRN": self.lrn,
            "Relu6": self.relu6,
            "Rsqrt": lambda node: self.graph.node(
                "Reciprocal", [self.graph.node("Sqrt", self._inputs(node))]
            ),
            "Concat": lambda node: self.concat(node, first=1),
            "ConcatV2": lambda node: self.concat(node, first=0),
            "Reshape": self.reshape,
            "Squeeze": self.squeeze,
            "Mean": self.mean,
            "MatMul": self.matmul,
            "Softmax": lambda node: self.graph.node(
                "Softmax", self._inputs(node), {"axis": -1}
            ),
        }

    def _inputs(self, node: Node) -> list[str]:
        return [self.values[name] for name in node.inputs]

    def conv(self, node: Node) -> str:
        weights = self._constant(node, 1, dimensions=4)
        return self._conv(node, weights.transpose(3, 2, 0, 1), group=1)

    def depthwise(self, node: Node) -> str:
        """Weights are (H, W, channels, filters of each)."""
        weights = self._constant(node, 1, dimensions=4)
        height, width, channels, filters = weights.shape
        return self._conv(
            node,
            weights.transpose(2, 3, 0, 1).reshape(channels * filters, 1, height, width),
            channels,
        )

    def _conv(self, node: Node, weights: Array, group: int) -> str:
        dilations = (
            list(node.attributes["dilations"].list.i)[1:3]
            if "dilations" in node.attributes
            else [1, 1]
        )
        options = {
            "kernel_shape": weights.shape[2:],
            "strides": self._sides(node, "strides"),
            "dilations": dilations or [1, 1],
            "auto_pad": self._padding(node),
            "group": group,
        }
        return self._channels_first(node, "Conv", [self.graph.weight(weights)], options)

    def pool(self, node: Node, kind: str) -> str:
        options = {
            "kernel_shape": self._sides(node, "ksize"),
            "strides": self._sides(node, "strides"),
            "auto_pad": self._padding(node),
        }
        return self._channels_first(node, kind, [], options)

    def old_batch_norm(self, node: Node) -> str:
        """Inputs are the picture, mean, variance, beta and gamma; gamma may be meant to be left out."""
        mean, variance, beta, gamma = (
            self._constant(node, i, dimensions=1) for i in (1, 2, 3, 4)
        )
        scale = (
            gamma
            if node.attributes["scale_after_normalization"].b
            else np.ones_like(gamma)
        )
        weights = [
            self.graph.weight(values) for values in (scale, beta, mean, variance)
        ]
        options = {"epsilon": node.attributes["variance_epsilon"].f}
        return self._channels_first(node, "BatchNormalization", weights, options)

    def batch_norm(self, node: Node) -> str:
        if "is_training" in node.attributes and node.attributes["is_training"].b:
            self._refuse(node, "is in training; freeze the graph for use")
        weights = [
            self.graph.weight(self._constant(node, i, dimensions=1))
            for i in (1, 2, 3, 4)
        ]
        epsilon = node.attributes["epsilon"].f if "epsilon" in node.attributes else 1e-4
        return self._channels_first(
            node, "BatchNormalization", weights, {"epsilon": epsilon}
        )

    def lrn(self, node: Node) -> str:
        """TensorFlow sums over `depth_radius` to each side and does not divide alpha by their number, as ONNX does."""
        given = node.attributes
        size = 2 * (given["depth_radius"].i if "depth_radius" in given else 5) + 1
        alpha, beta, bias = (
            given[name].f if name in given else rest
            for name, rest in _LRN_DEFAULTS.items()
        )
        return self._channels_first(
            node,
            "LRN",
            [],
            {"size": size, "alpha": alpha * size, "beta": beta, "bias": bias},
        )

    def relu6(self, node: Node) -> str:
        limits = [
            self.graph.weight(np.array(limit, dtype=np.float32)) for limit in (0, 6)
        ]
        return self.graph.node("Clip", [*self._inputs(node), *limits])

    def concat(self, node: Node, *, first: int) -> str:
        """The axis is an input: the first one in the old form, the last one in the newer."""
        axis = int(
            self._constant(node, 0 if first else len(node.inputs) - 1, dimensions=0)
        )
        values = self._inputs(node)[first : len(node.inputs) - 1 + first]
        return self.graph.node("Concat", values, {"axis": axis})

    def reshape(self, node: Node) -> str:
        """A graph made for one picture says 1 where a batch of any size is meant."""
        shape = self._constant(node, 1, dimensions=1).astype(np.int64)
        if len(shape) > 1 and shape[0] == 1:
            shape = np.array([0, *shape[1:]], dtype=np.int64)  # 0: as many as there are
        return self.graph.node(
            "Reshape", [self.values[node.inputs[0]], self.graph.weight(shape)]
        )

    def squeeze(self, node: Node) -> str:
        axes = list(node.attributes["squeeze_dims"].list.i)
        if not axes or 0 in axes:
            self._refuse(node, "would squeeze the batch")
        return self.graph.node(
            "Squeeze",
            [*self._inputs(node), self.graph.weight(np.array(axes, dtype=np.int64))],
        )

    def mean(self, node: Node) -> str:
        axes = self._constant(node, 1).ravel().astype(int).tolist()
        keep = int("keep_dims" in node.attributes and node.attributes["keep_dims"].b)
        return self.graph.node(
            "ReduceMean",
            [self.values[node.inputs[0]]],
            {"axes": axes, "keepdims": keep},
        )

    def matmul(self, node: Node) -> str:
        turned = [
            int(name in node.attributes and node.attributes[name].b)
            for name in ("transpose_a", "transpose_b")
        ]
        return self.graph.node(
            "Gemm", self._inputs(node), {"transA": turned[0], "transB": turned[1]}
        )

    def _channels_first(
        self, node: Node, kind: str, weights: Sequence[str], options: Mapping[str, Any]
    ) -> str:
        """An operation of ONNX on pictures, its first input turned to (N, C, H, W) and its output turned back."""
        if "data_format" in node.attributes and node.attributes[
            "data_format"
        ].s not in {b"", b"NHWC"}:
            self._refuse(
                node, "holds channels first; graphs are read with channels last (NHWC)"
            )
        x = self.graph.transpose(self.values[node.inputs[0]], (0, 3, 1, 2))
        return self.graph.transpose(
            self.graph.node(kind, [x, *weights], options), (0, 2, 3, 1)
        )

    def _constant(self, node: Node, index: int, dimensions: int | None = None) -> Array:
        """The constant behind an input."""
        source = self._node(node.inputs[index])
        while source.op in _SAME_THING and source.inputs:
            source = self._node(source.inputs[0])
        if source.op != "Const":
            self._refuse(
                node,
                f"takes {source.name} for a constant, which is a {source.op}; freeze the graph first",
            )
        values = array_of(source, self.file)
        if dimensions is not None and values.ndim != dimensions:
            self._refuse(
                node,
                f"has a constant of shape {values.shape}, {dimensions} dimensions expected",
            )
        return values

    def _sides(self, node: Node, name: str) -> list[int]:
        return list(node.attributes[name].list.i)[1:3]

    def _padding(self, node: Node) -> str:
        padding = node.attributes["padding"].s.decode(errors="replace")
        if padding not in {"SAME", "VALID"}:
            self._refuse(
                node, f"has the padding {padding}; what can be read is SAME and VALID"
            )
        return {"SAME": "SAME_UPPER", "VALID": "VALID"}[padding]

    def _refuse(self, node: Node, why: str) -> NoReturn:
        raise ModelError(f"{self.file}: {node.op} {node.name!r} {why}")


_LRN_DEFAULTS = {"alpha": 1.0, "beta": 0.5, "bias": 1.0}
