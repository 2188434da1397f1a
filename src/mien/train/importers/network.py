"""What an importer hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.models.classifier import Preprocessing

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """A network taken over: its graph, how it wants to be fed, what kind it is (in words), the files it came from."""

    graph: ModelProto
    preprocessing: Preprocessing
    kind: str
    sources: tuple[Path, ...]
