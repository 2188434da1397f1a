"""Films with covered faces: read once, then written, so that what comes later is known before."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from mien.blur.cover import CoverStyle, cover
from mien.blur.trails import Trail, TrailFinder
from mien.blur.whom import FaceFinder, Whom
from mien.output.video import VideoRecorder
from mien.quality import quality
from mien.sources.video import VideoFile
from mien.types import U8, Frame

_NAMED_EVERY_S = 0.2  # between two searches for who somebody is
_GOOD = 0.25  # quality of a view that counts
_BETWEEN_S = 1.5  # how far a view says who somebody is


def blur_film(
    source: str,
    place: Path,
    finder: FaceFinder,
    style: CoverStyle,
    advance: Callable[[], object] = lambda: None,
) -> int:
    """Writes a copy of a video in which faces are covered, with its timing and sound; gives how many faces it had.

    `advance` is called twice for each frame. The copy is there once it is whole.

    Raises:
        InputError: The video cannot be read, or the place cannot be written.
    """
    with VideoFile(source) as frames:
        trails = watch(_told(frames, advance), finder)
    covering = Covering(trails, finder.whom)
    part = place.with_name(f".mien-part-{place.name}")
    try:
        with (
            VideoFile(source) as frames,
            VideoRecorder(part, rate=frames.rate, sound=source) as recorder,
        ):
            for frame in _told(frames, advance):
                image = covering(frame.image, frame.index, frame.time_s, style)
                recorder.write(image, frame.time_s)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return len(covering.covered)


def _told(frames: Iterable[Frame], advance: Callable[[], object]) -> Iterable[Frame]:
    for frame in frames:
        yield frame
        advance()


def watch(frames: Iterable[Frame], finder: FaceFinder) -> list[Trail]:
    """The trails of all faces of a film, and who they are where that matters.

    Every other frame is mirrored: what the detector misses in one it may find in the next.
    """
    found = TrailFinder()
    for frame in frames:
        faces = finder.detector.one_view(frame.image, mirrored=frame.index % 2 == 1)
        trails = found.step(frame, faces)
        if finder.whom.by_name:
            # Those whom nobody named for a while; a poor view says nothing.
            due = [
                i
                for i, trail in enumerate(trails)
                if frame.time_s - trail.named_s >= _NAMED_EVERY_S
                or trail.named_s > frame.time_s
            ]
            worth = quality(frame.image, faces.boxes[due], faces.landmarks[due])
            good = [i for i, one in zip(due, worth, strict=True) if one >= _GOOD]
            names = finder.names(frame.image, faces[np.array(good, np.int64)])
            for i, name in zip(good, names, strict=True):
                trails[i].names.append((frame.time_s, name))
                trails[i].named_s = frame.time_s
    return found.trails


class Covering:
    """What is covered in each frame of a film that was watched; the frames are asked for in their order."""

    def __init__(self, trails: Iterable[Trail], whom: Whom) -> None:
        self.whom = whom
        self.covered: set[int] = set()  # seeds of the faces covered so far
        self._coming = deque(sorted(trails, key=lambda trail: trail.start))
        self._here: list[Trail] = []

    def __call__(self, image: U8, index: int, time_s: float, style: CoverStyle) -> U8:
        """A frame with its faces covered."""
        while self._coming and self._coming[0].start <= index:
            self._here.append(self._coming.popleft())
        self._here = [trail for trail in self._here if index < trail.end]
        hidden = [trail for trail in self._here if self.covers(trail, time_s)]
        if not hidden:
            return image
        self.covered.update(trail.seed for trail in hidden if trail.sure)
        boxes = np.stack([trail.wide_box(index) for trail in hidden])
        return cover(image, boxes, style, [trail.seed for trail in hidden])

    def covers(self, trail: Trail, time_s: float) -> bool:
        """Whether a face is covered at a time: by its names before and after, both of which have to be spared."""
        if not self.whom.by_name:
            return True
        after = bisect_left(trail.names, time_s, key=lambda named: named[0])
        near = trail.names[max(0, after - 1) : after + 1]
        if not self.whom.in_doubt:
            return any(self.whom.covers(name) for _, name in near)
        near = [named for named in near if abs(named[0] - time_s) <= _BETWEEN_S]
        return not near or any(self.whom.covers(name) for _, name in near)
