"""Work done by other threads, with its results in the order it was given."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def worker_threads(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads; what they have not begun when an error or Ctrl-C comes is left."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[R]:
    """The results in the order of the items, with only so many of them begun ahead."""
    begun: deque[Future[R]] = deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


class Ahead(Generic[T]):
    """Items that a thread of its own makes, at most `most` of them ahead; its error comes where its item would have.

    Close it before what the items are made of.
    """

    def __init__(self, items: Iterable[T], *, most: int) -> None:
        self._most = most
        self._made: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._make, args=(items,), name="mien ahead", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._made or self._ended)
                if not self._made:
                    break
                item = self._made.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _make(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(
                        lambda: len(self._made) < self._most or self._ended
                    )
                    if self._ended:
                        return
                    self._made.append(item)
                    self._changed.notify_all()
        except BaseException as exc:  # raised where the items are taken
            self._error = exc
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the thread; it finishes the item it is at."""
        self._end()
        self._made.clear()
        self._thread.join()
