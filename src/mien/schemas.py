"""The one JSON shape of a result (see the contract in the README), and its way back."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mien.text import printable
from mien.types import Face, FrameResult

PARTS = ("identity", "age", "gender", "emotion")

Path = Annotated[str, BeforeValidator(printable)]  # valid UTF-8, whatever the file system holds


class FaceRecord(BaseModel):
    """One face. Fields that were not asked for are unset and left out of the JSON."""

    model_config = ConfigDict(extra="allow")

    box: tuple[float, float, float, float]
    score: float
    landmarks: list[tuple[float, float]]
    track_id: int | None = None
    name: str | None = None
    distance: float | None = None
    age: float | None = None
    age_group: str | None = None
    age_group_probs: dict[str, float] | None = None
    gender: str | None = None
    gender_probs: dict[str, float] | None = None
    emotion: str | None = None
    emotion_probs: dict[str, float] | None = None
    embedding: list[float] | None = None


class FrameRecord(BaseModel):
    """One picture or frame; `error` only where this input failed. Bytes of `source` that are no UTF-8 are \\xNN."""

    source: Path
    index: int = 0
    time_s: float = 0.0
    width: int = 0
    height: int = 0
    faces: list[FaceRecord] = []
    error: Annotated[str | None, BeforeValidator(lambda text: text and printable(text))] = None

    def to_json(self) -> str:
        """One line of JSON."""
        return self.model_dump_json(exclude_unset=True)

    def to_dict(self) -> dict[str, object]:
        """The same as plain Python values."""
        return self.model_dump(mode="json", exclude_unset=True)


def frame_record(result: FrameResult, *, identity: bool = True, embeddings: bool = False) -> FrameRecord:
    """A result as JSON shows it; without `identity` the name and distance are left out."""
    return FrameRecord(
        source=result.source,
        index=result.index,
        time_s=round(result.time_s, 3),
        width=result.width,
        height=result.height,
        faces=[_face_record(face, identity=identity, embeddings=embeddings) for face in result.faces],
    )


def error_record(source: str, error: Exception) -> FrameRecord:
    """What stands in the output for an input that failed."""
    return FrameRecord(source=source, index=0, time_s=0.0, width=0, height=0, faces=[], error=str(error))


def _face_record(face: Face, *, identity: bool, embeddings: bool) -> FaceRecord:
    values: dict[str, object] = {
        "box": tuple(round(float(v), 1) for v in face.box),
        "score": round(face.score, 4),
        "landmarks": [(round(float(x), 1), round(float(y), 1)) for x, y in face.landmarks],
        "track_id": face.track_id,
    }
    if identity:
        values |= {"name": face.name, "distance": None if face.distance is None else round(face.distance, 4)}
    if face.age is not None:
        values["age"] = round(face.age, 1)
    for attribute, probs in face.probs.items():
        values |= {attribute: face.top(attribute), f"{attribute}_probs": {k: round(p, 4) for k, p in probs.items()}}
    if embeddings and face.embedding is not None:
        values["embedding"] = [round(float(v), 6) for v in face.embedding]
    return FaceRecord.model_validate(values)
