"""What an importer hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.models.classifier import Preprocessing
from mien.onnx_files import Message


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """A network taken over: its graph, how it wants to be fed, what kind it is (in words), the files it came from."""

    graph: Message
    preprocessing: Preprocessing
    kind: str
    sources: tuple[Path, ...]
