"""Faces of which somebody said "this is not X", and what that asks of other faces."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from mien.errors import GalleryError, InputError
from mien.gallery.base import Photo, as_kept
from mien.geometry import l2_distances
from mien.space import EmbeddingSpace
from mien.types import F32, Mask

# Chosen on folds 0 to 4 of CACD-VS (benchmarks/not_them.py): a face so near to a
# counter-example, of the space's tolerance, is the face of it; every other must be so
# much nearer to a person than to what is not that person.
SAME = 0.7
NEARER = 0.94

Stricter = Mapping[str, float]  # the tolerance of a face for single people


@dataclass(frozen=True, slots=True)
class CounterExample:
    """A face that is not the person `name`: its descriptor (D,), the `source` it was
    seen in, when that was said (seconds since 1970) and a small JPEG, if there is one.
    Two faces never have one `id`; one face has the same whoever it is not."""

    id: str
    name: str
    embedding: F32
    source: str
    added: float
    thumbnail: bytes = b""


@runtime_checkable
class KeepsCounterExamples(Protocol):
    """A gallery that remembers who a face is not; all of ours do."""

    def deny(self, name: str, faces: Sequence[Photo]) -> int:
        """Remembers faces that are not this person; returns how many were new.

        Raises PersonNotFound; InputError where one of them is enrolled as that person.
        """
        ...

    def allow(self, name: str, ids: Sequence[str]) -> int:
        """Takes that back; returns how many there were. Raises PersonNotFound."""
        ...

    def counter_examples(self, name: str | None = None) -> list[CounterExample]:
        """Those of a person, or of everybody. Raises PersonNotFound."""
        ...


def keeping(gallery: object) -> KeepsCounterExamples:
    """The gallery, as one that remembers who a face is not.

    Raises:
        GalleryError: It does not.
    """
    if not isinstance(gallery, KeepsCounterExamples):
        raise GalleryError(
            f"{type(gallery).__name__} remembers nobody who a face is not; "
            "use a folder, a .db file or postgresql://…"
        )
    return gallery


def number_of(embedding: F32) -> str:
    """What the face of a descriptor (D,) is called in lists."""
    return hashlib.sha256(embedding.astype("<f4").tobytes()).hexdigest()[:12]


def as_denied(faces: Sequence[Photo], space: EmbeddingSpace) -> dict[str, Photo]:
    """Faces as they are kept, by what they are called. Raises InputError."""
    kept = [as_kept(face, space) for face in faces]
    return {number_of(face.embedding): replace(face, content=b"") for face in kept}


def check_not_enrolled(
    name: str, faces: F32, enrolled: F32, space: EmbeddingSpace
) -> None:
    """Raises InputError where one of the faces (N, D) is a photo (M, D) of a person."""
    if are_enrolled(faces, enrolled, space).any():
        raise InputError(
            f"this picture is enrolled as {name}: remove it there first, "
            f"'mien people photos NAME' lists them"
        )


def are_enrolled(faces: F32, enrolled: F32, space: EmbeddingSpace) -> Mask:
    """Which faces (N, D) are nearly the same picture as one of some photos (M, D)."""
    apart = l2_distances(faces, enrolled).min(axis=1, initial=np.inf)
    return np.asarray(apart < space.euclidean(space.duplicate), np.bool_)


@dataclass(frozen=True, slots=True)
class CounterRows:
    """The counter-examples of a gallery: whom each is not, and descriptors (K, D)."""

    owners: Sequence[str]
    descriptors: F32

    def stricter(
        self, embeddings: F32, limits: F32, space: EmbeddingSpace
    ) -> Sequence[Stricter]:
        """What they ask of each face (N, D), by its tolerance (N,), both Euclidean."""
        if not self.owners:
            return ()
        apart = l2_distances(embeddings, self.descriptors)
        found = []
        for row, limit in zip(apart, limits, strict=True):
            near = np.flatnonzero(row * NEARER < limit)
            nearest: dict[str, float] = {}
            for i in near[np.argsort(row[near])].tolist():
                nearest.setdefault(self.owners[i], float(row[i]))
            found.append(stricter(nearest, space))
        return found


def stricter(apart: Mapping[str, float], space: EmbeddingSpace) -> Stricter:
    """The tolerance for each person by the Euclidean distance to the nearest face that
    is not that person: none where it is that face, else the face must be nearer."""
    same = SAME * space.stranger
    return {
        person: -1.0 if distance <= same else NEARER * distance
        for person, distance in apart.items()
    }


def as_record(example: CounterExample) -> dict[str, object]:
    """A counter-example as it stands in JSON."""
    digits = [float(f"{value:.9g}") for value in example.embedding]  # all float32 has
    return {
        "id": example.id,
        "name": example.name,
        "source": example.source,
        "added": example.added,
        "embedding": digits,
        "thumbnail": base64.b64encode(example.thumbnail).decode(),
    }


def from_record(record: object, space: EmbeddingSpace) -> CounterExample:
    """The other way round. Raises InputError where it is none of this space."""
    try:
        known = dict(record)  # type: ignore[call-overload]
        row = np.asarray(known["embedding"], np.float32)
        picture = base64.b64decode(str(known.get("thumbnail", "")), validate=True)
        told = {key: str(known[key]) for key in ("id", "name", "source")}
        added = float(known["added"])
    except (KeyError, TypeError, ValueError) as exc:
        raise InputError(f"a counter-example is damaged: {exc!r}") from exc
    face = as_kept(Photo(row, "", told["source"], thumbnail=picture), space)
    return CounterExample(
        embedding=face.embedding, added=added, thumbnail=picture, **told
    )
