"""A batch from its inputs to its tables: what is missing or changed, in shards, on cores or machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mien.batch import inputs
from mien.batch.analysis import LATER, USUAL, Choices, models_text
from mien.batch.dataset import Archive, EarlierFile, Outcome
from mien.batch.inputs import BatchInput
from mien.batch.workers import Shard, WorkerOptions, Workers, usable_cores
from mien.errors import InputError

_SHARD_FILES, _LEAST_SHARD = 256, 16
_SHARDS_PER_WORKER = 4  # so that none is idle for long at the end


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is done.

    `choices` are the arguments of the `Analyzer`; of a video every `every`th frame is taken. `jobs` workers share the
    work (None: one for each core), on the Ray cluster at `address` if given. `by_content` compares files with what is
    known by their content instead of size and time; `retry_failed` tries files again that failed before.
    """

    choices: Choices
    every: int = 1
    jobs: int | None = None
    address: str | None = None
    by_content: bool = False
    retry_failed: bool = False
    shard_files: int = _SHARD_FILES

    def executor(
        self, jobs: int, working: Callable[[float], None]
    ) -> AbstractContextManager[Executor]:
        """Who does the work: processes of this machine, or a cluster."""
        worker = WorkerOptions(self.choices, self.every)
        if self.address is None:
            return Workers(worker, jobs=jobs, working=working)
        from mien.batch.cluster import Cluster

        return nullcontext(Cluster(worker, address=self.address, jobs=self.jobs))

    def finds_unchanged(self, item: BatchInput, before: EarlierFile) -> bool:
        """Whether a file is as an earlier run saw it."""
        if before.failed and self.retry_failed:
            return False
        if item.size != before.size:
            return False
        if self.by_content and before.content_hash is not None:
            return inputs.digest(item) == before.content_hash
        return item.mtime_us == before.mtime_us


@dataclass(frozen=True)
class Progress:
    """How far a batch is: files and bytes done of all that have to be done."""

    files: int
    of_files: int
    size: float
    of_size: int


@dataclass
class BatchSummary:
    """What a run did: files analysed, of these failed, found unchanged, and whose rows were removed; faces; errors of
    files and of inputs in words."""

    analyzed: int = 0
    failed: int = 0
    faces: int = 0
    unchanged: int = 0
    failed_before: int = 0
    removed: int = 0
    errors: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Counts a part that was written."""
        self.analyzed += len(outcome.tables["sources"])
        self.faces += len(outcome.tables["faces"])
        errors = outcome.errors()
        self.failed += len(errors)
        self.errors.extend(errors)


@dataclass(frozen=True)
class Plan:
    """What has to be done; `stale` maps sources whose rows have to go to their parts."""

    todo: list[BatchInput]
    stale: Mapping[str, str]
    summary: BatchSummary

    def execute(
        self,
        archive: Archive,
        options: BatchOptions,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Analyses what is left to do, and commits part by part."""
        if not self.todo:
            return
        jobs = options.jobs or usable_cores()
        of_files, of_size = len(self.todo), sum(item.size for item in self.todo)
        done = {"files": 0, "size": 0}

        def working(size: float) -> None:
            on_progress(Progress(done["files"], of_files, done["size"] + size, of_size))

        with options.executor(jobs, working) as executor:
            for outcome in executor.outcomes(
                make_shards(self.todo, jobs=jobs, files=options.shard_files)
            ):
                archive.commit(outcome)
                self.summary.add(outcome)
                done["files"] += len(outcome.tables["sources"])
                done["size"] += outcome.size
                working(0.0)


class Executor(Protocol):
    """Turns shards into outcomes, in any order."""

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Outcome]: ...


def run_batch(
    given: list[str],
    folder: Path,
    options: BatchOptions,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> BatchSummary:
    """Analyses what of the inputs is missing or changed in the folder. Killed at any time, a second call completes it.

    Raises:
        InputError: No input can be used, or the folder was made with other settings.
        MienError: The analyzer cannot be made, the folder not be written, the cluster not be reached.
    """
    items, problems = inputs.find_all(given)
    if not items:
        raise InputError("; ".join(problems))
    with Archive.writing(folder, settings_of(options)) as archive:
        plan = make_plan(items, archive.known(), options)
        plan.summary.errors.extend(problems)
        archive.drop(plan.stale)
        plan.execute(archive, options, on_progress)
    return plan.summary


def settings_of(options: BatchOptions) -> dict[str, object]:
    """What decides how rows are made: two runs into one folder must agree in it."""
    chosen = {name: options.choices.get(name, usual) for name, usual in USUAL.items()}
    later = {name: options.choices.get(name, usual) for name, usual in LATER.items()}
    chosen |= {name: choice for name, choice in later.items() if choice != LATER[name]}
    if chosen["gallery"] is not None:
        chosen["gallery"] = inputs.shown(
            str(chosen["gallery"])
        )  # an address may carry a password
    return {**chosen, "models": models_text(options.choices), "every": options.every}


def make_plan(
    items: list[BatchInput], known: Mapping[str, EarlierFile], options: BatchOptions
) -> Plan:
    """Compares the files there are with the files that are known."""
    summary = BatchSummary()
    todo, stale = [], {}
    for item in items:
        before = known.get(item.source)
        if before is not None and options.finds_unchanged(item, before):
            summary.unchanged += 1
            summary.failed_before += before.failed
            continue
        todo.append(item)
        if before is not None:
            stale[item.source] = before.part
    roots, present = {item.root for item in items}, {item.source for item in items}
    gone = {
        name: row.part
        for name, row in known.items()
        if row.root in roots and name not in present
    }
    summary.removed = len(gone)
    return Plan(todo, {**stale, **gone}, summary)


def make_shards(items: list[BatchInput], *, jobs: int, files: int) -> list[Shard]:
    """Photos in handfuls, every video for itself; videos first, so that none is left over at the end."""
    photos = [item for item in items if not item.is_video]
    videos = sorted(
        (item for item in items if item.is_video), key=lambda item: -item.size
    )
    count = min(
        files, max(_LEAST_SHARD, -(-len(photos) // (jobs * _SHARDS_PER_WORKER)))
    )
    return [(video,) for video in videos] + [
        tuple(photos[i : i + count]) for i in range(0, len(photos), count)
    ]
