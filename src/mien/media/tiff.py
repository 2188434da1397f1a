"""Which of the pictures in a TIFF-like file is meant: scans and cameras' raw files hold several."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RAW_SUFFIXES = frozenset(
    ".dng .cr2 .nef .nrw .arw .sr2 .pef .srw .3fr".split()
)  # of cameras, TIFF inside
FULL = 0.8  # of the main picture's side: a preview that large stands for it

_MOST = 64  # pictures looked for; more only a file has that is to do harm
_TYPES = {
    3: "H",
    4: "I",
    13: "I",
}  # of the whole numbers in a directory: short, long, offset
_SENSOR = frozenset({32803, 34892})  # photometric: what a sensor saw, no colours yet
_SAMPLES_OF = {
    (1, 8): "u1",
    (1, 16): "u2",
    (1, 32): "u4",
    (3, 16): "f2",
    (3, 32): "f4",
    (3, 64): "f8",
}

_REDUCED, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = (
    254,
    256,
    257,
    258,
    259,
    262,
)
_STRIPS, _ORIENTATION, _SAMPLES, _LENGTHS, _PLANAR, _SUB, _FORMAT = (
    273,
    274,
    277,
    279,
    284,
    330,
    339,
)
_JPEG_AT, _JPEG_LENGTH = 513, 514
_UNCOMPRESSED, _OLD_JPEG = 1, 6
_SEPARATE, _FLOAT = 2, 3


@dataclass(frozen=True)
class TiffPage:
    """One picture of a file: where its directory lies, and the whole numbers in that by their tags."""

    at: int
    order: str  # "<" or ">"
    tags: dict[int, tuple[int, ...]]

    def number(self, tag: int, otherwise: int = 0) -> int:
        return self.tags.get(tag, (otherwise,))[0]

    @property
    def orientation(self) -> int:
        """As in EXIF; 0 where the page does not tell."""
        return self.number(_ORIENTATION)

    @property
    def is_old_jpeg(self) -> bool:
        """Whether it is a JPEG file as it stands, which readers of TIFF get wrong."""
        return self.number(_COMPRESSION) == _OLD_JPEG

    @property
    def is_preview(self) -> bool:
        return bool(self.number(_REDUCED) & 1)

    @property
    def is_sensor(self) -> bool:
        """Whether it is what a sensor saw, to be developed first."""
        return self.number(_PHOTOMETRIC) in _SENSOR

    @classmethod
    def read(cls, data: bytes, at: int, end: int, order: str) -> TiffPage:
        """The page whose tags stand from `at` to `end`; those that are damaged are left out."""
        tags: dict[int, tuple[int, ...]] = {}
        for place in range(at + 2, end - 11, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", data, place)
            if kind not in _TYPES:
                continue
            form = f"{order}{count}{_TYPES[kind]}"
            size = struct.calcsize(form) if count < len(data) else len(data)
            held = (
                place + 8
                if size <= 4
                else struct.unpack_from(order + "I", data, place + 8)[0]
            )
            if 0 < size <= len(data) - held:
                tags[tag] = struct.unpack_from(form, data, held)
        return cls(at, order, tags)


def is_tiff(data: bytes) -> bool:
    """Whether bytes are a TIFF's, or those of a raw file that is one inside."""
    return data[:4] in (b"II*\0", b"MM\0*")


def pages(data: bytes) -> list[TiffPage]:
    """The pictures of a TIFF, with those inside of others, in the file's order. What is damaged is left out."""
    order = "<" if data[:2] == b"II" else ">"
    found: dict[int, TiffPage] = {}
    waiting = list(struct.unpack_from(order + "I", data, 4)) if len(data) >= 8 else []
    while waiting and len(found) < _MOST:
        at = waiting.pop(0)
        if at in found or not 8 <= at <= len(data) - 6:
            continue
        (count,) = struct.unpack_from(order + "H", data, at)
        end = at + 2 + 12 * count
        found[at] = TiffPage.read(data, at, min(end, len(data)), order)
        following = (
            struct.unpack_from(order + "I", data, end) if end <= len(data) - 4 else ()
        )
        waiting = [*found[at].tags.get(_SUB, ()), *following, *waiting]
    return list(found.values())


def alone(data: bytes, page: TiffPage) -> bytes:
    """The file with this page first, as a reader that knows one page only takes it."""
    return data[:4] + struct.pack(page.order + "I", page.at) + data[8:]


def jpeg_of(data: bytes, page: TiffPage) -> bytes | None:
    """The JPEG file that a page consists of, if it does."""
    starts, lengths = page.tags.get(_JPEG_AT, ()), page.tags.get(_JPEG_LENGTH, ())
    if not starts and len(page.tags.get(_STRIPS, ())) == 1:
        starts, lengths = page.tags[_STRIPS], page.tags.get(_LENGTHS, ())
    if not starts or not lengths:
        return None
    jpeg = data[starts[0] : starts[0] + lengths[0]]
    return jpeg if jpeg.startswith(b"\xff\xd8\xff") else None


def side_of(data: bytes, page: TiffPage) -> int:
    """The longer side of a page in pixels; 0 where nothing tells it."""
    if _WIDTH in page.tags:
        return max(page.number(_WIDTH), page.number(_HEIGHT))
    jpeg = jpeg_of(data, page) or b""
    at = 2
    while at <= len(jpeg) - 9 and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in {
            0xC4,
            0xC8,
            0xCC,
        }:  # the head of a frame
            height, width = struct.unpack_from(">HH", jpeg, at + 5)
            return int(max(height, width))
        at += 2 + length
    return 0


def plain_pixels(
    data: bytes, page: TiffPage, *, most: int
) -> NDArray[np.generic] | None:
    """The numbers (H, W) or (H, W, 3) of uncompressed strips that Pillow cannot read or reads wrongly: 16 bits plane
    by plane, fractions in colour or of 16 and 64 bits. None for all other pages, and beyond `most` pixels."""
    width, height, samples = (
        page.number(_WIDTH),
        page.number(_HEIGHT),
        page.number(_SAMPLES, 1),
    )
    kind, bits = page.number(_FORMAT, 1), page.number(_BITS, 1)
    separate = page.number(_PLANAR, 1) == _SEPARATE and samples > 1
    odd = (separate and bits > 8) or (kind == _FLOAT and (samples > 1 or bits != 32))
    dtype = _SAMPLES_OF.get((kind, bits))
    if (
        not odd
        or dtype is None
        or page.number(_COMPRESSION, 1) != _UNCOMPRESSED
        or width * height > most
    ):
        return None
    strips = zip(page.tags.get(_STRIPS, ()), page.tags.get(_LENGTHS, ()), strict=False)
    numbers = np.frombuffer(
        b"".join(data[at : at + length] for at, length in strips), page.order + dtype
    )
    if numbers.size != width * height * samples:
        return None
    if separate:
        return np.moveaxis(numbers.reshape(samples, height, width), 0, -1)[..., :3]
    return (
        numbers.reshape(height, width, samples)[..., :3]
        if samples > 1
        else numbers.reshape(height, width)
    )
