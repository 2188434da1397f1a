"""What the galleries in databases have in common: their tables, and every change to them."""

from __future__ import annotations

import itertools
import uuid
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
import sqlalchemy as sa

from mien import database
from mien.errors import GalleryError, PersonExists, PersonNotFound, PhotoNotFound
from mien.gallery import counter_sql, migrations
from mien.gallery.base import Enrolled, KeptPhoto, Person, Photo, as_kept, check_name
from mien.gallery.counter import CounterExample
from mien.gallery.schema import COUNTER_EXAMPLES, PEOPLE, PHOTOS, PICTURES, damaged
from mien.gallery.weights import changed, weigh, weigh_people
from mien.space import EmbeddingSpace
from mien.text import did_you_mean, printable
from mien.types import F32, Matches

_CHUNK = 400  # people in one transaction of `enroll_all`
_READ = 5_000  # rows fetched at a time
_FEW = 4  # with fewer photos than this a photo's weight depends on nothing but its own quality
_TRIES = 8
_UNWEIGHED = 1  # the version of SQLite galleries whose photos have no weights yet


_KEEP_PICTURE = sa.text(
    "INSERT INTO pictures (photo_id, content) SELECT id, :content FROM photos"
    " WHERE person_id = :person AND sha256 = :sha256 ON CONFLICT DO NOTHING"
)


