"""What the document of the HTTP API says of results (`mien.output.schemas` writes them)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


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


class FrameRecord(BaseModel):
    """One picture or frame; `error` only where this input failed. Bytes of `source` that are no UTF-8 are \\xNN."""

    source: str
    index: int = 0
    time_s: float = 0.0
    width: int = 0
    height: int = 0
    faces: list[FaceRecord] = []
    error: str | None = None
