"""Inception v3 (Szegedy et al. 2015) with random weights as ONNX: only its speed is wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.channels = {"image": 3}
        self.rng = np.random.default_rng(0)

    def add(
        self, kind: str, inputs: list[str], channels: int, **attributes: object
    ) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.channels[name] = channels
        return name

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        values = self.rng.normal(0, 0.05, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(
        self,
        x: str,
        out: int,
        size: tuple[int, int] | int,
        *,
        stride: int = 1,
        same: bool = True,
    ) -> str:
        """Convolution with its batch normalisation folded in, and ReLU."""
        h, w = (size, size) if isinstance(size, int) else size
        pads = [h // 2, w // 2, h // 2, w // 2] if same else [0, 0, 0, 0]
        inputs = [x, self.weight(out, self.channels[x], h, w), self.weight(out)]
        y = self.add(
            "Conv",
            inputs,
            out,
            kernel_shape=[h, w],
            strides=[stride, stride],
            pads=pads,
        )
        return self.add("Relu", [y], out)

    def path(self, x: str, *steps: tuple[int, tuple[int, int] | int]) -> str:
        for out, size in steps:
            x = self.conv(x, out, size)
        return x

    def pool(self, x: str, *, average: bool = False) -> str:
        if average:
            return self.add(
                "AveragePool",
                [x],
                self.channels[x],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
            )
        return self.add(
            "MaxPool", [x], self.channels[x], kernel_shape=[3, 3], strides=[2, 2]
        )

    def join(self, *parts: str) -> str:
        return self.add(
            "Concat", list(parts), sum(self.channels[p] for p in parts), axis=1
        )


def write_inception(path: Path, *, classes: int = 8) -> None:
    """Writes the network: "image" (1, 3, 299, 299) float32 -> scores (1, classes)."""
    g = _Graph()
    x = g.conv(
        g.conv(g.conv("image", 32, 3, stride=2, same=False), 32, 3, same=False), 64, 3
    )
    x = g.pool(g.conv(g.conv(g.pool(x), 80, 1), 192, 3, same=False))
    for pooled in (32, 64, 64):
        last = g.conv(g.pool(x, average=True), pooled, 1)
        x = g.join(
            g.path(x, (64, 1)),
            g.path(x, (48, 1), (64, 5)),
            g.path(x, (64, 1), (96, 3), (96, 3)),
            last,
        )
    deep = g.conv(g.path(x, (64, 1), (96, 3)), 96, 3, stride=2, same=False)
    x = g.join(g.conv(x, 384, 3, stride=2, same=False), deep, g.pool(x))
    for c in (128, 160, 160, 192):
        two = g.path(x, (c, 1), (c, (1, 7)), (192, (7, 1)))
        four = g.path(x, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7)))
        x = g.join(
            g.path(x, (192, 1)), two, four, g.conv(g.pool(x, average=True), 192, 1)
        )
    wide = g.conv(
        g.path(x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192, 3, stride=2, same=False
    )
    x = g.join(
        g.conv(g.path(x, (192, 1)), 320, 3, stride=2, same=False), wide, g.pool(x)
    )
    for _ in range(2):
        a, b = g.path(x, (384, 1)), g.path(x, (448, 1), (384, 3))
        split = [
            g.conv(part, 384, size) for part in (a, b) for size in ((1, 3), (3, 1))
        ]
        x = g.join(g.path(x, (320, 1)), *split, g.conv(g.pool(x, average=True), 192, 1))
    x = g.add("Flatten", [g.add("GlobalAveragePool", [x], 2048)], 2048)
    x = g.add("Gemm", [x, g.weight(2048, classes), g.weight(classes)], classes)
    _save(path, g, x, classes)


def _save(path: Path, g: _Graph, output: str, classes: int) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 299, 299])
    scores = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, classes])
    graph = helper.make_graph(g.nodes, "inception_v3", [image], [scores], g.weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
