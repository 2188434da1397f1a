"""What was watched, in a database: visits for as long as was asked for, their pictures, what is still to be told."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mien import database
from mien.errors import InputError, VisitNotFound
from mien.gallery import DATABASE_SUFFIXES, Gallery
from mien.gallery.base import place_key
from mien.media.images import THUMBNAIL, pixels_of
from mien.text import shown
from mien.watch.visits import LONGEST_CLIP_S, BestView, Event, clip_address, iso

MQTT = "mqtt"  # the target that is no webhook
TOLD_FOR_S = 86_400.0  # for which something is tried to be told
ABANDONED_S = 60.0  # an open visit that nobody went on with for so long has ended
# After which no clip or picture of somebody who was there comes any more.
_LATE_S = 3_600.0
_NAMED_YET_S = 5.0  # after which a camera names nobody any more who was forgotten
_SCHEMA = database.Schema("watch", "mien.watch.migrations")
_PAGE = 500  # visits that are read at once
_WRITING = 0x77617463  # the lock of whoever writes in PostgreSQL
_HEAD = 2_048  # bytes of a JPEG that say how large it is
_OWN = ("begin", "end", "zone", "who", "person")  # told in columns of their own

_metadata = sa.MetaData()
_visits = sa.Table(
    "watch_visits",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger),
    sa.Column("camera", sa.Text),
    sa.Column("zone", sa.Text),
    sa.Column("begins", sa.Double),
    sa.Column("ends", sa.Double),
    sa.Column("seen", sa.Double),
    sa.Column("who", sa.Text),
    sa.Column("person", sa.Text),
    sa.Column("told", sa.Text),
    sa.Column("by_hand", sa.Integer, default=0),
    sa.Column("heard", sa.Text, default="{}"),
)
_pictures = sa.Table(
    "watch_pictures",
    _metadata,
    sa.Column("visit_id", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("content", sa.LargeBinary),
)
_clips = sa.Table(
    "watch_clips",
    _metadata,
    sa.Column("visit_id", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary),
)
_queue = sa.Table(
    "watch_queue",
    _metadata,
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("target", sa.Text),
    sa.Column("visit_id", sa.Text),
    sa.Column("person", sa.Text),
    sa.Column("body", sa.Text),
    sa.Column("due", sa.Double),
    sa.Column("expires", sa.Double),
    sa.Column("tries", sa.Integer),
)
_cameras = sa.Table(
    "watch_cameras",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("said", sa.Text),
)
_rules = sa.Table(
    "watch_rules",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("said", sa.Text),
)
_silences = sa.Table(
    "watch_silences",
    _metadata,
    sa.Column("rule", sa.Text),
    sa.Column("camera", sa.Text),
    sa.Column("person", sa.Text),
    sa.Column("until", sa.Double),
)
_forgotten = sa.Table(
    "watch_forgotten",
    _metadata,
    sa.Column("camera", sa.Text),
    sa.Column("since", sa.Double),
    sa.Column("until", sa.Double),
)
_names = sa.Table(
    "watch_forgotten_names",
    _metadata,
    sa.Column("salt", sa.Text),
    sa.Column("hash", sa.Text),
    sa.Column("until", sa.Double),
)
_keeping = sa.Table("watch_keeping", _metadata, sa.Column("days", sa.Double))
_counter = sa.Table(
    "watch_counter",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger),
)


@dataclass(frozen=True, slots=True)
class KeptVisit:
    """A visit as it is kept. `number` grows with every change of any visit: what changed later has a larger one."""

    id: str
    number: int
    camera: str
    zone: str
    begins: float
    ends: float | None
    who: str
    person: str | None
    told: Mapping[str, Any]
    pictures: tuple[float, ...] = ()
    clip: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        named = {"who": self.who, "person": self.person} if self.who else {}
        clip = {"clip": clip_address(self.id)} if self.clip else {}
        return {
            "id": self.id,
            "number": self.number,
            "camera": self.camera,
            "zone": self.zone or None,
            "begin": iso(self.begins),
            "end": None if self.ends is None else iso(self.ends),
            **named,
            **self.told,
            "pictures": [iso(at) for at in self.pictures],
            **clip,
        }


@dataclass(frozen=True, slots=True)
class Beside:
    """A whole picture of a moment, or (None) the clip, of somebody else's visit, in which a person may be seen, too."""

    visit: str
    camera: str
    begins: float
    at: float | None = None


