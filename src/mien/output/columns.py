"""What is told of faces: the one list that JSON, tables, pictures, pages and reports follow."""

from __future__ import annotations

from dataclasses import dataclass

from mien.attribute import Attribute, Column
from mien.space import EmbeddingSpace
from mien.types import Face

PLACE = (
    Column("box", "box"),
    Column("score", "number"),
    Column("landmarks", "points"),
    Column("track_id", "integer"),
    Column("angle", "number"),
    Column("quality", "number"),
)
PERSON = (
    Column("name", "text"),
    Column("distance", "number"),
    Column("name_probability", "number"),
)
EMBEDDING = Column("embedding", "vector")


@dataclass(frozen=True, slots=True)
class Told:
    """What results can tell of each face: these attributes, and descriptors of this space."""

    attributes: tuple[Attribute, ...]
    space: EmbeddingSpace

    @property
    def columns(self) -> tuple[Column, ...]:
        """Everything, in the order in which it is told."""
        return (
            *PLACE,
            *PERSON,
            *(c for attribute in self.attributes for c in attribute.columns),
            EMBEDDING,
        )


def told_of(
    face: Face, *, identity: bool = True, embeddings: bool = False
) -> dict[str, object]:
    """What is told of one face, by column, rounded as it is shown; what was not asked for is left out."""
    told: dict[str, object] = {
        "box": [round(float(v), 1) for v in face.box],
        "score": round(face.score, 4),
        "landmarks": [
            (round(float(x), 1), round(float(y), 1)) for x, y in face.landmarks
        ],
        "track_id": face.track_id,
    }
    if face.angle is not None:
        told["angle"] = round(face.angle, 1)
    if face.quality is not None:
        told["quality"] = round(face.quality, 3)
    if identity:
        told |= {
            "name": face.name,
            "distance": None if face.distance is None else round(face.distance, 4),
        }
        if face.name_probability is not None:
            told["name_probability"] = round(face.name_probability, 4)
    for estimate in face.attributes.values():
        told |= estimate.fields()
    if embeddings and face.embedding is not None:
        told["embedding"] = [round(float(v), 6) for v in face.embedding]
    return told
