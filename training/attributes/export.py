"""Step 7: both networks as ONNX files: cropping, scaling and calibration inside, weights as 8-bit numbers."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from data import NETWORKS
from network import STAGES, learnt
from onnx import TensorProto, helper, numpy_helper
from views import CROP, SIDE

INFANT = (
    4  # years; below, gender is hardly to be seen and the answer is made more doubtful
)
CHIP = 150
LOOK = 128 + 256 + 128  # the means of both maps, and the hidden layer
READ = {"map_128": [128, 8, 8], "map_256": [256, 4, 4], "embedding": [128]}
LABELS = {
    "gender": "female,male",
    "emotion": "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt",
}


class Graph:
    """Collects nodes and weights; every method gives the name of what it adds."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        self.state = state
        self.seen: list[str] = []
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(
        self, kind: str, *inputs: str, output: str = "", **attributes: object
    ) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def weight(self, values: np.ndarray) -> str:
        """Kernels in 8 bits with a scale per output; ONNX Runtime multiplies them out when it loads."""
        rows = values.reshape(len(values), -1)
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-12) / 127
        small = np.rint(rows / scale[:, None]).astype(np.int8).reshape(values.shape)
        large = self.node("Cast", self.constant(small), to=TensorProto.FLOAT)
        return self.node(
            "Mul",
            large,
            self.constant(
                scale.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
            ),
        )

    def conv(self, x: str, name: str, *, stride: int = 1, pad: int = 1) -> str:
        kernel, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return self.node(
            "Conv",
            x,
            self.weight(kernel),
            self.constant(bias),
            strides=[stride] * 2,
            pads=[pad] * 4,
        )

    def gemm(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        return self.node(
            "Gemm",
            x,
            self.weight(weight),
            self.constant(bias.astype(np.float32)),
            transB=1,
        )

    def picture(self) -> str:
        """From chips (N, 150, 150, 3) uint8 to (N, 3, SIDE, SIDE) float."""
        left, top, side = CROP
        ends = self.numbers(top, left), self.numbers(top + side, left + side)
        x = self.node("Slice", "chips", *ends, self.numbers(1, 2))
        x = self.node(
            "Transpose", self.node("Cast", x, to=TensorProto.FLOAT), perm=[0, 3, 1, 2]
        )
        scales = self.constant(np.array([1, 1, SIDE / side, SIDE / side], np.float32))
        return self.node(
            "Resize",
            x,
            "",
            scales,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def block(self, x: str, name: str, before: int, after: int, side: int) -> str:
        if before == after:
            y = self.node("Relu", self.conv(x, f"{name}.first"))
            return self.node(
                "Relu", self.node("Add", self.conv(y, f"{name}.second"), x)
            )
        odd = side % 2
        y = self.node("Pad", x, self.numbers(0, 0, 0, 0, 0, 0, 1 + odd, 1 + odd))
        y = self.node("Relu", self.conv(y, f"{name}.first", stride=2, pad=0))
        y = self.conv(y, f"{name}.second")
        if odd:
            x = self.node("Pad", x, self.numbers(0, 0, 0, 0, 0, 0, 1, 1), mode="edge")
        x = self.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = self.node("Pad", x, self.numbers(0, 0, 0, 0, 0, after - before, 0, 0))
        return self.node("Relu", self.node("Add", y, x))

    def body(self) -> str:
        x = self.node("Relu", self.conv(self.picture(), "first", stride=2, pad=0))
        x = self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
        side, before, ends = ((SIDE - 7) // 2 + 1 - 3) // 2 + 1, STAGES[0][0], []
        for i, (channels, blocks) in enumerate(STAGES):
            for j in range(blocks):
                x = self.block(x, f"stages.{i}.{j}", before, channels, side)
                side, before = (side + 1) // 2 if channels != before else side, channels
            ends.append(x)
        middle = self.node("Flatten", self.node("GlobalAveragePool", ends[-2]))
        self.seen = [
            middle,
            self.node("Flatten", self.node("GlobalAveragePool", ends[-1])),
        ]
        return self.node("Concat", middle, self.node("Flatten", ends[-1]), axis=1)

    def emotion(self, chosen: dict) -> None:
        """The whole network, with what it saw for heads of one's own."""
        features = self.body()
        hidden = self.node("Relu", self.layer(features, "tasks.emotion.hidden"))
        self.answer("emotion", self.layer(hidden, "tasks.emotion.out", chosen))
        self.node("Concat", *self.seen, hidden, output="look", axis=1)

    def traits(self, calibration: dict[str, dict]) -> None:
        """The heads that read dlib's ResNet."""
        fine = self.node("Relu", self.conv("map_128", "fine_1", stride=2))
        fine = self.node("Relu", self.node("Add", self.conv(fine, "fine_2"), fine))
        coarse = self.node("Relu", self.conv("map_256", "coarse", pad=0))
        flat = self.node("Flatten", self.node("Concat", fine, coarse, axis=1))
        hidden = self.node(
            "Relu", self.layer(self.node("Concat", flat, "embedding", axis=1), "hidden")
        )
        self.answer("age", self.layer(hidden, "out.age", calibration["age"]))
        logits = self.layer(hidden, "out.gender", calibration["gender"])
        self.answer(
            "gender",
            self.node("Mul", logits, self.sureness(calibration["gender"]["doubt"])),
        )

    def layer(self, x: str, name: str, chosen: dict | None = None) -> str:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        warmth, shift = (
            (1, 0)
            if chosen is None
            else (chosen["temperature"], np.array(chosen["shift"]))
        )
        return self.gemm(x, weight / warmth, (bias + shift) / warmth)

    def answer(self, task: str, logits: str) -> None:
        self.node("Softmax", logits, output=task, axis=1)

    def sureness(self, doubt: float) -> str:
        """(N, 1): 1 for adults, down to 1 - doubt for a face surely under INFANT years."""
        column = np.zeros((1, 101), np.float32)
        column[0, :INFANT] = -doubt
        return self.gemm("age", column, np.ones(1))


def finished(
    graph: Graph, inputs: dict[str, list], outputs: dict[str, int], kind: int
) -> bytes:
    info = helper.make_tensor_value_info
    proto = helper.make_graph(
        graph.nodes,
        "mien",
        [info(name, kind, ["N", *shape]) for name, shape in inputs.items()],
        [info(name, TensorProto.FLOAT, ["N", size]) for name, size in outputs.items()],
        graph.weights,
    )
    model = helper.make_model(
        proto,
        producer_name="mien",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(
        model, {name: LABELS[name] for name in outputs if name in LABELS}
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def emotion_file(work: Path, calibration: dict[str, dict]) -> bytes:
    graph = Graph({name: values.numpy() for name, values in learnt(work).items()})
    graph.emotion(calibration["emotion"])
    return finished(
        graph,
        {"chips": [CHIP, CHIP, 3]},
        {"emotion": 8, "look": LOOK},
        TensorProto.UINT8,
    )


def traits_file(work: Path, calibration: dict[str, dict]) -> bytes:
    with np.load(work / "traits-weights.npz") as npz:
        graph = Graph(dict(npz))
    graph.traits(calibration)
    return finished(graph, READ, {"age": 101, "gender": 2}, TensorProto.FLOAT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--weights", type=Path, required=True, help="the folder to write to"
    )
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    args = parser.parse_args()
    calibration = json.loads((args.work / "calibration.json").read_text())
    builders = {"emotion": emotion_file, "attributes": traits_file}
    for name in args.networks:
        data = builders[name](args.work, calibration)
        (args.weights / f"{name}.onnx").write_bytes(data)
        print(
            f"{name}.onnx: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
        )


if __name__ == "__main__":
    main()