@dataclass(slots=True)
class _Presence:
    """When somebody was there: from each begin, in order, to the last end so far."""

    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def add(self, begin: float, end: float) -> None:
        self.begins.append(begin)
        self.ends.append(max([end, *self.ends[-1:]]))

    def holds(self, at: float) -> bool:
        """Whether they were there at a time."""
        i = bisect_right(self.begins, at)
        return i > 0 and at <= self.ends[i - 1]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which visits: of a person or camera, that were going on between two times (seconds since 1970)."""

    person: str | None = None
    camera: str | None = None
    since: float | None = None
    until: float | None = None

    def clauses(self) -> Iterator[sa.ColumnElement[bool]]:
        if self.person is not None:
            yield _visits.c.person == self.person
        if self.camera is not None:
            yield _visits.c.camera == self.camera
        if self.since is not None:
            yield sa.or_(_visits.c.ends.is_(None), _visits.c.ends >= self.since)
        if self.until is not None:
            yield _visits.c.begins <= self.until

    def fits(self, person: str | None, camera: str) -> bool:
        """Whether a visit is of the person and the camera, whenever it was."""
        return self.person in (None, person) and self.camera in (None, camera)


@dataclass(frozen=True, slots=True)
class Message:
    """Something still to be told to somebody: `target` names whom; tried `tries` times so far. With `ends` they want to
    hear of the visit's end, too."""

    number: int
    target: str
    visit_id: str
    body: str
    expires: float
    tries: int
    person: str | None = field(default=None)
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """A rule has spoken of a person (None: of somebody unknown) before a camera, and says no more `until` then."""

    rule: str
    camera: str
    person: str | None
    until: float


def message_of(
    target: str, visit: Mapping[str, Any], *, expires: float, **named: str | None
) -> Message:
    """What a target is told of a visit, `named` after the rule by which, where it is not told of all."""
    body = {"id": uuid.uuid4().hex, **named, "visit": visit}
    text = json.dumps(body, ensure_ascii=False)
    return Message(0, target, str(visit["id"]), text, expires, 0)


