"""A second, closer look at what a detector proposes: is it a face?

The network sees each box at one size, whatever the face's, and so tells faces from the coins and knobs that a detector
in a hurry takes for some. It is trained by training/detector; its model card is weights/detector.md.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from mien import geometry, store
from mien.runtime import Compute, OnnxModel, for_small, in_chunks
from mien.types import F32, U8
from mien.zoo import spec_of

CROP = 48  # pixels of what the network sees
SIDE = 30  # of them are the box's longer side
_SIZES = (1.0, 0.7, 1.4)


class Verifier:
    """How sure it is, 0 to 1, that each box of a picture holds a face."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    @classmethod
    def load(cls, compute: Compute | None = None) -> Verifier:
        spec = spec_of("verifier")
        return cls(OnnxModel(store.read(spec), spec.name, for_small(compute)))

    def __call__(self, image: U8, boxes: F32) -> F32:
        """Scores (N,) of boxes (N, 4) xyxy, pixels, of a picture (H, W, 3) BGR."""
        if not len(boxes):
            return np.zeros(0, np.float32)
        return self._scores(cut_all(image, boxes))

    def steady(self, image: U8, boxes: F32, first: F32) -> F32:
        """The mean (N,) of six views: at three sizes, each also mirrored. A hand is a face in one, seldom in all.

        `first` (N,) is what the first of them, the box as it is, gave.
        """
        if not len(boxes):
            return first
        crops = [cut_all(image, boxes, wider=wider) for wider in _SIZES]
        crops += [np.ascontiguousarray(view[:, :, ::-1]) for view in crops]
        scores = self._scores(np.concatenate(crops[1:])).reshape(len(crops) - 1, -1)
        return np.asarray(np.vstack([first, scores]).mean(axis=0), np.float32)

    def turned(self, image: U8, boxes: F32, angles: F32) -> F32:
        """Scores (N, K) of boxes (N, 4) whose faces are turned clockwise by each of their angles (N, K), radians."""
        if not angles.size:
            return np.zeros(angles.shape, np.float32)
        crops = [
            geometry.cut(
                image, upright(box, float(angle), size=CROP, face=SIDE), size=CROP
            )
            for box, of_box in zip(boxes, angles, strict=True)
            for angle in of_box
        ]
        return self._scores(np.stack(crops)).reshape(angles.shape)

    def _scores(self, crops: U8) -> F32:
        (scores,) = in_chunks(self.model, crops, outputs=("scores",))
        return np.asarray(scores, np.float32)


def upright(box: F32, angle: float, *, size: int, face: float) -> F32:
    """The map (2, 3) of a picture that sets the face in a box (4,) upright, in the middle of a square and so large."""
    scale = face / max(float((box[2:] - box[:2]).max()), 1.0)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]], np.float32)
    shift = size / 2 - turn @ ((box[:2] + box[2:]) / 2)
    return np.column_stack([turn, shift]).astype(np.float32)


def cut_all(image: U8, boxes: F32, *, wider: float = 1.0) -> U8:
    """The squares (N, CROP, CROP, 3) about boxes (N, 4), as if these were `wider` times as large."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1) * wider, 1.0)
    return np.stack(
        [
            cut(image, centre, float(side))
            for centre, side in zip(centres, sides, strict=True)
        ]
    )


def cut(image: U8, centre: F32, side: float, *, crop: int = CROP) -> U8:
    """The square (crop, crop, 3) about a centre in which `side` pixels become SIDE; black outside the picture."""
    x, y = centre.tolist()
    reach = side * crop / SIDE / 2 + 2
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    part = image[top : max(0, int(y + reach) + 1), left : max(0, int(x + reach) + 1)]
    if not part.size:
        return np.zeros((crop, crop, 3), np.uint8)
    x, y, scale = x - left, y - top, SIDE / side
    averaged = int(1 / scale)  # pixels that become one, so that nothing flickers
    if averaged > 1 and min(part.shape[:2]) >= averaged:
        height, width = (length // averaged * averaged for length in part.shape[:2])
        size = (width // averaged, height // averaged)
        part = np.asarray(
            cv2.resize(part[:height, :width], size, interpolation=cv2.INTER_AREA),
            np.uint8,
        )
        x, y, scale = x / averaged, y / averaged, scale * averaged
    move = np.array(
        [[scale, 0, crop / 2 - scale * x], [0, scale, crop / 2 - scale * y]]
    )
    return np.asarray(cv2.warpAffine(part, move, (crop, crop)), np.uint8)
