"""A camera's picture as it is looked at: turned, mirrored, without what is left out; which zone a face is in."""

from __future__ import annotations

import cv2
import numpy as np

from mien.types import F32, U8, Mask
from mien.watch.cameras import Camera, Point

_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_MASK_WH = (320, 320)


class View:
    """How a camera's pictures are looked at."""

    def __init__(self, camera: Camera) -> None:
        self._turn = _TURNS.get(camera.turn)
        self._flip = camera.flip
        self._least = camera.least_face
        self._zones = {zone.name: zone.look for zone in camera.zones if zone.look}
        self._out = [zone.leave_out for zone in camera.zones if zone.leave_out]

    @property
    def mask(self) -> Mask | None:
        """Which part of the picture is looked at, (H, W) of any size; None: all."""
        if not self._zones and not self._out:
            return None
        width, height = _MASK_WH
        mask = np.full((height, width), 0 if self._zones else 1, np.uint8)
        cv2.fillPoly(mask, [_pixels(p, *_MASK_WH) for p in self._zones.values()], 1)
        cv2.fillPoly(mask, [_pixels(p, *_MASK_WH) for p in self._out], 0)
        return np.asarray(mask > 0, np.bool_)

    def of(self, image: U8) -> U8:
        """The picture as it is looked at; what is left out is black, so that nobody sees it from here on."""
        if self._turn is not None:
            image = np.asarray(cv2.rotate(image, self._turn), np.uint8)
        if self._flip:
            image = np.ascontiguousarray(image[:, ::-1])
        if not self._out:
            return image
        height, width = image.shape[:2]
        image = image.copy()
        cv2.fillPoly(image, [_pixels(p, width, height) for p in self._out], (0, 0, 0))
        return image

    def zone_of(self, box: F32, width: int, height: int) -> str | None:
        """The zone that the middle of a face (4,) is in, "" where there are none; None: it is not looked at."""
        if min(box[2] - box[0], box[3] - box[1]) < self._least:
            return None
        at = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        if not self._zones:
            return ""
        for name, points in self._zones.items():
            polygon = _pixels(points, width, height)
            if cv2.pointPolygonTest(polygon, (float(at[0]), float(at[1])), False) >= 0:
                return name
        return None


def _pixels(points: tuple[Point, ...], width: int, height: int) -> np.ndarray:
    return np.rint(np.array(points) * (width, height)).astype(np.int32)
