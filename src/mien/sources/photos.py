"""Photos as a source: one frame each."""

from __future__ import annotations

from collections.abc import Iterator

from mien.media import images
from mien.sources.base import Closing
from mien.sources.http import fetch_image
from mien.types import Frame


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
            image = fetch_image(path) if "://" in path else images.read_image(path)
            yield Frame(image, index, 0.0, path)
