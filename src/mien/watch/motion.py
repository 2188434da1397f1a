"""Whether something moves: a small grey picture beside what it usually looks like."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mien.types import F32, U8, Mask

_SIDE = 160  # pixels of the small picture's longer side
_LEARN_S = 4.0  # in which the usual picture is renewed by two thirds
_FLOOR = 5.0  # of 255: a smaller change is never seen
_TIMES = 4.0  # the usual change of a pixel, above which it has changed
_NOISE_TIMES = 3.5  # the same of the whole picture's noise just now
_LEAST = 0.002  # of the picture: a face much smaller is of no use
_FLOOD = 4 * _FLOOR  # more than this is a passer-by, which is not usual yet
_SOLID = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # rain is thinner
_STRIDE = np.ones((7, 7), np.uint8)  # how far something moves between two pictures


@dataclass(slots=True)
class _Scene:
    usual: F32  # (h, w)
    spread: F32  # (h, w), by how much each pixel usually differs
    before: F32  # (h, w), the last picture
    seen_s: float
    mask: Mask  # (h, w), what counts
    moving: Mask  # (h, w), what had changed in the last picture

    @classmethod
    def begun(cls, grey: F32, time_s: float, looked_at: Mask | None) -> _Scene:
        """With its first picture."""
        mask = np.ones(grey.shape, np.bool_)
        if looked_at is not None:
            part = cv2.resize(looked_at.astype(np.uint8), grey.shape[::-1])
            mask = np.asarray(part > 0, np.bool_)
        spread = np.full_like(grey, _FLOOR / _TIMES)
        nowhere = np.zeros(grey.shape, np.bool_)
        return cls(grey, spread, grey, time_s, mask, nowhere)

    def changed(self, grey: F32) -> Mask:
        """Pixels (h, w) that differ by more than usual and than the noise; what is thin does not count."""
        apart = grey - self.usual
        apart -= np.median(apart)
        flicker = grey - self.before
        noise = 1.48 * float(np.median(np.abs(flicker - np.median(flicker))))
        bound = np.maximum(_TIMES * self.spread, max(_FLOOR, _NOISE_TIMES * noise))
        changed = ((np.abs(apart) > bound) & self.mask).astype(np.uint8)
        return np.asarray(cv2.morphologyEx(changed, cv2.MORPH_OPEN, _SOLID) > 0)

    def learn(self, grey: F32, share: np.float32) -> None:
        """Takes this share of a picture into what is usual."""
        apart = grey - self.usual
        self.usual = self.usual + share * apart
        off = np.minimum(np.abs(apart - np.median(apart)), _FLOOD)
        self.spread = self.spread + share / 4 * (off - self.spread)


class Motion:
    """Looks at one camera's pictures in their order. What flickers, rains or waves becomes usual at its place; what
    changes everywhere at once (a lamp, the camera's exposure) is no motion.

    Args:
        mask: Which part is looked at, (H, W) of any size; None: all.
    """

    def __init__(self, mask: Mask | None = None) -> None:
        self._mask = mask
        self._scene: _Scene | None = None
        self.suspected = False  # something changed; whether it moves, the next tells

    def moved(self, image: U8, time_s: float) -> bool:
        """Whether something moves in the next picture, (H, W) grey or (H, W, 3) BGR."""
        grey = _small(image)
        scene = self._scene
        if scene is None or scene.usual.shape != grey.shape:
            self._scene = _Scene.begun(grey, time_s, self._mask)
            return True
        passed = float(np.clip(time_s - scene.seen_s, 0.0, 1.0))
        changed = scene.changed(grey)
        near = cv2.dilate(scene.moving.astype(np.uint8), _STRIDE) > 0
        share = float((changed & near).mean())  # a drop of rain is gone by now
        self.suspected = float(changed.mean()) > _LEAST
        scene.before, scene.seen_s, scene.moving = grey, time_s, changed
        scene.learn(grey, np.float32(1 - np.exp(-passed / _LEARN_S)))
        return share > _LEAST


def _small(image: U8) -> F32:
    """A picture as a small grey one, a little smoothed."""
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size_wh = (max(3, round(width * scale)), max(3, round(height * scale)))
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (3, 3), 0), np.float32)
