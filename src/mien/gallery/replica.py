"""All descriptors of a PostgreSQL gallery in memory, brought up to date before each search by the log of changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from mien.gallery import migrations
from mien.gallery.counter import CounterRows
from mien.gallery.schema import COUNTER_EXAMPLES, PEOPLE, damaged
from mien.gallery.search import told_in
from mien.gallery.table import Rows, Table
from mien.space import EmbeddingSpace
from mien.types import F32, Matches

CHANGES_KEPT = 100_000  # a process that missed more reads everything anew
_READ = 16_384  # rows at a time
_HEADER = 4  # bytes before the numbers of a vector: how many they are
_PRUNING = 0x6D69656F  # any number that nobody else locks

Transaction = Callable[[], AbstractContextManager[sa.Connection]]

_ONE_MOMENT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
# What transactions below the horizon did is all there; what others do may still come,
# also with lower numbers than what is there.
_LOOK = sa.text(
    "SELECT CAST(CAST(horizon AS text) AS bigint), whole,"
    " CAST(CAST(xid AS text) AS bigint), id, photo_id, person_id FROM ("
    " SELECT horizon, since, (SELECT xid FROM changes ORDER BY xid LIMIT 1) < since AS whole"
    " FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon,"
    " CAST(:since AS xid8) AS since) AS times) AS now"
    " LEFT JOIN changes ON xid >= CASE WHEN whole THEN since ELSE horizon END"
)
_MANY = sa.text(
    "SELECT CASE WHEN max(id) - min(id) > :kept THEN pg_try_advisory_xact_lock(:lock)"
    " ELSE false END FROM changes"
)
_PRUNE = sa.text(  # in the order in which they are read, and none that may be missed
    "DELETE FROM changes WHERE xid < LEAST(pg_snapshot_xmin(pg_current_snapshot()),"
    " (SELECT xid FROM changes WHERE id >= (SELECT max(id) FROM changes) - :kept"
    " ORDER BY id LIMIT 1))"
)
_OF_ANOTHER_SERVER = sa.text(
    "DELETE FROM changes WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())"
)
_BEGIN = sa.text(
    "INSERT INTO changes (photo_id) SELECT NULL"
    " WHERE NOT EXISTS (SELECT 1 FROM changes)"
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known: all of the transactions before `horizon`, and single changes."""

    horizon: int = 0
    later: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _News:
    """What the log says: the horizon now, whether it reaches back to the last one, and
    rows of it: transaction, number, photo, person."""

    horizon: int
    whole: bool
    changes: Sequence[tuple[int, int, int | None, str | None]]

    def seen(self) -> _Seen:
        later = (number for xid, number, *_ in self.changes if xid >= self.horizon)
        return _Seen(self.horizon, frozenset(later))


