"""Model files: the network, and in its metadata all that is needed to use and to judge it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien import __version__, onnx_files
from mien.errors import MienError, ModelError
from mien.models.attributes.heads import EMOTION_FEATURES
from mien.onnx_files import Message
from mien.runtime import Compute, OnnxModel
from mien.store import write_atomically
from mien.text import from_json
from mien.types import F32

BACKBONE_SHAPES: dict[str, tuple[int, ...]] = {
    "embedding": (128,),
    "map_128": (128, 8, 8),
    "map_256": (256, 4, 4),
    EMOTION_FEATURES: (512,),
}
OUTPUT = "probabilities"
TOLERANCE = (
    1e-4  # largest difference between the exported network and the one that was trained
)


@dataclass(frozen=True, slots=True)
class Card:
    """What a model file says of itself. `data_sha256` is of every picture's bytes and label; `measured` its figures."""

    labels: tuple[str, ...]
    preprocessing: Mapping[str, object]
    architecture: str
    seed: int
    licence: str
    data_sha256: str
    measured: Mapping[str, object]

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Card:
        """The card in a model file's metadata; what is not in it stays empty.

        Raises:
            ModelError: It cannot be read.
        """
        try:
            return cls(
                labels=tuple(from_json(metadata.get("labels", "[]"))),
                preprocessing=from_json(metadata.get("preprocessing", "{}")),
                architecture=metadata.get("architecture", "model"),
                seed=int(metadata.get("seed", "0")),
                licence=metadata.get("licence", "not stated"),
                data_sha256=metadata.get("data_sha256", ""),
                measured=from_json(metadata.get("measured", "{}")),
            )
        except (ValueError, TypeError) as exc:
            raise ModelError(
                f"the model file's metadata cannot be read: {exc}"
            ) from exc

    def metadata(self) -> dict[str, str]:
        """As ONNX keeps it: text by name."""
        return {
            "labels": json.dumps(list(self.labels), ensure_ascii=False),
            "preprocessing": json.dumps(dict(self.preprocessing)),
            "architecture": self.architecture,
            "seed": str(self.seed),
            "licence": self.licence,
            "data_sha256": self.data_sha256,
            "measured": json.dumps(dict(self.measured)),
            "made_by": f"mien {__version__}",
        }


def backbone_head(matrices: Mapping[str, F32], bias: F32) -> Message:
    """A softmax over linear functions of the backbone's outputs: `matrices` (D, K) by output, `bias` (K,)."""
    names = tuple(matrices)
    tensors = [onnx_files.tensor(matrices[name], f"w_{name}") for name in names]
    nodes, total = [], "bias"
    for name in names:
        nodes.append(onnx_files.node("Flatten", [name], [f"flat_{name}"], axis=1))
        nodes.append(
            onnx_files.node(
                "Gemm", [f"flat_{name}", f"w_{name}", total], [f"sum_{name}"]
            )
        )
        total = f"sum_{name}"
    nodes.append(onnx_files.node("Softmax", [total], [OUTPUT], axis=1))
    return onnx_files.model(
        "backbone_head",
        nodes,
        [onnx_files.value(name, ["N", *BACKBONE_SHAPES[name]]) for name in names],
        [onnx_files.value(OUTPUT, ["N", len(bias)])],
        [*tensors, onnx_files.tensor(bias, "bias")],
    )


def finished(model: Message, card: Card, inputs: Sequence[F32], expected: F32) -> bytes:
    """The file's bytes, once the network has given in ONNX Runtime what it gave in training.

    Args:
        model: The network.
        card: Goes into its metadata.
        inputs: A batch (N, ...) for each of its inputs.
        expected: The trained network's answers (N, K).

    Raises:
        ModelError: They differ by more than `TOLERANCE`.
    """
    onnx_files.describe(model, card.metadata())
    data = bytes(model.SerializeToString(deterministic=True))
    (answers,) = OnnxModel(data, card.architecture, Compute("cpu"))(*inputs)
    difference = float(np.abs(answers - expected).max(initial=0))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the exported {card.architecture} differs from the trained one by {difference:.2g}, more than "
            f"{TOLERANCE:g}: nothing was written"
        )
    return data


def write_model(file: Path, data: bytes) -> None:
    """Puts a model file in its place, whole or not at all.

    Raises:
        MienError: The place cannot be written.
    """
    try:
        write_atomically(file, data)
        file.chmod(
            0o644
        )  # a temporary file is its owner's only; this one is to be shared
    except OSError as exc:
        raise MienError(f"cannot write {file}: {exc.strerror or exc}") from exc
