"""dlib's face chips: the aligned, square cut-out its face network was trained on.

The similarity that maps dlib's template onto the landmarks gives a turned rectangle; the chip's outermost pixel
centres are put on the rectangle's corners, half a chip pixel away from the similarity itself. That, the image pyramid
before sampling and truncation in place of rounding are dlib's; the descriptor notices each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mien.geometry import warp
from mien.types import F32, F64, U8

# dlib's mean faces on the unit square, from get_face_chip_details (Boost licence). Order of the five: see landmarks.py.
TEMPLATE_5: F64 = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)
# Of the 68 points dlib uses nose, eyes and upper lip: 27-54 and 60-64.
USED_68 = (*range(27, 55), *range(60, 65))
_X_68 = (
    (
        0.490127,
        0.490127,
        0.490127,
        0.490127,
        0.36688,
        0.426036,
        0.490127,
        0.554217,
        0.613373,
    )
    + (0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743)
    + (0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335)
    + (0.254149, 0.340985, 0.428858, 0.490127, 0.551395, 0.639268, 0.726104)
    + (0.290379, 0.428096, 0.490127, 0.552157, 0.689874)
)
_Y_68 = (
    (
        0.203352,
        0.307009,
        0.409805,
        0.515625,
        0.587326,
        0.609345,
        0.628106,
        0.609345,
        0.587326,
    )
    + (0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077)
    + (0.231733, 0.179852, 0.178758, 0.216423, 0.244077, 0.245099)
    + (0.780233, 0.745405, 0.727388, 0.742578, 0.727388, 0.745405, 0.780233)
    + (0.784792, 0.778746, 0.785343, 0.778746, 0.784792)
)
TEMPLATE_68: F64 = np.stack([_X_68, _Y_68], axis=1)  # (33, 2), rows as USED_68


@dataclass(frozen=True, slots=True)
class ChipBox:
    """Where a chip lies in the photo: a square around `center`, turned by `angle`, `side` pixels wide."""

    center: tuple[float, float]  # x, y in pixels
    side: float  # pixels; first to last pixel centre is side - 1
    angle: float  # radians, positive = clockwise on the screen

    def corners(self) -> F64:
        """(3, 2) top-left, top-right, bottom-left corner in the photo."""
        half = (self.side - 1) / 2
        along = np.array([math.cos(self.angle), math.sin(self.angle)]) * half
        down = np.array([-along[1], along[0]])
        middle = np.array(self.center)
        corners: F64 = np.stack(
            [middle - along - down, middle + along - down, middle - along + down]
        )
        return corners

    def cut(self, image: U8, out: U8) -> None:
        """Fills `out` with the picture inside the box."""
        if not 1 <= self.side < 1e6:
            return  # landmarks in one place or out of any picture: nothing to see
        level, side = 0, _down(self.side)
        while side > len(out):
            level, side = level + 1, _down(side)
        left, top, right, bottom = self.around(image, level)
        if left >= right or top >= bottom:
            return
        crop = image[top:bottom, left:right].astype(np.float32)
        corners = self.corners() - (left, top)
        for _ in range(level):
            if min(crop.shape[:2]) < 9:
                return
            # dlib's pyramid_down<2>: the 1 4 6 4 1 kernel, no border, truncated.
            # Sums are exact in float32.
            height, width = ((side - 3) // 2 for side in crop.shape[:2])
            inner = cv2.pyrDown(crop)[1 : 1 + height, 1 : 1 + width]
            crop = np.floor(inner).astype(np.float32, copy=False)
            corners = corners / 2 - (1.25, 0.75)
        _sample(crop, corners, out)

    def around(self, image: U8, level: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom (exclusive) of the part the pyramid is built from; it sets the sampling phase."""
        top_left, top_right, bottom_left = self.corners()
        around = np.stack(
            [top_left, top_right, bottom_left, top_right + bottom_left - top_left]
        )
        grow = 4 * 2**level - 2
        last = (image.shape[1] - 1, image.shape[0] - 1)
        low = np.floor(np.clip(around.min(axis=0) - grow, 0, None) + 0.5)
        high = np.floor(np.minimum(around.max(axis=0) + grow, last) + 0.5)
        return int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1


def chip_box(
    landmarks: F32 | F64, *, size: int = 150, padding: float = 0.25
) -> ChipBox:
    """The square dlib cuts for one face's landmarks, (5, 2) or (68, 2) in dlib's order."""
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape not in ((5, 2), (68, 2)):
        raise ValueError(
            f"landmarks have shape {points.shape}, expected (5, 2) or (68, 2)"
        )
    template = TEMPLATE_5 if len(points) == 5 else TEMPLATE_68
    points = points if len(points) == 5 else points[list(USED_68)]
    source = (padding + template) / (2 * padding + 1) * size
    # The least-squares map x' = a x - b y, y' = b x + a y between the centred points.
    s, t = source - source.mean(axis=0), points - points.mean(axis=0)
    total = float((s**2).sum())
    a = float((s * t).sum()) / total
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / total
    dx, dy = size / 2 - source.mean(axis=0)
    middle = points.mean(axis=0) + (a * dx - b * dy, b * dx + a * dy)
    return ChipBox(
        (float(middle[0]), float(middle[1])), size * math.hypot(a, b), math.atan2(b, a)
    )


def cut_chips(
    image: U8, landmarks: F32 | F64, *, size: int = 150, padding: float = 0.25
) -> U8:
    """Aligned faces (N, size, size, 3) in the image's colour order; black where a face leaves the image.

    Args:
        image: (H, W, 3).
        landmarks: (N, 5, 2) or (N, 68, 2) in dlib's order, pixels.
        size: side of a chip in pixels; the face network wants 150.
        padding: border around the template as a share of it; the face network wants 0.25.

    Each face is cut by itself. dlib does the same for one face, but takes several faces of one call from a shared
    pyramid, whose sampling phase differs (L2 of descriptors up to 0.026).
    """
    chips = np.zeros((len(landmarks), size, size, 3), dtype=np.uint8)
    for chip, points in zip(chips, landmarks, strict=True):
        if np.isfinite(points).all():
            chip_box(points, size=size, padding=padding).cut(image, chip)
    return chips


def _down(side: float) -> float:
    return (side - 1) / 2 + 1


def _sample(image: F32, corners: F64, out: U8) -> None:
    """Fill ``out`` bilinearly, truncated; its corner pixels lie on ``corners`` (top-left, top-right, bottom-left)."""
    size = len(out)
    across, down = (corners[1:] - corners[0]) / (size - 1)
    matrix = np.stack([across, down, corners[0]], axis=1)
    warped = np.asarray(warp(image, matrix, (size, size)), dtype=np.float32)
    warped += np.float32(
        1e-3
    )  # a whole number must not be truncated to the one below for a rounding error's sake
    np.copyto(out, warped, casting="unsafe")
    # dlib leaves a pixel black unless all four neighbours it mixes are inside.
    limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
    ends = matrix @ np.array(
        [[0, size - 1, 0, size - 1], [0, 0, size - 1, size - 1], [1, 1, 1, 1]]
    )
    if ends.min() >= 0 and (ends.max(axis=1) < limit).all():
        return
    steps = np.arange(size)
    x, y = (m[0] * steps + (m[1] * steps + m[2])[:, None] for m in matrix)
    out[(x < 0) | (y < 0) | (x >= limit[0]) | (y >= limit[1])] = 0
