"""Step 5: both bodies as one ONNX file; normalisation and calibration folded in, weights stored as float16."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from network import EMBEDDING_GAIN, INFANT, TASKS
from onnx import TensorProto, helper, numpy_helper

EPSILON = 1e-5  # PyTorch's batch normalisation
INPUTS = {"map_128": ["N", 128, 8, 8], "map_256": ["N", 256, 4, 4], "embedding": ["N", 128]}
LABELS = {
    "gender": "female,male",
    "emotion": "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt",
}


class Graph:
    """Collects nodes and weights; every method gives the name of what it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, values: np.ndarray) -> str:
        """Matrices and kernels as float16 with a Cast, which ONNX Runtime folds when it loads; biases as float32."""
        name = f"w{len(self.weights)}"
        half = values.ndim > 1
        values = np.ascontiguousarray(values, dtype=np.float16 if half else np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return self.node("Cast", name, to=TensorProto.FLOAT) if half else name

    def conv(self, x: str, kernel: np.ndarray, bias: np.ndarray, *, stride: int = 1) -> str:
        pads = [kernel.shape[2] // 2] * 4
        return self.node("Conv", x, self.weight(kernel), self.weight(bias), strides=[stride] * 2, pads=pads)

    def body(self, state: dict[str, np.ndarray], calibration: dict, tasks: dict[str, int]) -> None:
        fine = self.node("Relu", self.conv("map_128", *folded(state, "fine_1", "norms.fine_1"), stride=2))
        deeper = self.conv(fine, *folded(state, "fine_2", "norms.fine_2"))
        fine = self.node("Relu", self.node("Add", deeper, fine))
        coarse = self.node("Relu", self.conv("map_256", *folded(state, "coarse", "norms.coarse")))
        flat = self.node("Flatten", self.node("Concat", fine, coarse, axis=1))
        kernel, bias = folded(state, "hidden", "hidden_norm")
        kernel[:, -128:] *= EMBEDDING_GAIN
        joined = self.node("Concat", flat, "embedding", axis=1)
        hidden = self.node("Relu", self.node("Gemm", joined, self.weight(kernel), self.weight(bias), transB=1))
        for task in tasks:
            warmth, shift = calibration[task]["temperature"], np.array(calibration[task]["shift"])
            kernel, bias = state[f"out.{task}.weight"] / warmth, (state[f"out.{task}.bias"] + shift) / warmth
            logits = self.node("Gemm", hidden, self.weight(kernel), self.weight(bias), transB=1)
            if task == "gender":
                logits = self.node("Mul", logits, self.sureness(calibration[task]["doubt"]))
            self.node("Softmax", logits, output=task, axis=1)

    def sureness(self, doubt: float) -> str:
        """(N, 1): 1 for adults, down to 1 - doubt for a face surely under INFANT years."""
        column = np.zeros((101, 1), np.float32)
        column[:INFANT] = -doubt
        return self.node("Gemm", "age", self.weight(column), self.weight(np.ones(1)))


def folded(state: dict[str, np.ndarray], layer: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """A layer without bias and the normalisation after it as one kernel and one bias."""
    gain = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + EPSILON)
    kernel = state[f"{layer}.weight"]
    scaled = kernel * gain.reshape(-1, *[1] * (kernel.ndim - 1))
    return scaled, state[f"{norm}.bias"] - gain * state[f"{norm}.running_mean"]


def build(work: Path) -> bytes:
    graph = Graph()
    for name, tasks in TASKS.items():
        with np.load(work / f"{name}.npz") as npz:
            state = dict(npz)
        graph.body(state, json.loads((work / f"{name}-calibration.json").read_text()), tasks)
    sizes = {task: size for tasks in TASKS.values() for task, size in tasks.items()}
    info = helper.make_tensor_value_info
    proto = helper.make_graph(
        graph.nodes,
        "mien_attributes",
        [info(name, TensorProto.FLOAT, shape) for name, shape in INPUTS.items()],
        [info(task, TensorProto.FLOAT, ["N", size]) for task, size in sizes.items()],
        graph.weights,
    )
    model = helper.make_model(proto, producer_name="mien", opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, LABELS)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    data = build(args.work)
    args.output.write_bytes(data)
    print(f"{args.output}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
