"""Photos as a source: one frame each."""

from __future__ import annotations

from collections.abc import Iterator

from mien.media import images
from mien.sources.base import Closing
from mien.types import U8, Frame


class Photos(Closing):
    """Each photo as a frame of its own name; all have time 0."""

    live = False
    rate: float | None = None
    duration_s: float | None = None

    def __init__(self, name: str, paths: list[str]) -> None:
        self.name = name
        self.paths = paths
        self.frames: int | None = len(paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            yield Frame(_read(path), index, 0.0, path)


def _read(place: str) -> U8:
    """The picture in a file or at an address; the HTTP client is loaded for addresses alone."""
    if "://" not in place:
        return images.read_image(place)
    from mien.sources.http import fetch_image

    return fetch_image(place)
