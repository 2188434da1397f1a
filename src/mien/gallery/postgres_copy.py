"""All that mien keeps in a PostgreSQL database, as files and back: whole tables by COPY, in one transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mien import database
from mien.errors import GalleryError
from mien.zoo import DLIB

TABLES = (
    "about",
    "people",
    "photos",
    "pictures",
    "counter_examples",
    "schema_versions",
    "unknown_faces",
    "unknown_pictures",
    "unknown_actions",
    "watch_visits",
    "watch_pictures",
    "watch_clips",
    "watch_queue",
    "watch_cameras",
    "watch_counter",
    "watch_rules",
    "watch_silences",
    "watch_forgotten",
    "watch_forgotten_names",
    "watch_keeping",
)  # what points to others comes behind them
_SCRIPTS = {
    "gallery": "mien.gallery.migrations",
    "unknown": "mien.gallery.unknown.migrations",
    "watch": "mien.watch.migrations",
}
LOG = "changes"  # not copied; one that begins anew makes all read everything anew
_INDEX = "index.json"
_BLOCK = 1 << 20
_COLUMN = re.compile(r"[a-z_0-9]{1,63}")
_THERE = sa.text(
    "SELECT table_name, column_name FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND is_generated = 'NEVER'"
    " ORDER BY table_name, ordinal_position"
)


def write(connection: sa.Connection, folder: Path) -> None:
    """Writes the tables, in a transaction that sees one moment, into a folder."""
    columns = _columns(connection)
    query = "SELECT value FROM about WHERE key = 'size'"
    index: dict[str, Any] = {
        "columns": columns,
        "versions": _versions(connection, columns),
        "size": int(connection.scalar(sa.text(query)) or DLIB.size),
        "numbers": dict(_numbers(connection, columns)),
    }
    (folder / _INDEX).write_text(json.dumps(index))
    cursor = _cursor(connection)
    for table in columns:
        order = f"COPY {table} ({', '.join(columns[table])}) TO STDOUT"
        with (folder / table).open("xb") as file, cursor.copy(order) as rows:
            for row in rows:
                file.write(row)


def put(connection: sa.Connection, folder: Path) -> None:
    """Puts the tables that `write` wrote in the place of those that are there, as their version made them.

    Raises:
        GalleryError: They are of a newer version, or not what they should be.
    """
    index = _index(folder)
    ours = [*_columns(connection), LOG]
    gone = ", ".join(f"{_schema(connection)}.{name}" for name in ours)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {gone} CASCADE"))
    for name, package in _SCRIPTS.items():
        version = index["versions"].get(name, 0)
        files = database.scripts(package, "postgresql")
        if version > len(files):
            raise GalleryError(
                f"this copy has version {version} of {name}; this mien reads {len(files)}: update it"
            )
        for script in files[:version]:
            database.execute(connection, script.replace("{size}", str(index["size"])))
    database.note_versions(connection)
    cursor = _cursor(connection)
    for table, columns in index["columns"].items():
        connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 - one of ours
        order = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with cursor.copy(order) as rows, (folder / table).open("rb") as file:
            while block := file.read(_BLOCK):
                rows.write(block)
    for where, last in index["numbers"].items():
        table, column = where.split(".")
        given = {"table": table, "column": column, "last": last}
        set_to = "SELECT setval(pg_get_serial_sequence(:table, :column), :last)"
        connection.execute(sa.text(set_to), given)


def _columns(connection: sa.Connection) -> dict[str, list[str]]:
    """The columns of our tables that are there."""
    there: dict[str, list[str]] = {}
    for table, column in connection.execute(_THERE):
        there.setdefault(table, []).append(column)
    return {table: there[table] for table in TABLES if table in there}


def _schema(connection: sa.Connection) -> str:
    name = str(connection.scalar(sa.text("SELECT current_schema()")))
    return connection.dialect.identifier_preparer.quote(name)


def _versions(
    connection: sa.Connection, columns: dict[str, list[str]]
) -> dict[str, int]:
    """Which script of each purpose was the last that ran."""
    query = "SELECT value FROM about WHERE key = 'version'"
    found = {"gallery": int(connection.scalar(sa.text(query)) or 0)}
    if "schema_versions" in columns:
        rows = connection.execute(sa.text("SELECT name, version FROM schema_versions"))
        found |= {name: version for name, version in rows if name in _SCRIPTS}
    return found


def _numbers(
    connection: sa.Connection, columns: dict[str, list[str]]
) -> Iterator[tuple[str, int]]:
    """The last number that each counting column gave, which is never given again."""
    named = sa.text("SELECT pg_get_serial_sequence(:table, :column)")
    for table, names in columns.items():
        for column in names:
            given = {"table": table, "column": column}
            sequence = connection.scalar(named, given)
            if sequence is None:
                continue
            query = f"SELECT last_value FROM {sequence} WHERE is_called"  # noqa: S608
            last = connection.scalar(sa.text(query))
            if last is not None:
                yield f"{table}.{column}", int(last)


def _index(folder: Path) -> dict[str, Any]:
    """What the files are, of which nothing is taken that is not as it should be."""
    try:
        index: dict[str, Any] = json.loads((folder / _INDEX).read_text("utf-8"))
        names = [*index["columns"], *(w.split(".")[0] for w in index["numbers"])]
        words = [name for some in index["columns"].values() for name in some]
        fine = set(names) <= set(TABLES) and all(map(_COLUMN.fullmatch, words))
        numbers = [
            index["size"],
            *index["versions"].values(),
            *index["numbers"].values(),
        ]
        if not fine or not all(type(number) is int for number in numbers):
            raise ValueError("it names what is none of ours")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise GalleryError(f"this copy holds no PostgreSQL gallery: {exc}") from exc
    return index


def _cursor(connection: sa.Connection) -> Any:
    """The driver's own cursor, which can COPY."""
    return connection.connection.cursor()
