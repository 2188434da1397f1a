"""Faces nobody owns, in a database: kept for some days, grouped as they come, named or forgotten."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa

from mien import database
from mien.errors import InputError, PersonNotFound, UnknownNotFound
from mien.gallery.base import Photo, check_name
from mien.gallery.folder import bare_sha256
from mien.gallery.unknown.base import (
    Enroller,
    Group,
    NamesVisits,
    Sighting,
    Undone,
    UnknownFace,
)
from mien.gallery.unknown.grouping import LEAST_FACES, KeptFaces, regroup
from mien.space import EmbeddingSpace
from mien.text import shown
from mien.types import F32, I64

UNDO_S = 24 * 3600.0  # how long a name can be taken back: until then its faces are kept
_MOST_ENROLLED = 12  # faces of a group that become photos of a person: the best
_WRITING = 0x6D69656E  # the lock of whoever writes in PostgreSQL
_BATCH = 500  # values in one query

T = TypeVar("T")

_SCHEMA = database.Schema("unknown", "mien.gallery.unknown.migrations")
# As the numbered SQL makes them, which alone says keys, indices and what may be empty.
_metadata = sa.MetaData()
_faces = sa.Table(
    "unknown_faces",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("embedder", sa.Text),
    sa.Column("photo", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("seen", sa.Double),
    sa.Column("expires", sa.Double),
    sa.Column("quality", sa.Double),
    sa.Column("embedding", sa.LargeBinary),
    sa.Column("group_id", sa.Text, default=""),
    sa.Column("pin", sa.Text, default=""),
    sa.Column("named", sa.Text, default=""),
    sa.Column("visit", sa.Text, default=""),
)
_pictures = sa.Table(  # by themselves, so that they are not read where descriptors are
    "unknown_pictures",
    _metadata,
    sa.Column(
        "face_id",
        sa.ForeignKey("unknown_faces.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("content", sa.LargeBinary),
)
_actions = sa.Table(
    "unknown_actions",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("expires", sa.Double),
    sa.Column("details", sa.Text),
)
_listed = (
    *(
        _faces.c.id,
        _faces.c.source,
        _faces.c.seen,
        _faces.c.expires,
        _faces.c.quality,
        _faces.c.group_id,
        _faces.c.pin,
    ),
    _pictures.c.face_id.is_not(None).label("thumbnail"),
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """All faces in no one's name: their ids (N,), and what is needed to group them."""

    ids: I64
    kept: KeptFaces


