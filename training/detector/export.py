"""Writes a run's averaged weights as the ONNX file that ships, and checks it against the network."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from network import Export, Network

from mien.runtime import ort

FREE = {
    "image": {0: "batch", 1: "height", 2: "width"},
    "cells": {0: "batch", 2: "cells"},
}


def export(checkpoint: Path, target: Path) -> None:
    """The moving average of ``checkpoint`` as float32 ONNX: uint8 (N,H,W,3) BGR in, cells (N,15,A) out."""
    kept = torch.load(checkpoint, weights_only=True)
    network = Network()
    network.load_state_dict(kept["average"])
    module = Export(network.eval()).eval()
    picture = torch.zeros((1, 64, 96, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        torch.onnx.export(
            module, (picture,), str(raw), dynamo=False, opset_version=17, input_names=["image"],
            output_names=["cells"], dynamic_axes=FREE,
        )  # fmt: skip
        model = onnx.load(raw)
    for key, value in {
        "steps": kept["step"],
        "family": "compact",
        "strides": "8,16,32",
    }.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, str(value)
    onnx.save(model, target)
    check(module, target)


def check(module: Export, target: Path) -> None:
    """Raises AssertionError unless the file answers as the network does, at another size and batch."""
    pictures = np.random.default_rng(0).integers(
        0, 256, (2, 96, 160, 3), dtype=np.uint8
    )
    session = ort.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"image": pictures})
    with torch.no_grad():
        wanted = module(torch.from_numpy(pictures))
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-3, atol=2e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    export(args.checkpoint, args.out)


if __name__ == "__main__":
    main()
