"""How a face's box lies in what the second network sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.models.detectors.verifier import CROP, SIDE

F32 = NDArray[np.float32]


def upright(box: F32, *, crop: int = CROP, side: int = SIDE) -> F32:
    """The map (2, 3) of a picture that puts a box (4,) xyxy into the crop's middle, its longer side `side` long."""
    scale = side / max(float((box[2:] - box[:2]).max()), 1.0)
    shift = (crop - 1) / 2 - scale * (box[:2] + box[2:]) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
