"""Photos with covered faces."""

from __future__ import annotations

import secrets
from pathlib import Path

from mien.blur.cover import CoverStyle, cover
from mien.blur.files import check_still, write_photo
from mien.blur.whom import FaceFinder
from mien.media import images
from mien.types import U8, Faces


def blur_photo(
    content: bytes, place: Path, finder: FaceFinder, style: CoverStyle, *, strip: bool
) -> int:
    """Writes a copy of a photo's bytes in which faces are covered; gives how many.

    Raises:
        InputError: It cannot be read, or is an animation, or the place cannot be written.
    """
    image = images.read_image(content)
    check_still(content)
    faces = finder.covered(image)
    write_photo(place, covered(image, faces, style), content, strip=strip)
    return len(faces)


def covered(image: U8, faces: Faces, style: CoverStyle) -> U8:
    """A copy of a BGR picture in which nobody can tell these faces."""
    seeds = [secrets.randbits(64) for _ in range(len(faces))]
    return cover(image, faces.boxes, style, seeds)