class UnknownFaces:
    """Everybody whom nobody has named yet. Safe to share between threads and processes; what a call changed is on disk
    when it returns, and what it deleted is gone from the file.

    Args:
        place: The database: a SQLite file, or the engine of a gallery, which closes it itself.
            Tables are made where they are missing.
        space: Of the descriptors; those of others are not looked at.
        clock: Seconds since 1970.

    Raises:
        GalleryError: The database cannot be used.
    """

    def __init__(
        self,
        place: Path | sa.Engine,
        *,
        space: EmbeddingSpace,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.space = space
        self.clock = clock
        self._lock = threading.RLock()
        self._borrowed = isinstance(place, sa.Engine)
        self._engine = (
            place if isinstance(place, sa.Engine) else database.sqlite_engine(place)
        )
        with self._transaction(writing=True) as connection:
            _SCHEMA.migrate(connection, place=self._place)
        if self._sqlite:
            database.drop_copy(Path(str(self._engine.url.database)))

    @property
    def _place(self) -> str:
        return f"the unknown faces in {shown(self._engine.url.render_as_string())}"

    @property
    def _sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def _transaction(self, *, writing: bool = False) -> Iterator[sa.Connection]:
        """A transaction; of those that write, in whatever process, one at a time."""
        with (
            self._lock,
            database.translated(self._place, what="a gallery"),
            self._engine.begin() as connection,
        ):
            if self._sqlite:
                database.begin(connection, write=writing)
            elif writing:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITING)))
            yield connection

    @contextmanager
    def _change(self) -> Iterator[sa.Connection]:
        """A transaction that writes, after what has expired was deleted."""
        with self._transaction(writing=True) as connection:
            self._expire(connection, None)
            yield connection

    # -- keeping

    def add(self, sightings: Sequence[Sighting]) -> int:
        """Keeps faces and groups them anew where they matter; returns how many were kept.

        A picture that was looked at before is passed over.
        """
        with self._change() as connection:
            there = _there(
                connection, self.space.name, {sighting.photo for sighting in sightings}
            )
            new = [sighting for sighting in sightings if sighting.photo not in there]
            if not new:
                return 0
            statement = sa.insert(_faces).returning(
                _faces.c.id, sort_by_parameter_order=True
            )
            ids = list(
                connection.scalars(statement, [self._row(sighting) for sighting in new])
            )
            pictures = [
                {"face_id": face, "content": sighting.thumbnail}
                for face, sighting in zip(ids, new, strict=True)
                if sighting.thumbnail
            ]
            if pictures:
                connection.execute(sa.insert(_pictures), pictures)
            self._regroup(connection, ids)
        return len(new)

    def _row(self, sighting: Sighting) -> dict[str, Any]:
        kept = {
            name: getattr(sighting, name)
            for name in ("photo", "source", "seen", "expires", "quality", "visit")
        }
        row = self.space.kept(sighting.embedding[None])[0]
        return {
            **kept,
            "embedder": self.space.name,
            "embedding": row.astype("<f4").tobytes(),
        }

    def _regroup(self, connection: sa.Connection, ids: Sequence[int]) -> None:
        """Groups the faces with these ids, and those near them, from scratch."""
        rows = self._load(connection)
        near, labels = regroup(
            rows.kept,
            np.flatnonzero(np.isin(rows.ids, ids)),
            reach=self.space.euclidean(self.space.linkage),
        )
        names = _names(rows.kept, near, labels)
        moved = [
            (int(rows.ids[i]), name)
            for i, name in zip(near, names, strict=True)
            if rows.kept.groups[i] != name
        ]
        if moved:
            change = (
                sa.update(_faces)
                .where(_faces.c.id == sa.bindparam("face"))
                .values(group_id=sa.bindparam("goes"))
            )
            connection.execute(
                change, [{"face": face, "goes": name} for face, name in moved]
            )

    def _load(self, connection: sa.Connection) -> _Rows:
        columns = (
            _faces.c.id,
            _faces.c.photo,
            _faces.c.group_id,
            _faces.c.pin,
            _faces.c.embedding,
        )
        rows = connection.execute(
            sa.select(*columns).where(*self._open).order_by(_faces.c.id)
        ).all()
        table = np.frombuffer(b"".join(row.embedding for row in rows), "<f4").reshape(
            len(rows), -1 if rows else 0
        )
        kept = KeptFaces(
            table,
            [r.photo for r in rows],
            [r.group_id for r in rows],
            [r.pin for r in rows],
        )
        return _Rows(np.array([row.id for row in rows], np.int64), kept)

    @property
    def _open(self) -> tuple[sa.ColumnElement[bool], ...]:
        """Faces of our space that are in nobody's name."""
        return (_faces.c.embedder == self.space.name, _faces.c.named == "")

    def sweep(self, *, days: float | None = None) -> int:
        """Deletes what has expired, and with `days` all that is older; returns how many faces went."""
        with self._transaction(writing=True) as connection:
            return self._expire(connection, days)

    def _expire(self, connection: sa.Connection, days: float | None) -> int:
        now = self.clock()
        old = _faces.c.expires <= now
        if days is not None:
            old |= _faces.c.seen <= now - days * 86_400
        connection.execute(sa.delete(_actions).where(_actions.c.expires <= now))
        return connection.execute(sa.delete(_faces).where(old)).rowcount

    # -- looking

    def groups(self, *, least: int = LEAST_FACES) -> list[Group]:
        """Groups of at least so many faces, and those a user made; the largest first."""
        found = [
            group for group in self._all() if len(group.faces) >= least or group.by_hand
        ]
        return sorted(
            found, key=lambda group: (-len(group.faces), -group.last_seen, group.id)
        )

    def group(self, group_id: str) -> Group:
        """One group.

        Raises:
            UnknownNotFound: There is none with this id.
        """
        found = self._all(_faces.c.group_id == group_id)
        if not found:
            raise _no_group(group_id)
        return found[0]

    def _all(self, *where: sa.ColumnElement[bool]) -> list[Group]:
        fresh = _faces.c.expires > self.clock()
        query = (
            sa.select(*_listed).outerjoin(_pictures).where(*self._open, fresh, *where)
        )
        with self._transaction() as connection:
            rows = connection.execute(
                query.order_by(_faces.c.seen.desc(), _faces.c.id.desc())
            ).all()
        groups: dict[str, list[UnknownFace]] = {}
        for row in rows:
            face = _told(row)
            groups.setdefault(row.group_id, []).append(face)
        by_hand = {row.group_id for row in rows if row.pin}
        return [
            Group(name, tuple(faces), name in by_hand) for name, faces in groups.items()
        ]

    def described(self) -> tuple[F32, list[tuple[str, UnknownFace]]]:
        """The descriptors (N, D) of all faces in nobody's name, each with its group and what is told of it."""
        query = sa.select(*_listed, _faces.c.embedding).outerjoin(_pictures)
        with self._transaction() as connection:
            rows = connection.execute(
                query.where(*self._open, _faces.c.expires > self.clock())
            ).all()
        table = np.frombuffer(b"".join(row.embedding for row in rows), "<f4").reshape(
            len(rows), self.space.size
        )
        faces = [
            (
                row.group_id,
                _told(row),
            )
            for row in rows
        ]
        return table, faces

    def waiting(self) -> int:
        """How many faces are kept that are in no group yet."""
        return sum(len(group.faces) for group in self._all()) - sum(
            len(group.faces) for group in self.groups()
        )

    def thumbnail(self, face_id: int) -> bytes:
        """The small JPEG of a face.

        Raises:
            UnknownNotFound: The face is not kept, or without its picture.
        """
        query = (
            sa.select(_pictures.c.content)
            .join(_faces)
            .where(*self._open, _faces.c.id == face_id)
        )
        with self._transaction() as connection:
            found = connection.scalar(query.where(_faces.c.expires > self.clock()))
        if not found:
            raise UnknownNotFound(
                "this face is not kept, or has expired; list the groups again"
            )
        return bytes(found)

    def groups_of(self, visit_ids: Sequence[str]) -> dict[str, str]:
        """The group that the face of each visit is in, of those whose face is kept."""
        query = sa.select(_faces.c.visit, _faces.c.group_id).where(
            *self._open, _faces.c.expires > self.clock()
        )
        query = query.order_by(_faces.c.quality)  # the best one counts
        with self._transaction() as connection:
            return {
                row.visit: row.group_id
                for some in _slices(visit_ids)
                for row in connection.execute(query.where(_faces.c.visit.in_(some)))
            }

    def join_visits(self, visit_id: str, into: str) -> None:
        """Tells that a visit turned out to be a part of another one."""
        change = sa.update(_faces).where(_faces.c.visit == visit_id)
        with self._change() as connection:
            connection.execute(change.values(visit=into))

    # -- what a user decides

    def name(
        self,
        group_id: str,
        name: str,
        gallery: Enroller,
        visits: NamesVisits | None = None,
    ) -> int:
        """Enrols a group's best faces as a person, new or known, and takes it out of the unknown; returns how many. The
        visits that its faces were seen in bear the name from then on.

        Raises:
            UnknownNotFound: There is no such group.
            GalleryError: The gallery keeps photos, and these faces were kept without.
        """
        name = check_name(name)
        with self._transaction() as connection:
            faces = self._members(connection, group_id)
            photos = _best(connection, faces)
        enrolled = gallery.enroll(
            name, photos
        )  # before it is noted: broken off here, the group is only named again
        seen_in = sorted({face.visit for face in faces if face.visit})
        if visits is not None:
            visits.give_name(seen_in, name)
        with self._change() as connection:
            action = self._note(
                connection,
                "name",
                group_id,
                faces,
                name=name,
                photos=[p.sha256 for p in photos],
                visits=seen_in,
            )
            until = self.clock() + UNDO_S
            expires = sa.case((_faces.c.expires < until, _faces.c.expires), else_=until)
            for some in _slices([face.id for face in faces]):
                change = sa.update(_faces).where(_faces.c.id.in_(some))
                connection.execute(change.values(named=action, expires=expires))
        return enrolled

    def photos(self, group_id: str) -> list[Photo]:
        """A group's best faces as a gallery takes them. Raises UnknownNotFound."""
        with self._transaction() as connection:
            return _best(connection, self._members(connection, group_id))

    def split(self, group_id: str, face_ids: Sequence[int]) -> Group:
        """Makes a group of its own of some faces of a group; neither takes the other's faces from then on.

        Raises:
            UnknownNotFound: There is no such group, or it does not hold these faces.
            InputError: None or all of its faces were named.
        """
        chosen, new = set(face_ids), _new_id()
        with self._change() as connection:
            faces = self._members(connection, group_id)
            if not chosen <= {face.id for face in faces}:
                raise UnknownNotFound(
                    f"the group {group_id} does not hold all of these faces; list it again"
                )
            if not chosen or len(chosen) == len(faces):
                raise InputError(
                    "name some faces of the group, not all of them: those become a group of their own"
                )
            self._note(connection, "split", group_id, faces)
            _pin(
                connection,
                [face.id for face in faces if face.id not in chosen],
                group_id,
            )
            _pin(connection, list(chosen), new)
        return self.group(new)

    def merge(self, source: str, target: str) -> Group:
        """Makes one group of two: `source` becomes part of `target`.

        Raises:
            UnknownNotFound: One of them is not there.
            InputError: They are one, or were seen in one picture.
        """
        if source == target:
            raise InputError("a group cannot be merged into itself; name another")
        with self._change() as connection:
            goes, stays = (
                self._members(connection, source),
                self._members(connection, target),
            )
            if {face.photo for face in goes} & {face.photo for face in stays}:
                raise InputError(
                    "these two were seen in one picture, so they are not one person; split them first"
                )
            self._note(connection, "merge", target, [*goes, *stays])
            _pin(connection, [face.id for face in (*goes, *stays)], target)
        return self.group(target)

    def undo(
        self, gallery: Enroller, visits: NamesVisits | None = None
    ) -> Undone | None:
        """Takes back the last name, merge or split; None where there is nothing to take back.

        A name can be taken back for a day: its photos leave the gallery, its faces are unknown again, and so are the
        visits that they were seen in.
        """
        with self._transaction() as connection:
            last = connection.execute(
                sa.select(_actions).order_by(_actions.c.number.desc()).limit(1)
            ).first()
        if last is None or last.expires <= self.clock():
            return None
        details = json.loads(last.details)
        if last.kind == "name":
            with suppress(
                PersonNotFound
            ):  # forgotten since: nothing is left to take out
                gallery.discard(details["name"], details["photos"])
            if visits is not None:
                visits.take_name(details.get("visits", []), details["name"])
        with self._change() as connection:
            if connection.execute(
                sa.delete(_actions).where(_actions.c.number == last.number)
            ).rowcount:
                self._restore(connection, details["faces"])
        return Undone(last.kind, details["group"], details.get("name", ""))

    def _restore(
        self, connection: sa.Connection, faces: Sequence[Sequence[Any]]
    ) -> None:
        change = sa.update(_faces).where(_faces.c.id == sa.bindparam("face"))
        values: dict[str, Any] = {
            name: sa.bindparam(f"was_{name}") for name in ("group_id", "pin", "expires")
        }
        rows = [
            {"face": f, "was_group_id": g, "was_pin": p, "was_expires": e}
            for f, g, p, e in faces
        ]
        connection.execute(change.values(**values, named=""), rows)
        self._regroup(connection, [row[0] for row in faces])

    def forget(self, group_id: str) -> int:
        """Deletes a group's faces for good; returns how many. Raises UnknownNotFound."""
        with self._change() as connection:
            faces = self._members(connection, group_id)
            for some in _slices([face.id for face in faces]):
                connection.execute(sa.delete(_faces).where(_faces.c.id.in_(some)))
            return len(faces)

    def forget_all(self) -> int:
        """Deletes everything kept, and what could be taken back; returns the number of faces."""
        with self._change() as connection:
            connection.execute(sa.delete(_actions))
            return connection.execute(sa.delete(_faces)).rowcount

    def named(self, name: str) -> list[UnknownFace]:
        """The faces of groups that were given this name, as long as that can be taken back."""
        query = sa.select(*_listed).outerjoin(_pictures).order_by(_faces.c.id)
        with self._transaction() as connection:
            actions = connection.execute(
                sa.select(_actions.c.id, _actions.c.details).where(
                    _actions.c.kind == "name"
                )
            ).all()
            ids = [row.id for row in actions if json.loads(row.details)["name"] == name]
            rows = connection.execute(query.where(_faces.c.named.in_(ids))).all()
        return [_told(row) for row in rows]

    def relabel(self, old: str, new: str | None) -> None:
        """Tells that a person got another name. With None they are forgotten: what is still kept of groups that were
        given this name is deleted, and nothing is left to take back."""
        with self._change() as connection:
            for row in connection.execute(
                sa.select(_actions).where(_actions.c.kind == "name")
            ).all():
                details = json.loads(row.details)
                if details["name"] != old:
                    continue
                this = _actions.c.number == row.number
                if new is None:
                    connection.execute(
                        sa.delete(_faces).where(_faces.c.named == row.id)
                    )
                    connection.execute(sa.delete(_actions).where(this))
                else:
                    details["name"] = new
                    connection.execute(
                        sa.update(_actions)
                        .where(this)
                        .values(details=json.dumps(details))
                    )

    def _members(
        self, connection: sa.Connection, group_id: str
    ) -> Sequence[sa.Row[Any]]:
        query = sa.select(_faces).where(*self._open, _faces.c.group_id == group_id)
        rows = connection.execute(query.order_by(_faces.c.id)).all()
        if not rows:
            raise _no_group(group_id)
        return rows

    def _note(
        self,
        connection: sa.Connection,
        kind: str,
        group_id: str,
        faces: Sequence[sa.Row[Any]],
        **more: object,
    ) -> str:
        """Writes down how faces were before an action, so that it can be taken back; the action's id."""
        action = _new_id()
        before = [[face.id, face.group_id, face.pin, face.expires] for face in faces]
        details = json.dumps({"group": group_id, "faces": before, **more})
        until = self.clock() + UNDO_S
        connection.execute(
            sa.insert(_actions).values(
                id=action, kind=kind, expires=until, details=details
            )
        )
        return action

    def close(self) -> None:
        """Gives back files and connections."""
        if not self._borrowed:
            self._engine.dispose()


