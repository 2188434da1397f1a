"""Where exactly are the five points of a face? A last crop of what a detector found.

Edges in cells of 8 pixels, and two linear maps from these to the points: one for a face about which a detector in a
hurry is a little wrong, one for a face that stands nearly where it is supposed. Both are fitted by training/detector;
the model card is weights/detector.md.
"""

from __future__ import annotations

import numpy as np

from mien import geometry, store
from mien.runtime import Compute, OnnxModel, for_small, in_chunks
from mien.types import F32, U8
from mien.zoo import spec_of

CROP = 64  # pixels of what is looked at
EYE_DISTANCE = 22.0  # of them lie between the eyes of a mean face
# Where the five points of a mean face lie in it.
FRAME = (
    (geometry.CHIP_LANDMARKS - (73.5, 70.0)) * (EYE_DISTANCE / 53.2) + (CROP - 1) / 2
).astype(np.float32)
_STEPS = ("wide", "fine", "fine")  # the maps, in their order


class ExactPoints:
    """Five points exactly, of faces whose points are about known."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    @classmethod
    def load(cls, compute: Compute | None = None) -> ExactPoints:
        spec = spec_of("points")
        return cls(OnnxModel(store.read(spec), spec.name, for_small(compute)))

    def __call__(self, image: U8, landmarks: F32, *, quick: bool = False) -> F32:
        """The points (N, 5, 2) of the faces of a picture (H, W, 3) BGR, pixels, from about where they are.

        `quick` is one step, in a third of the time: nearer, not exact.
        """
        steps = _STEPS[:1] if quick else _STEPS
        for step in steps if len(landmarks) else ():
            to_crops = geometry.similarity(landmarks, FRAME)
            crops = [geometry.cut(image, to_crop, size=CROP) for to_crop in to_crops]
            (points,) = in_chunks(self.model, np.stack(crops), outputs=(step,))
            landmarks = geometry.transform(points, geometry.invert(to_crops))
        return landmarks
