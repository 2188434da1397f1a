"""Streams for a bounded time: MJPEG over http(s) read by ourselves, RTSP through a relay that knows one machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlunsplit

from mien import images
from mien.errors import InputError, SourceError
from mien.server.fetch import Fetcher, Rules, Target
from mien.server.jobs.store import Job
from mien.server.relay import Relay
from mien.server.wire import Wait
from mien.sources import Source, Timeouts, open_source
from mien.sources.base import Closing
from mien.types import Frame

_FRAME_BYTES = 8_000_000
_FRAME_PIXELS = 9_500_000
_CHUNK = 65_536
_OPEN_S = 8.0


def open_stream(job: Job, rules: Rules) -> Source:
    """The stream of a job, which ends after the job's time, or when the rules say that nobody waits any more.

    Raises:
        Problem: The address is not one that is fetched.
        SourceError: It does not answer.
    """
    url, seconds = str(job.options["url"]), float(job.options["seconds"])
    fetcher, wait = Fetcher(rules), Wait(rules.seconds, rules.over)
    if url.lower().startswith("rtsp://"):
        return Bounded(_Rtsp(fetcher.resolve(url, wait), wait), wait, seconds)
    return Bounded(_Mjpeg(fetcher.open(url, wait)), wait, seconds)


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
        self._wait.until = time.monotonic() + self._seconds
        seen = False
        for frame in self._source:
            seen = True
            yield frame
            if ended(self._wait):
                return
        if not seen and not self._wait.over():
            raise SourceError(f"the stream gave no picture in {self._seconds:g} s")

    def close(self) -> None:
        self._source.close()


def ended(wait: Wait) -> bool:
    """Whether the time is over."""
    return wait.over() or time.monotonic() > wait.until


class _Mjpeg:
    """The pictures of a multipart/x-mixed-replace answer; the ones nobody was ready for are passed over."""

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[Frame]:
        started = time.monotonic()
        for index, content in enumerate(self._pictures()):
            try:
                image = images.read_image(content, max_pixels=_FRAME_PIXELS)
            except InputError:
                continue
            yield Frame(image, index, time.monotonic() - started, "")

    def _pictures(self) -> Iterator[bytes]:
        buffer = b""
        while chunk := self._read():
            buffer += chunk
            end = buffer.rfind(b"\xff\xd9")
            if end >= 0:
                start = buffer.rfind(b"\xff\xd8\xff", 0, end)
                if start >= 0:
                    yield buffer[start : end + 2]
                buffer = buffer[end + 2 :]
            if len(buffer) > _FRAME_BYTES:
                raise SourceError(
                    "the stream's pictures are too large, or it is none of JPEGs"
                )

    def _read(self) -> bytes:
        try:
            return self._answer.read1(_CHUNK)
        except TimeoutError:
            return b""  # the time is over
        except (OSError, HTTPException) as exc:
            raise SourceError(f"the stream broke off ({type(exc).__name__})") from exc

    def close(self) -> None:
        self._answer.close()


class _Rtsp:
    """An RTSP stream through a relay on loopback that connects to the checked machine and to no other."""

    def __init__(self, target: Target, wait: Wait) -> None:
        seconds = wait.left()
        self._relay = Relay(target, seconds)
        parts = target.parts
        login = (
            f"{parts.username or ''}:{parts.password or ''}@" if parts.username else ""
        )
        place = f"{login}127.0.0.1:{self._relay.port}"
        timeouts = Timeouts(
            open_s=min(seconds, _OPEN_S), retry_s=0.0, over=partial(ended, wait)
        )
        try:
            self._source = open_source(
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

    def close(self) -> None:
        self._relay.close()  # first: FFmpeg then ends at once, whatever it waits for
        self._source.close()
