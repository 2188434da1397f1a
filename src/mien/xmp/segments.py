"""XMP inside JPEG and PNG files: read, and put there with every other byte as it was."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from mien.errors import InputError

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_APP0, _APP1, _SCAN = 0xE0, 0xE1, 0xDA
_XMP, _EXIF = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0"
_MOST = 65_533  # bytes of a segment
_TEXT, _DATA, _KEYWORD = b"iTXt", b"IDAT", b"XML:com.adobe.xmp\0"


def read_xmp(content: bytes) -> bytes | None:
    """The XMP packet of a file's bytes; None where there is none, or the file is of another kind."""
    if content.startswith(_JPEG):
        for start, end, marker in _jpeg_segments(content):
            if marker == _APP1 and content.startswith(_XMP, start + 4):
                return content[start + 4 + len(_XMP) : end]
    if content.startswith(_PNG):
        for start, end, kind in _png_chunks(content):
            if kind == _TEXT and content.startswith(_KEYWORD, start + 8):
                return _png_text(content[start + 8 + len(_KEYWORD) : end - 4])
    return None


def with_xmp(content: bytes, packet: bytes) -> bytes:
    """The same file with this packet in the place of the one it had.

    Raises:
        InputError: The file is neither JPEG nor PNG, or the packet too large for it.
    """
    if content.startswith(_JPEG):
        return _jpeg_with(content, packet)
    if content.startswith(_PNG):
        return _png_with(content, packet)
    raise InputError(
        "regions can be written into JPEG and PNG files only; leave --in-file out, then they stand beside it"
    )


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, end, marker) of each segment before the pixels."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker == _SCAN:
            return
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        yield at, end, marker
        at = end


def _jpeg_with(content: bytes, packet: bytes) -> bytes:
    body = _XMP + packet
    if len(body) > _MOST:
        raise InputError(
            f"its XMP would have {len(body)} bytes, a JPEG holds {_MOST}; leave --in-file out"
        )
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    place = 2
    for start, end, marker in _jpeg_segments(content):
        if marker == _APP1 and content.startswith(_XMP, start + 4):
            return content[:start] + segment + content[end:]
        exif = marker == _APP1 and content.startswith(_EXIF, start + 4)
        if marker == _APP0 or exif:
            place = end
    return content[:place] + segment + content[place:]


def _png_chunks(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, kind) of each chunk."""
    at = len(_PNG)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield at, end, content[at + 4 : at + 8]
        at = end


def _png_text(rest: bytes) -> bytes | None:
    """The text behind a keyword: two flags, two more texts that end with a zero, then the text itself."""
    packed, parts = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    try:
        return zlib.decompress(parts[2]) if packed else parts[2]
    except zlib.error:
        return None


def _png_with(content: bytes, packet: bytes) -> bytes:
    body = _TEXT + _KEYWORD + b"\0\0\0\0" + packet
    check = zlib.crc32(body).to_bytes(4, "big")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + check
    place = None
    for start, end, kind in _png_chunks(content):
        if kind == _TEXT and content.startswith(_KEYWORD, start + 8):
            return content[:start] + chunk + content[end:]
        if kind == _DATA and place is None:
            place = start
    if place is None:
        raise InputError("this PNG is damaged: it holds no pixels")
    return content[:place] + chunk + content[place:]
