"""Streams for a bounded time: MJPEG over http(s) read by ourselves, RTSP through a relay that knows one machine."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlunsplit

from mien.errors import SourceError
from mien.server.fetch import Fetcher, FetchRules, PinnedAddress
from mien.server.jobs.store import Job
from mien.server.problems import Problem
from mien.server.relay import Relay
from mien.sources import Source, Timeouts, open_source
from mien.sources.base import Closing, Glimpse, Need, StreamEnded
from mien.sources.http import Answer, pictures_of
from mien.sources.live import Grab, LiveSource
from mien.sources.wire import Wait
from mien.types import Frame

log = logging.getLogger(__name__)

T = TypeVar("T")

_FRAME_BYTES = 8_000_000
_FRAME_PIXELS = 9_500_000
_OPEN_S = 8.0


def open_stream(job: Job, rules: FetchRules) -> Source:
    """The stream of a job, which ends after the job's time, or when the rules say that nobody waits any more.

    Raises:
        Problem: The address is not one that is fetched.
        SourceError: It does not answer.
    """
    url, seconds = str(job.options["url"]), float(job.options["seconds"])
    whole = Wait(rules.seconds + seconds, rules.over)
    opening = Wait(rules.seconds, partial(ended, whole))
    fetcher = Fetcher(rules)
    if url.lower().startswith("rtsp://"):
        rtsp = _Rtsp(fetcher.resolve(url, opening), opening)
        return Bounded(rtsp, whole, seconds)
    answer = fetcher.open(url, opening)
    timeouts = Timeouts(stall_s=seconds, stale_s=seconds, over=partial(ended, whole))
    return Bounded(_mjpeg(answer, timeouts), whole, seconds)


def open_camera(url: str, timeouts: Timeouts, rules: FetchRules) -> Source:
    """A camera that a client named, RTSP or MJPEG, for as long as it sends and somebody waits.

    Raises:
        SourceError: The address is not one that is fetched, or does not answer.
    """
    opening = Wait(rules.seconds, rules.over)
    fetcher = Fetcher(rules)
    try:
        if url.lower().startswith("rtsp://"):
            target = fetcher.resolve(url, opening)
            rtsp = _Rtsp(target, opening, timeouts.need)
            return Bounded(rtsp, Wait(math.inf, rules.over), math.inf)
        return _mjpeg(fetcher.open(url, opening), timeouts)
    except Problem as exc:
        raise SourceError(str(exc.detail)) from exc


def _mjpeg(answer: Answer, timeouts: Timeouts) -> Source:
    """The pictures of a multipart answer; the ones nobody was ready for are passed over."""
    timeouts = replace(
        timeouts, retry_s=0.0, image_bytes=_FRAME_BYTES, frame_pixels=_FRAME_PIXELS
    )

    def connect() -> Iterator[Grab]:
        with answer:
            yield from pictures_of(answer, timeouts)

    return LiveSource(answer.name, connect, timeouts)


class Bounded(Closing):
    """A source that ends after some seconds of wall time, also where no picture comes."""

    live = True
    rate: float | None = None
    frames: int | None = None
    duration_s: float | None = None

    def __init__(self, source: Any, wait: Wait, seconds: float) -> None:
        self.name = ""
        self._source = source
        self._wait = wait
        self._seconds = seconds

    def __iter__(self) -> Iterator[Frame]:
        return self._within(self._source)

    @property
    def received(self) -> int:
        return int(self._source.received)

    def glimpses(self) -> Iterator[Glimpse]:
        return self._within(self._source.glimpses())

    def _within(self, pictures: Iterable[T]) -> Iterator[T]:
        self._wait.until = time.monotonic() + self._seconds
        seen = False
        try:
            for picture in pictures:
                seen = True
                yield picture
                if ended(self._wait):
                    return
        except StreamEnded:
            log.info("the stream ended")
        if not seen and not self._wait.over():
            raise SourceError(f"the stream gave no picture in {self._seconds:g} s")

    def close(self) -> None:
        self._wait.until = 0.0  # whoever still reads ends
        self._source.close()


def ended(wait: Wait) -> bool:
    """Whether the time is over."""
    return wait.over() or time.monotonic() > wait.until


class _Rtsp:
    """An RTSP stream through a relay on loopback that connects to the checked machine and to no other."""

    def __init__(
        self,
        target: PinnedAddress,
        wait: Wait,
        need: Callable[[], Need] = lambda: Need.ALL,
    ) -> None:
        seconds = wait.left()
        self._relay = Relay(target, seconds)
        parts = target.parts
        login = (
            f"{parts.username or ''}:{parts.password or ''}@" if parts.username else ""
        )
        place = f"{login}127.0.0.1:{self._relay.port}"
        timeouts = Timeouts(
            open_s=min(seconds, _OPEN_S), retry_s=0.0, over=wait.over, need=need
        )
        try:
            self._source: Any = open_source(
                urlunsplit(("rtsp", place, parts.path, parts.query, "")),
                timeouts=timeouts,
            )
        except SourceError as exc:
            self._relay.close()
            raise SourceError(
                "the stream does not answer, or is none that can be read"
            ) from exc

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._source)

    @property
    def received(self) -> int:
        return int(self._source.received)

    def glimpses(self) -> Iterator[Glimpse]:
        yield from self._source.glimpses()

    def close(self) -> None:
        self._relay.close()  # first: FFmpeg then ends at once, whatever it waits for
        self._source.close()