class SqlGallery(ABC):
    """People in a database that several processes may share; what a call acknowledged survives a crash.

    Args:
        engine: Its connections.
        place: How the database is called in messages.
        space: Of the descriptors.
    """

    def __init__(self, engine: sa.Engine, *, place: str, space: EmbeddingSpace) -> None:
        self.engine = engine
        self.place = place
        self.space = space

    @abstractmethod
    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches: ...

    @abstractmethod
    def _begin(self, connection: sa.Connection, *, write: bool) -> None:
        """Begins a transaction; one that writes must find what it reads unchanged until its end."""

    def _bring_up_to_date(self, connection: sa.Connection, *, as_it_is: bool) -> None:
        """Makes or migrates the tables. `as_it_is`: descriptors of another space are taken for what they are."""
        if as_it_is:
            self.space = migrations.space_of(connection) or self.space
        before = migrations.migrate(connection, place=self.place, space=self.space)
        if (connection.dialect.name, before) == ("sqlite", _UNWEIGHED):
            self._weigh(connection, connection.scalars(sa.select(PEOPLE.c.id)).all())

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """A connection whose work is kept when the block ends, and undone when it fails.

        Raises:
            GalleryError: The database cannot be reached, read or written.
        """
        with self.translated(), self.engine.begin() as connection:
            self._begin(connection, write=write)
            yield connection

    def translated(self) -> AbstractContextManager[None]:
        """Raises the database's errors as our own."""
        return database.translated(self.place, what="a gallery")

    def check_ready(self) -> None:
        with self.transaction() as connection:
            connection.execute(sa.select(PEOPLE.c.id).limit(1)).all()

    def people(self) -> list[Person]:
        count = sa.func.count(PHOTOS.c.id)
        query = (
            sa.select(PEOPLE.c.id, PEOPLE.c.name, count)
            .outerjoin(PHOTOS)
            .group_by(PEOPLE.c.id)
        )
        with self.transaction() as connection:
            rows = connection.execute(query).all()
        return sorted(
            (Person(id=key, name=name, photos=n) for key, name, n in rows),
            key=lambda person: person.name,
        )

    def enroll(self, name: str, photos: Sequence[Photo]) -> int:
        return self.enroll_all([(name, photos)])

    def enroll_all(self, people: Iterable[tuple[str, Sequence[Photo]]]) -> int:
        checked = (
            (check_name(name), [as_kept(photo, self.space) for photo in photos])
            for name, photos in people
        )
        added = 0
        for chunk in _batched(checked):
            wanted: dict[str, list[Photo]] = defaultdict(list)
            for name, photos in chunk:
                wanted[name].extend(photos)
            with self.transaction(write=True) as connection:
                migrations.check_space(connection, place=self.place, space=self.space)
                added += self._enroll(connection, wanted)
        return added

    def _enroll(self, connection: sa.Connection, wanted: dict[str, list[Photo]]) -> int:
        ids = self._ids_of(connection, sorted(wanted))
        theirs = PHOTOS.c.person_id.in_(ids.values())
        query = sa.select(PHOTOS.c.person_id, PHOTOS.c.sha256).where(theirs)
        there = {(person, sha256) for person, sha256 in connection.execute(query)}
        again = self._describe_again(connection, ids, wanted)
        new = {
            (ids[name], photo.sha256): photo
            for name, photos in wanted.items()
            for photo in photos
            if (ids[name], photo.sha256) not in there
        }
        if new:
            connection.execute(
                sa.insert(PHOTOS), _rows(new, stranger=self.space.stranger)
            )
            people = list({person for person, _ in new})
            counter_sql.drop_enrolled(connection, people, self.space)
        pictures = [
            {"person": ids[name], "sha256": photo.sha256, "content": photo.thumbnail}
            for name, photos in wanted.items()
            for photo in photos
            if photo.thumbnail
        ]
        if pictures:  # also of photos that were there already, without one
            connection.execute(_KEEP_PICTURE, pictures)
        before, now = (
            Counter(person for person, _ in photos) for photos in (there, new)
        )
        self._weigh(
            connection,
            [
                person
                for person in now.keys() | again
                if before[person] and before[person] + now[person] >= _FEW
            ],
        )
        return len(new)

    def _describe_again(
        self,
        connection: sa.Connection,
        ids: Mapping[str, str],
        wanted: Mapping[str, Sequence[Photo]],
    ) -> set[str]:
        """Photos without a picture are as they were described before there were pictures, in one view: of those that
        come once more, now with one, the new descriptor counts. The ids of their people."""
        bare = sa.select(PHOTOS.c.person_id, PHOTOS.c.sha256, PHOTOS.c.id)
        bare = bare.outerjoin(PICTURES).where(PICTURES.c.photo_id.is_(None))
        theirs = PHOTOS.c.person_id.in_(ids.values())
        rows = connection.execute(bare.where(theirs)).all()
        keys = {(person, sha256): key for person, sha256, key in rows}
        come = {
            key: (ids[name], photo)
            for name, photos in wanted.items()
            for photo in photos
            if photo.thumbnail and (key := keys.get((ids[name], photo.sha256)))
        }
        embeddings = {key: photo.embedding for key, (_, photo) in come.items()}
        self._put(connection, PHOTOS, embeddings, self.space.size)
        return {person for person, _ in come.values()}

    def bare(self) -> dict[str, int]:
        """How many photos of each person have no picture: imported as numbers, or described before pictures were kept,
        when a face was seen in one view."""
        query = (
            sa.select(PEOPLE.c.name, sa.func.count(PHOTOS.c.id))
            .select_from(PEOPLE)
            .join(PHOTOS)
            .outerjoin(PICTURES)
            .where(PICTURES.c.photo_id.is_(None))
            .group_by(PEOPLE.c.name)
            .order_by(PEOPLE.c.name)
        )
        with self.transaction() as connection:
            return dict(connection.execute(query).all())

    def _ids_of(self, connection: sa.Connection, names: list[str]) -> dict[str, str]:
        """The ids of people, who are made if new and are kept from others until the transaction ends."""
        # The dialect that is in use is loaded; the other one takes a tenth of a second.
        insert = import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert
        locked = sa.select(PEOPLE.c.name, PEOPLE.c.id).where(PEOPLE.c.name.in_(names))
        for _ in range(
            _TRIES
        ):  # again when another process removed one between the two statements
            found = _pairs(connection, locked.order_by(PEOPLE.c.id).with_for_update())
            missing = [
                {"id": uuid.uuid4().hex, "name": name}
                for name in names
                if name not in found
            ]
            if not missing:
                return found
            connection.execute(insert(PEOPLE).on_conflict_do_nothing(), missing)
        raise GalleryError(
            f"cannot use {self.place}: others remove the same people all the time; try again"
        )

    def _weigh(self, connection: sa.Connection, people: Iterable[str]) -> None:
        """Weighs the photos of people anew: each counts by its quality, and by whether it looks like the others."""
        columns = (PHOTOS.c.id, PHOTOS.c.embedding, PHOTOS.c.quality, PHOTOS.c.weight)
        update = (
            sa.update(PHOTOS)
            .where(PHOTOS.c.id == sa.bindparam("key"))
            .values(weight=sa.bindparam("new"))
        )
        for person in people:
            rows = connection.execute(
                sa.select(*columns).where(PHOTOS.c.person_id == person)
            ).all()
            if not rows:
                continue
            keys, embeddings, qualities, old = zip(*rows, strict=True)
            weights = weigh(
                self._stacked(embeddings),
                np.array(qualities, np.float32),
                stranger=self.space.stranger,
            )
            other = np.flatnonzero(changed(old, weights))
            if len(other):
                connection.execute(
                    update, [{"key": keys[i], "new": float(weights[i])} for i in other]
                )

    def remove(self, name: str) -> None:
        with self.transaction(write=True) as connection:
            person = self._require(connection, name)
            connection.execute(sa.delete(PHOTOS).where(PHOTOS.c.person_id == person))
            connection.execute(sa.delete(PEOPLE).where(PEOPLE.c.id == person))

    def rename(self, old: str, new: str) -> None:
        new = check_name(new)
        taken = PersonExists(
            f"{new} is in the gallery already; 'mien people merge' joins two people"
        )
        with self.transaction(write=True) as connection:
            person = self._require(connection, old)
            if connection.scalar(
                sa.select(PEOPLE.c.id).where(PEOPLE.c.name == new)
            ) not in (None, person):
                raise taken
            try:
                connection.execute(
                    sa.update(PEOPLE).where(PEOPLE.c.id == person).values(name=new)
                )
            except (
                sa.exc.IntegrityError
            ) as exc:  # another process took the name just now
                raise taken from exc

    def merge(self, source: str, target: str) -> None:
        with self.transaction(write=True) as connection:
            from_id, into_id = self._require_all(connection, source, target)
            if from_id == into_id:
                return
            there = (
                sa.select(PHOTOS.c.sha256)
                .where(PHOTOS.c.person_id == into_id)
                .scalar_subquery()
            )
            moved = sa.update(PHOTOS).where(
                PHOTOS.c.person_id == from_id, PHOTOS.c.sha256.not_in(there)
            )
            connection.execute(moved.values(person_id=into_id))
            connection.execute(sa.delete(PHOTOS).where(PHOTOS.c.person_id == from_id))
            counter_sql.move(connection, from_id, into_id)
            connection.execute(sa.delete(PEOPLE).where(PEOPLE.c.id == from_id))
            counter_sql.drop_enrolled(connection, [into_id], self.space)
            self._weigh(connection, [into_id])

    def discard(self, name: str, sha256s: Sequence[str]) -> int:
        with self.transaction(write=True) as connection:
            person = self._require(connection, name)
            theirs = PHOTOS.c.person_id == person
            gone = connection.execute(
                sa.delete(PHOTOS).where(theirs, PHOTOS.c.sha256.in_(list(sha256s)))
            ).rowcount
            if connection.scalar(sa.select(sa.func.count()).where(theirs)) == 0:
                connection.execute(sa.delete(PEOPLE).where(PEOPLE.c.id == person))
            self._weigh(connection, [person])
        return gone

    def deny(self, name: str, faces: Sequence[Photo]) -> int:
        with self.transaction(write=True) as connection:
            migrations.check_space(connection, place=self.place, space=self.space)
            person = self._require(connection, name)
            named = person, check_name(name)
            return counter_sql.add(connection, named, faces, self.space)

    def allow(self, name: str, ids: Sequence[str]) -> int:
        with self.transaction(write=True) as connection:
            person = self._require(connection, name)
            return counter_sql.take_back(connection, person, ids)

    def counter_examples(self, name: str | None = None) -> list[CounterExample]:
        with self.transaction() as connection:
            person = None
            if name is not None:
                person = self._require(connection, name, hold=False)
            return counter_sql.read(connection, person)

    def photos_of(self, name: str) -> list[KeptPhoto]:
        columns = (
            PHOTOS.c.sha256,
            PHOTOS.c.source,
            PHOTOS.c.created,
            PHOTOS.c.quality,
            PHOTOS.c.weight,
        )
        query = (
            sa.select(*columns, PICTURES.c.photo_id.is_not(None))
            .outerjoin(PICTURES)
            .order_by(PHOTOS.c.id)
        )
        with self.transaction() as connection:
            person = self._require(connection, name, hold=False)
            rows = connection.execute(query.where(PHOTOS.c.person_id == person)).all()
        return [
            KeptPhoto(
                sha256,
                source,
                counter_sql.seconds(created),
                quality,
                weight,
                bool(pictured),
            )
            for sha256, source, created, quality, weight, pictured in rows
        ]

    def thumbnail(self, name: str, sha256: str) -> bytes:
        query = (
            sa.select(PICTURES.c.content).join(PHOTOS).where(PHOTOS.c.sha256 == sha256)
        )
        with self.transaction() as connection:
            person = self._require(connection, name, hold=False)
            content = connection.scalar(query.where(PHOTOS.c.person_id == person))
        if content is None:
            raise PhotoNotFound(
                "there is no such photo, or no picture of it; enrol it once more, and one is kept"
            )
        return bytes(content)

    def photo_ids(self) -> list[int]:
        """Of all photos, in the order of enrolment."""
        with self.transaction() as connection:
            return list(
                connection.scalars(sa.select(PHOTOS.c.id).order_by(PHOTOS.c.id))
            )

    def picture(self, photo_id: int) -> bytes:
        """The small JPEG of the face in one of them; nothing where none is kept."""
        with self.transaction() as connection:
            found = connection.scalar(
                sa.select(PICTURES.c.content).where(PICTURES.c.photo_id == photo_id)
            )
        return b"" if found is None else bytes(found)

    def reembed(
        self,
        space: EmbeddingSpace,
        rows: Mapping[int, F32],
        without: Collection[int],
        examples: Mapping[str, F32 | None] = MappingProxyType({}),
    ) -> bool:
        """Gives photos other descriptors, by id; the gallery is of their space from then on. Photos `without` one go
        where their old one is of another space, and so do counter-examples that have none among `examples`. All of it
        happens, or nothing; nothing (False) also where photos or counter-examples came meanwhile.
        """
        examples_new = {k: row for k, row in examples.items() if row is not None}
        with self.transaction(write=True) as connection:
            there = set(connection.scalars(sa.select(PHOTOS.c.id)))
            denied = set(connection.scalars(sa.select(COUNTER_EXAMPLES.c.id)))
            if not (there <= rows.keys() | set(without) and denied <= examples.keys()):
                return False
            if space.name != self.space.name:
                for some in _batched(there.intersection(without)):
                    connection.execute(sa.delete(PHOTOS).where(PHOTOS.c.id.in_(some)))
                for some in _batched(denied - examples_new.keys()):
                    lost = COUNTER_EXAMPLES.c.id.in_(some)
                    connection.execute(sa.delete(COUNTER_EXAMPLES).where(lost))
            new = {key: row for key, row in rows.items() if key in there}
            self._put(connection, PHOTOS, new, space.size)
            self._put(connection, COUNTER_EXAMPLES, examples_new, space.size)
            migrations.note_space(connection, space)
            self.space = space
            self._weigh(connection, connection.scalars(sa.select(PEOPLE.c.id)).all())
        return True

    def _put(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Mapping[Any, F32],
        size: int,
    ) -> None:
        """Writes descriptors of so many numbers, by id, over those that are there."""
        update = (
            sa.update(table)
            .where(table.c.id == sa.bindparam("key"))
            .values(embedding=sa.bindparam("row"))
        )
        if rows:
            values = [{"key": key, "row": row} for key, row in rows.items()]
            connection.execute(update, values)

    def _require(
        self, connection: sa.Connection, name: str, *, hold: bool = True
    ) -> str:
        return self._require_all(connection, name, hold=hold)[0]

    def _require_all(
        self, connection: sa.Connection, *names: str, hold: bool = True
    ) -> list[str]:
        """The ids of people, who are kept from others until the transaction ends, if they are to be held."""
        wanted = [check_name(name) for name in names]
        query = (
            sa.select(PEOPLE.c.name, PEOPLE.c.id)
            .where(PEOPLE.c.name.in_(wanted))
            .order_by(PEOPLE.c.id)
        )
        found = _pairs(connection, query.with_for_update() if hold else query)
        for name in wanted:
            if name not in found:
                near = did_you_mean(name, connection.scalars(sa.select(PEOPLE.c.name)))
                raise PersonNotFound(f"nobody in {self.place} is called {name}{near}")
        return [found[name] for name in wanted]

    @abstractmethod
    def _closest(self, probe: F32, count: int) -> tuple[list[int], list[float]]:
        """The ids of the photos nearest to a descriptor (D,), and how far they are."""

    def nearest(self, probe: F32, count: int) -> list[tuple[float, Enrolled]]:
        ids, distances = self._closest(probe, count)
        columns = (
            PHOTOS.c.id,
            PEOPLE.c.name,
            PHOTOS.c.embedding,
            PHOTOS.c.sha256,
            PHOTOS.c.source,
        )
        query = sa.select(*columns, PHOTOS.c.quality, PHOTOS.c.weight).join(PHOTOS)
        found: dict[int, Enrolled] = {}
        with self.transaction() as connection:
            for some in _batched(ids):
                for (
                    key,
                    name,
                    row,
                    sha256,
                    source,
                    quality,
                    weight,
                ) in connection.execute(query.where(PHOTOS.c.id.in_(some))):
                    found[key] = Enrolled(
                        name, Photo(row, sha256, source, quality=quality), weight
                    )
        near = zip(ids, distances, strict=True)
        return [
            (apart, found[key]) for key, apart in near if key in found
        ]  # others are gone since

    def enrolled(self) -> Iterator[Enrolled]:
        columns = (
            PEOPLE.c.name,
            PHOTOS.c.embedding,
            PHOTOS.c.sha256,
            PHOTOS.c.source,
            PHOTOS.c.quality,
        )
        query = sa.select(*columns, PHOTOS.c.weight).join(PHOTOS).order_by(PHOTOS.c.id)
        with self.transaction() as connection:
            for (
                name,
                row,
                sha256,
                source,
                quality,
                weight,
            ) in connection.execution_options(yield_per=_READ).execute(query):
                if row.shape != (self.space.size,):
                    raise damaged()
                yield Enrolled(
                    name, Photo(row, sha256, source, quality=quality), weight
                )

    def descriptors_of(self, name: str) -> F32:
        query = sa.select(PHOTOS.c.embedding).join(PEOPLE)
        with self.transaction() as connection:
            rows = connection.scalars(query.where(PEOPLE.c.name == check_name(name)))
            return self._stacked(list(rows))

    def descriptors(self) -> tuple[tuple[str, ...], F32]:
        everything = list(self.enrolled())
        rows = [one.photo.embedding for one in everything]
        return tuple(one.name for one in everything), self._stacked(rows)

    def _stacked(self, rows: Sequence[F32]) -> F32:
        if any(row.shape != (self.space.size,) for row in rows):
            raise damaged()
        return np.array(rows, np.float32).reshape(-1, self.space.size)

    def close(self) -> None:
        self.engine.dispose()


def _pairs(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, str]:
    return dict(connection.execute(query).all())


def _batched(items: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    rest = iter(items)
    while chunk := tuple(itertools.islice(rest, _CHUNK)):
        yield chunk


def _rows(
    new: dict[tuple[str, str], Photo], *, stranger: float
) -> list[dict[str, object]]:
    """New photos by person and hash as rows, weighed among themselves."""
    table = np.stack([photo.embedding for photo in new.values()])
    qualities = np.array([photo.quality for photo in new.values()], np.float32)
    weights = weigh_people(
        [person for person, _ in new], table, qualities, stranger=stranger
    )
    return [
        {
            "person_id": person,
            "sha256": sha256,
            "source": printable(photo.source.replace("\0", "")),
            "embedding": photo.embedding,
            "quality": photo.quality,
            "weight": float(weight),
        }
        for ((person, sha256), photo), weight in zip(new.items(), weights, strict=True)
    ]
