"""What every gallery does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from mien.errors import GalleryError, InputError
from mien.space import EmbeddingSpace
from mien.text import composed, is_visible
from mien.types import F32, Matches

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Photo:
    """One enrolled photo: its descriptor (D,) float32 and where it came from. `content` is the photo itself,
    kept only by galleries that are folders of photos; databases keep the `thumbnail`, a small JPEG of the face.
    `sha256` is of the photo's bytes; `quality` (0 to 1) says how large, sharp and frontal the face is: see
    `mien.quality`; `poor` why it counts less ("blurred"), where that was looked at and is so."""

    embedding: F32
    sha256: str
    source: str = ""
    content: bytes = b""
    quality: float = 1.0
    thumbnail: bytes = b""
    poor: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the gallery, with the number of photos enrolled; `id` stays when the name changes."""

    id: str
    name: str
    photos: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A photo as the gallery keeps it: whose it is, and its `weight`: 1 counts fully, less must be nearer to give its
    name, 0 is left out of searches because it does not look like the person's others."""

    name: str
    photo: Photo
    weight: float


@dataclass(frozen=True, slots=True)
class KeptPhoto:
    """What a gallery tells of one photo of a person: `added` in seconds since 1970, `quality` 0 to 1 (None: nobody is
    in it), `weight` as of `Enrolled`, whether there is a `thumbnail`, and what is wrong with it, if anything."""

    sha256: str
    source: str
    added: float
    quality: float | None
    weight: float
    thumbnail: bool
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong with a file of a gallery that is a folder. `name` is the person, "" where it is nobody's; `used`
    tells whether the file counts all the same."""

    name: str
    source: str
    reason: str
    used: bool = False

    def __str__(self) -> str:
        return f"{self.source} {self.verdict}"

    @property
    def verdict(self) -> str:
        """What is said of the file, without its name."""
        return f"{'counts, but' if self.used else 'is passed over:'} {self.reason}"


class Gallery(Protocol):
    """People and their descriptors, all of one space. Every change is on disk when the call returns.

    Example:
        >>> gallery = open_gallery(
        ...     "new.db", space=analyzer.space, describe=analyzer.describe_photo
        ... )
        >>> gallery.enroll("Eileen Collins", [analyzer.photo(photo.read_bytes())])
        1
        >>> [(person.name, person.photos) for person in gallery.people()]
        [('Eileen Collins', 1)]
        >>> gallery.remove("Eileen Collins")
    """

    space: EmbeddingSpace

    def people(self) -> list[Person]:
        """Everybody, by name."""
        ...

    def enroll(self, name: str, photos: Sequence[Photo]) -> int:
        """Adds photos to a person, who is made if new; returns how many were not there yet."""
        ...

    def enroll_all(self, people: Iterable[tuple[str, Sequence[Photo]]]) -> int:
        """Adds photos to many people, as `enroll` does one by one, but faster; returns how many were new."""
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

    def enrolled(self) -> Iterator[Enrolled]:
        """Every photo, in the order of enrolment."""
        ...

    def descriptors(self) -> tuple[tuple[str, ...], F32]:
        """The owner's name of each descriptor, and the descriptors (M, D)."""
        ...

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        """Who each row of `embeddings` (N, D) is; all rows are faces of one picture.

        `tolerance` is one for all of them, or (N,), and like all distances in the measure of the space."""
        ...

    def check_ready(self) -> None:
        """Returns when the gallery can be used now. Raises GalleryError."""
        ...

    def close(self) -> None:
        """Gives back files and connections."""
        ...


@runtime_checkable
class ShowsPhotos(Protocol):
    """A gallery whose photos can be looked at one by one; all of ours are."""

    def photos_of(self, name: str) -> list[KeptPhoto]:
        """A person's photos, in the order of enrolment. Raises PersonNotFound."""
        ...

    def thumbnail(self, name: str, sha256: str) -> bytes:
        """A small JPEG of the face in one of them. Raises PersonNotFound, PhotoNotFound."""
        ...


@runtime_checkable
class DescribesOne(Protocol):
    """A gallery that gives one person's descriptors without reading everybody's."""

    def descriptors_of(self, name: str) -> F32:
        """Of a person's photos (M, D); none of somebody who is not there."""
        ...


@runtime_checkable
class DescribesAnew(Protocol):
    """A gallery that keeps a small picture of each face, from which it is described anew, but for some photos."""

    def bare(self) -> dict[str, int]:
        """How many photos of each person have no picture."""
        ...


@runtime_checkable
class FindsNearest(Protocol):
    """A gallery that finds the photos nearest to a face itself; in others all are compared."""

    def nearest(self, probe: F32, count: int) -> list[tuple[float, Enrolled]]:
        """The `count` photos nearest to a kept descriptor (D,), with their Euclidean distances, the nearest first."""
        ...


@runtime_checkable
class CopiesItself(Protocol):
    """A gallery that `mien backup` can keep and `mien restore` bring back; all of ours are."""

    def copy_to(self, folder: Path) -> None:
        """Writes all of it, as of one moment, as files into an empty folder; others go on using and changing it."""
        ...

    def replace_by(self, folder: Path) -> None:
        """Takes what `copy_to` wrote (the files may be used up) for all that is there: as a whole or not at all.

        Raises GalleryError where it is damaged, or of a newer version."""
        ...


def showing(gallery: Gallery) -> ShowsPhotos:
    """The gallery, as one whose photos can be looked at. Raises GalleryError where it is not."""
    if not isinstance(gallery, ShowsPhotos):
        raise GalleryError(
            f"{type(gallery).__name__} shows no photos; use a folder, a .db file or postgresql://…"
        )
    return gallery


def as_kept(photo: Photo, space: EmbeddingSpace) -> Photo:
    """The photo with its descriptor as it is kept.

    Raises:
        InputError: The descriptor is none of this space.
    """
    row = photo.embedding
    if row.shape != (space.size,) or not np.isfinite(row).all():
        raise InputError(
            f"a descriptor is {space.size} finite numbers, got shape {row.shape}; describe the photo anew"
        )
    return replace(photo, embedding=space.kept(row[None])[0])


def place_key(path: Path) -> str:
    """A short name for where a gallery is, by which what belongs to it is found elsewhere."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]


def check_name(name: str) -> str:
    """The name as kept: trimmed, composed (NFC).

    Raises:
        InputError: Empty, too long, or with characters that cannot be printed.
    """
    kept = composed(name)
    if not kept:
        raise InputError(
            "a person's name is empty; give at least one printable character"
        )
    if len(kept) > _LONGEST_NAME:
        raise InputError(
            f"a person's name has {len(kept)} characters, at most {_LONGEST_NAME} are kept"
        )
    if not is_visible(kept):
        raise InputError(f"the name {kept!r} holds characters that cannot be printed")
    return kept
