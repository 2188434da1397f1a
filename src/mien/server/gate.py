"""The way into the networks: few at once, some in line, the rest told at once to come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mien.server.metrics import Metrics
from mien.server.places import Places
from mien.server.problems import Problem
from mien.server.settings import Limits


class Gate:
    """`slots` analyses at once and `waiting` requests more; used by requests, live clients and jobs alike."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.metrics = metrics
        total = limits.slots + limits.waiting
        self.line = Places(total, min(total, limits.waiting_per_key), what="requests in line", retry_s=1)
        self._slots = threading.BoundedSemaphore(limits.slots)

    def check(self) -> None:
        """Raises Problem where all places in line are taken."""
        with self._counting_refusals():
            self.line.check()

    @contextmanager
    def admit(self, caller: str) -> Iterator[None]:
        """A request's place in line, taken before its body is read.

        Raises:
            Problem: All places are taken, or this caller's part of them.
        """
        with ExitStack() as stack:
            with self._counting_refusals():
                stack.enter_context(self.line.held(caller))
            yield

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except Problem as exc:
            self.metrics.refused.labels(exc.kind).inc()
            raise

    @contextmanager
    def slot(self, *, patient: bool = False) -> Iterator[None]:
        """Runs its body when the networks are free.

        Raises:
            Problem: They were not for `wait_s` seconds, and the caller is not `patient`.
        """
        came = time.perf_counter()
        if not self._slots.acquire(timeout=None if patient else self.limits.wait_s):
            self.metrics.refused.labels("busy").inc()
            raise Problem("busy", "the networks were not free in time; come again later", {"retry-after": "5"})
        started = time.perf_counter()
        self.metrics.waited.observe(started - came)
        try:
            yield
        finally:
            self._slots.release()
            self.metrics.analysis.observe(time.perf_counter() - started)
