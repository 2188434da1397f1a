"""The one JSON shape of a result (see the contract in the README), and its way back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mien.output.columns import told_of
from mien.text import printable, shown
from mien.types import FrameResult

Path = Annotated[
    str, BeforeValidator(printable)
]  # valid UTF-8, whatever the file system holds


class FaceRecord(BaseModel):
    """One face. Fields that were not asked for are unset and left out of the JSON.

    Each attribute adds its own, a label and its `…_probs`, or a number (see `mien.attribute`); `embedding`, where it
    was asked for, stands last.
    """

    model_config = ConfigDict(extra="allow")

    box: tuple[float, float, float, float]
    score: float
    landmarks: list[tuple[float, float]]
    track_id: int | None = None
    angle: float | None = None
    quality: float | None = None
    name: str | None = None
    distance: float | None = None
    name_probability: float | None = None

    @property
    def told(self) -> dict[str, Any]:
        """All that was told, by column."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class FrameRecord(BaseModel):
    """One picture or frame; `error` only where this input failed. Bytes of `source` that are no UTF-8 are \\xNN."""

    source: Path
    index: int = 0
    time_s: float = 0.0
    width: int = 0
    height: int = 0
    faces: list[FaceRecord] = []
    error: Annotated[
        str | None, BeforeValidator(lambda text: text and printable(text))
    ] = None

    def to_json(self) -> str:
        """One line of JSON."""
        return self.model_dump_json(exclude_unset=True)

    def to_dict(self) -> dict[str, object]:
        """The same as plain Python values."""
        return self.model_dump(mode="json", exclude_unset=True)


def frame_record(
    result: FrameResult, *, identity: bool = True, embeddings: bool = False
) -> FrameRecord:
    """A result as JSON shows it; without `identity` the name and distance are left out."""
    return FrameRecord(
        source=shown(result.source),
        index=result.index,
        time_s=round(result.time_s, 3),
        width=result.width,
        height=result.height,
        faces=[
            FaceRecord.model_validate(
                told_of(face, identity=identity, embeddings=embeddings)
            )
            for face in result.faces
        ],
    )


def error_record(source: str, error: Exception) -> FrameRecord:
    """What stands in the output for an input that failed."""
    return FrameRecord(
        source=shown(source),
        index=0,
        time_s=0.0,
        width=0,
        height=0,
        faces=[],
        error=str(error),
    )
