"""A detector that would rather find one face too many than one too few."""

from __future__ import annotations

import copy

import cv2
import numpy as np

from mien import geometry
from mien.models.detectors.base import scaled_back, together
from mien.models.detectors.compact import Compact
from mien.types import U8, Faces

MIN_FACE = 16  # pixels: of smaller ones nobody can tell whose they are
_THRESHOLD = 0.48  # chosen on crowds: see docs/blur.md
_LARGER = 1.6  # times the size, in a third view of a picture that is not large
_LARGE = 1280  # pixels of the longer side
_LEFT_RIGHT = [1, 0, 2, 4, 3]  # landmarks in the mirror


class GenerousDetector:
    """Our detector with a lower threshold and three views: as it is, mirrored, larger. The networks are shared."""

    def __init__(self, detector: Compact) -> None:
        self._detector = copy.copy(detector)
        self._detector.min_face = MIN_FACE
        self._detector.threshold = _THRESHOLD

    def __call__(self, image: U8) -> Faces:
        """What may be a face in a photo."""
        views = [self.one_view(image), self.one_view(image, mirrored=True)]
        if max(image.shape[:2]) <= _LARGE:
            large = cv2.resize(
                image, None, fx=_LARGER, fy=_LARGER, interpolation=cv2.INTER_LINEAR
            )
            views.append(
                scaled_back(self._detector(np.asarray(large, np.uint8)), _LARGER)
            )
        found = together(views)
        threshold = self._detector.nms_threshold
        return found[geometry.nms(found.boxes, found.scores, threshold=threshold)]

    def one_view(self, image: U8, *, mirrored: bool = False) -> Faces:
        """The same by one view, as the frames of a film get it."""
        if not mirrored:
            return self._detector(image)
        faces = self._detector(np.ascontiguousarray(image[:, ::-1]))
        width = image.shape[1]
        x1, y1, x2, y2 = faces.boxes.T
        landmarks = faces.landmarks[:, _LEFT_RIGHT].copy()
        landmarks[..., 0] = width - landmarks[..., 0]
        boxes = np.stack([width - x2, y1, width - x1, y2], axis=1)
        angles = None if faces.angles is None else -faces.angles
        return Faces(boxes.astype(np.float32), faces.scores, landmarks, angles=angles)
