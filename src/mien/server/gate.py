"""The way into the networks: few at once, some in line, the rest told at once to come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

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
        self.line = Places(
            total,
            min(total, limits.waiting_per_key),
            what="requests in line",
            retry_s=1,
        )
        self.held = Bytes(limits.held_bytes)
        self._running = 0
        self._pixels = 0
        self._free = threading.Condition()

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
    def slot(self, pixels: int = 0, *, patient: bool = False) -> Iterator[None]:
        """Runs its body, which decodes and analyses a picture of so many pixels, when the networks are free and the
        pictures being worked on are not too large together.

        Raises:
            Problem: They were not for `wait_s` seconds, and the caller is not `patient`.
        """
        came = time.perf_counter()
        with self._free:
            if not self._free.wait_for(
                partial(self._has_room, pixels), None if patient else self.limits.wait_s
            ):
                self.metrics.refused.labels("busy").inc()
                raise Problem(
                    "busy",
                    "the networks were not free in time; come again later",
                    {"retry-after": "5"},
                )
            self._running += 1
            self._pixels += pixels
        started = time.perf_counter()
        self.metrics.waited.observe(started - came)
        try:
            yield
        finally:
            with self._free:
                self._running -= 1
                self._pixels -= pixels
                self._free.notify_all()
            self.metrics.analysis.observe(time.perf_counter() - started)

    def _has_room(self, pixels: int) -> bool:
        fits = not self._pixels or self._pixels + pixels <= self.limits.pixels_at_once
        return self._running < self.limits.slots and fits


class Bytes:
    """What all requests together hold in memory before it is looked at. Used on the event loop only."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """A call that takes so many bytes, raising Problem where there is no room; all are given back at the end."""
        own = 0

        def take(count: int) -> None:
            nonlocal own
            if self.taken + count > self.total:
                raise Problem(
                    "busy",
                    "too much is being sent at once; come again in a second",
                    {"retry-after": "1"},
                )
            self.taken, own = self.taken + count, own + count

        try:
            yield take
        finally:
            self.taken -= own
