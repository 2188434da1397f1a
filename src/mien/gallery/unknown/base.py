"""What is kept of people whom nobody has named yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mien.gallery.base import Photo
from mien.types import F32


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face to be kept: its descriptor (D,) float32, `photo` the sha256 of the picture it was in (two faces of one
    picture are never one person), `seen` and `expires` in seconds since 1970, `quality` 0 to 1, a small JPEG, the id of
    the visit that it was seen in, if it was one."""

    embedding: F32
    photo: str
    source: str
    seen: float
    expires: float
    quality: float = 1.0
    thumbnail: bytes = b""
    visit: str = ""


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """A kept face, without its descriptor."""

    id: int
    source: str
    seen: float
    expires: float
    quality: float
    thumbnail: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Faces of one person, the newest first. `by_hand`: a user has split or merged it, so that it only grows."""

    id: str
    faces: tuple[UnknownFace, ...]
    by_hand: bool = False

    @property
    def first_seen(self) -> float:
        return min(face.seen for face in self.faces)

    @property
    def last_seen(self) -> float:
        return max(face.seen for face in self.faces)


@dataclass(frozen=True, slots=True)
class Undone:
    """What `undo` took back: "name", "merge" or "split"; the group it was done to; the name given, if any."""

    kind: str
    group: str
    name: str = ""


class Enroller(Protocol):
    """What naming a group asks of a gallery."""

    def enroll(self, name: str, photos: Sequence[Photo]) -> int: ...

    def discard(self, name: str, sha256s: Sequence[str]) -> int: ...


class NamesVisits(Protocol):
    """What naming a group asks of where the visits are kept that its faces were seen in."""

    def give_name(self, visit_ids: Sequence[str], name: str) -> int: ...

    def take_name(self, visit_ids: Sequence[str], name: str) -> int: ...
