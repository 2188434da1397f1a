"""Jobs in SQLite, their files in one folder each, named by the service."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from mien import database, private
from mien.errors import GalleryError
from mien.server.problems import Problem
from mien.server.settings import Limits

ENDED = frozenset({"done", "failed"})
_OPEN = ("queued", "running")
_ADDRESS = "url"  # the option that may hold a password: gone when the job has ended

_PLACE = "the jobs' database"
_SCHEMA = database.Schema("jobs", "mien.server.jobs.migrations")
_metadata = sa.MetaData()
# As the numbered SQL makes it, which alone says keys, indices and what may be empty.
_jobs = sa.Table(
    "jobs",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("options", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("attempts", sa.Integer, default=0),
    sa.Column("frames", sa.Integer, default=0),
    sa.Column("total", sa.Integer),
    sa.Column("faces", sa.Integer, default=0),
    sa.Column("problem", sa.Text),
    sa.Column("created", sa.Float),
    sa.Column("started", sa.Float),
    sa.Column("finished", sa.Float),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `kind` "video" (a file in the job's folder) or "stream"; `state` queued, running, done or failed;
    `problem` the kind and detail of what went wrong; times are seconds since 1970."""

    id: str
    owner: str
    kind: str
    source: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    state: str = "queued"
    attempts: int = 0
    frames: int = 0
    total: int | None = None
    faces: int = 0
    problem: Mapping[str, str] | None = None
    created: float = 0.0
    started: float | None = None
    finished: float | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class JobStore:
    """All jobs; every change is on disk when its call returns. Safe to share between threads."""

    def __init__(self, data: Path, limits: Limits) -> None:
        self.folder = data / "jobs"
        self.limits = limits
        self._lock = threading.Lock()
        self._arriving: dict[
            str, str
        ] = {}  # the owner of each job that is admitted and not in the queue yet
        try:
            private.make_home(data)
            private.make_folder(self.folder)
            private.make_file(data / "jobs.db")
        except OSError as exc:
            detail = f"cannot make {self.folder}: {exc.strerror or exc}; choose another --data folder"
            raise GalleryError(detail) from exc
        self._engine = database.sqlite_engine(data / "jobs.db")
        with self._transaction() as connection:
            _SCHEMA.migrate(connection, place=_PLACE)
        database.drop_copy(data / "jobs.db")

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with (
            self._lock,
            database.translated(_PLACE, what="one"),
            self._engine.begin() as connection,
        ):
            database.begin(connection, write=True)
            yield connection

    def path(self, job_id: str, name: str) -> Path:
        """A file of a job: "input", "result.jsonl" or "annotated.mp4"."""
        return self.folder / job_id / name

    def admit(self, owner: str) -> str:
        """An id for a job to come, with its folder and a place in the queue that is the owner's from now on.

        Raises:
            Problem: The queue, or this owner's part of it, is full.
        """
        job_id = uuid.uuid4().hex
        with self._transaction() as connection:
            self._check_room(connection, owner)
            private.make_folder(self.folder / job_id)
            self._arriving[job_id] = owner
        return job_id

    def _check_room(self, connection: sa.Connection, owner: str) -> None:
        owners = [
            *connection.scalars(
                sa.select(_jobs.c.owner).where(_jobs.c.state.in_(_OPEN))
            )
        ]
        owners += self._arriving.values()
        everybody, own = len(owners), owners.count(owner)
        if own >= self.limits.jobs_per_key:
            detail = f"you have {own} jobs in the queue already; wait for one to end, or delete it"
            raise Problem("too-many-requests", detail, {"retry-after": "30"})
        if everybody >= self.limits.jobs_waiting:
            raise Problem(
                "busy",
                "the queue of jobs is full; come again later",
                {"retry-after": "30"},
            )

    def add(self, job: Job) -> Job:
        """Puts a job in the queue; its files are made durable first."""
        for file in (self.folder / job.id).iterdir():
            _sync(file)
        _sync(self.folder / job.id)
        row = {
            "id": job.id,
            "owner": job.owner,
            "kind": job.kind,
            "source": job.source,
            "state": "queued",
        }
        options = json.dumps(dict(job.options))
        with self._transaction() as connection:
            connection.execute(
                sa.insert(_jobs).values(
                    **row, options=options, total=job.total, created=time.time()
                )
            )
            self._arriving.pop(job.id, None)
        return self._get(job.id)

    def discard(self, job_id: str) -> None:
        """Gives back the place of a job that never got into the queue, and removes its folder."""
        with self._lock:
            self._arriving.pop(job_id, None)
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """A job; with `owner`, only if it is theirs. Raises Problem."""
        job = self._get(job_id)
        if owner is not None and job.owner != owner:
            raise Problem(
                "job-not-found",
                "no job has this id; it may have been deleted, or is another key's",
            )
        return job

    def _get(self, job_id: str) -> Job:
        with self._transaction() as connection:
            row = (
                connection.execute(sa.select(_jobs).where(_jobs.c.id == job_id))
                .mappings()
                .one_or_none()
            )
        if row is None:
            raise Problem(
                "job-not-found",
                "no job has this id; it may have been deleted, or is another key's",
            )
        return _job(row)

    def list(self, owner: str | None = None) -> list[Job]:
        """The jobs of an owner (None: of everybody), newest first."""
        query = sa.select(_jobs).order_by(_jobs.c.created.desc(), _jobs.c.id)
        with self._transaction() as connection:
            rows = (
                connection.execute(
                    query if owner is None else query.where(_jobs.c.owner == owner)
                )
                .mappings()
                .all()
            )
        return [_job(row) for row in rows]

    def count(self, state: str) -> int:
        """How many jobs are in a state."""
        with self._transaction() as connection:
            query = (
                sa.select(sa.func.count())
                .select_from(_jobs)
                .where(_jobs.c.state == state)
            )
            return connection.scalar(query) or 0

    def take(self) -> Job | None:
        """The oldest job in the queue, now running; None where there is none."""
        query = (
            sa.select(_jobs.c.id)
            .where(_jobs.c.state == "queued")
            .order_by(_jobs.c.created, _jobs.c.id)
            .limit(1)
        )
        with self._transaction() as connection:
            job_id = connection.scalar(query)
            if job_id is None:
                return None
            values = {
                "state": "running",
                "attempts": _jobs.c.attempts + 1,
                "started": time.time(),
                "frames": 0,
                "faces": 0,
            }
            connection.execute(
                sa.update(_jobs).where(_jobs.c.id == job_id).values(**values)
            )
        return self._get(job_id)

    def progress(
        self, job_id: str, *, frames: int, faces: int, total: int | None
    ) -> None:
        """Writes down how far a job is."""
        self._update(job_id, frames=frames, faces=faces, total=total)

    def end(self, job_id: str, problem: Mapping[str, str] | None = None) -> None:
        """A job's end, done or (with a problem) failed."""
        said = None if problem is None else json.dumps(dict(problem))
        values = {
            "state": "failed" if problem else "done",
            "problem": said,
            "options": _without_address(),
        }
        self._update(job_id, **values, finished=time.time())
        self.path(job_id, "input").unlink(missing_ok=True)

    def requeue(self, job_id: str) -> None:
        """Puts a running job back, to be begun anew."""
        self._update(job_id, state="queued", frames=0, faces=0)

    def _update(self, job_id: str, **values: object) -> None:
        with self._transaction() as connection:
            connection.execute(
                sa.update(_jobs).where(_jobs.c.id == job_id).values(**values)
            )

    def delete(self, job_id: str) -> None:
        """Forgets a job and removes its files."""
        with self._transaction() as connection:
            connection.execute(sa.delete(_jobs).where(_jobs.c.id == job_id))
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def recover(self) -> None:
        """After a start: what ran goes back into the queue, what failed too often ends, files without a job go."""
        worn_out = json.dumps(
            {
                "kind": "internal",
                "detail": "the job was begun too often without coming to its end",
            }
        )
        running = _jobs.c.state == "running"
        with self._transaction() as connection:
            spent = sa.update(_jobs).where(
                running, _jobs.c.attempts >= self.limits.job_attempts
            )
            connection.execute(
                spent.values(state="failed", problem=worn_out, finished=time.time())
            )
            connection.execute(
                sa.update(_jobs)
                .where(running)
                .values(state="queued", frames=0, faces=0)
            )
            ended = sa.update(_jobs).where(_jobs.c.state.in_(ENDED))
            connection.execute(ended.values(options=_without_address()))
            states = dict(
                connection.execute(sa.select(_jobs.c.id, _jobs.c.state)).all()
            )
        for folder in self.folder.iterdir():
            if folder.name not in states:
                shutil.rmtree(folder, ignore_errors=True)
            elif states[folder.name] in ENDED:
                (folder / "input").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Deletes the jobs that were kept long enough."""
        before = time.time() - self.limits.jobs_kept_s
        with self._transaction() as connection:
            old = list(
                connection.scalars(
                    sa.select(_jobs.c.id).where(_jobs.c.finished < before)
                )
            )
        for job_id in old:
            self.delete(job_id)

    def close(self) -> None:
        """Gives back the database."""
        self._engine.dispose()


def _job(row: Mapping[Any, Any]) -> Job:
    values = dict(row)
    problem = json.loads(values["problem"]) if values["problem"] else None
    return Job(
        **{**values, "options": json.loads(values["options"]), "problem": problem}
    )


def _without_address() -> sa.ColumnElement[str]:
    return sa.func.json_remove(_jobs.c.options, f"$.{_ADDRESS}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
