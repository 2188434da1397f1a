"""What some bytes are, by what stands in them; names and declared types are never asked."""

from __future__ import annotations

from pathlib import Path

from mien.errors import InputError

HEAD_BYTES = 1024
_TS = 188
_FTYP_IMAGES = frozenset(
    {
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"mif1",
        b"msf1",
        b"avif",
        b"avis",
    }
)
_STARTS = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpeg"),
)
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
_PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x00\x0cjP  ",
)


def video_format(head: bytes) -> str | None:
    """The container some first bytes begin, None where it is no video (a playlist is none)."""
    if head[4:8] in _BOXES:
        return None if head[4:8] == b"ftyp" and head[8:12] in _FTYP_IMAGES else "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if len(head) > 2 * _TS and all(head[i] == 0x47 for i in (0, _TS, 2 * _TS)):
        return "mpegts"
    return next((name for start, name in _STARTS if head.startswith(start)), None)


def is_picture(head: bytes) -> bool:
    """Whether some first bytes begin a picture."""
    heif = head[4:8] == b"ftyp" and head[8:12] in _FTYP_IMAGES
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return heif or webp or head.startswith(_PICTURES)


def check_video(path: Path) -> None:
    """Raises InputError where a file does not begin as a video does."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise InputError("the video is empty (0 bytes)")
    if video_format(head) is None:
        raise InputError(
            "this is no video that can be read (mp4, mov, mkv, webm, avi, ts, ogg, flv, wmv, mpeg)"
        )
