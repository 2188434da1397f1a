"""dlib's face recognition network as an ONNX graph: BGR photos of faces in, 128 numbers and two inner maps out."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien import onnx_files
from mien.dlib_models.reader import Conv, FaceResnet, read_resnet
from mien.onnx_files import Message
from mien.types import F32, I64

INPUT = "images"
EMBEDDING, MAP_128, MAP_256 = "embedding", "map_128", "map_256"
SIDE = 150
Options = dict[str, Any]  # a node's attributes
_STAGES = (
    (False, 3),
    (True, 3),
    (True, 2),
    (True, 2),
    (True, 0),
)  # (opens with a halving block, plain blocks)


def to_onnx(
    data: bytes, name: str = "dlib_face_recognition_resnet_model_v1.dat"
) -> bytes:
    """The ``.dat`` file's bytes as a serialised ONNX model.

    Input ``images``: uint8 (N, 150, 150, 3) BGR. Outputs, float32: ``embedding`` (N, 128), not L2-normalised,
    ``map_128`` (N, 128, 8, 8) and ``map_256`` (N, 256, 4, 4), the last ReLU of those stages. N is free, 0 excluded.

    Raises:
        ModelError: the bytes are damaged or another model.
    """
    return _Graph().build(read_resnet(data, name))


class _Graph:
    """Collects nodes and weights; follows the sizes (channels, side) so that shortcuts can be padded to fit."""

    def __init__(self) -> None:
        self.nodes: list[Message] = []
        self.weights: list[Message] = []

    def build(self, net: FaceResnet) -> bytes:
        convs = iter((net.convs[0].for_bytes(net.mean_rgb), *net.convs[1:]))
        x = self.node("Cast", [INPUT], {"to": 1})
        x = self.node("Transpose", [x], {"perm": [0, 3, 1, 2]})
        x, size = self.conv(x, next(convs), (3, SIDE), relu=True)
        x = self.node("MaxPool", [x], {"kernel_shape": [3, 3], "strides": [2, 2]})
        size = (size[0], (size[1] - 3) // 2 + 1)
        ends = []
        for halves, plain in _STAGES:
            for index in range(plain + halves):
                x, size = self.block(
                    x, size, (next(convs), next(convs)), halve=halves and index == 0
                )
            ends.append(x)
        pooled = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        self.node("MatMul", [pooled, self.weight(net.fc)], output=EMBEDDING)
        self.node("Identity", [ends[2]], output=MAP_128)
        self.node("Identity", [ends[3]], output=MAP_256)
        return self.model()

    def node(
        self,
        kind: str,
        inputs: list[str],
        options: Options | None = None,
        *,
        output: str = "",
    ) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(
            onnx_files.node(
                kind, inputs, [output], f"n{len(self.nodes)}", **(options or {})
            )
        )
        return output

    def weight(self, values: F32 | I64) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx_files.tensor(values, name))
        return name

    def conv(
        self, x: str, conv: Conv, size: tuple[int, int], *, relu: bool
    ) -> tuple[str, tuple[int, int]]:
        kernel = conv.weight.shape[2]
        x = self.node(
            "Conv",
            [x, self.weight(conv.weight), self.weight(conv.bias)],
            {
                "kernel_shape": [kernel] * 2,
                "strides": [conv.stride] * 2,
                "pads": [conv.padding] * 4,
            },
        )
        side = (size[1] + 2 * conv.padding - kernel) // conv.stride + 1
        return self.node("Relu", [x]) if relu else x, (conv.weight.shape[0], side)

    def block(
        self, x: str, size: tuple[int, int], convs: tuple[Conv, Conv], *, halve: bool
    ) -> tuple[str, tuple[int, int]]:
        """One residual block; dlib zero-extends whichever side of the sum is smaller, in channels and in size."""
        y, y_size = self.conv(x, convs[0], size, relu=True)
        y, y_size = self.conv(y, convs[1], y_size, relu=False)
        if halve:
            x = self.node(
                "AveragePool", [x], {"kernel_shape": [2, 2], "strides": [2, 2]}
            )
            size = (size[0], size[1] // 2)
        both = (max(size[0], y_size[0]), max(size[1], y_size[1]))
        x = self.node("Add", [self.pad(y, y_size, both), self.pad(x, size, both)])
        return self.node("Relu", [x]), both

    def pad(self, x: str, size: tuple[int, int], to: tuple[int, int]) -> str:
        if size == to:
            return x
        channels, side = to[0] - size[0], to[1] - size[1]
        return self.node(
            "Pad",
            [
                x,
                self.weight(
                    np.array([0, 0, 0, 0, 0, channels, side, side], dtype=np.int64)
                ),
            ],
        )

    def model(self) -> bytes:
        outputs: dict[str, list[int | str | None]] = {
            EMBEDDING: ["N", 128],
            MAP_128: ["N", 128, 8, 8],
            MAP_256: ["N", 256, 4, 4],
        }
        model = onnx_files.model(
            "dlib_face_resnet",
            self.nodes,
            [onnx_files.value(INPUT, ["N", SIDE, SIDE, 3], "uint8")],
            [onnx_files.value(name, shape) for name, shape in outputs.items()],
            self.weights,
        )
        return bytes(model.SerializeToString())
