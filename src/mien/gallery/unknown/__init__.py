"""People whom nobody has named yet: their faces kept for some days, grouped, named or forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import GalleryError
from mien.gallery.base import Gallery, place_key
from mien.gallery.folder import FolderGallery
from mien.gallery.unknown.base import (
    Group,
    NamesVisits,
    Sighting,
    Undone,
    UnknownFace,
)
from mien.gallery.unknown.grouping import LEAST_FACES, KeptFaces, group, regroup
from mien.space import EmbeddingSpace

if TYPE_CHECKING:
    from mien.gallery.unknown.store import UnknownFaces

__all__ = [
    "LEAST_FACES",
    "Group",
    "KeptFaces",
    "NamesVisits",
    "Sighting",
    "Undone",
    "UnknownFace",
    "UnknownFaces",
    "file_for",
    "group",
    "is_there",
    "open_unknown",
    "open_unknown_file",
    "regroup",
    "tell_unknown",
]


def __getattr__(name: str) -> Any:
    """`UnknownFaces` is imported when first used: who keeps nobody does not wait for SQLAlchemy."""
    if name != "UnknownFaces":
        raise AttributeError(f"module 'mien.gallery.unknown' has no attribute {name!r}")
    from mien.gallery.unknown.store import UnknownFaces

    return UnknownFaces


def open_unknown(gallery: Gallery, *, data: Path) -> UnknownFaces:
    """The unknown faces that belong to a gallery: in its own database; of a folder of photos, in a file under `data`.

    Raises:
        GalleryError: They cannot be kept there.
    """
    if isinstance(gallery, FolderGallery):
        return open_unknown_file(file_for(gallery.path, data), space=gallery.space)

    from mien.gallery.postgres import PostgresGallery
    from mien.gallery.sqlite import SqliteGallery
    from mien.gallery.unknown.store import UnknownFaces

    if isinstance(gallery, PostgresGallery):
        return UnknownFaces(gallery.engine, space=gallery.space)
    if isinstance(gallery, SqliteGallery):
        return UnknownFaces(gallery.path, space=gallery.space)
    raise GalleryError(
        "unknown faces are kept beside a folder of photos, a .db file or PostgreSQL; name one of these as the gallery"
    )


def open_unknown_file(file: Path, *, space: EmbeddingSpace) -> UnknownFaces:
    """The unknown faces in a SQLite file of their own, made where it is not there.

    Raises:
        GalleryError: They cannot be kept there.
    """
    from mien import database
    from mien.gallery.unknown.store import UnknownFaces

    return UnknownFaces(database.make_file(file), space=space)


def is_there(gallery: Gallery, *, data: Path) -> bool:
    """Whether faces may be kept beside a gallery: of a folder, once there is a file; a database has room for them."""
    if isinstance(gallery, FolderGallery):
        return file_for(gallery.path, data).exists()

    from mien.gallery.sql import SqlGallery

    return isinstance(gallery, SqlGallery)


def tell_unknown(gallery: Gallery, *, data: Path, old: str, new: str | None) -> None:
    """Tells the unknown faces, where there are any, that a person has another name or (None) is forgotten."""
    if is_there(gallery, data=data):
        unknown = open_unknown(gallery, data=data)
        unknown.relabel(old, new)
        unknown.close()


def file_for(folder: Path | None, data: Path) -> Path:
    """Where the unknown faces of a folder of photos are, or those of a service that knows nobody."""
    name = "no-gallery" if folder is None else place_key(folder)
    return data / "unknown" / f"{name}.db"
