"""What an importer hands over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mien import onnx_files
from mien.errors import InputError, ModelError
from mien.models.classifier import Preprocessing, feed
from mien.onnx_files import Message
from mien.runtime import Compute, OnnxModel


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """A network taken over: its graph, how it wants to be fed, what kind it is (in words), the files it came from."""

    graph: Message
    preprocessing: Preprocessing
    kind: str
    sources: tuple[Path, ...]

    def describe(self, labels: Sequence[str], licence: str) -> None:
        """Lets the graph say what it tells, how it is fed, and where it is from."""
        digests = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in self.sources
        }
        properties = {
            "labels": json.dumps(list(labels), ensure_ascii=False),
            "preprocessing": json.dumps(asdict(self.preprocessing)),
            "licence": licence,
            "source": f"{self.kind}: {', '.join(digests)}",
            "source_sha256": json.dumps(digests, ensure_ascii=False),
        }
        onnx_files.describe(self.graph, properties)

    def try_out(self, data: bytes, labels: Sequence[str], names: str) -> None:
        """Runs two grey pictures through it: a network that does not hold together fails here, not in use.

        Raises:
            ModelError: It gives something else than probabilities.
            InputError: It tells another number of classes apart.
        """
        how = self.preprocessing
        grey = np.full((2, how.size, how.size, 3), 127, np.float32)
        probs = OnnxModel(data, names, Compute("cpu", 1))(feed(grey, how))[0]
        if probs.ndim != 2 or len(probs) != 2:
            raise ModelError(
                f"{names}: the network gives {probs.shape[1:]} numbers a picture, not one row of probabilities"
            )
        if probs.shape[1] != len(labels):
            raise InputError(
                f"{names}: the network tells {probs.shape[1]} classes apart, but there are {len(labels)} labels"
            )