def _names(kept: KeptFaces, rows: I64, labels: I64) -> list[str]:
    """The group's id of each row (M,): of a user's group its own, else that most of its faces had, else a new one."""
    members = [rows[labels == label] for label in range(labels.max(initial=-1) + 1)]
    pins = {
        i: next(filter(None, (kept.pins[row] for row in some)), "")
        for i, some in enumerate(members)
    }
    names = {i: pin for i, pin in pins.items() if pin}
    common = Counter(
        (kept.groups[row], i)
        for i, some in enumerate(members)
        for row in some
        if kept.groups[row]
    )
    taken = set(names.values())
    for (group, i), _ in sorted(common.items(), key=lambda item: (-item[1], item[0])):
        if i not in names and group not in taken:
            names[i] = group
            taken.add(group)
    return [names.setdefault(int(label), _new_id()) for label in labels]


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


def _no_group(group_id: str) -> UnknownNotFound:
    return UnknownNotFound(
        f"there is no group {group_id[:40]!r} of unknown faces; list them again"
    )


def _told(row: sa.Row[Any]) -> UnknownFace:
    return UnknownFace(
        row.id, row.source, row.seen, row.expires, row.quality, bool(row.thumbnail)
    )


def _best(connection: sa.Connection, faces: Sequence[sa.Row[Any]]) -> list[Photo]:
    best = sorted(faces, key=lambda face: -face.quality)[:_MOST_ENROLLED]
    query = sa.select(_pictures.c.face_id, _pictures.c.content)
    ids = [face.id for face in best]
    rows = connection.execute(query.where(_pictures.c.face_id.in_(ids)))
    pictures = {row.face_id: row.content for row in rows}
    photos = []
    for face in best:
        content = pictures.get(face.id, b"")
        row = np.frombuffer(face.embedding, "<f4").astype(np.float32)
        # The picture's hash makes the same face count once.
        sha256 = hashlib.sha256(content).hexdigest() if content else bare_sha256(row)
        photos.append(
            Photo(row, sha256, "unknown.jpg", content, face.quality, thumbnail=content)
        )
    return photos


def _pin(connection: sa.Connection, face_ids: Sequence[int], group_id: str) -> None:
    for some in _slices(face_ids):
        connection.execute(
            sa.update(_faces)
            .where(_faces.c.id.in_(some))
            .values(pin=group_id, group_id=group_id)
        )


def _there(connection: sa.Connection, embedder: str, photos: set[str]) -> set[str]:
    """Which of these pictures were looked at before."""
    query = sa.select(_faces.c.photo).where(_faces.c.embedder == embedder)
    return {
        p
        for some in _slices(sorted(photos))
        for p in connection.scalars(query.where(_faces.c.photo.in_(some)))
    }


def _slices(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in portions that fit one query."""
    return (values[i : i + _BATCH] for i in range(0, len(values), _BATCH))
