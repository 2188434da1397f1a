"""Which way up is a face? For detectors that know upright ones and propose others with little conviction.

The network sees what the verifier sees. It is trained by training/detector; its model card is weights/detector.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien import geometry, store
from mien.models.detectors.verifier import CROP, SIDE, cut_all
from mien.runtime import Compute, OnnxModel, for_small, in_chunks
from mien.types import F32, U8, Mask
from mien.zoo import spec_of

# Where the five points of a mean face lie in what the network sees: a detector's box is 1.63 times as long as the
# square that dlib draws, and its middle a seventh of that square higher (medians over CACD-VS).
FRAME = (
    (geometry.CHIP_LANDMARKS - (75.0, 61.5)) * (SIDE / 162.6) + (CROP - 1) / 2
).astype(np.float32)

_CONTRADICTS, _CERTAIN = (
    math.radians(60),
    0.5,
)  # away from the landmarks, and sure of it: these are wrong


@dataclass(frozen=True, slots=True)
class Turns:
    """How far each of N faces is turned."""

    angles: F32  # (N,) radians, clockwise from upright, -pi to pi
    sure: F32  # (N,) how sure that is, 0 to about 1; of what is no face it is little

    @property
    def contradict(self) -> Mask:
        """Which (N,) are certain and far from 0: of leans, that the landmarks are wrong."""
        far = np.abs(self.angles) > _CONTRADICTS
        return np.asarray(far & (self.sure >= _CERTAIN), np.bool_)

    def __getitem__(self, rows: Mask) -> Turns:
        return Turns(self.angles[rows], self.sure[rows])


class AngleNet:
    """How far faces are turned in the picture's plane."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    @classmethod
    def load(cls, compute: Compute | None = None) -> AngleNet:
        spec = spec_of("angle")
        return cls(OnnxModel(store.read(spec), spec.name, for_small(compute)))

    def __call__(self, image: U8, boxes: F32) -> Turns:
        """Of the faces in boxes (N, 4) xyxy, pixels, of a picture (H, W, 3) BGR."""
        return _turns(self._up(cut_all(image, boxes))) if len(boxes) else _NONE

    def leans(
        self, image: U8, landmarks: F32, *, sizes: Sequence[float] = (1.0,)
    ) -> Turns:
        """How far faces are turned from where their landmarks (N, 5, 2) say: about 0 where these are right.

        The mean of views at several sizes, each also mirrored, is steadier.
        """
        return _turns(self._seen(image, landmarks, sizes))

    def steady(
        self, image: U8, landmarks: F32, *, noise: float, sizes: Sequence[float]
    ) -> Turns:
        """The same; of those that lean by more than the noise, radians, by views at these sizes too."""
        up = self._seen(image, landmarks, (1.0,))
        lean = np.abs(_turns(up).angles) > noise
        more = self._seen(image, landmarks[lean], sizes)
        up[lean] = (up[lean] + len(sizes) * more) / np.float32(1 + len(sizes))
        return _turns(up)

    def doubtful(self, image: U8, landmarks: F32) -> Mask:
        """Which faces (N,) surely do not stand as their landmarks (N, 5, 2) say."""
        return self.leans(image, landmarks).contradict

    def _seen(self, image: U8, landmarks: F32, sizes: Sequence[float]) -> F32:
        """Sine and cosine (N, 2) of how faces lean from their landmarks (N, 5, 2), the mean of views at sizes."""
        if not len(landmarks):
            return np.zeros((0, 2), np.float32)
        middle = np.array((CROP - 1) / 2, np.float32)
        frames = [(FRAME - middle) / np.float32(size) + middle for size in sizes]
        maps = np.concatenate(
            [geometry.similarity(landmarks, frame) for frame in frames]
        )
        crops = np.stack([geometry.cut(image, to_crop, size=CROP) for to_crop in maps])
        views = self._up(np.concatenate([crops, crops[:, :, ::-1]]))
        views = views.reshape(2, len(sizes), -1, 2)
        views[1, ..., 0] *= -1  # mirrored, clockwise is the other way round
        return np.asarray(views.mean(axis=(0, 1)), np.float32)

    def _up(self, crops: U8) -> F32:
        return np.asarray(in_chunks(self.model, crops, outputs=("up",))[0], np.float32)


def _turns(up: F32) -> Turns:
    """Sines and cosines (N, 2), the shorter the less sure, as angles."""
    return Turns(np.arctan2(up[:, 0], up[:, 1]), np.hypot(up[:, 0], up[:, 1]))


_NONE = _turns(np.zeros((0, 2), np.float32))
