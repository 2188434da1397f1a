"""An ONNX graph in the making: nodes and weights, named as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

INPUT, OUTPUT = "images", "probabilities"
_OPSET, _IR = 17, 8


class Graph:
    """Collects nodes and weights; values are named as they come."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def node(
        self, kind: str, inputs: Sequence[str], options: Mapping[str, Any] | None = None
    ) -> str:
        """Adds a node and gives the name of its output."""
        from onnx import helper

        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                kind, list(inputs), [output], f"n{len(self.nodes)}", **(options or {})
            )
        )
        return output

    def weight(self, values: NDArray[Any]) -> str:
        """Adds a constant and gives its name."""
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def transpose(self, value: str, order: Sequence[int]) -> str:
        return self.node("Transpose", [value], {"perm": list(order)})

    def model(self, output: str, shape: Sequence[int]) -> ModelProto:
        """The graph from `INPUT`, float32 (N, *shape), to the value `output`, which is called `OUTPUT`."""
        from onnx import TensorProto, helper

        self.nodes.append(helper.make_node("Identity", [output], [OUTPUT], "output"))
        y = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", None])
        return self._model(["N", *shape], [y])

    def model_of(self, shape: Sequence[int], outputs: Sequence[str]) -> ModelProto:
        """The graph from `INPUT`, float32 of this shape, to these values, which keep their names."""
        from onnx import TensorProto, helper

        info = helper.make_tensor_value_info
        values = [info(name, TensorProto.FLOAT, None) for name in outputs]
        return self._model(shape, values)

    def _model(
        self, shape: Sequence[int | str], outputs: Sequence[ValueInfoProto]
    ) -> ModelProto:
        from onnx import TensorProto, helper

        x = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, list(shape))
        read = {name for node in self.nodes for name in node.input}
        weights = [weight for weight in self.weights if weight.name in read]
        graph = helper.make_graph(self.nodes, "imported", [x], list(outputs), weights)
        opset = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(
            graph, producer_name="mien", opset_imports=opset, ir_version=_IR
        )
