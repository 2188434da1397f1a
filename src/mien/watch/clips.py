"""Clips of the seconds around a visit's beginning: cut out of a camera's last seconds, coded in a thread of its own."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from mien.errors import InputError, MienError
from mien.media import images
from mien.output.video import film_bytes
from mien.types import U8

log = logging.getLogger(__name__)

_SIDE, _QUALITY = 640, 85  # of the pictures that a clip is made of
_RATE = 10.0  # about; each picture has its time
_LATE_S = 2.0  # how late somebody may ask for a clip whose seconds have passed
_MOST_BYTES = 16 << 20  # of a camera's pictures, whatever they show
_MOST_WAITING = 16  # clips to be coded; they share their pictures
_FAREWELL_S = 10.0
_NICE = 10


@dataclass(frozen=True, slots=True)
class Clip:
    """The clip of a visit, as MP4."""

    visit: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """What becomes a visit's clip: small JPEGs, each with its second of the camera's clock."""

    visit: str
    pictures: tuple[tuple[float, bytes], ...]

    def coded(self) -> Clip:
        """Raises InputError where that cannot be."""
        if not self.pictures:
            raise InputError("no picture of its seconds is left")
        first = self.pictures[0][0]
        shown = ((images.read_jpeg(one), at - first) for at, one in self.pictures)
        return Clip(self.visit, film_bytes(shown, rate=_RATE))


class Clips:
    """The clips of one camera: `seconds` before and after each beginning. Pictures may come from another thread."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._last: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._due: dict[str, float] = {}  # by visit: the last second that belongs to it

    def show(self, image: U8, time_s: float) -> None:
        """Takes a picture as the camera's view shows it, and drops those that are too old for any clip."""
        coded = images.small_jpeg(image, side=_SIDE, quality=_QUALITY)
        oldest = time_s - 2 * self.seconds - _LATE_S
        with self._lock:
            self._last.append((time_s, coded))
            self._bytes += len(coded)
            while self._last[0][0] < oldest or self._bytes > _MOST_BYTES:
                self._bytes -= len(self._last.popleft()[1])

    def begin(self, visit: str, begin_s: float, now_s: float) -> None:
        """A visit began; one that is told late is shown up to now, since its beginning is not there any more."""
        self._due[visit] = max(begin_s + self.seconds, now_s)

    def pass_time(self, now_s: float) -> Iterator[Cut]:
        """What is to be seen of the visits whose seconds have passed by now."""
        for visit, end_s in list(self._due.items()):
            if now_s > end_s:
                yield from self._cut(visit, end_s)

    def close(self) -> Iterator[Cut]:
        """The same of all others, as far as they have come."""
        for visit, end_s in list(self._due.items()):
            yield from self._cut(visit, end_s)

    def _cut(self, visit: str, end_s: float) -> Iterator[Cut]:
        del self._due[visit]
        begin_s = end_s - 2 * self.seconds
        with self._lock:
            shown = tuple(one for one in self._last if begin_s <= one[0] <= end_s)
        yield Cut(visit, shown)


class ClipMaker:
    """Codes clips one after another, so that neither the looking nor the telling waits for them.

    Args:
        made: Gets each clip, from the maker's thread.
        given_up: Gets each visit that has no clip after all, from whatever thread.
    """

    def __init__(
        self,
        made: Callable[[Clip], None],
        *,
        given_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.made = made
        self.given_up = given_up
        self._waiting: deque[Cut] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._until = float("inf")
        self._thread = threading.Thread(
            target=self._run, name="watch clips", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def put(self, cut: Cut, live: bool) -> None:
        """Takes what is to be coded. Returns at once; of a film, which can wait, when there is room."""
        with self._changed:
            if not live:
                self._changed.wait_for(
                    lambda: self._ending or len(self._waiting) < _MOST_WAITING
                )
            if len(self._waiting) >= _MOST_WAITING:
                lost = self._waiting.popleft()
                log.warning("more visits begin than clips can be made: one has none")
                self.given_up(lost.visit)
            self._waiting.append(cut)
            self._changed.notify_all()

    def close(self) -> None:
        """Codes what waits, as long as that takes little time."""
        with self._changed:
            self._ending = True
            self._until = time.monotonic() + _FAREWELL_S
            self._changed.notify_all()
        self._thread.join(timeout=2 * _FAREWELL_S)

    def _run(self) -> None:
        self._step_back()
        while (cut := self._next()) is not None:
            try:
                self.made(cut.coded())
                continue
            except MienError as exc:
                log.warning("a visit has no clip: %s", exc)
            except Exception:  # a thread must not die in silence
                log.exception("a visit has no clip")
            self.given_up(cut.visit)

    def _step_back(self) -> None:
        """Lets all others go first; Linux alone knows threads by their priority."""
        if sys.platform == "linux":
            me = threading.get_native_id()
            with suppress(OSError):  # a sandbox may refuse; it is made all the same
                nice = min(19, os.getpriority(os.PRIO_PROCESS, me) + _NICE)
                os.setpriority(os.PRIO_PROCESS, me, nice)

    def _next(self) -> Cut | None:
        """What is coded next, once there is something; None: nothing any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            if not self._waiting or time.monotonic() > self._until:
                return None
            self._changed.notify_all()
            return self._waiting.popleft()
