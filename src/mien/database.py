"""Databases: SQLite files as all of ours are set up, transactions, and numbered SQL that brings tables up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import (
    DBAPIError,
    OperationalError,
    TimeoutError as PoolTimeoutError,
)

from mien import private
from mien.errors import GalleryError

_BUSY_SECONDS = 30
# What sqlite3 raises; where its own message quotes bytes of a damaged file, it is that these are no UTF-8.
DAMAGED = (sqlite3.Error, UnicodeDecodeError)
_versions = sa.Table(
    "schema_versions",
    sa.MetaData(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)


def may_write(path: Path) -> bool:
    """Whether a SQLite file may be written, or made; that takes a journal beside it.

    It is not opened to see: closing it would drop the locks that this process holds on it by other connections.
    """
    if not path.exists():
        return True
    effective = os.access in os.supports_effective_ids
    place = path.resolve()
    return all(
        os.access(one, os.W_OK, effective_ids=effective)
        for one in (place, place.parent)
    )


def sqlite_engine(path: Path, *, read_only: bool = False) -> sa.Engine:
    """The connections to a SQLite file. What a transaction acknowledged survives a crash, what it deleted leaves no
    bytes; writers queue."""
    address = sa.URL.create("sqlite", database=str(path))
    if read_only:
        only = {"mode": "ro", "uri": "true"}
        place = path.resolve().as_uri()
        address = sa.URL.create("sqlite", database=place, query=only)
    engine = sa.create_engine(address, connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine, "connect", _set_up_connection)
    return engine


def make_file(path: Path, *, shared_folder: bool = False) -> Path:
    """A SQLite file that only its user can read, made empty where it is missing, and its folder; a folder that is
    there is closed to others, unless it may hold things of others too.

    Raises:
        GalleryError: It cannot be made.
    """
    try:
        (private.make_missing if shared_folder else private.make_folder)(path.parent)
        private.make_file(path)
    except OSError as exc:
        raise GalleryError(
            f"cannot make {path}: {exc.strerror or exc}; set MIEN_DATA to another folder"
        ) from exc
    return path


def _set_up_connection(connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are begun by hand, so that writers queue and never deadlock.
    connection.isolation_level = None
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def copy_sqlite(path: Path, to: Path) -> None:
    """Makes one SQLite file what another is at this moment, whoever is using the two. A kill leaves `to` as it was.

    Raises:
        GalleryError: One of them cannot be used.
    """
    private.make_file(to)
    try:
        with (
            closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as old,
            closing(sqlite3.connect(to, timeout=_BUSY_SECONDS)) as new,
        ):
            old.backup(new)
    except DAMAGED as exc:
        raise GalleryError(f"cannot copy {path} to {to}: {exc}") from exc


def check_sqlite(path: Path) -> None:
    """Looks at every page of a SQLite file.

    Raises:
        GalleryError: It is damaged.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except DAMAGED as exc:
        said = str(exc)
    if said != "ok":
        raise GalleryError(f"{path.name} is damaged: {said}")


def begin(connection: sa.Connection, *, write: bool) -> None:
    """Begins a transaction of SQLite; one that writes keeps other writers out from here on."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")


@contextmanager
def translated(place: str, *, what: str) -> Iterator[None]:
    """Raises a database's errors as our own; `what` the place should be ("a gallery")."""
    try:
        yield
    except OperationalError as exc:
        raise GalleryError(
            f"cannot use {place}: {_reason(exc)}; is it there, and may it be written?"
        ) from exc
    except DBAPIError as exc:
        raise GalleryError(
            f"cannot use {place}: {_reason(exc)}; is it {what}?"
        ) from exc
    except PoolTimeoutError as exc:
        raise GalleryError(
            f"cannot use {place}: all connections are busy; try again"
        ) from exc
    except DAMAGED as exc:  # of the driver itself, which reads descriptors
        raise GalleryError(
            f"cannot use {place}: {exc}; is it damaged? Put a copy in its place"
        ) from exc


def _reason(exc: DBAPIError) -> str:
    lines = str(exc.orig).strip().splitlines()
    return lines[0] if lines else type(exc.orig).__name__


# -- migrations


def scripts(package: str, dialect: str) -> list[str]:
    """The numbered SQL files of a package for one kind of database, the first first."""
    folder = resources.files(package) / dialect
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [file.read_text("utf-8") for file in files if file.name.endswith(".sql")]


def execute(connection: sa.Connection, script: str) -> None:
    """Runs the statements of a script; sqlite3 knows where each ends, also those of triggers."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.exec_driver_sql(statement)
            statement = ""
    if statement.strip():
        raise ValueError(f"a statement of a script has no end: {statement[:60]!r}")


def keep_copy(path: Path) -> None:
    """Copies a SQLite file as it is, before its migration."""
    drop_copy(path)
    copy_sqlite(path, _copy_of(path))


def drop_copy(path: Path) -> None:
    """Deletes the copy: the migration is through."""
    _copy_of(path).unlink(missing_ok=True)


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.before-migration")


def note_versions(connection: sa.Connection) -> None:
    """Makes the table of versions where it is missing."""
    _versions.create(connection, checkfirst=True)


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one purpose in a database that may hold others: `name` is what their version is noted under,
    `package` holds their numbered SQL files."""

    name: str
    package: str

    def migrate(self, connection: sa.Connection, *, place: str) -> None:
        """Makes the tables, or brings those of an older version up to date.

        Runs in the caller's transaction, which must keep others out. Of a SQLite file a copy is kept before; whoever
        called drops it when the transaction is through.

        Raises:
            GalleryError: A newer mien made them.
        """
        files = scripts(self.package, connection.dialect.name)
        version = self.version(connection)
        if version > len(files):
            raise GalleryError(
                f"{place} has version {version}; this mien reads {len(files)}: update it"
            )
        file = connection.engine.url.database
        if 0 < version < len(files) and connection.dialect.name == "sqlite" and file:
            keep_copy(Path(file))
        for script in files[version:]:
            execute(connection, script)
        if version < len(files):
            note_versions(connection)
            connection.execute(
                sa.delete(_versions).where(_versions.c.name == self.name)
            )
            row = {"name": self.name, "version": len(files)}
            connection.execute(sa.insert(_versions).values(row))

    def version(self, connection: sa.Connection) -> int:
        """The version of the tables that are there; 0: none, or of before versions were noted."""
        if not sa.inspect(connection).has_table(_versions.name):
            return 0
        query = sa.select(_versions.c.version).where(_versions.c.name == self.name)
        return connection.scalar(query) or 0
