"""Photos written anew with other pixels: as fine as they were, upright, and without the pictures hidden in them."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import cv2
from PIL import Image, JpegImagePlugin

from mien.errors import InputError
from mien.media import images
from mien.store import write_atomically
from mien.text import why
from mien.types import U8

log = logging.getLogger(__name__)

_FINE = 95  # JPEG's and WebP's quality where the original does not say its own
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_LEFT_OUT = (0x927C, 0xA002, 0xA003)  # maker's notes, which hold previews; sizes
_WITH_EXIF = {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"}
_TOLD = (  # of EXIF's first directory: who, with what and when; never thumbnails, XMP, other pictures' places
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x011A,  # XResolution
    0x011B,  # YResolution
    0x0128,  # ResolutionUnit
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x8298,  # Copyright
)


def check_still(content: bytes) -> None:
    """Refuses an animation, of which one picture alone would be covered.

    Raises:
        InputError: It is one.
    """
    given = _opened(content)
    moving = given is not None and given.format in {"GIF", "WEBP", "PNG"}
    if moving and getattr(given, "n_frames", 1) > 1:
        raise InputError(
            "this is an animation; make a video of it first (.mp4), whose faces are covered in every picture"
        )


def _opened(content: bytes) -> Image.Image | None:
    """Pillow's picture of a file; None where it cannot read what we can, as of some cameras' raw files."""
    try:
        return images.opened(content)
    except Exception:  # its readers raise whatever a file leads them to
        return None


def write_photo(path: Path, image: U8, original: bytes, *, strip: bool) -> None:
    """Writes a BGR picture in the place of `original`; the suffix names the format.

    What the original's EXIF tells stays unless `strip`; thumbnails, previews in maker's notes, XMP and IPTC never do:
    they show faces, or name them.

    Raises:
        InputError: The format is unknown, or the place cannot be written.
    """
    made = io.BytesIO()
    picture = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    given = _opened(original)
    options = _as_fine_as(given, kind)
    if given is not None and given.mode in {"RGB", "RGBA"}:
        options["icc_profile"] = given.info.get("icc_profile")
    if given is not None and not strip and kind in _WITH_EXIF:
        options["exif"] = _told(given)
    try:
        picture.save(made, kind, **options)
        write_atomically(path, made.getvalue())
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"cannot write {path}: {why(exc)}") from exc


def _as_fine_as(given: Image.Image | None, kind: str) -> dict[str, Any]:
    """What to save with so that little is lost: a JPEG's own tables, where it is a JPEG again."""
    tables = getattr(given, "quantization", None)
    if given is not None and kind == "JPEG" and tables and given.mode == "RGB":
        sampling = JpegImagePlugin.get_sampling(given)
        return {"qtables": tables, "subsampling": max(sampling, 0)}
    if kind == "JPEG":
        return {"quality": _FINE, "subsampling": 0}
    return {"quality": _FINE} if kind in {"WEBP", "AVIF"} else {}


def _told(given: Image.Image) -> bytes:
    """What a picture's EXIF says, without pictures in it; not its size and which way up it is, which may be others now.
    Nothing of EXIF so damaged that it cannot be written again."""
    made = Image.Exif()
    try:
        told = given.getexif()
        for tag in _TOLD:
            if tag in told:
                made[tag] = told[tag]
        for place in (_EXIF_IFD, _GPS_IFD):
            tags = told.get_ifd(place)
            kept = {tag: tags[tag] for tag in tags if tag not in _LEFT_OUT}
            if kept:
                made[place] = kept
        return made.tobytes()
    except Exception as exc:  # Pillow's EXIF raises whatever damaged tags lead it to
        log.warning("EXIF is left out, which is damaged: %s", exc)
        return b""
