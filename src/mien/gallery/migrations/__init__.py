"""The numbered SQL files that make a gallery's tables, and what brings an older gallery up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib import resources

import sqlalchemy as sa

from mien.errors import EmbedderMismatch, GalleryError


def newest(dialect: str) -> int:
    """The version of a gallery that this mien reads and writes."""
    return len(_files(dialect))


def migrate(connection: sa.Connection, *, place: str, embedder: str) -> int:
    """Makes the tables, or brings those of an older version up to date; the version that was there, 0 of none.

    Runs in the caller's transaction, which must keep others out.

    Raises:
        GalleryError: A newer mien made it.
        EmbedderMismatch: It holds the descriptors of another embedder.
    """
    dialect = connection.dialect.name
    about = _about(connection)
    version, last = int(about.get("version", "0")), newest(dialect)
    if version > last:
        raise GalleryError(f"{place} has version {version}; this mien reads {last}: update it")
    if about.get("embedder", embedder) != embedder:
        raise EmbedderMismatch(
            f"{place} was made with the embedder {about['embedder']}, not {embedder}: "
            "their descriptors cannot be compared; enrol the photos anew in another gallery"
        )
    for number in range(version + 1, last + 1):
        for statement in _statements(_files(dialect)[number - 1]):
            connection.exec_driver_sql(statement)
    if version < last:
        connection.execute(sa.text("DELETE FROM about WHERE key IN ('version', 'embedder')"))
        rows = [{"key": "version", "value": str(last)}, {"key": "embedder", "value": embedder}]
        connection.execute(sa.text("INSERT INTO about (key, value) VALUES (:key, :value)"), rows)
    return version


def _about(connection: sa.Connection) -> dict[str, str]:
    if not sa.inspect(connection).has_table("about"):
        return {}
    return dict(connection.execute(sa.text("SELECT key, value FROM about")).all())


def _files(dialect: str) -> list[str]:
    folder = resources.files(__name__) / dialect
    return [file.read_text() for file in sorted(folder.iterdir(), key=lambda f: f.name) if file.name.endswith(".sql")]


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; sqlite3 knows where each ends, also those of triggers."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
