"""Videos made for tests: a face that moves, pictures that say when they were made."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from mien.types import U8

BITS = 16
CLOCK_WH = (320, 240)


def write_clip(
    path: Path,
    pictures: Iterable[U8],
    *,
    times: Iterable[float] | None = None,
    rate: int = 25,
) -> Path:
    """An H.264 file of BGR pictures at the given times (seconds), evenly spaced at `rate` where none are given."""
    with av.open(str(path), "w") as container:
        stream = None
        for index, (picture, time_s) in enumerate(
            zip(pictures, times or (i / rate for i in range(10**6)), strict=False)
        ):
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=rate, options={"preset": "ultrafast", "crf": "18"}
                )
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, 90_000)
                stream.codec_context.gop_size = rate
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = round(time_s * 90_000), Fraction(1, 90_000)
            frame.dts = index
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return path


def numbered(count: int, *, size_wh: tuple[int, int] = (160, 120)) -> list[U8]:
    """Pictures whose left half grows brighter with their number; the upper left corner is white."""
    pictures = []
    for i in range(count):
        picture = np.full(
            (size_wh[1], size_wh[0], 3), 20 + 200 * i // max(1, count), np.uint8
        )
        picture[: size_wh[1] // 4, : size_wh[0] // 4] = 255
        pictures.append(picture)
    return pictures


QUARTER = (0, 1, -1, 0)


def with_matrix(
    source: Path, target: Path, matrix: tuple[float, float, float, float] = QUARTER
) -> Path:
    """The same .mp4 with a display matrix (a, b, c, d): show (x, y) at (a x + c y, b x + d y); a quarter clockwise."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 0x10000) for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    target.write_bytes(data)
    return target


def with_aspect(source: Path, target: Path, aspect: Fraction) -> Path:
    """The same film in pixels of this width by their height."""
    with av.open(str(source)) as given, av.open(str(target), "w") as copy:
        stream = copy.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "crf": "18"}
        )
        stream.width, stream.height = (
            given.streams.video[0].width,
            given.streams.video[0].height,
        )
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for frame in given.decode(video=0):
            copy.mux(stream.encode(frame))
        copy.mux(stream.encode(None))
    return target


def moving_face(
    photo: U8, *, frames: int, size_wh: tuple[int, int] = (640, 360)
) -> list[U8]:
    """A photo with a face, moved and scaled over a grey picture."""
    width, height = size_wh
    pictures = []
    for i in range(frames):
        scale = height / photo.shape[0] * (0.9 + 0.1 * np.sin(i / 15))
        shift = (
            width / 2 - photo.shape[1] * scale / 2 + 80 * np.sin(i / 12),
            5 * np.cos(i / 7),
        )
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        pictures.append(
            cv2.warpAffine(
                photo,
                matrix,
                size_wh,
                flags=cv2.INTER_AREA,
                borderValue=(110, 110, 110),
            )
        )
    return pictures


def clock_picture() -> U8:
    """A picture that tells the time it was made in milliseconds, as black and white columns."""
    now = int(time.time() * 1000) % (1 << BITS)
    column = CLOCK_WH[0] // BITS
    row = np.repeat([255 * (now >> bit & 1) for bit in range(BITS)], column).astype(
        np.uint8
    )
    return np.ascontiguousarray(
        np.broadcast_to(row[None, :, None], (CLOCK_WH[1], CLOCK_WH[0], 3))
    )


def age_of(picture: U8) -> float:
    """Seconds since a clock picture was made."""
    column = picture.shape[1] // BITS
    middle = picture[picture.shape[0] // 2, column // 2 :: column, 1][:BITS]
    made = sum(1 << bit for bit in range(BITS) if middle[bit] > 127)
    return ((int(time.time() * 1000) - made) % (1 << BITS)) / 1000
