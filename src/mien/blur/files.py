"""Photos written anew with other pixels: as fine as they were, upright, and without the pictures hidden in them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
from PIL import Image, JpegImagePlugin

from mien import images
from mien.errors import InputError
from mien.store import write_atomically
from mien.types import U8

_FINE = 95  # JPEG's and WebP's quality where the original does not say its own
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_MAKER_NOTE = 0x927C  # cameras keep previews in it
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
    with images.opened(content) as given:
        if given.format in {"GIF", "WEBP", "PNG"} and getattr(given, "n_frames", 1) > 1:
            raise InputError(
                "this is an animation; make a video of it first (.mp4), whose faces are covered in every picture"
            )


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
    with images.opened(original) as given:
        options = _as_fine_as(given, kind)
        if given.mode in {"RGB", "RGBA"} and given.info.get("icc_profile"):
            options["icc_profile"] = given.info["icc_profile"]
        if not strip and kind in {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"}:
            options["exif"] = _told(given)
    try:
        picture.save(made, kind, **options)
        write_atomically(path, made.getvalue())
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"cannot write {path}: {exc}") from exc


def _as_fine_as(given: Image.Image, kind: str) -> dict[str, Any]:
    """What to save with so that little is lost: a JPEG's own tables, where it is a JPEG again."""
    tables = getattr(given, "quantization", None)
    if kind == "JPEG" and tables and given.mode == "RGB":
        sampling = JpegImagePlugin.get_sampling(given)
        return {"qtables": tables, "subsampling": max(sampling, 0)}
    if kind == "JPEG":
        return {"quality": _FINE, "subsampling": 0}
    return {"quality": _FINE} if kind in {"WEBP", "AVIF"} else {}


def _told(given: Image.Image) -> Image.Exif:
    """What a picture's EXIF says, without pictures in it; not which way up it is, which is right now."""
    told, made = given.getexif(), Image.Exif()
    for tag in _TOLD:
        if tag in told:
            made[tag] = told[tag]
    for place in (_EXIF_IFD, _GPS_IFD):
        tags = {
            tag: value
            for tag, value in told.get_ifd(place).items()
            if tag != _MAKER_NOTE
        }
        if tags:
            made[place] = tags
    return made
