"""Counter-examples in the databases of galleries: each function runs in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa

from mien.gallery.base import Photo
from mien.gallery.counter import (
    CounterExample,
    are_enrolled,
    as_denied,
    check_not_enrolled,
)
from mien.gallery.schema import COUNTER_EXAMPLES as EXAMPLES, PEOPLE, PHOTOS
from mien.space import EmbeddingSpace
from mien.text import printable
from mien.types import F32


def seconds(created: datetime) -> float:
    """Seconds since 1970; SQLite's times are in UTC and do not say so."""
    return (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp()


def add(
    connection: sa.Connection,
    person: tuple[str, str],
    faces: Sequence[Photo],
    space: EmbeddingSpace,
) -> int:
    """Keeps faces that are not a person (id and name); returns how many were new."""
    key, name = person
    denied = as_denied(faces, space)
    theirs = sa.select(EXAMPLES.c.id).where(EXAMPLES.c.person_id == key)
    there = set(connection.scalars(theirs))
    new = {number: face for number, face in denied.items() if number not in there}
    if not new:
        return 0
    rows = np.stack([face.embedding for face in new.values()])
    check_not_enrolled(name, rows, _enrolled(connection, key, space), space)
    values = [
        {
            "id": number,
            "person_id": key,
            "source": printable(face.source.replace("\0", "")),
            "embedding": face.embedding,
            "thumbnail": face.thumbnail,
        }
        for number, face in new.items()
    ]
    connection.execute(sa.insert(EXAMPLES), values)
    return len(new)


def _enrolled(connection: sa.Connection, person: str, space: EmbeddingSpace) -> F32:
    """The descriptors (M, D) of a person's photos."""
    query = sa.select(PHOTOS.c.embedding).where(PHOTOS.c.person_id == person)
    rows = list(connection.scalars(query))
    return np.array(rows, np.float32).reshape(-1, space.size)


def take_back(connection: sa.Connection, person: str, ids: Sequence[str]) -> int:
    """Deletes some of those of a person; returns how many there were."""
    theirs = EXAMPLES.c.person_id == person, EXAMPLES.c.id.in_(list(ids))
    return connection.execute(sa.delete(EXAMPLES).where(*theirs)).rowcount


def read(connection: sa.Connection, person: str | None) -> list[CounterExample]:
    """Those of a person, or of everybody, in the order in which they were said."""
    columns = (
        EXAMPLES.c.id,
        PEOPLE.c.name,
        EXAMPLES.c.embedding,
        EXAMPLES.c.source,
        EXAMPLES.c.created,
        EXAMPLES.c.thumbnail,
    )
    query = sa.select(*columns).join(PEOPLE).order_by(EXAMPLES.c.created, EXAMPLES.c.id)
    if person is not None:
        query = query.where(EXAMPLES.c.person_id == person)
    return [
        CounterExample(number, name, row, source, seconds(created), bytes(picture))
        for number, name, row, source, created, picture in connection.execute(query)
    ]


def drop_enrolled(
    connection: sa.Connection, people: Sequence[str], space: EmbeddingSpace
) -> None:
    """Forgets those that are photos of the person by now: the later word counts."""
    query = sa.select(EXAMPLES.c.person_id, EXAMPLES.c.id, EXAMPLES.c.embedding)
    rows = connection.execute(query.where(EXAMPLES.c.person_id.in_(people))).all()
    for person in {row.person_id for row in rows}:
        mine = [row for row in rows if row.person_id == person]
        descriptors = np.stack([row.embedding for row in mine])
        enrolled = _enrolled(connection, person, space)
        wrong = are_enrolled(descriptors, enrolled, space)
        gone = [row.id for row, is_wrong in zip(mine, wrong, strict=True) if is_wrong]
        if gone:
            take_back(connection, person, gone)


def move(connection: sa.Connection, source: str, target: str) -> None:
    """Makes those of a person another's: who is not A is not B, if A is B."""
    there = sa.select(EXAMPLES.c.id).where(EXAMPLES.c.person_id == target)
    moved = sa.update(EXAMPLES).where(
        EXAMPLES.c.person_id == source, EXAMPLES.c.id.not_in(there.scalar_subquery())
    )
    connection.execute(moved.values(person_id=target))
    connection.execute(sa.delete(EXAMPLES).where(EXAMPLES.c.person_id == source))
