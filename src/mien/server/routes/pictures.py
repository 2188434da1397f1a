"""Pictures of faces: sent ones described, small ones as answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.responses import Response

from mien.best_frames import best_photos
from mien.errors import InputError, NoFaceError, SourceError
from mien.gallery import Photo
from mien.media import images
from mien.media.apart import is_plain
from mien.server import sniff
from mien.server.people import Choice
from mien.server.service import Service
from mien.server.uploads import Upload

_FILM_S = 30.0  # of a film that are looked at

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


def enrollable(
    service: Service, uploads: Sequence[Upload], choice: Choice
) -> list[Photo]:
    """The chosen face of each picture, and the best frames of each film, as they are enrolled.

    Raises:
        InputError: A picture or film cannot be read, or nobody, or more than one, may be meant.
        Problem: The networks were not free in time.
    """
    photos: list[Photo] = []
    for upload in uploads:
        if sniff.video_format(upload.content()[: sniff.HEAD_BYTES]) is None:
            photos += described(service, [upload], choice)
        else:
            photos += _of_film(service, upload, choice)
    return photos


def _of_film(service: Service, upload: Upload, choice: Choice) -> list[Photo]:
    """The frames of a film that are worth enrolling, for who is alone in it."""
    pixels = service.settings.limits.image_pixels
    sure = replace(choice, largest=True, box=None)
    with TemporaryDirectory(dir=service.settings.data, prefix="film-") as folder:
        place = str(Path(folder) / "film")
        Path(place).write_bytes(upload.content())
        try:
            with service.gate.slot(pixels):
                found = best_photos(service.analyzer, place, seconds=_FILM_S)
                if choice.require_live:
                    for one in found:
                        service.people.photo(
                            one.content, upload.filename, sure, max_pixels=pixels
                        )
        except (NoFaceError, SourceError) as exc:
            raise type(exc)(str(exc).replace(place, upload.filename)) from exc
    return [
        replace(one, source=one.source.replace(place, upload.filename)) for one in found
    ]


@contextmanager
def _called(name: str) -> Iterator[None]:
    """Errors of a picture call it by its name: it may be one of several."""
    try:
        yield
    except InputError as exc:
        raise type(exc)(images.named(str(exc), name)) from exc


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
        with service.gate.slot(pixels_of(content, pixels)), _called(upload.filename):
            photos.append(
                service.people.photo(
                    content, upload.filename, choice, max_pixels=pixels
                )
            )
    return photos
