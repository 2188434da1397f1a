"""Videos through PyAV: files, and addresses that behave like files."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
from av.error import (
    EOFError as AvEnd,
    ExitError as AvTimeout,
    FFmpegError,
    HTTPUnauthorizedError as AvRefused,
    InvalidDataError,
)
from av.sidedata.sidedata import SideDataContainer, Type as SideData
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.media import containers
from mien.pool import Ahead
from mien.sources.base import Closing, Timeouts
from mien.sources.media import is_video
from mien.text import shown
from mien.types import U8, Frame

log = logging.getLogger(__name__)

_DECODER_THREADS = 2
_AHEAD = 2  # frames decoded and converted while another one is looked at
_MOST_ASPECT = 4  # of a pixel's sides; television and anamorphic film stay below 2.5
_BRIGHTNESS_FIRST = frozenset(
    "yuv420p yuvj420p yuv422p yuvj422p yuv444p yuvj444p nv12 nv21 gray".split()
)
_SLANT = 0.1  # about three degrees from a quarter turn
_threads = threading.local()


def open_container(
    uri: str, timeouts: Timeouts, options: dict[str, str] | None = None
) -> Any:
    """The PyAV container at a path or address, with time-outs on everything that waits for a network.

    Raises:
        SourceError: It cannot be opened.
    """
    began = time.monotonic()
    try:
        return containers.open_input(
            uri, options, timeout=(timeouts.open_s, timeouts.stall_s)
        )
    except (FFmpegError, OSError, ValueError) as exc:
        late = "://" in uri and time.monotonic() - began >= 0.95 * timeouts.open_s
        raise SourceError(_why_not(uri, exc, late=late)) from exc


def _why_not(uri: str, exc: Exception, *, late: bool) -> str:
    name = shown(uri)
    if late or isinstance(
        exc, AvTimeout
    ):  # FFmpeg calls an RTSP server that stays silent invalid data
        return f"{name} does not answer in time; is the address right and the sender running?"
    if isinstance(exc, AvRefused):
        return f"{name} wants a user and password, or these are wrong"
    if isinstance(exc, InvalidDataError):
        kind = "no" if "://" in uri or is_video(uri) else "neither a picture nor a"
        return f"{name} is {kind} video that can be read, or is damaged"
    if "://" not in uri and not Path(uri).exists():
        return f"cannot read {name}: no such file"
    plain = "…@" in name and urlsplit(uri).username is None  # a / or # ended it early
    cure = "; are its user and password percent-encoded?" if plain else ""
    return f"cannot open {name}: {reason(exc)}{cure}"


def reason(exc: Exception) -> str:
    """What FFmpeg says, without the address it repeats."""
    if isinstance(exc, AvTimeout):
        return "nothing came in time"
    return str(getattr(exc, "strerror", None) or exc).strip()


def video_stream(container: Any, uri: str, *, threads: str = "AUTO") -> Any:
    """The first video stream, set up for decoding.

    Raises:
        SourceError: There is none.
    """
    streams = [
        s
        for s in container.streams.video
        if not s.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise SourceError(f"{shown(uri)} holds no video")
    if streams[0].codec_context is None:
        raise SourceError(f"{shown(uri)} is damaged, or its codec is unknown")
    stream = streams[0]
    stream.thread_type = threads
    stream.codec_context.thread_count = _DECODER_THREADS
    return stream


def to_image(frame: Any, aspect: Fraction | None = None) -> U8:
    """A decoded frame as upright (H, W, 3) uint8 BGR of square pixels; `aspect` is the width of its pixels by their
    height, as `pixel_aspect` gives it."""
    width, height = frame.width, frame.height
    if aspect is not None and aspect > 1:
        width = round(width * aspect)
    elif aspect is not None:
        height = round(height / aspect)
    # This thread's: setting one up, and its own threads, take four times as long as a picture of 1280x720.
    if not hasattr(_threads, "converter"):
        _threads.converter = VideoReformatter()
    converter: VideoReformatter = _threads.converter
    picture = converter.reformat(frame, width, height, "bgr24", threads=1)
    image = np.asarray(picture.to_ndarray(), np.uint8)
    matrix = display_matrix(frame)
    return image if matrix is None else _displayed(image, matrix)


def to_sketch(frame: Any, aspect: Fraction | None = None) -> U8:
    """The brightness of the same picture, (h, w), its pixels as they are; where that is not at hand, the picture."""
    turned = display_matrix(frame) is not None
    if turned or frame.format.name not in _BRIGHTNESS_FIRST:
        return to_image(frame, aspect)
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[: frame.height, : frame.width]


def display_matrix(frame: Any) -> NDArray[np.int32] | None:
    """How a frame is to be turned and mirrored, (9,); None: not at all.

    Not by `frame.side_data`, whose container and frame hold one another: of pictures of a megabyte and more a hundred
    would lie about until the collector, which counts objects, comes by.
    """
    held = SideDataContainer(frame)  # type: ignore[call-arg] # its stub says less
    matrix = held.get(SideData.DISPLAYMATRIX)
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)


def pixel_aspect(stream: Any) -> Fraction | None:
    """How wide a stream's pixels are by their height; None for square ones, and for what no camera makes."""
    aspect = stream.sample_aspect_ratio
    if not aspect or aspect == 1 or not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
        return None
    return Fraction(aspect)


