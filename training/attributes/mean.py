"""Step 6: the mean of the learnt weights and of an older emotion.onnx, which saw less of how the sets look.

    python mean.py --work WORK --older emotion.onnx --share 0.3

Both began from dlib's weights and keep its first stages, so what lies between them is a network too; see README.md for
what that gives and costs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from network import CONVOLUTIONS
from onnx import numpy_helper
from torch import Tensor

HEAD = ["tasks.emotion.hidden", "tasks.emotion.out"]


def weights_of(path: Path) -> dict[str, Tensor]:
    """What export.py wrote, by the network's names; the calibration stays in the last layer."""
    graph = onnx.load(path).graph
    kept = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}

    def values(name: str) -> np.ndarray:
        if name in kept:
            return kept[name]
        node = made_by[name]
        parts = [values(given) for given in node.input]
        return parts[0] * parts[1] if node.op_type == "Mul" else parts[0].astype("f4")

    state = {}
    for kind, names in (("Conv", CONVOLUTIONS), ("Gemm", HEAD)):
        layers = [node for node in graph.node if node.op_type == kind]
        for node, name in zip(layers, names, strict=True):
            state[f"{name}.weight"] = torch.from_numpy(values(node.input[1]).copy())
            state[f"{name}.bias"] = torch.from_numpy(values(node.input[2]).copy())
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--older", type=Path, required=True)
    parser.add_argument("--share", type=float, required=True, help="of the older one")
    args = parser.parse_args()
    state = torch.load(args.work / "training.pt", weights_only=False)["mean"]
    for name, values in weights_of(args.older).items():
        state[name] = args.share * values + (1 - args.share) * state[name]
    torch.save(state, args.work / "mean.pt")


if __name__ == "__main__":
    main()
