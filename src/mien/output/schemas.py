"""The one JSON shape of a result (see the contract in the README)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mien.output.columns import told_of
from mien.text import printable, shown
from mien.types import FrameResult


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One face: all that was `told` of it, by column; what was not asked for is left out."""

    told: Mapping[str, Any]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Its corners x1, y1, x2, y2, pixels."""
        x1, y1, x2, y2 = self.told["box"]
        return x1, y1, x2, y2

    @property
    def landmarks(self) -> list[tuple[float, float]]:
        """Its five points."""
        return [(x, y) for x, y in self.told["landmarks"]]

    @property
    def score(self) -> float:
        """How sure it is that it is a face."""
        return float(self.told["score"])

    @property
    def name(self) -> str | None:
        """Who it is, where that is known."""
        return self.told.get("name")

    @property
    def distance(self) -> float | None:
        """How far it is from the nearest person."""
        return self.told.get("distance")


@dataclass(slots=True)
class FrameRecord:
    """One picture or frame; `error` only where this input failed. Bytes of `source` that are no UTF-8 are \\xNN."""

    source: str
    index: int = 0
    time_s: float = 0.0
    width: int = 0
    height: int = 0
    faces: list[FaceRecord] = field(default_factory=list)
    error: str | None = None

    def __post_init__(self) -> None:
        self.source = printable(self.source)
        self.error = self.error and printable(self.error)

    def to_dict(self) -> dict[str, object]:
        """As plain values that JSON can hold."""
        told: dict[str, object] = {
            "source": self.source,
            "index": self.index,
            "time_s": self.time_s,
            "width": self.width,
            "height": self.height,
            "faces": [_plain(face.told) for face in self.faces],
        }
        return told if self.error is None else {**told, "error": self.error}

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """A value as JSON has it, which knows no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def frame_record(
    result: FrameResult, *, identity: bool = True, embeddings: bool = False
) -> FrameRecord:
    """A result as JSON shows it; without `identity` the name and distance are left out."""
    return FrameRecord(
        source=shown(result.source),
        index=int(result.index),  # of somebody else's source: perhaps NumPy's numbers
        time_s=round(float(result.time_s), 3),
        width=int(result.width),
        height=int(result.height),
        faces=[
            FaceRecord(told_of(face, identity=identity, embeddings=embeddings))
            for face in result.faces
        ],
    )


def error_record(source: str, error: Exception) -> FrameRecord:
    """What stands in the output for an input that failed."""
    return FrameRecord(shown(source), error=str(error))
