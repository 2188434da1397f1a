"""What every source is, and how patient one is with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol, Self, runtime_checkable
from urllib.parse import SplitResult, urlsplit

from mien.errors import SourceError
from mien.text import shown
from mien.types import U8, Frame

MOST_CAMERAS = 9999  # OpenCV counts from 700 on for one of its ways to cameras


class Need(Enum):
    """How many of a stream's pictures somebody needs."""

    ALL = "all"
    SOME = "some"  # one a second, or as soon as something moves
    KEYS = "keys"  # those that stand alone, however seldom they come


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a source may take, in seconds, and how much it may send.

    `open_s` to connect; `stall_s` without a picture before it counts as lost; `retry_s` from the loss of a live source
    to giving it up; `first_pause_s` before the first new attempt, doubled up to `longest_pause_s`; `stale_s` is the
    age at which a live picture is thrown away; `image_bytes` is the largest picture taken from a URL, `frame_pixels`
    the largest frame decoded of a video. `over` is asked all the time, also while no picture comes; once true, the
    source ends. `need` says how many of a stream's pictures are needed just now.
    """

    open_s: float = 8.0
    stall_s: float = 4.0
    retry_s: float = 60.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 5.0
    stale_s: float = 0.4
    image_bytes: int = 64 << 20
    frame_pixels: int | None = None
    over: Callable[[], bool] = field(default=lambda: False)
    need: Callable[[], Need] = field(default=lambda: Need.ALL)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A picture that is converted when it is wanted: by `image` whole, BGR; by `sketch` as far as motion is seen by,
    which may be its brightness alone, (h, w), and smaller. Both raise SourceError where it is damaged."""

    image: Callable[[], U8]
    sketch: Callable[[], U8]
    index: int
    time_s: float
    source: str

    @classmethod
    def of(cls, frame: Frame) -> Glimpse:
        """One that is converted already."""
        image = frame.image
        return cls(
            lambda: image, lambda: image, frame.index, frame.time_s, frame.source
        )

    def frame(self) -> Frame:
        return Frame(self.image(), self.index, self.time_s, self.source)


class StreamEnded(SourceError):  # noqa: N818 - not all of these are failures
    """A stream came to its end in good order."""


class Source(Protocol):
    """Frames of a photo, video, camera or stream; a context manager that is iterated once.

    `live` sources come in real time and drop what nobody took; the others give every frame. `rate` is frames per
    second, `frames` their number and `duration_s` their length, None where not known beforehand.

    Example:
        >>> with open_source("party.jpg") as frames:
        ...     frames.live, [frame.source for frame in frames]
        (False, ['party.jpg'])
    """

    name: str
    live: bool
    rate: float | None
    frames: int | None
    duration_s: float | None

    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class HasGlimpses(Protocol):
    """A live source that also gives its pictures as they come, and counts them; `received` counts those too that nobody
    took or needed."""

    @property
    def received(self) -> int: ...
    def glimpses(self) -> Iterator[Glimpse]: ...
    def newest(self) -> Glimpse | None:
        """The newest picture so far, at once; None where none has come."""
        ...


def glimpses_of(source: Source) -> Iterator[Glimpse]:
    """The pictures of a source, those that need not be converted unconverted."""
    if isinstance(source, HasGlimpses):
        yield from source.glimpses()
        return
    for frame in source:
        yield Glimpse.of(frame)


class Closing:
    """Makes a source with `close` a context manager."""

    def close(self) -> None:
        """Gives back what the source holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def split_address(uri: str) -> SplitResult:
    """The parts of an address.

    Raises:
        SourceError: It is none.
    """
    try:
        return urlsplit(uri)
    except ValueError as exc:
        raise SourceError(f"{shown(uri)} is no address: {exc}") from exc