class VisitStore:
    """Visits in a database. Safe to share between threads and processes; what a call changed is on disk when it
    returns, and what it deleted is gone from the file.

    Args:
        place: A SQLite file, or the engine of a gallery, which closes it itself.
        clock: Seconds since 1970.

    Raises:
        GalleryError: The database cannot be used.
    """

    def __init__(
        self, place: Path | sa.Engine, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.clock = clock
        self._lock = threading.RLock()
        self._borrowed = isinstance(place, sa.Engine)
        if isinstance(place, sa.Engine):
            self._engine = place
        else:
            # A file that only its user can read, which may be read while it is written.
            database.make_file(place, shared_folder=True)
            self._engine = database.sqlite_engine(place)
            log = "PRAGMA journal_mode = WAL"
            sa.event.listen(
                self._engine, "connect", lambda connection, _: connection.execute(log)
            )
        with self._transaction(writing=True) as connection:
            _SCHEMA.migrate(connection, place=self._place)
        if self._file is not None:
            database.drop_copy(self._file)

    @property
    def _place(self) -> str:
        return f"the visits in {shown(self._engine.url.render_as_string())}"

    @property
    def _file(self) -> Path | None:
        name = self._engine.url.database
        sqlite = self._engine.dialect.name == "sqlite"
        return Path(name) if sqlite and name else None

    @contextmanager
    def _transaction(self, *, writing: bool = False) -> Iterator[sa.Connection]:
        """A transaction; of those that write, in whatever process, one at a time."""
        with (
            database.translated(self._place, what="a database of visits"),
            self._lock,
            self._engine.begin() as connection,
        ):
            if self._file is not None:
                database.begin(connection, write=writing)
            elif writing:
                lock = sa.func.pg_advisory_xact_lock(_WRITING)
                connection.execute(sa.select(lock))
            yield connection

    # -- what happens

    def record(
        self,
        event: Event,
        messages: Sequence[Message] = (),
        *,
        silences: Sequence[Silence] = (),
        keep: bool = True,
    ) -> bool:
        """Keeps what happened to a visit (not without `keep`), what is to be told of it, and what is not told again for
        a while, at once or not at all.

        False: the visit was deleted meanwhile, or is of somebody who was forgotten since it began, and nothing is kept
        or told of it any more.
        """
        with self._transaction(writing=True) as connection:
            if _was_forgotten(connection, event):
                if keep:
                    _forget_late(connection, event, self.clock())
                return False
            if keep and not _keep(connection, event):
                return False
            _note_heard(connection, event.visit, messages)
            _enqueue(connection, messages)
            if silences:
                rows = [asdict(one) for one in silences]
                connection.execute(sa.insert(_silences), rows)
        return True

    def keep_clip(self, visit_id: str, content: bytes) -> bool:
        """Keeps the clip of a visit's beginning. False: the visit is not kept any more, or somebody was there who was
        forgotten while it was made, and it is not kept either."""
        query = sa.select(_visits.c.camera, _visits.c.begins)
        with self._transaction(writing=True) as connection:
            visit = connection.execute(query.where(_visits.c.id == visit_id)).first()
            if visit is None or _shows_forgotten(connection, *visit):
                return False
            connection.execute(sa.delete(_clips).where(_clips.c.visit_id == visit_id))
            row = {"visit_id": visit_id, "content": content}
            connection.execute(sa.insert(_clips).values(**row))
            this = sa.update(_visits).where(_visits.c.id == visit_id)
            connection.execute(this.values(number=_next(connection)))
        return True

    def touch(self, seen: Mapping[str, float]) -> None:
        """Notes that visits go on, and until when by now."""
        if not seen:
            return
        change = (
            sa.update(_visits)
            .where(_visits.c.id == sa.bindparam("visit"))
            .values(seen=sa.bindparam("at"))
        )
        rows = [{"visit": visit, "at": at} for visit, at in seen.items()]
        with self._transaction(writing=True) as connection:
            connection.execute(change, rows)

    # -- looking

    def visits(
        self,
        wanted: Wanted | None = None,
        *,
        limit: int = 100,
        before: int | None = None,
    ) -> list[KeptVisit]:
        """The visits that changed last, the newest first; `before` a number: the page behind."""
        query = sa.select(_visits).where(*(wanted or Wanted()).clauses())
        if before is not None:
            query = query.where(_visits.c.number < before)
        return self._kept(query.order_by(_visits.c.number.desc()).limit(limit))

    def every(self, wanted: Wanted | None = None) -> Iterator[KeptVisit]:
        """All visits, the newest change first, read a page at a time."""
        before: int | None = None
        while page := self.visits(wanted, limit=_PAGE, before=before):
            yield from page
            before = page[-1].number

    def changes(self, after: int, *, limit: int = 100) -> list[KeptVisit]:
        """The visits that changed after a number, the oldest change first."""
        query = sa.select(_visits).where(_visits.c.number > after)
        return self._kept(query.order_by(_visits.c.number).limit(limit))

    def count(self) -> int:
        """How many visits are kept."""
        with self._transaction() as connection:
            query = sa.select(sa.func.count()).select_from(_visits)
            return connection.scalar(query) or 0

    def days(self) -> float | None:
        """For how many days visits were last to be kept; None: nobody has said yet."""
        with self._transaction() as connection:
            return _days(connection)

    def last_number(self) -> int:
        """The number of the last change so far."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(_counter.c.value)) or 0

    def visit(self, visit_id: str) -> KeptVisit:
        """One visit. Raises VisitNotFound."""
        found = self._kept(sa.select(_visits).where(_visits.c.id == visit_id))
        if not found:
            raise VisitNotFound("no visit has this id, or it is not kept any more")
        return found[0]

    def _kept(self, query: sa.Select[Any]) -> list[KeptVisit]:
        with self._transaction() as connection:
            rows = connection.execute(query).all()
            ids = [row.id for row in rows]
            pictures = connection.execute(
                sa.select(_pictures.c.visit_id, _pictures.c.at)
                .where(_pictures.c.visit_id.in_(ids))
                .order_by(_pictures.c.at)
            ).all()
            theirs = sa.select(_clips.c.visit_id).where(_clips.c.visit_id.in_(ids))
            clips = set(connection.scalars(theirs))
        at: dict[str, list[float]] = {}
        for picture in pictures:
            at.setdefault(picture.visit_id, []).append(picture.at)
        return [
            _kept_visit(row, tuple(at.get(row.id, ())), clip=row.id in clips)
            for row in rows
        ]

    def picture(self, visit_id: str, number: int = 0) -> bytes:
        """A picture that is kept of a visit, by its place among them. Raises VisitNotFound."""
        query = (
            sa.select(_pictures.c.content)
            .where(_pictures.c.visit_id == visit_id)
            .order_by(_pictures.c.at)
            .offset(number)
            .limit(1)
        )
        with self._transaction() as connection:
            found = connection.scalar(query)
        if found is None:
            raise VisitNotFound("no such picture is kept of this visit")
        return bytes(found)

    def clip(self, visit_id: str) -> bytes:
        """The clip that is kept of a visit, as MP4. Raises VisitNotFound."""
        query = sa.select(_clips.c.content).where(_clips.c.visit_id == visit_id)
        with self._transaction() as connection:
            found = connection.scalar(query)
        if found is None:
            raise VisitNotFound("no clip is kept of this visit, or not yet")
        return bytes(found)

    # -- forgetting

    def sweep(self, *, keep_days: float | None) -> int:
        """Ends visits that nobody goes on with, deletes what was kept long enough and what could not be told in time;
        returns how many visits went. Without `keep_days` those of earlier runs stay for the days that were said
        then."""
        now = self.clock()
        open_ones = _visits.c.ends.is_(None)
        with self._transaction(writing=True) as connection:
            left = _visits.c.seen < now - ABANDONED_S
            query = sa.select(_visits).where(open_ones, left)
            for row in connection.execute(query.order_by(_visits.c.number)).all():
                _end(connection, row, expires=now + TOLD_FOR_S)
            connection.execute(sa.delete(_queue).where(_queue.c.expires < now))
            connection.execute(sa.delete(_silences).where(_silences.c.until < now))
            if keep_days is not None:
                _say_days(connection, keep_days)
            days = _days(connection)
            old: sa.ColumnElement[bool] = sa.false()
            if days is not None:
                old = _visits.c.ends <= now - days * 86_400
            gone = _delete(connection, old)
            _drop_forgotten(connection, now)
        self._empty_log()  # of pictures that better ones took the place of, too
        return gone

    def relabel(self, old: str, new: str | None) -> int:
        """Tells that a person has another name, or (None) is forgotten: what is kept of their visits goes, what was
        still to be told, and others' clips and whole pictures that may show them. Returns how many visits it was."""
        with self._transaction(writing=True) as connection:
            silent = _silences.c.person == old
            if new is None:
                queued = sa.delete(_queue).where(_queue.c.person == old)
                connection.execute(queued)
                connection.execute(sa.delete(_silences).where(silent))
                _note_name(connection, old, self.clock())
                theirs = _visits.c.person.is_not_distinct_from(old)
                count = _forget(connection, theirs, self.clock())
            else:
                renamed = sa.update(_silences).where(silent)
                connection.execute(renamed.values(person=new))
                query = sa.select(_visits.c.id).where(_visits.c.person == old)
                ids = list(connection.scalars(query.order_by(_visits.c.number)))
                count = len(ids)
                for visit in ids:
                    change = sa.update(_visits).where(_visits.c.id == visit)
                    named = change.values(person=new, number=_next(connection))
                    connection.execute(named)
        if new is None:
            self._empty_log()
        return count

    def name(self, visit_id: str, person: str | None) -> KeptVisit:
        """Tells who it was, or (None) that it was somebody unknown. Raises VisitNotFound."""
        this = sa.update(_visits).where(_visits.c.id == visit_id)
        with self._transaction(writing=True) as connection:
            who = "unknown" if person is None else "known"
            values = {"who": who, "person": person, "number": _next(connection)}
            connection.execute(this.values(**values, by_hand=1))
        return self.visit(visit_id)

    def give_name(self, visit_ids: Sequence[str], name: str) -> int:
        """Tells who it was in those of these visits that were somebody unknown; returns how many."""
        nobody = _visits.c.person.is_(None)
        return self._say(visit_ids, nobody, who="known", person=name, by_hand=1)

    def take_name(self, visit_ids: Sequence[str], name: str) -> int:
        """Takes that back; returns of how many."""
        theirs = _visits.c.person == name
        return self._say(visit_ids, theirs, who="unknown", person=None, by_hand=0)

    def _say(
        self, visit_ids: Sequence[str], which: sa.ColumnElement[bool], **values: Any
    ) -> int:
        count = 0
        with self._transaction(writing=True) as connection:
            for visit in visit_ids:
                this = sa.update(_visits).where(_visits.c.id == visit, which)
                change = this.values(**values, number=_next(connection))
                count += connection.execute(change).rowcount
        return count

    def forget(self, visit_id: str) -> None:
        """Deletes one visit for good. Raises VisitNotFound."""
        with self._transaction(writing=True) as connection:
            if not _delete(connection, _visits.c.id == visit_id):
                raise VisitNotFound("no visit has this id, or it is not kept any more")
        self._empty_log()

    def beside(self, person: str) -> list[Beside]:
        """Where else a person may be seen: who is forgotten goes from there, too."""
        with self._transaction() as connection:
            theirs = _visits.c.person.is_not_distinct_from(person)
            return _beside(connection, theirs)

    def _empty_log(self) -> None:
        """Of what was deleted the write-ahead log keeps nothing either."""
        if self._file is not None:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- what is still to be told

    def waiting(self, target: str | None = None) -> list[Message]:
        """What is still to be told to a target (None: to all), the oldest first."""
        query = sa.select(_queue).order_by(_queue.c.number)
        if target is not None:
            query = query.where(_queue.c.target == target)
        with self._transaction() as connection:
            return [_message(row) for row in connection.execute(query).all()]

    def next_due(self, target: str) -> Message | None:
        """What a target is to be told next; None where there is nothing, or it is too early to try that again."""
        query = sa.select(_queue).where(_queue.c.target == target)
        with self._transaction() as connection:
            row = connection.execute(query.order_by(_queue.c.number).limit(1)).first()
        return None if row is None or row.due > self.clock() else _message(row)

    def told(self, number: int) -> None:
        """Something was told: it is not kept any longer."""
        with self._transaction(writing=True) as connection:
            connection.execute(sa.delete(_queue).where(_queue.c.number == number))

    def later(self, number: int, due: float) -> None:
        """Something could not be told; it is tried again."""
        change = sa.update(_queue).where(_queue.c.number == number)
        with self._transaction(writing=True) as connection:
            connection.execute(change.values(due=due, tries=_queue.c.tries + 1))

    def silences(self) -> list[Silence]:
        """What rules have said lately, and say no more for a while."""
        query = sa.select(_silences).where(_silences.c.until > self.clock())
        with self._transaction() as connection:
            return [Silence(*row) for row in connection.execute(query).all()]

    # -- cameras that were added

    def cameras(self) -> dict[str, dict[str, Any]]:
        """What was said of each, by its id."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_cameras).order_by(_cameras.c.id)).all()
        return {row.id: json.loads(row.said) for row in rows}

    def put_camera(self, camera_id: str, said: Mapping[str, Any]) -> None:
        """Keeps a camera, new or changed."""
        with self._transaction(writing=True) as connection:
            connection.execute(sa.delete(_cameras).where(_cameras.c.id == camera_id))
            row = {"id": camera_id, "said": json.dumps(dict(said))}
            connection.execute(sa.insert(_cameras).values(**row))

    def drop_camera(self, camera_id: str) -> None:
        with self._transaction(writing=True) as connection:
            connection.execute(sa.delete(_cameras).where(_cameras.c.id == camera_id))
        self._empty_log()

    # -- rules that were added

    def rules(self) -> dict[str, dict[str, Any]]:
        """What was said of each, by its id."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_rules).order_by(_rules.c.id)).all()
        return {row.id: json.loads(row.said) for row in rows}

    def put_rule(self, rule_id: str, said: Mapping[str, Any]) -> None:
        """Keeps a rule, new or changed."""
        row = {"id": rule_id, "said": json.dumps(dict(said))}
        with self._transaction(writing=True) as connection:
            connection.execute(sa.delete(_rules).where(_rules.c.id == rule_id))
            connection.execute(sa.insert(_rules).values(**row))

    def drop_rule(self, rule_id: str, target: str) -> None:
        """Deletes a rule, and what is still to be told to whom it told."""
        with self._transaction(writing=True) as connection:
            theirs = _silences.c.rule == rule_id
            connection.execute(sa.delete(_silences).where(theirs))
            connection.execute(sa.delete(_rules).where(_rules.c.id == rule_id))
            connection.execute(sa.delete(_queue).where(_queue.c.target == target))
        self._empty_log()

    def close(self) -> None:
        """Gives back files and connections."""
        if not self._borrowed:
            self._engine.dispose()


def open_visits(gallery: Gallery | None, *, data: Path) -> VisitStore:
    """The visits that belong to a gallery: in a file beside it, in its PostgreSQL; of a folder of photos, and of
    nobody, in a file under `data`.

    Raises:
        GalleryError: They cannot be kept there.
    """
    from mien.gallery.postgres import PostgresGallery

    if isinstance(gallery, PostgresGallery):
        return VisitStore(gallery.engine)
    return VisitStore(file_for(_place_of(gallery), data))


def open_place(place: str) -> VisitStore:
    """The visits at a place as a user names it: those beside a gallery (people.db, a PostgreSQL address), or the file
    that they are in.

    Raises:
        InputError: None are kept there.
        GalleryError: They cannot be read.
    """
    if place.startswith("postgresql"):
        from mien.gallery.postgres import checked_url

        return VisitStore(sa.create_engine(checked_url(place), pool_pre_ping=True))
    file = Path(place)
    if not file.is_file():
        raise InputError(f"there is no {file}")
    beside = file_for(file, file.parent)
    if beside.is_file():
        return VisitStore(beside)
    if _holds_visits(file):
        return VisitStore(file)
    raise InputError(
        f"no visits are kept beside {file}: there is no {beside.name}; "
        "keep_days under [watch] in mien.toml keeps them"
    )


def _holds_visits(file: Path) -> bool:
    """Whether a file is a database of visits; it is not changed."""
    query = "SELECT 1 FROM sqlite_master WHERE name = ?"
    try:
        with closing(
            sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        ) as db:
            return db.execute(query, (_visits.name,)).fetchone() is not None
    except sqlite3.DatabaseError:
        return False


def are_there(gallery: Gallery | None, *, data: Path) -> bool:
    """Whether visits may be kept beside a gallery.

    Raises:
        GalleryError: Its database cannot be asked.
    """
    from mien.gallery.postgres import PostgresGallery

    if isinstance(gallery, PostgresGallery):
        with database.translated("the gallery's database", what="a database"):
            return sa.inspect(gallery.engine).has_table(_visits.name)
    return file_for(_place_of(gallery), data).exists()


def tell_visits(gallery: Gallery, *, data: Path, old: str, new: str | None) -> None:
    """Tells the visits, where any are kept, that a person has another name or (None) is forgotten."""
    if are_there(gallery, data=data):
        visits = open_visits(gallery, data=data)
        visits.relabel(old, new)
        visits.close()


def file_for(place: Path | None, data: Path) -> Path:
    """Where the visits are that belong to a gallery at a place on the disk: beside a file; of a folder of photos, and
    of nobody (None), under `data`."""
    if place is None:
        return data / "visits" / "nobody.db"
    if place.suffix.lower() in DATABASE_SUFFIXES or place.is_file():
        return place.with_name(f"{place.stem}.visits.db")
    return data / "visits" / f"{place_key(place)}.db"


def _place_of(gallery: Gallery | None) -> Path | None:
    place = getattr(gallery, "path", None)
    return None if place is None else Path(place)


def _keep(connection: sa.Connection, event: Event) -> bool:
    this = _visits.c.id == event.visit
    if event.kind == "joined":
        return bool(_delete(connection, this))
    told = {name: told for name, told in event.told.items() if name not in _OWN}
    row = {
        "camera": event.camera,
        "zone": event.told.get("zone") or "",
        "begins": event.begins,
        "ends": event.ends,
        "seen": event.seen,
        "who": event.told.get("who") or "",
        "person": event.told.get("person"),
        "told": json.dumps(told, ensure_ascii=False),
        "number": _next(connection),
    }
    if event.kind == "begin":
        connection.execute(sa.insert(_visits).values(id=event.visit, **row))
    elif not _change(connection, event.visit, row):
        return False
    seen = [one for one in event.best if _may_show(connection, event.camera, one)]
    _keep_pictures(connection, event.visit, seen)
    return True


def _change(connection: sa.Connection, visit: str, row: dict[str, Any]) -> bool:
    """Writes down how a visit goes on; false where it was deleted meanwhile. Who somebody said it was, it stays."""
    this = sa.update(_visits).where(_visits.c.id == visit)
    said = {"who", "person"}
    rest = {name: value for name, value in row.items() if name not in said}
    if not connection.execute(this.values(**rest)).rowcount:
        return False
    looked = {name: row[name] for name in said}
    connection.execute(this.where(_visits.c.by_hand == 0).values(**looked))
    return True


def _note_heard(
    connection: sa.Connection, visit: str, messages: Sequence[Message]
) -> None:
    """Notes who is to hear of a visit's end, should nobody be there to tell it."""
    told = {m.target: json.loads(m.body).get("rule") for m in messages if m.ends}
    if not told:
        return
    this = _visits.c.id == visit
    heard = connection.scalar(sa.select(_visits.c.heard).where(this))
    if heard is not None:
        text = json.dumps({**json.loads(heard), **told}, ensure_ascii=False)
        connection.execute(sa.update(_visits).where(this).values(heard=text))


def _end(connection: sa.Connection, row: sa.Row[Any], *, expires: float) -> None:
    """Ends a visit that a kill left open, when it was seen last, and lets those hear it who heard of it."""
    this = sa.update(_visits).where(_visits.c.id == row.id)
    connection.execute(this.values(ends=row.seen, number=_next(connection)))
    theirs = sa.select(_clips.c.visit_id).where(_clips.c.visit_id == row.id)
    kept = _kept_visit(row, (), clip=connection.scalar(theirs) is not None)
    visit = {**kept.to_dict(), "event": "end", "end": iso(row.seen)}
    visit = {k: v for k, v in visit.items() if k not in {"number", "pictures"}}
    messages = []
    for target, rule in json.loads(row.heard).items():
        named = {} if target == MQTT else {"rule": rule}
        made = message_of(target, visit, expires=expires, **named)
        messages.append(replace(made, person=row.person))
    _enqueue(connection, messages)


def _message(row: sa.Row[Any]) -> Message:
    return Message(
        row.number,
        row.target,
        row.visit_id,
        row.body,
        row.expires,
        row.tries,
        row.person,
    )


def _kept_visit(
    row: sa.Row[Any], pictures: tuple[float, ...], *, clip: bool
) -> KeptVisit:
    return KeptVisit(
        id=row.id,
        number=row.number,
        camera=row.camera,
        zone=row.zone,
        begins=row.begins,
        ends=row.ends,
        who=row.who,
        person=row.person,
        told=json.loads(row.told),
        pictures=pictures,
        clip=clip,
    )


def _next(connection: sa.Connection) -> int:
    """The number of a change that is larger than all before, also than those of what was deleted."""
    connection.execute(sa.update(_counter).values(value=_counter.c.value + 1))
    return int(connection.scalar(sa.select(_counter.c.value)) or 0)


def _keep_pictures(
    connection: sa.Connection, visit: str, best: Sequence[BestView]
) -> None:
    """Keeps the pictures of the best views, and no others."""
    kept = {view.at: view.picture for view in best if view.picture}
    mine = _pictures.c.visit_id == visit
    gone = sa.delete(_pictures).where(mine, _pictures.c.at.not_in(list(kept)))
    connection.execute(gone)
    there = set(connection.scalars(sa.select(_pictures.c.at).where(mine)))
    new = [
        {"visit_id": visit, "at": at, "content": content}
        for at, content in kept.items()
        if at not in there
    ]
    if new:
        connection.execute(sa.insert(_pictures), new)


def _enqueue(connection: sa.Connection, messages: Sequence[Message]) -> None:
    rows = [
        {
            "target": message.target,
            "visit_id": message.visit_id,
            "person": message.person,
            "body": message.body,
            "due": 0.0,
            "expires": message.expires,
            "tries": 0,
        }
        for message in messages
    ]
    if rows:
        connection.execute(sa.insert(_queue), rows)


def _delete(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    """Deletes visits, their pictures, and what was still to be told of them; returns how many."""
    ids = list(connection.scalars(sa.select(_visits.c.id).where(which)))
    for i in range(0, len(ids), 500):
        some = ids[i : i + 500]
        connection.execute(sa.delete(_queue).where(_queue.c.visit_id.in_(some)))
        connection.execute(sa.delete(_visits).where(_visits.c.id.in_(some)))
    return len(ids)


def _note_name(connection: sa.Connection, person: str, now: float) -> None:
    """Notes that somebody was forgotten, by a hash of the name: somebody may be enrolled under it again."""
    salt = secrets.token_hex(16)
    row = {"salt": salt, "hash": _hash(person, salt), "until": now + _NAMED_YET_S}
    connection.execute(sa.insert(_names).values(**row))


def _hash(person: str, salt: str) -> str:
    return hashlib.sha256(f"{salt} {person}".encode()).hexdigest()


def _was_forgotten(connection: sa.Connection, event: Event) -> bool:
    """Whether an event names somebody who was forgotten since the visit began."""
    person = event.told.get("person")
    if person is None:
        return False
    query = sa.select(_names.c.salt, _names.c.hash)
    notes = connection.execute(query.where(_names.c.until >= event.begins))
    return any(_hash(person, salt) == known for salt, known in notes)


def _forget_late(connection: sa.Connection, event: Event, now: float) -> None:
    """Forgets a visit of somebody who is forgotten already, with what others' visits show of it."""
    if event.kind != "joined":  # when they were there must be known; the name need not
        nobody = {"who": "unknown", "person": None}
        _keep(connection, replace(event, told={**event.told, **nobody}))
    this = sa.and_(_visits.c.id == event.visit, _visits.c.by_hand == 0)
    _forget(connection, this, now)


def _forget(
    connection: sa.Connection, theirs: sa.ColumnElement[bool], now: float
) -> int:
    """Deletes somebody's visits, and what of others' may show them, now or later; returns how many were theirs."""
    _delete_beside(connection, theirs)
    _note_forgotten(connection, theirs, now)
    return _delete(connection, theirs)


def _beside(connection: sa.Connection, theirs: sa.ColumnElement[bool]) -> list[Beside]:
    """The clips and whole pictures of others' visits for which the same camera looked while somebody was there."""
    there = _presence(connection, theirs)
    visit = sa.select(_visits.c.id, _visits.c.camera, _visits.c.begins)
    visit = visit.where(sa.not_(theirs), _visits.c.camera.in_(list(there)))
    clips = visit.where(_clips.c.visit_id == _visits.c.id)
    found = [Beside(*row) for row in connection.execute(clips)]
    pictures = visit.add_columns(_pictures.c.at)
    pictures = pictures.where(_pictures.c.visit_id == _visits.c.id)
    found += [Beside(*row) for row in connection.execute(pictures)]
    meanwhile = [
        one
        for one in found
        if there[one.camera].holds(one.begins if one.at is None else one.at)
    ]
    shown = [one for one in meanwhile if one.at is None or _is_whole(connection, one)]
    return sorted(shown, key=lambda one: (one.begins, one.at or 0.0))


def _presence(
    connection: sa.Connection, theirs: sa.ColumnElement[bool]
) -> dict[str, _Presence]:
    """By camera, when somebody was before it, or nearly."""
    last = sa.func.coalesce(_visits.c.ends, _visits.c.seen)
    query = sa.select(_visits.c.camera, _visits.c.begins, last)
    query = query.where(theirs).order_by(_visits.c.begins)
    found: dict[str, _Presence] = {}
    for camera, begin, end in connection.execute(query):
        seen = found.setdefault(camera, _Presence())
        seen.add(begin - LONGEST_CLIP_S, end + LONGEST_CLIP_S)
    return found


def _is_whole(connection: sa.Connection, one: Beside) -> bool:
    """Whether a picture shows more than one face."""
    head = sa.select(sa.func.substr(_pictures.c.content, 1, _HEAD))
    this = head.where(_pictures.c.visit_id == one.visit, _pictures.c.at == one.at)
    return _shows_more(bytes(connection.scalar(this) or b""))


def _shows_more(picture: bytes) -> bool:
    return pixels_of(picture) > THUMBNAIL**2


def _delete_beside(connection: sa.Connection, theirs: sa.ColumnElement[bool]) -> None:
    """Deletes what of others' visits may show somebody; whoever follows these hears that they changed."""
    for one in _beside(connection, theirs):
        gone = sa.delete(_clips).where(_clips.c.visit_id == one.visit)
        if one.at is not None:
            mine = _pictures.c.visit_id == one.visit
            gone = sa.delete(_pictures).where(mine, _pictures.c.at == one.at)
        connection.execute(gone)
        this = sa.update(_visits).where(_visits.c.id == one.visit)
        connection.execute(this.values(number=_next(connection)))


def _note_forgotten(
    connection: sa.Connection, theirs: sa.ColumnElement[bool], now: float
) -> None:
    """Notes when somebody who is being forgotten was there: of others' visits of then more may come, a clip that is
    being made, or a picture that a visit that goes on still holds."""
    rows = []
    for camera, seen in _presence(connection, theirs).items():
        since = _still_coming(connection, camera, now)
        rows += [
            {"camera": camera, "since": begin, "until": end}
            for begin, end in zip(seen.begins, seen.ends, strict=True)
            if end > since
        ]
    if rows:
        connection.execute(sa.insert(_forgotten), rows)


def _still_coming(connection: sa.Connection, camera: str, now: float) -> float:
    """The earliest time of which a camera's visits may still bring something."""
    going_on = sa.select(sa.func.min(_visits.c.begins))
    going_on = going_on.where(_visits.c.camera == camera, _visits.c.ends.is_(None))
    return min(now - _LATE_S, connection.scalar(going_on) or now)


def _drop_forgotten(connection: sa.Connection, now: float) -> None:
    """Deletes the notes on those who were forgotten of whom nothing can come any more."""
    told = _names.c.until < now - TOLD_FOR_S
    connection.execute(sa.delete(_names).where(told))
    cameras = sa.select(_forgotten.c.camera).distinct()
    for camera in connection.scalars(cameras).all():
        past = _forgotten.c.until < _still_coming(connection, camera, now)
        mine = sa.delete(_forgotten).where(_forgotten.c.camera == camera, past)
        connection.execute(mine)


def _shows_forgotten(connection: sa.Connection, camera: str, at: float) -> bool:
    """Whether somebody was before a camera at a time, or nearly, who was forgotten."""
    query = sa.select(_forgotten.c.camera).where(
        _forgotten.c.camera == camera,
        _forgotten.c.since <= at,
        _forgotten.c.until >= at,
    )
    return connection.execute(query).first() is not None


def _may_show(connection: sa.Connection, camera: str, view: BestView) -> bool:
    """Whether a view's picture shows nobody who was forgotten."""
    forgotten = view.picture and _shows_forgotten(connection, camera, view.at)
    return not (forgotten and _shows_more(view.picture))


def _days(connection: sa.Connection) -> float | None:
    """For how many days visits are kept, as was said last."""
    return connection.scalar(sa.select(_keeping.c.days))


def _say_days(connection: sa.Connection, days: float) -> None:
    """Notes for how many days visits are kept from now on."""
    if days != _days(connection):
        connection.execute(sa.delete(_keeping))
        connection.execute(sa.insert(_keeping).values(days=days))
