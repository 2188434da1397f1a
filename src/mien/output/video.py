"""Annotated video: H.264 in an .mp4 that browsers play, with the original's timing and sound."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
from av.error import FFmpegError

from mien.errors import InputError
from mien.media import containers
from mien.types import U8

log = logging.getLogger(__name__)

_ENCODER = "libx264"
_TICK = Fraction(1, 90_000)
_FRAGMENTED = frozenset({".mp4", ".m4v", ".mov"})
_RECORDED = _FRAGMENTED | {
    ".mkv",
    ".ts",
    ".mts",
    ".m2ts",
    ".avi",
    ".flv",
    ".3gp",
}  # they hold H.264 and AAC
_COPIED = frozenset(
    {"aac", "mp3", "mp3float", "opus"}
)  # sound that an .mp4 holds as it is, also in fragments
_AAC_RATES = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)
_MOVFLAGS = "+hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof"  # fragments, an index once closed


def check_encoder() -> None:
    """Says before the work that no video can be written here.

    Raises:
        InputError: This machine's PyAV has no encoder of H.264.
    """
    try:
        av.Codec(_ENCODER, "w")
    except ValueError as exc:
        raise InputError(
            f"no video can be written: the PyAV that is installed lacks {_ENCODER}, "
            "the encoder of H.264; run: pip install --force-reinstall --only-binary av av"
        ) from exc


def check_place(path: Path) -> None:
    """Says before the work that a file of this name could not be written.

    Raises:
        InputError: Its container holds no H.264, or nothing here writes any.
    """
    suffix = path.suffix.lower()
    if suffix not in _RECORDED:
        others = ", ".join(sorted(_RECORDED - {".mp4"}))
        raise InputError(
            f"{path}: a {suffix or 'file without a suffix'} holds no H.264; end it in .mp4 (or {others})"
        )
    check_encoder()


class VideoRecorder:
    """Writes frames of one size; a context manager, playable up to the last second whatever ends it.

    Args:
        path: The file, `.mp4` or another container that holds H.264.
        rate: Frames per second as the player is told; the times given to `write` decide.
        sound: A video whose sound is written along; left out with a warning where that cannot be.
        into: Where it is written instead of the file, which only says of which kind it is.

    Raises:
        InputError: The file cannot be written, or is of a kind that holds no H.264.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: float | None = None,
        sound: str | None = None,
        into: BinaryIO | None = None,
    ) -> None:
        check_place(path)
        self.path = path
        self.into = into
        self.rate = rate or 30.0
        self._container: Any = None
        self._stream: Any = None
        self._sound = Sound.open(sound) if sound is not None else None
        self._size_wh = (0, 0)
        self._last = -1
        self._broken = False

    def write(self, image: U8, time_s: float) -> None:
        """Adds a BGR picture (H, W, 3) to be seen from this time on; one not later than the one before is left out."""
        if self._container is None:
            self._start(image)
        ticks = round(time_s / _TICK)
        if ticks <= self._last:
            return
        self._last = ticks
        width, height = self._size_wh
        if image.shape[1] - width in (0, 1) and image.shape[0] - height in (0, 1):
            image = image[:height, :width]
        else:  # of a stream that changes its size
            import cv2
            import numpy as np

            scaled = cv2.resize(image, self._size_wh, interpolation=cv2.INTER_AREA)
            image = np.asarray(scaled, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = ticks, _TICK
        self._mux(self._stream.encode(frame))
        self._mux_sound(time_s)

    def _start(self, image: U8) -> None:
        height, width = image.shape[:2]
        self._size_wh = (
            width - width % 2,
            height - height % 2,
        )  # H.264 in 4:2:0 takes even sizes
        if self._sound is not None:
            try:
                self._open()
                return
            except InputError as exc:
                log.warning(
                    "%s is written without sound: %s", self.path.name, exc.__cause__
                )
                self._drop_sound()
        self._open()

    def _open(self) -> None:
        options = (
            {"movflags": _MOVFLAGS, "flush_packets": "1"}
            if self.path.suffix.lower() in _FRAGMENTED
            else {}
        )
        try:
            place = str(self.path) if self.into is None else self.into
            kind = None if self.into is None else self.path.suffix.removeprefix(".")
            self._container = av.open(place, "w", format=kind, options=options)  # noqa: TID251 - is written
            self._add_stream()
            if self._sound is not None:
                self._sound.attach(
                    self._container, copies=self.path.suffix.lower() in _FRAGMENTED
                )
            self._container.start_encoding()
        except (FFmpegError, OSError, ValueError) as exc:
            if self._container is not None:
                with contextlib.suppress(FFmpegError, OSError):
                    self._container.close()
                self._container = None
            raise InputError(
                f"cannot write {self.path}: {getattr(exc, 'strerror', None) or exc}"
            ) from exc

    def _add_stream(self) -> None:
        rate = Fraction(self.rate).limit_denominator(1001)
        settings = {"preset": "veryfast", "crf": "23", "bf": "0"}
        self._stream = self._container.add_stream(_ENCODER, rate=rate, options=settings)
        self._stream.width, self._stream.height = self._size_wh
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _TICK
        self._stream.codec_context.gop_size = max(1, round(self.rate))

    def _mux(self, packets: Any) -> None:
        try:
            self._container.mux(packets)
        except (FFmpegError, OSError) as exc:
            self._broken = True
            raise InputError(
                f"cannot write {self.path}: {getattr(exc, 'strerror', None) or exc}"
            ) from exc

    def _mux_sound(self, time_s: float) -> None:
        """Writes the sound up to a time; what is wrong with it ends the sound, not the film."""
        if self._sound is None:
            return
        try:
            for packet in self._sound.until(time_s):
                self._container.mux(packet)
        except (FFmpegError, OSError, ValueError) as exc:
            log.warning(
                "the sound of %s ends at %.1f s: %s", self.path.name, time_s, exc
            )
            self._drop_sound()

    def _drop_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()
            self._sound = None

    def close(self) -> None:
        """Completes the file."""
        if self._container is not None:
            if not self._broken:
                self._mux(self._stream.encode(None))
                self._mux_sound(self._last * float(_TICK) + 1 / self.rate)
            with (
                contextlib.suppress(FFmpegError, OSError)
                if self._broken
                else contextlib.nullcontext()
            ):
                self._container.close()
            self._container = None
        self._drop_sound()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def film_bytes(pictures: Iterable[tuple[U8, float]], *, rate: float) -> bytes:
    """An .mp4 of BGR pictures (H, W, 3), each with the second from which on it is seen.

    Raises:
        InputError: It cannot be coded.
    """
    written = io.BytesIO()
    with VideoRecorder(Path("film.mp4"), rate=rate, into=written) as recorder:
        for image, time_s in pictures:
            recorder.write(image, time_s)
    return written.getvalue()


class Sound:
    """The sound of a video, packet by packet: as it is where the container may hold it, else as AAC."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._stream = container.streams.audio[0]
        if not container.streams.video:
            self._start_s = 0.0
        else:
            stream = container.streams.video[0]
            self._start_s = float((stream.start_time or 0) * stream.time_base)
        self._packets = self._read()
        self._held: Any = None
        self._out: Any = None
        self._copied = False

    @classmethod
    def open(cls, uri: str) -> Sound | None:
        """The sound of the file at a path, or None where it has none."""
        try:
            container = containers.open_input(uri)
        except (FFmpegError, OSError, ValueError) as exc:
            log.warning(
                "written without sound, which cannot be read: %s",
                getattr(exc, "strerror", None) or exc,
            )
            return None
        if (
            not container.streams.audio
            or container.streams.audio[0].codec_context is None
        ):
            container.close()
            return None
        return cls(container)

    def attach(self, target: Any, *, copies: bool) -> None:
        """Adds the sound's stream to the container that is written."""
        given = self._stream.codec_context
        whole = given.name != "aac" or bool(
            given.extradata
        )  # AAC of transport streams has no head of its own
        self._copied = copies and given.name in _COPIED and whole
        if self._copied:
            self._out = target.add_stream_from_template(self._stream)
            return
        rate = next(
            (rate for rate in _AAC_RATES if rate <= given.sample_rate), _AAC_RATES[-1]
        )
        self._out = target.add_stream(
            "aac", rate=rate, layout="mono" if given.channels == 1 else "stereo"
        )

    def until(self, time_s: float) -> Iterator[Any]:
        """The packets that belong before this time and were not given yet."""
        if self._out is None:
            return
        packet = self._held if self._held is not None else next(self._packets, None)
        while packet is not None and float(packet.pts * packet.time_base) <= time_s:
            yield packet
            packet = next(self._packets, None)
        self._held = packet

    def _read(self) -> Iterator[Any]:
        """Packets for the target, their time counted from the first picture; those before it are left out."""
        for packet in self._source_packets():
            if packet.pts is None or packet.dts is None:
                continue
            offset = round(self._start_s / packet.time_base)
            packet.pts -= offset
            packet.dts -= offset
            if packet.pts >= 0:
                packet.stream = self._out
                yield packet

    def _source_packets(self) -> Iterator[Any]:
        try:
            if self._copied:
                yield from self._container.demux(self._stream)
                return
            for frame in self._container.decode(self._stream):
                yield from self._out.encode(frame)
            yield from self._out.encode(None)
        except (FFmpegError, OSError) as exc:
            log.warning("the sound breaks off: %s", exc)

    def close(self) -> None:
        """Gives back the file."""
        self._packets.close()  # type: ignore[attr-defined]
        self._container.close()
