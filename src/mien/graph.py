"""An ONNX graph in the making: nodes and weights, named as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mien import onnx_files
from mien.onnx_files import Message

INPUT, OUTPUT = "images", "probabilities"


class Graph:
    """Collects nodes and weights; values are named as they come."""

    def __init__(self) -> None:
        self.nodes: list[Message] = []
        self.weights: list[Message] = []

    def node(
        self, kind: str, inputs: Sequence[str], options: Mapping[str, Any] | None = None
    ) -> str:
        """Adds a node and gives the name of its output."""
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(
            onnx_files.node(
                kind, list(inputs), [output], f"n{len(self.nodes)}", **(options or {})
            )
        )
        return output

    def weight(self, values: NDArray[Any]) -> str:
        """Adds a constant and gives its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(onnx_files.tensor(values, name))
        return name

    def transpose(self, value: str, order: Sequence[int]) -> str:
        return self.node("Transpose", [value], {"perm": list(order)})

    def model(self, output: str, shape: Sequence[int]) -> Message:
        """The graph from `INPUT`, float32 (N, *shape), to the value `output`, which is called `OUTPUT`."""
        self.nodes.append(onnx_files.node("Identity", [output], [OUTPUT], "output"))
        return self._model(["N", *shape], [onnx_files.value(OUTPUT, ["N", None])])

    def model_of(self, shape: Sequence[int], outputs: Sequence[str]) -> Message:
        """The graph from `INPUT`, float32 of this shape, to these values, which keep their names."""
        return self._model(shape, [onnx_files.value(name, None) for name in outputs])

    def _model(self, shape: Sequence[int | str], outputs: Sequence[Message]) -> Message:
        read = {name for node in self.nodes for name in node.input}
        weights = [weight for weight in self.weights if weight.name in read]
        x = onnx_files.value(INPUT, shape)
        return onnx_files.model("imported", self.nodes, [x], outputs, weights)
