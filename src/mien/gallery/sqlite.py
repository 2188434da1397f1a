"""A SQLite file as a gallery: names, descriptors and small pictures of the faces, never the photos."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np
import sqlalchemy as sa

from mien import database, private
from mien.errors import GalleryError
from mien.gallery import migrations
from mien.gallery.counter import CounterRows
from mien.gallery.schema import check_blobs
from mien.gallery.search import per_face, told_in
from mien.gallery.sql import SqlGallery
from mien.gallery.table import Rows, Table
from mien.space import EmbeddingSpace
from mien.types import F32, Matches

_COPY = "people.db"  # what a copy of a gallery is called
_CHANGES_KEPT = 100_000  # a process that missed more reads everything anew
_READ = 16_384  # rows at a time
_FORGET = "DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - ?"
_LOGGED = "SELECT (SELECT min(id) FROM changes), (SELECT max(id) FROM changes)"  # each is one step in the index
_DENIED_SINCE = (
    "SELECT 1 FROM changes WHERE id > ? AND photo_id IS NULL AND person_id IS NULL"
)
_COLUMNS = "SELECT id, person_id, weight, embedding FROM photos"


class SqliteGallery(SqlGallery):
    """People in one file that several processes may share; what a call acknowledged survives a crash.

    Descriptors are read once and kept in memory; before each search what changed since is read, whoever changed it. One
    that may not be written (on a read-only file system, of somebody else) is only read.

    Raises:
        GalleryError: The file is no gallery, or cannot be made or read.
        EmbedderMismatch: It holds the descriptors of another embedder.
    """

    def __init__(
        self, path: Path, *, space: EmbeddingSpace, as_it_is: bool = False
    ) -> None:
        self.path = path
        self.read_only = not database.may_write(path)
        if not self.read_only:
            try:
                private.make_file(path)
            except OSError as exc:
                raise GalleryError(
                    f"cannot use {path}: {exc.strerror or exc}; is its folder there, may it be written?"
                ) from exc
        engine = database.sqlite_engine(path, read_only=self.read_only)
        super().__init__(engine, place=str(path), space=space)
        self._lock = threading.Lock()
        self._seen = -1  # the last change that the table knows
        self._open(as_it_is=as_it_is)
        self._table = Table(self.space.size)
        self._counter = CounterRows((), np.zeros((0, self.space.size), np.float32))

    def _open(self, *, as_it_is: bool) -> None:
        """Makes or migrates the tables; of a gallery that may not be written they must be there."""
        if self.read_only:
            with self.transaction() as connection:
                if as_it_is:
                    self.space = migrations.space_of(connection) or self.space
                migrations.check_newest(connection, place=self.place, space=self.space)
            return
        with self.transaction(write=True) as connection:
            if migrations.is_older(connection):
                database.keep_copy(self.path)
            self._bring_up_to_date(connection, as_it_is=as_it_is)
        database.drop_copy(self.path)

    def _begin(self, connection: sa.Connection, *, write: bool) -> None:
        database.begin(connection, write=write)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        if write and self.read_only:
            raise GalleryError(
                f"{self.path} may be read, not written: it or its folder is read-only; "
                "let its owner do it, or copy it to where you may write"
            )
        with super().transaction(write=write) as connection:
            yield connection
            if write:
                connection.exec_driver_sql(_FORGET, (_CHANGES_KEPT,))

    def reembed(
        self,
        space: EmbeddingSpace,
        rows: Mapping[int, F32],
        without: Collection[int],
        examples: Mapping[str, F32 | None] = MappingProxyType({}),
    ) -> bool:
        done = super().reembed(space, rows, without, examples)
        with self._lock:
            self._table, self._seen = Table(self.space.size), -1
        return done

    def copy_to(self, folder: Path) -> None:
        database.copy_sqlite(self.path, folder / _COPY)

    def replace_by(self, folder: Path) -> None:
        copied = folder / _COPY
        if not copied.is_file():
            raise GalleryError("this copy holds no gallery of one file")
        database.check_sqlite(copied)
        # Opened once, which refuses a newer version and brings an older one up to date.
        SqliteGallery(copied, space=self.space, as_it_is=True).close()
        with self.transaction() as connection:
            _, last = connection.exec_driver_sql(_LOGGED).one()
        _make_all_read_anew(copied, last or 0)
        database.copy_sqlite(copied, self.path)
        with self.transaction() as connection:
            self.space = migrations.space_of(connection) or self.space
        with self._lock:
            self._table, self._seen = Table(self.space.size), -1

    def check_ready(self) -> None:
        self._fresh()

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        limits = per_face(self.space.to_euclidean(tolerance), len(embeddings))
        probes, table = self.space.kept(embeddings), self._fresh()
        stricter = self._counter.stricter(probes, limits, self.space)
        found = table.search(probes, tolerance=limits, stricter=stricter)
        return told_in(self.space, found)

    def _closest(self, probe: F32, count: int) -> tuple[list[int], list[float]]:
        ids, distances = self._fresh().closest(probe, count)
        return ids.tolist(), distances.tolist()

    def _fresh(self) -> Table:
        """The table, as of now."""
        with self.transaction() as connection:
            first, last = connection.exec_driver_sql(_LOGGED).one()
            if (last or 0) == self._seen:
                return self._table
            migrations.check_space(connection, place=self.place, space=self.space)
            with self._lock:
                if self._seen < 0 or (first or 0) > self._seen + 1:
                    self._table = _read_all(connection, self.space.size)
                    self._counter = _read_counter(connection, self.space.size)
                elif (
                    last > self._seen
                ):  # else another thread, that looked later, has been here
                    _read_changes(connection, self._table, self._seen)
                    if connection.exec_driver_sql(_DENIED_SINCE, (self._seen,)).first():
                        self._counter = _read_counter(connection, self.space.size)
                self._seen = max(self._seen, last or 0)
            return self._table


def _make_all_read_anew(path: Path, seen: int) -> None:
    """Lets the log of changes begin so far behind what a process can have seen of another file that it reads all."""
    with closing(sqlite3.connect(path)) as connection, connection:
        (last,) = connection.execute("SELECT max(id) FROM changes").fetchone()
        connection.execute("DELETE FROM changes")
        begin = max(seen, last or 0) + 10 * _CHANGES_KEPT
        connection.execute("INSERT INTO changes (id) VALUES (?)", (begin,))


def open_sqlite(
    place: str, *, space: EmbeddingSpace, as_it_is: bool = False, **_photos: object
) -> SqliteGallery:
    """It keeps descriptors: how photos are described makes no difference."""
    return SqliteGallery(Path(place), space=space, as_it_is=as_it_is)


def _read_all(connection: sa.Connection, size: int) -> Table:
    table = Table(size)
    table.change([], _rows([], size), _names(connection, "SELECT id, name FROM people"))
    for rows in _driver_rows(connection, _COLUMNS + " ORDER BY id"):
        table.change([], _rows(rows, size), {})
    return table


def _read_changes(connection: sa.Connection, table: Table, seen: int) -> None:
    """Brings the table up to date: what changed is taken out, and put in again as it is now."""
    where = f"FROM changes WHERE id > {seen}"
    gone = (
        connection.exec_driver_sql(
            f"SELECT DISTINCT photo_id {where} AND photo_id IS NOT NULL"
        )
        .scalars()
        .all()
    )
    there = f"WHERE id IN (SELECT photo_id {where})"
    names = _names(
        connection,
        f"SELECT id, name FROM people WHERE id IN (SELECT person_id {where}) "  # noqa: S608 - a number of ours
        f"OR id IN (SELECT person_id FROM photos {there})",
    )
    rows = [
        row
        for some in _driver_rows(connection, f"{_COLUMNS} {there} ORDER BY id")
        for row in some
    ]
    table.change(gone, _rows(rows, table.size), names)


def _read_counter(connection: sa.Connection, size: int) -> CounterRows:
    rows = connection.exec_driver_sql(
        "SELECT person_id, embedding FROM counter_examples"
    ).all()
    blobs = [blob for _, blob in rows]
    check_blobs(blobs, size)
    table = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(-1, size)
    return CounterRows([person for person, _ in rows], table.astype(np.float32))


def _names(connection: sa.Connection, query: str) -> dict[str, str]:
    return dict(connection.exec_driver_sql(query).all())


def _driver_rows(
    connection: sa.Connection, query: str
) -> Iterator[list[tuple[int, str, float, bytes]]]:
    """Rows as the driver gives them: a million objects less than through SQLAlchemy."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(
            f"expected a connection of sqlite3, got {type(driver).__name__}"
        )
    cursor = driver.execute(query)
    while rows := cursor.fetchmany(_READ):
        yield rows


def _rows(rows: list[tuple[int, str, float, bytes]], size: int) -> Rows:
    ids, persons, weights, blobs = zip(*rows, strict=True) if rows else ((), (), (), ())
    check_blobs(blobs, size)
    table = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(-1, size)
    return Rows(
        np.array(ids, np.int64),
        persons,
        np.array(weights, np.float32),
        table.astype(np.float32),
    )
