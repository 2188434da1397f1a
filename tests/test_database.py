"""Databases: kill -9 during a migration leaves the old one and its copy; those of before open as they are."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from gallery.test_spaces import old_gallery
from mien import database
from mien.errors import GalleryError
from mien.gallery.migrations import newest
from mien.gallery.sqlite import SqliteGallery
from mien.gallery.unknown import UnknownFaces
from mien.server.jobs.store import JobStore
from mien.server.settings import Limits
from mien.zoo import DLIB

# Kills its own process, as `kill -9` does, before the statement of this number that changes something.
KILLED = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from mien.gallery.sqlite import SqliteGallery
from mien.zoo import DLIB

left = int(sys.argv[2])

def count(conn, cursor, statement, *_):
    global left
    if statement.lstrip().upper().startswith(("ALTER", "CREATE", "INSERT", "UPDATE", "DELETE", "--")):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "before_cursor_execute", count)
SqliteGallery(Path(sys.argv[1]), space=DLIB)
"""


def version_of(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT value FROM about WHERE key = 'version'"
        return str(connection.execute(query).fetchone()[0])


@pytest.mark.parametrize(
    "after",
    [
        1,
        pytest.param(4, marks=pytest.mark.slow),
        pytest.param(8, marks=pytest.mark.slow),
    ],
)
def test_kill_9_during_a_migration_leaves_the_old_gallery(
    tmp_path: Path, after: int
) -> None:
    file = tmp_path / "people.db"
    copy = tmp_path / "people.db.before-migration"
    old_gallery(file)
    with closing(sqlite3.connect(file)) as connection:
        before = list(connection.iterdump())
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(file), str(after)],
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    for kept in (file, copy):
        with closing(sqlite3.connect(kept)) as connection:
            assert list(connection.iterdump()) == before
    gallery = SqliteGallery(file, space=DLIB)
    assert [person.name for person in gallery.people()] == ["Ada"]
    gallery.close()
    assert version_of(file) == str(newest("sqlite"))
    assert not copy.exists()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one numbered SQL file, to which more can be added."""
    package = tmp_path / "shelf_for_tests"
    (package / "sqlite").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "sqlite" / "0001.sql").write_text(
        "CREATE TABLE IF NOT EXISTS a (x TEXT);"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    sys.modules.pop(package.name, None)


def migrate(schema: database.Schema, file: Path) -> int:
    engine = database.sqlite_engine(file)
    with engine.begin() as connection:
        database.begin(connection, write=True)
        schema.migrate(connection, place="the shelf")
        version = schema.version(connection)
    engine.dispose()
    return version


def test_tables_are_brought_up_to_date_in_one_transaction(
    shelf: Path, tmp_path: Path
) -> None:
    file, copy = tmp_path / "shelf.db", tmp_path / "shelf.db.before-migration"
    schema = database.Schema("shelf", shelf.name)
    assert migrate(schema, file) == 1
    assert not copy.exists()
    (shelf / "sqlite" / "0002.sql").write_text(
        "ALTER TABLE a ADD COLUMN y TEXT;\nINSERT INTO missing VALUES (1);"
    )
    with (
        pytest.raises(GalleryError, match="no such table"),
        database.translated("the shelf", what="one"),
    ):
        migrate(schema, file)
    for kept in (file, copy):
        with closing(sqlite3.connect(kept)) as connection:
            assert connection.execute(
                "SELECT version FROM schema_versions"
            ).fetchall() == [(1,)]
            assert len(connection.execute("PRAGMA table_info(a)").fetchall()) == 1
    (shelf / "sqlite" / "0002.sql").write_text("ALTER TABLE a ADD COLUMN y TEXT;")
    assert migrate(schema, file) == 2
    (shelf / "sqlite" / "0002.sql").unlink()
    with pytest.raises(GalleryError, match="version 2; this mien reads 1: update it"):
        migrate(schema, file)


def test_unknown_faces_and_jobs_of_before_versions_were_noted_open(
    tmp_path: Path,
) -> None:
    space = replace(DLIB, name="test")
    UnknownFaces(tmp_path / "u.db", space=space).close()
    JobStore(tmp_path, Limits()).close()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as old:
        old.execute("DROP TABLE schema_versions")
        old.execute(
            "INSERT INTO jobs (id, owner, kind, source, options, state, attempts, frames, faces, created)"
            " VALUES ('a', 'me', 'video', 'x.mp4', '{}', 'done', 1, 1, 1, 0)"
        )
        old.commit()
    with closing(sqlite3.connect(tmp_path / "u.db")) as old:
        old.execute("DROP TABLE schema_versions")
        old.execute("DROP INDEX ix_unknown_faces_visit")
        old.execute("ALTER TABLE unknown_faces DROP COLUMN visit")
        old.commit()
    assert [job.id for job in JobStore(tmp_path, Limits()).list()] == ["a"]
    assert UnknownFaces(tmp_path / "u.db", space=space).groups() == []
    for name, file, version in (("jobs", "jobs.db", 1), ("unknown", "u.db", 2)):
        with closing(sqlite3.connect(tmp_path / file)) as now:
            found = now.execute("SELECT name, version FROM schema_versions").fetchall()
        assert found == [(name, version)]


def test_the_tables_that_are_asked_are_those_that_the_sql_makes(tmp_path: Path) -> None:
    from mien.gallery import schema
    from mien.gallery.unknown import store as unknown
    from mien.server.jobs import store as jobs
    from mien.watch import store as watch

    space = replace(DLIB, name="e")
    SqliteGallery(tmp_path / "people.db", space=space).close()
    UnknownFaces(tmp_path / "unknown.db", space=space).close()
    JobStore(tmp_path, Limits()).close()
    watch.VisitStore(tmp_path / "visits.db").close()
    asked = {
        "people.db": schema._metadata,
        "unknown.db": unknown._metadata,
        "jobs.db": jobs._jobs.metadata,
        "visits.db": watch._metadata,
    }
    for file, metadata in asked.items():
        engine = database.sqlite_engine(tmp_path / file)
        made = sa.inspect(engine)
        for name, table in metadata.tables.items():
            columns = {column["name"] for column in made.get_columns(name)}
            assert {column.name for column in table.columns} <= columns, name
        engine.dispose()


def test_a_damaged_file_that_is_quoted_is_told_too(tmp_path: Path) -> None:
    """SQLite's message repeats what stands in the file: bytes that are no text are no traceback."""
    place = tmp_path / "people.db"
    SqliteGallery(place, space=DLIB).close()
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        odd = "UPDATE sqlite_master SET sql = CAST(x'4352454154452086' AS TEXT)"
        connection.execute(f"{odd} WHERE name = 'photos'")
    with pytest.raises(GalleryError, match=r"damaged|a gallery"):
        SqliteGallery(place, space=DLIB)
    with pytest.raises(GalleryError, match="is damaged"):
        database.check_sqlite(place)
