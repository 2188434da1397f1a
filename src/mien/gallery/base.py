"""What every gallery does."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mien.errors import InputError
from mien.types import F32, Matches

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Photo:
    """One enrolled photo: its descriptor (D,) float32 and where it came from. `content` is the photo itself,
    kept only by galleries that are folders of photos; `sha256` is of the photo's bytes."""

    embedding: F32
    sha256: str
    source: str = ""
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the gallery, with the number of photos enrolled; `id` stays when the name changes."""

    id: str
    name: str
    photos: int


class Gallery(Protocol):
    """People and their descriptors. Every change is on disk when the call returns."""

    embedder: str

    def people(self) -> list[Person]:
        """Everybody, by name."""
        ...

    def enroll(self, name: str, photos: Sequence[Photo]) -> int:
        """Adds photos to a person, who is made if new; returns how many were not there yet."""
        ...

    def remove(self, name: str) -> None:
        """Forgets a person and all of their photos. Raises PersonNotFound."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Raises PersonNotFound, PersonExists."""
        ...

    def merge(self, source: str, target: str) -> None:
        """Gives all photos of `source` to `target` and forgets `source`. Raises PersonNotFound."""
        ...

    def discard(self, name: str, sha256s: Sequence[str]) -> int:
        """Takes single photos from a person, who is forgotten when none are left; returns how many went.

        Raises PersonNotFound."""
        ...

    def descriptors(self) -> tuple[tuple[str, ...], F32]:
        """The owner's name of each descriptor, and the descriptors (M, D)."""
        ...

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        """Who each row of `embeddings` (N, D) is; all rows are faces of one picture.

        `tolerance` is one for all of them, or (N,)."""
        ...

    def close(self) -> None:
        """Gives back files and connections."""
        ...


def check_name(name: str) -> str:
    """The name as kept: trimmed, composed (NFC).

    Raises:
        InputError: Empty, too long, or with characters that cannot be printed.
    """
    kept = unicodedata.normalize("NFC", name).strip()
    if not kept:
        raise InputError("a person's name is empty; give at least one printable character")
    if len(kept) > _LONGEST_NAME:
        raise InputError(f"a person's name has {len(kept)} characters, at most {_LONGEST_NAME} are kept")
    if not kept.isprintable():
        raise InputError(f"the name {kept!r} holds characters that cannot be printed")
    return kept
