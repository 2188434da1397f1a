"""Sources that come in real time: a reader thread keeps only the newest picture, and connects again when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from mien.errors import InputError, SourceError
from mien.sources.base import Closing, Glimpse, StreamEnded, Timeouts
from mien.text import shown
from mien.types import U8, Frame

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Grab:
    """Decodes or converts a picture, when it is wanted at all: whole, or as far as motion is seen by (`Glimpse`)."""

    image: Callable[[], U8]
    sketch: Callable[[], U8]


def grab_of(image: U8) -> Grab:
    """One that is there already, BGR."""
    return Grab(lambda: image, lambda: image)


class Came(Enum):
    """What came instead of a picture."""

    BYTES = "bytes"  # of one that is not whole yet
    PICTURE = "picture"  # nobody needs it, and it was not decoded


Connect = Callable[[], Iterator[Grab | Came]]


@dataclass(frozen=True, slots=True)
class _Newest:
    grab: Grab
    time_s: float  # since the source was opened
    number: int


class LiveSource(Closing):
    """The newest picture of a stream, whenever one is asked for.

    `connect` gives the pictures of one connection and raises SourceError when it is lost. After a loss it is called
    again with growing pauses, until `timeouts.retry_s` went by without a picture. The first connection is not retried.
    """

    live = True
    frames: int | None = None
    duration_s: float | None = None

    def __init__(
        self,
        name: str,
        connect: Connect,
        timeouts: Timeouts,
        *,
        rate: float | None = None,
    ) -> None:
        self.name = name
        self.rate = rate
        self.timeouts = timeouts
        self._connect = connect
        self._began = time.monotonic()
        self._changed = threading.Condition()
        self._newest: _Newest | None = None
        self._received = 0
        self._failure: InputError | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_reading, name="mien source", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for glimpse in self.glimpses():
            try:
                frame = glimpse.frame()
            except SourceError as exc:
                log.warning("%s", exc)
                continue
            yield replace(frame, index=index)
            index += 1

    def glimpses(self) -> Iterator[Glimpse]:
        """The same pictures, not converted yet; nor is it known yet whether they can be."""
        index, seen = 0, -1
        while (newest := self._wait(seen)) is not None:
            seen = newest.number
            if self._now() - newest.time_s > self.timeouts.stale_s:
                continue
            grab = newest.grab
            yield Glimpse(grab.image, grab.sketch, index, newest.time_s, self.name)
            index += 1

    def newest(self) -> Glimpse | None:
        newest = self._newest
        if newest is None:
            return None
        image, sketch = newest.grab.image, newest.grab.sketch
        return Glimpse(image, sketch, newest.number, newest.time_s, self.name)

    @property
    def received(self) -> int:
        """How many pictures have come so far, those included that nobody took or needed."""
        return self._received

    def wait_until_up(self) -> None:
        """Returns when the first picture has come. Raises SourceError when there will be none."""
        try:
            self._wait(-1)
        except InputError:
            self.close()
            raise

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _wait(self, seen: int) -> _Newest | None:
        """The first picture after the one seen; None once the source was closed."""
        with self._changed:
            while self._newest is None or self._newest.number == seen:
                if self._closed.is_set() or self.timeouts.over():
                    return None
                if self._failure is not None:
                    raise self._failure
                self._changed.wait(0.5)
            return self._newest

    def _keep_reading(self) -> None:
        pause, number, last = self.timeouts.first_pause_s, 0, None
        while not self._closed.is_set():
            try:
                began = time.monotonic()
                for grab in self._connect():
                    if self._closed.is_set() or self.timeouts.over():
                        return
                    if grab is Came.BYTES:
                        self._check_pictures(max(began, last or began))
                        continue
                    last, number = time.monotonic(), number + 1
                    pause = self.timeouts.first_pause_s
                    self._received = number
                    if isinstance(grab, Grab):
                        self._tell(newest=_Newest(grab, self._now(), number))
                raise StreamEnded(f"{shown(self.name)} ended")
            except InputError as exc:
                if last is None or time.monotonic() - last > self.timeouts.retry_s:
                    self._tell(failure=exc)
                    return
                log.warning("%s; trying again", exc)
            except Exception as exc:  # a reader thread must not die in silence
                self._tell(
                    failure=SourceError(
                        f"reading {shown(self.name)} failed: {shown(repr(exc))}"
                    )
                )
                raise
            self._closed.wait(pause)
            pause = min(2 * pause, self.timeouts.longest_pause_s)

    def _check_pictures(self, since: float) -> None:
        """Raises SourceError where much comes, but no picture, for too long."""
        if time.monotonic() - since > self.timeouts.open_s + self.timeouts.stall_s:
            raise SourceError(f"{shown(self.name)} sends no pictures that can be read")

    def _tell(
        self, *, newest: _Newest | None = None, failure: InputError | None = None
    ) -> None:
        with self._changed:
            self._newest = newest or self._newest
            self._failure = failure
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the reader; one that waits for a network ends by its time-out."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=1.0)
