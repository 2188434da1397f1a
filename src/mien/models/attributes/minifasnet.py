"""minivision-ai's MiniFASNet as an ONNX graph: a crop of 80 pixels in, three probabilities out, the second of life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.graph import INPUT, Graph

SIDE = 80  # pixels
_EPSILON = 1e-5  # PyTorch's, of a batch normalisation
_WRAPPED = (
    "module."  # what names begin with if the network was trained on several devices
)
_STAGES = (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2))

Tensors = Mapping[str, NDArray[Any]]


def to_onnx(data: bytes, name: str) -> bytes:
    """The `.pth` file's bytes as a serialised ONNX model, V1, V2 and their kin with squeeze and excitation.

    Input float32 (N, 3, 80, 80), BGR, 0 to 255 as they are; output float32 (N, 3), rows sum to 1. Batch normalisations
    are folded into what stands before or after them.

    Raises:
        ModelError: The bytes are damaged or another network.
    """
    from mien.models.attributes.torch_file import read_tensors  # zip files, pickles

    tensors = read_tensors(data, name)
    try:
        return _MiniFasNetGraph(
            {k.removeprefix(_WRAPPED): v for k, v in tensors.items()}
        )()
    except (KeyError, ValueError, IndexError) as exc:
        raise ModelError(f"{name} is not a MiniFASNet: {exc}") from exc


class _MiniFasNetGraph:
    """The graph, made by the tensors' names: what they do not name is not there."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.graph = Graph()

    def __call__(self) -> bytes:
        x = self.conv(INPUT, "conv1", stride=2)
        x = self.conv(x, "conv2_dw")
        for halving, stage, blocks in _STAGES:
            x = self.block(x, halving, stride=2)
            for i in range(blocks):
                x = self.graph.node("Add", [x, self.block(x, f"{stage}.model.{i}")])
        x = self.conv(self.conv(x, "conv_6_sep"), "conv_6_dw", pad=0)
        x = self.graph.node("Flatten", [x])
        x = self.graph.node("MatMul", [x, self.graph.weight(self.head())])
        x = self.graph.node("Add", [x, self.graph.weight(self.head_bias())])
        x = self.graph.node("Softmax", [x], {"axis": 1})
        model = self.graph.model(x, (3, SIDE, SIDE))
        return bytes(model.SerializeToString())

    def block(self, x: str, name: str, *, stride: int = 1) -> str:
        """Wider, over each channel by itself, narrower again; weighed by its channels' means where it is taught to."""
        x = self.conv(x, f"{name}.conv")
        x = self.conv(x, f"{name}.conv_dw", stride=stride)
        x = self.conv(x, f"{name}.project")
        gate = f"{name}.se_module"
        if f"{gate}.fc1.weight" not in self.tensors:
            return x
        means = self.graph.node("GlobalAveragePool", [x])
        inner = self.convolved(means, f"{gate}.fc1", f"{gate}.bn1")
        outer = self.graph.node("Relu", [inner])
        outer = self.convolved(outer, f"{gate}.fc2", f"{gate}.bn2")
        return self.graph.node("Mul", [x, self.graph.node("Sigmoid", [outer])])

    def conv(
        self, x: str, name: str, *, stride: int = 1, pad: int | None = None
    ) -> str:
        """A convolution, normalised, through its leaky rectifier where it has one."""
        x = self.convolved(x, f"{name}.conv", f"{name}.bn", stride=stride, pad=pad)
        slopes = self.tensors.get(f"{name}.prelu.weight")
        if slopes is None:
            return x
        return self.graph.node(
            "PRelu", [x, self.graph.weight(slopes.reshape(-1, 1, 1))]
        )

    def convolved(
        self, x: str, conv: str, norm: str, *, stride: int = 1, pad: int | None = None
    ) -> str:
        """A convolution with the normalisation that follows it folded in; by each channel where its kernels are flat.

        `pad` None keeps the size.
        """
        kernels = self.tensors[f"{conv}.weight"]
        scale, shift = self.norm(norm)
        side = kernels.shape[2]
        return self.graph.node(
            "Conv",
            [
                x,
                self.graph.weight(_f32(kernels * scale[:, None, None, None])),
                self.graph.weight(_f32(shift)),
            ],
            {
                "kernel_shape": [side, side],
                "strides": [stride, stride],
                "pads": [side // 2 if pad is None else pad] * 4,
                "group": len(kernels) if kernels.shape[1] == 1 else 1,
            },
        )

    def norm(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a batch normalisation multiplies by, and then adds."""
        weight, bias, mean, variance = (
            self.tensors[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / np.sqrt(variance + _EPSILON)
        return scale, bias - mean * scale

    def head(self) -> NDArray[np.float32]:
        """Two linear layers and the normalisation between them, which are one (512, 3)."""
        scale, _ = self.norm("bn")
        inner, outer = self.tensors["linear.weight"], self.tensors["prob.weight"]
        return _f32((outer * scale) @ inner).T

    def head_bias(self) -> NDArray[np.float32]:
        _, shift = self.norm("bn")
        return _f32(self.tensors["prob.weight"] @ shift)


def _f32(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
