"""Worker processes on one machine: each loads its models once, and one that dies is replaced.

A worker holds one shard at a time and gets the next when it hands in the last, so that nothing piles up. It tells
which item it begins; when it dies (killed for its memory, or by a file that crashes a decoder) its shard is done again
by a new worker, and an item that was begun at two deaths is listed as an error.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

from mien.batch.analysis import Choices, Listener, ShardAnalyzer
from mien.batch.dataset import Outcome, Row, make_outcome
from mien.batch.inputs import BatchInput
from mien.errors import MienError

log = logging.getLogger(__name__)

Shard = tuple[BatchInput, ...]

_STRIKES = 2  # deaths after which an item counts as their cause
_FALSE_STARTS = 3  # deaths in a row of workers that had not begun anything
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class WorkerOptions:
    """What every worker does: the arguments of its `Analyzer`; of a video, every Nth frame."""

    choices: Choices
    every: int = 1


# What a worker sends
@dataclass(frozen=True)
class _Ready:
    pass


@dataclass(frozen=True)
class _Refused:
    reason: str


@dataclass(frozen=True)
class _Started:
    index: int


@dataclass(frozen=True)
class _Worked:
    size: float


def _work(connection: Connection, options: WorkerOptions) -> None:
    """The life of a worker process; it ends when the other end is closed or gone."""
    import cv2
    import pyarrow as pa

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a block is not inherited
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    try:
        analyzer = ShardAnalyzer({**options.choices, "threads": 1}, every=options.every)
    except MienError as exc:
        connection.send(_Refused(str(exc)))
        return
    listener = Listener(
        lambda i: connection.send(_Started(i)),
        lambda size: connection.send(_Worked(size)),
    )
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(_Ready())
        while True:
            connection.send(analyzer(connection.recv(), listener))


class _Worker:
    """A worker as its owner sees it."""

    def __init__(self, options: WorkerOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, options), daemon=True
        )
        with _quiet_start():
            self.process.start()
        theirs.close()
        self.ready = False
        self.shard: Shard | None = None
        self.begun: BatchInput | None = None
        self.worked = 0.0

    def give(self, shard: Shard) -> None:
        self.shard, self.begun, self.worked = shard, None, 0.0
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it has died: the end of its connection tells
            self.connection.send(shard)

    def ending(self) -> str:
        """How its process ended, in words."""
        code = self.process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit code {code}"

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Children that use one thread per library and leave Ctrl-C to their owner."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    blocked = hasattr(signal, "pthread_sigmask")
    if blocked:
        resource_tracker.ensure_running()  # it would lift the block when it starts with the first worker
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if blocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(
                name, value
            )


class Workers:
    """A pool of worker processes; a context manager. The first worker warms the caches before the others start.

    Args:
        options: What every worker does.
        jobs: How many there are at most.
        working: Hears the bytes worked through of shards that are not done yet.

    Example:
        >>> with Workers(WorkerOptions(choices), jobs=2) as workers:
        ...     for outcome in workers.outcomes(shards):
        ...         archive.commit(outcome)
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        jobs: int,
        working: Callable[[float], None] | None = None,
    ) -> None:
        self.options = options
        self.jobs = jobs
        self.working = working or (lambda size: None)
        self._workers: list[_Worker] = []
        self._strikes: Counter[str] = Counter()
        self._false_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def outcomes(self, shards: Iterable[Shard]) -> Iterator[Outcome]:
        """What becomes of the shards, in the order in which they are done.

        Raises:
            MienError: The analyzer cannot be made, or workers die before they begin.
        """
        queue = deque(shards)
        while queue or any(worker.shard for worker in self._workers):
            # One worker until it is ready, then as many as there is work for.
            busy = sum(worker.shard is not None for worker in self._workers)
            wanted = (
                min(self.jobs, busy + len(queue))
                if any(worker.ready for worker in self._workers)
                else 1
            )
            while len(self._workers) < wanted:
                self._workers.append(_Worker(self.options))
            for worker in self._workers:
                if queue and worker.ready and worker.shard is None:
                    worker.give(queue.popleft())
            connections = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(connections)):
                yield from self._hear(connections[connection], queue)  # type: ignore[index]
            self.working(sum(worker.worked for worker in self._workers))

    def _hear(self, worker: _Worker, queue: deque[Shard]) -> Iterator[Outcome]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, queue)
            return
        if isinstance(message, _Refused):
            raise MienError(message.reason)
        if isinstance(message, _Ready):
            worker.ready, self._false_starts = True, 0
        elif isinstance(message, _Started):
            worker.begun = worker.shard[message.index] if worker.shard else None
        elif isinstance(message, _Worked):
            worker.worked += message.size
        else:
            worker.shard, worker.begun, worker.worked = None, None, 0.0
            yield message

    def _bury(self, worker: _Worker, queue: deque[Shard]) -> Iterator[Outcome]:
        """Takes a dead worker's shard back; gives the error of an item that has killed too many."""
        self._workers.remove(worker)
        worker.stop()
        how = worker.ending()
        if worker.begun is None:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS:
                raise MienError(
                    f"worker processes die before they begin ({how}): is there too little memory?"
                )
        log.warning("a worker process died (%s); another takes its place", how)
        rest = worker.shard or ()
        if worker.begun is not None:
            self._strikes[worker.begun.source] += 1
            if self._strikes[worker.begun.source] >= _STRIKES:
                error = (
                    f"{worker.begun.source}: ended the process that read it, "
                    f"{_STRIKES} times ({how}): damaged, or too large for memory"
                )
                yield make_outcome([worker.begun], [Row(worker.begun, error=error)], [])
                rest = tuple(item for item in rest if item is not worker.begun)
        if rest:
            queue.appendleft(rest)


def usable_cores() -> int:
    """The processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
