"""Streams through PyAV: RTSP over TCP, HLS, MPEG-TS and whatever else FFmpeg reads in real time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from av.error import FFmpegError

from mien.errors import SourceError
from mien.sources.base import Timeouts, shown
from mien.sources.live import Grab
from mien.sources.video import (
    open_container,
    pixel_aspect,
    reason,
    to_image,
    video_stream,
)

_OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "analyzeduration": "1500000",
    "probesize": "1000000",
}


def open_stream(uri: str, timeouts: Timeouts) -> Any:
    """The PyAV container of a stream. Raises SourceError."""
    options = _OPTIONS if uri.startswith("rtsp") else {"analyzeduration": "3000000"}
    return open_container(uri, timeouts, options)


def stream(uri: str, timeouts: Timeouts, *, paced: bool) -> Iterator[Grab | None]:
    """The pictures of one connection as they come.

    `paced` streams (HLS) come in bursts of seconds: their pictures are held back until they are due. Of the others,
    a picture that comes late against the stream's own clock is thrown away.
    """
    container = open_stream(uri, timeouts)
    try:
        yield from _pictures(container, uri, Clock(timeouts.stale_s, paced=paced))
    except (FFmpegError, OSError) as exc:
        raise SourceError(f"{shown(uri)} was lost: {reason(exc)}") from exc
    finally:
        container.close()


def _pictures(container: Any, uri: str, clock: Clock) -> Iterator[Grab | None]:
    given = video_stream(container, uri, threads="SLICE")
    aspect = pixel_aspect(given)
    for packet in container.demux(given):
        yield None
        for picture in packet.decode():
            if clock.admits(picture.time):
                yield partial(to_image, picture, aspect)


class Clock:
    """Holds a stream's pictures against real time."""

    def __init__(self, stale_s: float, *, paced: bool) -> None:
        self.stale_s = stale_s
        self.paced = paced
        self._offset: float | None = None  # from the stream's time to ours

    def admits(self, time_s: float | None) -> bool:
        """Waits until a picture of this stream time is due; false if it is too old to be shown."""
        if time_s is None:
            return True
        now = time.monotonic()
        late = 0.0 if self._offset is None else now - self._offset - time_s
        if (
            self._offset is None
            or abs(late) > 15
            or (self.paced and late > self.stale_s)
        ):
            self._offset = (
                now - time_s
            )  # the first picture, a jump of the stream's clock, or a pause
            return True
        if self.paced:
            time.sleep(max(0.0, -late))
            return True
        self._offset = min(
            self._offset + 1e-4, now - time_s
        )  # creeps, as the two clocks drift apart
        return late <= self.stale_s
