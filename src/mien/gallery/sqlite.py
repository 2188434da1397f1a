"""A SQLite file as a gallery: names and descriptors, never the photos."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from mien.errors import EmbedderMismatch, GalleryError, PersonExists, PersonNotFound
from mien.gallery.base import Person, Photo, check_name
from mien.gallery.search import match
from mien.types import F32, Matches

_VERSION = "1"
_BUSY_SECONDS = 30

_metadata = sa.MetaData()
_about = sa.Table(
    "about", _metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
_people = sa.Table(
    "people",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("created", sa.DateTime, nullable=False, server_default=sa.func.current_timestamp()),
)
_photos = sa.Table(
    "photos",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("person_id", sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("embedding", sa.LargeBinary, nullable=False),
    sa.Column("created", sa.DateTime, nullable=False, server_default=sa.func.current_timestamp()),
    sa.UniqueConstraint("person_id", "sha256"),
)


class SqliteGallery:
    """People in one file that several processes may share; what a call acknowledged survives a crash.

    Raises:
        GalleryError: The file is no gallery or cannot be written.
        EmbedderMismatch: It holds the descriptors of another embedder.
    """

    def __init__(self, path: Path, *, embedder: str) -> None:
        self.path = path
        self.embedder = embedder
        self._lock = threading.Lock()
        self._known: tuple[str | None, tuple[str, ...], F32] | None = None
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS})
        sa.event.listen(self._engine, "connect", _set_up_connection)
        with self._transaction("IMMEDIATE") as connection:
            _metadata.create_all(connection)
            self._bind(connection)

    def _bind(self, connection: sa.Connection) -> None:
        about = dict(connection.execute(sa.select(_about.c.key, _about.c.value)).all())
        if not about:
            about = {"version": _VERSION, "embedder": self.embedder, "revision": "0"}
            connection.execute(sa.insert(_about), [{"key": key, "value": value} for key, value in about.items()])
        if about.get("version") != _VERSION:
            raise GalleryError(f"{self.path} has version {about.get('version')}; this mien reads {_VERSION}: update it")
        if about.get("embedder") != self.embedder:
            raise EmbedderMismatch(
                f"{self.path} was made with the embedder {about.get('embedder')}, not {self.embedder}: "
                "their descriptors cannot be compared; enrol the photos anew in another file"
            )

    @contextmanager
    def _change(self) -> Iterator[sa.Connection]:
        with self._transaction("IMMEDIATE") as connection:
            yield connection
            next_revision = sa.cast(sa.cast(_about.c.value, sa.Integer) + 1, sa.Text)
            connection.execute(sa.update(_about).where(_about.c.key == "revision").values(value=next_revision))

    @contextmanager
    def _transaction(self, kind: str = "DEFERRED") -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(f"BEGIN {kind}")
                yield connection
        except DBAPIError as exc:
            raise GalleryError(f"cannot use {self.path}: {exc.orig}; is it a gallery, and may it be written?") from exc

    def people(self) -> list[Person]:
        count = sa.func.count(_photos.c.id)
        query = sa.select(_people.c.id, _people.c.name, count).outerjoin(_photos).group_by(_people.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(_people.c.name)).all()
        return [Person(id=key, name=name, photos=photos) for key, name, photos in rows]

    def enroll(self, name: str, photos: Sequence[Photo]) -> int:
        name = check_name(name)
        with self._change() as connection:
            person = self._find(connection, name) or self._add(connection, name)
            there = set(connection.scalars(sa.select(_photos.c.sha256).where(_photos.c.person_id == person)))
            new = {photo.sha256: photo for photo in photos if photo.sha256 not in there}
            rows = [_row(person, photo) for photo in new.values()]
            if rows:
                connection.execute(sa.insert(_photos), rows)
        return len(rows)

    def remove(self, name: str) -> None:
        with self._change() as connection:
            person = self._require(connection, name)
            connection.execute(sa.delete(_photos).where(_photos.c.person_id == person))
            connection.execute(sa.delete(_people).where(_people.c.id == person))

    def rename(self, old: str, new: str) -> None:
        new = check_name(new)
        with self._change() as connection:
            person = self._require(connection, old)
            if self._find(connection, new) not in (None, person):
                raise PersonExists(f"{new} is in the gallery already; 'mien people merge' joins two people")
            connection.execute(sa.update(_people).where(_people.c.id == person).values(name=new))

    def merge(self, source: str, target: str) -> None:
        with self._change() as connection:
            from_id, into_id = self._require(connection, source), self._require(connection, target)
            if from_id == into_id:
                return
            there = sa.select(_photos.c.sha256).where(_photos.c.person_id == into_id).scalar_subquery()
            moved = sa.update(_photos).where(_photos.c.person_id == from_id, _photos.c.sha256.not_in(there))
            connection.execute(moved.values(person_id=into_id))
            connection.execute(sa.delete(_photos).where(_photos.c.person_id == from_id))
            connection.execute(sa.delete(_people).where(_people.c.id == from_id))

    def discard(self, name: str, sha256s: Sequence[str]) -> int:
        with self._change() as connection:
            person = self._require(connection, name)
            theirs = _photos.c.person_id == person
            gone = connection.execute(sa.delete(_photos).where(theirs, _photos.c.sha256.in_(list(sha256s)))).rowcount
            if connection.scalar(sa.select(sa.func.count()).where(theirs)) == 0:
                connection.execute(sa.delete(_people).where(_people.c.id == person))
        return gone

    def _find(self, connection: sa.Connection, name: str) -> str | None:
        return connection.scalar(sa.select(_people.c.id).where(_people.c.name == check_name(name)))

    def _require(self, connection: sa.Connection, name: str) -> str:
        found = self._find(connection, name)
        if found is None:
            raise PersonNotFound(f"nobody in {self.path} is called {name}; 'mien people' lists everybody")
        return found

    def _add(self, connection: sa.Connection, name: str) -> str:
        person = uuid.uuid4().hex
        connection.execute(sa.insert(_people).values(id=person, name=name))
        return person

    def descriptors(self) -> tuple[tuple[str, ...], F32]:
        with self._lock, self._transaction() as connection:
            revision = connection.scalar(sa.select(_about.c.value).where(_about.c.key == "revision"))
            if self._known is None or self._known[0] != revision:
                rows = connection.execute(_all_descriptors).all()
                self._known = (revision, tuple(name for name, _ in rows), _table([blob for _, blob in rows]))
            return self._known[1:]

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        owners, table = self.descriptors()
        return match(embeddings, owners, table, tolerance=tolerance)

    def close(self) -> None:
        self._engine.dispose()


_all_descriptors = sa.select(_people.c.name, _photos.c.embedding).join(_photos).order_by(_photos.c.id)


def _table(blobs: Sequence[bytes]) -> F32:
    if not blobs:
        return np.zeros((0, 128), np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1).astype(np.float32)


def _row(person: str, photo: Photo) -> dict[str, object]:
    blob = photo.embedding.astype("<f4").tobytes()
    return {"person_id": person, "sha256": photo.sha256, "source": photo.source, "embedding": blob}


def _set_up_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by hand, so that writers queue and never deadlock
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")
