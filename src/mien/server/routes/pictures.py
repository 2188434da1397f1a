"""Pictures of faces: sent ones described, small ones as answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from mien.gallery import Photo
from mien.media import images
from mien.media.apart import is_plain
from mien.server.people import Choice
from mien.server.service import Service
from mien.server.uploads import Upload

JPEG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A small JPEG.",
        "content": {"image/jpeg": {"schema": {"type": "string"}}},
    }
}


def pixels_of(content: bytes, most: int) -> int:
    """How many pixels a picture says to have, `most` where it is not looked at in this process."""
    return min(images.pixels_of(content), most) if is_plain(content) else most


def jpeg(content: bytes) -> Response:
    """An answer that no browser or proxy keeps."""
    return Response(
        content, media_type="image/jpeg", headers={"cache-control": "no-store"}
    )


def described(
    service: Service, uploads: Sequence[Upload], choice: Choice
) -> list[Photo]:
    """The chosen face of each picture, described one after another as the networks are free.

    Raises:
        InputError: A picture cannot be read, or nobody, or more than one, may be meant.
        Problem: The networks were not free in time.
    """
    pixels = service.settings.limits.image_pixels
    photos = []
    for upload in uploads:
        content = upload.content()
        with service.gate.slot(pixels_of(content, pixels)):
            photos.append(
                service.people.photo(
                    content, upload.filename, choice, max_pixels=pixels
                )
            )
    return photos