def _displayed(image: U8, matrix: NDArray[np.int32]) -> U8:
    """A picture as its display matrix shows it: (x, y) goes to (a x + c y, b x + d y), scale and shift left out."""
    a, b, c, d = (matrix[[0, 1, 3, 4]] / 65536).tolist()
    scale = abs(a * d - b * c) ** 0.5
    if not scale:
        return image
    a, b, c, d = a / scale, b / scale, c / scale, d / scale
    if abs(a * b) + abs(c * d) > _SLANT:
        # A picture turned by an angle that is no quarter, on a black one that holds all of it.
        by = np.array([[a, c], [b, d]])
        height, width = image.shape[:2]
        corners = by @ np.array([[0, width, 0, width], [0, 0, height, height]])
        low, high = corners.min(axis=1), corners.max(axis=1)
        size_wh = tuple(np.ceil(high - low).astype(int).tolist())
        return np.asarray(
            cv2.warpAffine(image, np.c_[by, -low], size_wh), dtype=np.uint8
        )
    turned = abs(b) > abs(a)
    across, down = (c, b) if turned else (a, d)
    if turned:
        image = image.transpose(1, 0, 2)
    return np.ascontiguousarray(
        image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
    )


class VideoFile(Closing):
    """Every frame of a video, with the time the file gives it. A damaged end ends the video with a warning."""

    live = False

    def __init__(self, uri: str, timeouts: Timeouts | None = None) -> None:
        self.name = uri
        timeouts = timeouts or Timeouts()
        self._over = timeouts.over
        self._container = open_container(uri, timeouts)
        try:
            self._stream = video_stream(self._container, uri)
        except SourceError:
            self._container.close()
            raise
        self._aspect = pixel_aspect(self._stream)
        self._ahead: Ahead[Frame] | None = None
        context = self._stream.codec_context
        self.pixels = round(
            context.width
            * context.height
            * max(self._aspect or 1, 1 / (self._aspect or 1))
        )
        if timeouts.frame_pixels is not None:  # also where it grows in the middle
            context.options = {"max_pixels": str(timeouts.frame_pixels)}
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else None
        self.duration_s = self._duration()
        self.frames = self._stream.frames or (
            round(self.duration_s * self.rate)
            if self.duration_s and self.rate
            else None
        )

    def _duration(self) -> float | None:
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return (
            None
            if self._container.duration is None
            else self._container.duration / av.time_base
        )

    def __iter__(self) -> Iterator[Frame]:
        self._ahead = Ahead(self._read(), most=_AHEAD)
        try:
            yield from self._ahead
        finally:
            self._ahead.close()

    def _read(self) -> Iterator[Frame]:
        start: float | None = None
        time_s = 0.0
        index = -1
        for index, picture in enumerate(self._pictures()):
            at = picture.time
            start = at if start is None else start
            step = 1 / self.rate if self.rate else 0.04
            time_s = (
                at - start
                if at is not None and start is not None
                else time_s + (step if index else 0.0)
            )
            yield Frame(
                to_image(picture, self._aspect), index, max(0.0, time_s), self.name
            )
        if index < 0 and not self._over():
            raise SourceError(f"{shown(self.name)} holds no frame that can be read")

    def _pictures(self) -> Iterator[Any]:
        damaged = 0
        try:
            for packet in self._container.demux(self._stream):
                if self._over():
                    return
                try:
                    yield from packet.decode()
                except InvalidDataError:
                    damaged += 1
        except AvEnd:
            pass
        except (FFmpegError, OSError) as exc:
            log.warning("%s breaks off: %s", shown(self.name), reason(exc))
        if damaged:
            log.warning(
                "%s is damaged: %d parts of it could not be decoded",
                shown(self.name),
                damaged,
            )

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self._container.close()
