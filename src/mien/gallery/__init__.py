"""The people we know: a folder of photos, a SQLite file or PostgreSQL, and who of them a face is."""

from __future__ import annotations

from pathlib import Path

from mien.errors import GalleryError
from mien.gallery.base import Enrolled, Gallery, Person, Photo, check_name
from mien.gallery.folder import Describe, FolderGallery
from mien.gallery.postgres import PostgresGallery
from mien.gallery.search import match
from mien.gallery.sqlite import SqliteGallery

__all__ = [
    "Enrolled",
    "FolderGallery",
    "Gallery",
    "Person",
    "Photo",
    "PostgresGallery",
    "SqliteGallery",
    "check_name",
    "match",
    "open_gallery",
]

POSTGRES_SCHEMES = frozenset({"postgresql", "postgres"})
DATABASE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})


def open_gallery(place: str, *, embedder: str, describe: Describe) -> Gallery:
    """The gallery at a place: a `postgresql://` address, a `.db` file (SQLite), or else a folder of photos (made when
    first written to).

    `describe` gives the faces of a photo's bytes with their embeddings; `embedder` names who made those.

    Raises:
        GalleryError: The place is neither, or is not a gallery.
        EmbedderMismatch: It was made with another embedder.
    """
    scheme, separator, _ = place.partition("://")
    if scheme in POSTGRES_SCHEMES and separator:
        return PostgresGallery(place, embedder=embedder)
    if separator:
        raise GalleryError(f"{scheme} galleries are not supported; use a folder, a .db file or postgresql://…")
    path = Path(place)
    if path.suffix.lower() in DATABASE_SUFFIXES:
        return SqliteGallery(path, embedder=embedder)
    if path.is_file():
        raise GalleryError(f"{path} is a file; a gallery is a folder of photos or a .db file")
    return FolderGallery(path, embedder=embedder, describe=describe)