class Replica:
    """The descriptors of a gallery as of the last `refresh`.

    Args:
        space: Of the descriptors.
    """

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space
        self.table = Table(space.size)
        self._counter = CounterRows((), np.zeros((0, space.size), np.float32))
        self._lock = threading.Lock()
        self._seen = _Seen()

    @property
    def is_read(self) -> bool:
        return self._seen.horizon > 0

    @property
    def is_being_read(self) -> bool:
        """Whether another thread reads everything for the first time just now."""
        return self._lock.locked() and not self.is_read

    def refresh(self, transaction: Transaction, *, place: str) -> None:
        """Reads what was committed before this call, whoever did. `place` is what the
        gallery is called in messages.

        Raises:
            EmbedderMismatch: The gallery was described anew by another embedder.
        """
        with transaction() as connection:
            seen = self._seen
            look = _look(connection, seen)
        if look.whole and not _new(look, seen):
            return
        with self._lock, transaction() as connection:  # who reads later, puts in later
            connection.execute(_ONE_MOMENT)
            migrations.check_space(connection, place=place, space=self.space)
            seen = self._seen
            look = _look(connection, seen)
            if look.whole:
                self._read_changes(connection, _new(look, seen))
            else:
                self._read_all(connection)
            self._seen = look.seen()

    def search(self, probes: F32, limits: F32) -> Matches:
        """Who kept descriptors (N, D) are; `limits` (N,) are Euclidean tolerances."""
        stricter = self._counter.stricter(probes, limits, self.space)
        found = self.table.search(probes, tolerance=limits, stricter=stricter)
        return told_in(self.space, found)

    def _read_all(self, connection: sa.Connection) -> None:
        table = Table(self.space.size)
        everybody = dict(
            connection.execute(sa.select(PEOPLE.c.id, PEOPLE.c.name)).all()
        )
        table.change([], _rows([], table.size), everybody)
        for rows in _photos(connection):
            table.change([], _rows(rows, table.size), {})
        self._read_counter(connection)
        self.table = table

    def _read_changes(
        self, connection: sa.Connection, new: Sequence[tuple[int | None, str | None]]
    ) -> None:
        """Takes out what changed, and puts it in again as it is now."""
        touched = sorted({photo for photo, _ in new if photo is not None})
        rows = [row for some in _photos(connection, touched) for row in some]
        people = {person for _, person in new if person is not None}
        people |= {person for _, person, _, _ in rows}
        query = sa.select(PEOPLE.c.id, PEOPLE.c.name)
        known = query.where(PEOPLE.c.id == sa.any_(sa.literal(sorted(people), _TEXTS)))
        names = dict(connection.execute(known).all())
        self.table.change(touched, _rows(rows, self.table.size), names)
        if (None, None) in new:
            self._read_counter(connection)

    def _read_counter(self, connection: sa.Connection) -> None:
        query = sa.select(COUNTER_EXAMPLES.c.person_id, COUNTER_EXAMPLES.c.embedding)
        rows = connection.execute(query).all()
        table = np.array([row for _, row in rows], np.float32)
        owners = [person for person, _ in rows]
        self._counter = CounterRows(owners, table.reshape(-1, self.space.size))


_TEXTS = sa.ARRAY(sa.Text)


def _look(connection: sa.Connection, seen: _Seen) -> _News:
    rows = connection.execute(_LOOK, {"since": str(seen.horizon)}).all()
    horizon, whole = rows[0][:2]
    changes = [tuple(row[2:]) for row in rows if row[3] is not None]
    return _News(horizon, bool(whole), changes)


def _new(look: _News, seen: _Seen) -> list[tuple[int | None, str | None]]:
    """The photos and people of changes that are not known yet."""
    return [
        (photo, person)
        for _, number, photo, person in look.changes
        if number not in seen.later
    ]


def prune(connection: sa.Connection) -> None:
    """Shortens the log where it has become long; one process at a time."""
    given = {"kept": CHANGES_KEPT + CHANGES_KEPT // 10, "lock": _PRUNING}
    if connection.scalar(_MANY, given):
        connection.execute(_PRUNE, {"kept": CHANGES_KEPT})


def begin_log(connection: sa.Connection) -> None:
    """Forgets changes of another server, whose copy this one was restored from: its
    numbers of transactions are not ours."""
    connection.execute(_OF_ANOTHER_SERVER)
    connection.execute(_BEGIN)


Row = tuple[int, str, float, bytes]  # a photo, whose it is, its weight, its vector


def _photos(
    connection: sa.Connection, ids: Collection[int] | None = None
) -> Iterator[list[Row]]:
    """Photos in the driver's binary form, which is ten times as fast to read."""
    driver: Any = connection.connection.driver_connection
    query = "SELECT id, person_id, weight, embedding FROM photos"
    if ids is not None:
        query += " WHERE id = ANY(%s)"
    with driver.cursor("mien_photos", binary=True) as cursor:
        cursor.execute(query, None if ids is None else (list(ids),))
        while rows := cursor.fetchmany(_READ):
            yield rows


def _rows(rows: Sequence[Row], size: int) -> Rows:
    ids, persons, weights, vectors = zip(*rows, strict=True) if rows else ((),) * 4
    if any(len(vector) != _HEADER + 4 * size for vector in vectors):
        raise damaged()
    table = np.frombuffer(b"".join(vector[_HEADER:] for vector in vectors), dtype=">f4")
    return Rows(
        np.array(ids, np.int64),
        persons,
        np.array(weights, np.float32),
        table.reshape(-1, size).astype(np.float32),
    )
