"""How much one look at a face is worth: its size, sharpness and frontality."""

from __future__ import annotations

import cv2
import numpy as np

from mien.types import F32, U8

_FULL_SIZE = 110.0  # pixels: a face this wide loses nothing when scaled to the network's input
_SOFT = 40.0  # variance of the Laplacian of a 64-pixel face at which a look counts half
_LEAST = 0.02


def quality(image: U8, boxes: F32, landmarks: F32) -> F32:
    """The weight (N,) of each face, 0 to 1, as the product of its size, sharpness and frontality."""
    sizes = np.sqrt(np.clip(boxes[:, 2] - boxes[:, 0], 0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0, None))
    size = np.clip(sizes / _FULL_SIZE, 0, 1)
    sharp = np.array([sharpness(image, box) for box in boxes], dtype=np.float32)
    return np.asarray(np.clip(size * sharp * frontality(landmarks), _LEAST, 1), dtype=np.float32)


def frontality(landmarks: F32) -> F32:
    """1 for a face looking into the camera, towards 0 for a profile: (N, 5, 2) -> (N,)."""
    eyes = landmarks[:, 1] - landmarks[:, 0]
    span = np.maximum(np.hypot(eyes[:, 0], eyes[:, 1]), 1e-3)
    nose = landmarks[:, 2] - (landmarks[:, 0] + landmarks[:, 1]) / 2
    aside = np.abs((nose * eyes).sum(axis=1)) / span**2
    return np.asarray(np.clip(1.15 - 1.6 * aside, 0.05, 1), dtype=np.float32)


def sharpness(image: U8, box: F32) -> float:
    """How sharp the face in a box (4,) is, 0 to 1; 0.5 is soft."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(np.rint(box), 0, (width, height, width, height)).astype(int)
    if x2 - x1 < 4 or y2 - y1 < 4:
        return 0.0
    face = cv2.resize(image[y1:y2, x1:x2], (64, 64), interpolation=cv2.INTER_AREA)
    spread = float(cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())
    return spread / (spread + _SOFT)
