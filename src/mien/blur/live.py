"""Faces covered in a stream as it comes."""

from __future__ import annotations

import secrets

import numpy as np

from mien.blur.cover import CoverStyle, cover
from mien.blur.trails import TrailFinder
from mien.blur.whom import FaceFinder
from mien.types import U8, Faces, Frame

_FRAME_S = 1 / 30


class LiveCover:
    """Covers everybody in the frames of one stream, given in their order.

    It cannot know what comes: a face that is found late is seen until then. After its last sight it stays covered for a
    while, and follows the picture.
    """

    def __init__(self, finder: FaceFinder, style: CoverStyle) -> None:
        self.finder = finder
        self.style = style
        self._seed = secrets.randbits(63)
        self._trails = TrailFinder()
        self._index = -1

    def __call__(self, image: U8, faces: Faces) -> U8:
        """A frame with covered faces: those given, and whatever else may be one."""
        self._index += 1
        frame = Frame(image, self._index, self._index * _FRAME_S)
        mirrored = self._index % 2 == 1
        self._trails.step(
            frame, self.finder.detector.one_view(image, mirrored=mirrored)
        )
        self._trails.trails.clear()  # what is over is not needed any more
        live = self._trails.live
        boxes = [trail.wide_box(self._index) for trail in live]
        seeds = [trail.seed for trail in live]
        both = np.concatenate([np.reshape(boxes, (-1, 4)), faces.boxes])
        seeds += [self._seed + i for i in range(len(faces))]
        return cover(image, both.astype(np.float32), self.style, seeds)
