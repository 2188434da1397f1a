"""The people we know: a folder of photos, a SQLite file or PostgreSQL, and who of them a face is."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import plugins, private
from mien.errors import GalleryError
from mien.gallery.base import (
    CopiesItself,
    DescribesAnew,
    Enrolled,
    FindsNearest,
    Gallery,
    KeptPhoto,
    Person,
    Photo,
    Remark,
    ShowsPhotos,
    check_name,
    showing,
)
from mien.gallery.counter import CounterExample, KeepsCounterExamples, keeping
from mien.gallery.search import match
from mien.space import EmbeddingSpace

if TYPE_CHECKING:
    from mien.gallery.folder import Describe, FolderGallery
    from mien.gallery.postgres import PostgresGallery
    from mien.gallery.sqlite import SqliteGallery

__all__ = [
    "NOBODY",
    "CopiesItself",
    "CounterExample",
    "DescribesAnew",
    "Enrolled",
    "FindsNearest",
    "FolderGallery",
    "Gallery",
    "KeepsCounterExamples",
    "KeptPhoto",
    "Person",
    "Photo",
    "PostgresGallery",
    "Remark",
    "ShowsPhotos",
    "SqliteGallery",
    "check_name",
    "check_there",
    "keeping",
    "kind_of",
    "make_gallery",
    "match",
    "open_gallery",
    "remarks",
    "showing",
]

NO_NAME = "a gallery's name is empty: an unset variable?"
NOBODY = "none"  # the name of no gallery at all
DATABASE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_HOME = {
    "FolderGallery": "mien.gallery.folder",
    "PostgresGallery": "mien.gallery.postgres",
    "SqliteGallery": "mien.gallery.sqlite",
}


def __getattr__(name: str) -> Any:
    """Each kind of gallery is imported when first used: who has no database does not wait for SQLAlchemy."""
    if name not in _HOME:
        raise AttributeError(f"module 'mien.gallery' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def check_there(place: str) -> None:
    """Refuses a gallery that is not there: who only looks at it has mistyped its name.

    Raises:
        GalleryError: Nothing is at this place, or nothing can be.
    """
    if "://" in place:
        return
    if not place:
        raise GalleryError(NO_NAME)
    try:
        there = Path(place).exists()
    except OSError as exc:
        raise GalleryError(f"cannot read {place}: {exc.strerror or exc}") from exc
    if not there:
        raise GalleryError(
            f"there is no gallery at {place}; 'mien enroll NAME PHOTO --gallery {place}' makes one"
        )


def make_gallery(place: str) -> None:
    """Makes an empty gallery where none is; one in PostgreSQL is made when it is opened.

    Raises:
        GalleryError: There can be none.
    """
    path = Path(place)
    if "://" in place or path.exists():
        return
    is_file = path.suffix.lower() in DATABASE_SUFFIXES
    try:
        private.make_missing(path.parent if is_file else path)
        if is_file:
            private.make_file(path)
    except OSError as exc:
        raise GalleryError(
            f"cannot make {path}: {exc.strerror or exc}; name another place with --gallery"
        ) from exc


def open_gallery(
    place: str,
    *,
    space: EmbeddingSpace,
    describe: Describe,
    described_by: str | None = None,
    as_it_is: bool = False,
) -> Gallery:
    """The gallery at a place: a `postgresql://` address, a `.db` file (SQLite), or else a folder of photos (made when
    first written to).

    `describe` gives the faces of a photo's bytes with their embeddings, which are of `space`; `described_by` tells all
    that decides them: what a folder's photos show is kept under it (None: for this process only). `as_it_is` opens a
    database of another space too, for who lists or changes it and looks at no face.

    Raises:
        GalleryError: The place is neither, or is not a gallery.
        EmbedderMismatch: It was made with another embedder.

    Example:
        >>> people = open_gallery(
        ...     "people.db", space=analyzer.space, describe=analyzer.describe_photo
        ... )
        >>> people.people()
        []
    """
    kind = kind_of(place)
    wants = {
        "space": space,
        "describe": describe,
        "described_by": described_by,
        "as_it_is": as_it_is,
    }
    return plugins.load(plugins.GALLERIES, kind, what="a gallery")(place, **wants)  # type: ignore[no-any-return]


def kind_of(place: str) -> str:
    """Which kind of gallery a place is, by the name of its part: its scheme, or what the file system has there.

    Raises:
        GalleryError: None that is known.
    """
    if not place:
        raise GalleryError(NO_NAME)
    scheme, separator, _ = place.partition("://")
    if separator and plugins.named(plugins.GALLERIES, scheme) is not None:
        return scheme
    if separator:
        raise GalleryError(
            f"{scheme} galleries are not supported; use a folder, a .db file or postgresql://…"
        )
    if place == NOBODY:
        raise GalleryError(
            f"{NOBODY} is the name of no gallery; ./{NOBODY} is a folder called so"
        )
    path = Path(place)
    if path.suffix.lower() in DATABASE_SUFFIXES:
        return "sqlite"
    if path.is_file():
        raise GalleryError(
            f"{path} is a file; a gallery is a folder of photos or a .db file"
        )
    return "folder"


def remarks(gallery: Gallery | None) -> tuple[Remark, ...]:
    """What is wrong with the photos of a gallery that is a folder: nobody in them, damaged, several people, a folder
    too deep. Into a database no such photo comes."""
    from mien.gallery.folder import FolderGallery

    return gallery.remarks() if isinstance(gallery, FolderGallery) else ()
