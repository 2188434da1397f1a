"""Streams through PyAV: RTSP over TCP, HLS, MPEG-TS and whatever else FFmpeg reads in real time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from av.error import FFmpegError

from mien.errors import SourceError
from mien.sources.base import Need, Timeouts
from mien.sources.live import Came, Grab
from mien.sources.resting import Resting
from mien.sources.video import (
    open_container,
    pixel_aspect,
    reason,
    to_image,
    to_sketch,
    video_stream,
)
from mien.text import shown

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


def stream(uri: str, timeouts: Timeouts, *, paced: bool) -> Iterator[Grab | Came]:
    """The pictures of one connection as they come.

    `paced` streams (HLS) come in bursts of seconds: their pictures are held back until they are due. Of the others,
    a picture that comes late against the stream's own clock is thrown away, and only those that are
    needed (`timeouts.need`) are decoded.
    """
    container = open_stream(uri, timeouts)
    resting = Resting((lambda: Need.ALL) if paced else timeouts.need)
    try:
        given = video_stream(container, uri, threads="SLICE")
        clock = Clock(timeouts.stale_s, paced=paced)
        yield from _pictures(container, given, clock, resting)
    except (FFmpegError, OSError) as exc:
        raise SourceError(f"{shown(uri)} was lost: {reason(exc)}") from exc
    finally:
        container.close()


def _pictures(
    container: Any, given: Any, clock: Clock, resting: Resting
) -> Iterator[Grab | Came]:
    aspect = pixel_aspect(given)
    for packet in container.demux(given):
        yield Came.BYTES
        due = resting.due(packet)
        pictures = [picture for one in due for picture in one.decode()]
        if packet.is_keyframe and not pictures:
            resting.able = False  # pictures come out of the decoder in another order
        shown = [picture for picture in pictures if clock.admits(picture.time)]
        for picture in shown:
            sketch = partial(to_sketch, picture, aspect)
            yield Grab(partial(to_image, picture, aspect), sketch)
        if not shown:
            yield Came.PICTURE


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
