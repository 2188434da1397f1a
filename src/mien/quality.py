"""How much one look at a face is worth: its size, sharpness and frontality."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mien import geometry
from mien.types import F32, U8, Faces

_FULL_SIZE = (
    110.0  # pixels: a face this wide loses nothing when scaled to the network's input
)
_SOFT = 40.0  # variance of the Laplacian of a 64-pixel face at which a look counts half
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class Quality:
    """What makes a look at each of N faces worth much or little, each part (N,) from 0 to 1.

    Example:
        >>> parts = measure(image, faces)
        >>> blurred = faces[parts.sharpness < 0.3]
    """

    size: F32  # 1 where scaling to the network's input loses nothing
    sharpness: F32  # 0.5 is soft
    frontality: F32  # 1 looks into the camera, towards 0 for a profile

    @property
    def whole(self) -> F32:
        """One number (N,): the product of the parts."""
        return np.asarray(
            np.clip(self.size * self.sharpness * self.frontality, _LEAST, 1),
            dtype=np.float32,
        )

    def weakest(self, row: int) -> str:
        """What a look at a face is worth little for, in words."""
        parts = {
            "too small": self.size[row],
            "blurred": self.sharpness[row],
            "turned away": self.frontality[row],
        }
        return min(parts, key=lambda name: parts[name])


def measure(image: U8, faces: Faces) -> Quality:
    """The parts of the quality of faces of a picture, turned by any angle."""
    return _measured(image, faces.boxes, faces.landmarks)


def quality(image: U8, boxes: F32, landmarks: F32) -> F32:
    """The weight (N,) of each face, 0 to 1."""
    return _measured(image, boxes, landmarks).whole


def judged(image: U8, faces: Faces) -> Faces:
    """The faces with how far each is turned, where that is not in doubt, and what the look at it is worth."""
    angles = geometry.degrees(faces.landmarks)
    if faces.angles is not None:
        angles[np.isnan(faces.angles)] = np.nan
    return replace(faces, angles=angles, qualities=measure(image, faces).whole)


def _measured(image: U8, boxes: F32, landmarks: F32) -> Quality:
    sizes = np.sqrt(
        np.clip(boxes[:, 2] - boxes[:, 0], 0, None)
        * np.clip(boxes[:, 3] - boxes[:, 1], 0, None)
    )
    return Quality(
        size=np.clip(sizes / _FULL_SIZE, 0, 1).astype(np.float32),
        sharpness=np.array([sharpness(image, box) for box in boxes], dtype=np.float32),
        frontality=frontality(landmarks),
    )


def frontality(landmarks: F32) -> F32:
    """1 for a face looking into the camera, towards 0 for a profile: (N, 5, 2) -> (N,)."""
    clipped = np.clip(1.15 - 1.6 * aside(landmarks), 0.05, 1)
    return np.asarray(clipped, dtype=np.float32)


def aside(landmarks: F32) -> F32:
    """How far the nose is beside the middle of the eyes, in their distance: (N, 5, 2) -> (N,)."""
    eyes = landmarks[:, 1] - landmarks[:, 0]
    span = np.maximum(np.hypot(eyes[:, 0], eyes[:, 1]), 1e-3)
    nose = landmarks[:, 2] - (landmarks[:, 0] + landmarks[:, 1]) / 2
    return np.asarray(np.abs((nose * eyes).sum(axis=1)) / span**2, dtype=np.float32)


def sharpness(image: U8, box: F32) -> float:
    """How sharp the face in a box (4,) is, 0 to 1; 0.5 is soft."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(np.rint(box), 0, (width, height, width, height)).astype(
        int
    )
    if x2 - x1 < 4 or y2 - y1 < 4:
        return 0.0
    face = cv2.resize(image[y1:y2, x1:x2], (64, 64), interpolation=cv2.INTER_AREA)
    spread = float(
        cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var()
    )
    return spread / (spread + _SOFT)
