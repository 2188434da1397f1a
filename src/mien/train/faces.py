"""The one face of a training picture: found by our own detector, or else the picture itself taken as a face crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mien import geometry
from mien.dlib_models import chip
from mien.models.backbone import Aligner
from mien.models.classifier import aligned_crops
from mien.models.detectors.base import Detector
from mien.types import F32, U8, Faces

_SMALL_SIDE = 240  # pixels: smaller pictures are face crops, enlarged before detection as any small face would be
_LARGE_SIDE = 1280  # pixels: nothing a training crop needs is lost above it
_PAD = 0.5  # of the side, on every side of a picture too tight for a detector


@dataclass(frozen=True, slots=True)
class TrainingFace:
    """A face in a picture: `image` (H, W, 3) uint8 BGR, perhaps enlarged or padded; `faces` holds that one face;
    `found` is false where no detector saw it and the whole picture stands in for it."""

    image: U8
    faces: Faces
    found: bool


def find_face(detector: Detector, picture: U8) -> TrainingFace:
    """The largest face of a picture (H, W, 3) uint8 BGR; where none is found, the picture counts as a crop."""
    image = _sized(picture)
    if min(picture.shape[:2]) >= _SMALL_SIDE:
        faces = detector(image)
        if len(faces):
            return TrainingFace(image, _largest(faces), found=True)
    padded = pad(image)
    faces = detector(padded)
    if len(faces):
        return TrainingFace(padded, _largest(faces), found=True)
    return TrainingFace(padded, whole_picture(image), found=False)


def _sized(picture: U8) -> U8:
    side = max(picture.shape[:2])
    if side > _LARGE_SIDE:
        return geometry.shrink(picture, _LARGE_SIDE / side)
    small = min(picture.shape[:2])
    if small >= _SMALL_SIDE // 2:
        return picture
    factor = min(_SMALL_SIDE / 2 / small, _LARGE_SIDE / side)
    size_wh = (
        max(1, round(picture.shape[1] * factor)),
        max(1, round(picture.shape[0] * factor)),
    )
    return np.asarray(
        cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC), dtype=np.uint8
    )


def pad(image: U8) -> U8:
    """The picture with half its size around it; what is made up is blurred so that no second face appears."""
    h, w = image.shape[:2]
    y, x = int(h * _PAD), int(w * _PAD)
    padded = cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_REPLICATE)
    blurred = cv2.blur(padded, (max(3, w // 12) | 1, max(3, h // 12) | 1))
    blurred[y : y + h, x : x + w] = image
    return np.asarray(blurred, dtype=np.uint8)


def whole_picture(image: U8) -> Faces:
    """The face that a picture is a crop of, in the pixels of `pad(image)`: it lies as in the chips `mien crop` cuts."""
    h, w = image.shape[:2]
    side = min(h, w)
    corner = np.array([int(w * _PAD) + (w - side) / 2, int(h * _PAD) + (h - side) / 2])
    low, high = (
        corner + side * edge / geometry.CHIP_SIZE for edge in geometry.CHIP_FACE
    )
    box = np.concatenate([low, high])[None].astype(np.float32)
    return Faces(box, np.zeros(1, np.float32), geometry.mean_landmarks(box))


def _largest(faces: Faces) -> Faces:
    best = int(geometry.face_sizes(faces.landmarks).argmax())
    return faces[np.array([best])]


def chip_views(face: TrainingFace, aligner: Aligner, *, views: int, seed: int) -> U8:
    """Chips (views, 150, 150, 3) as the backbone reads them: the plain one, its mirror image, then disturbed ones.

    The disturbances follow from `seed` alone: light, size and a chip cut a little askew, as other cameras will.
    """
    points = aligner.points(face.image, face.faces)
    plain = chip.cut_chips(face.image, points)[0]
    rng = np.random.default_rng(seed)
    chips = [plain, plain[:, ::-1]]
    while len(chips) < views:
        askew = chip.cut_chips(face.image, _askew(points, rng))[0]
        changed = disturbed(askew, rng)
        chips.append(changed[:, ::-1] if rng.random() < 0.5 else changed)
    return np.ascontiguousarray(chips[:views], dtype=np.uint8)


def crop_of(face: TrainingFace, *, size: int, padding: float) -> U8:
    """The face (size, size, 3) as a classifier that reads pixels will see it."""
    return np.asarray(
        aligned_crops(face.image, face.faces.landmarks, size=size, padding=padding)[0],
        dtype=np.uint8,
    )


def crop_views(crop: U8, *, views: int, seed: int) -> U8:
    """Pictures (views, S, S, 3) of a crop (S, S, 3): as it is, its mirror image, then disturbed by `seed`."""
    rng = np.random.default_rng(seed)
    rest = (augmented(crop, rng) for _ in range(views - 2))
    return np.ascontiguousarray([crop, crop[:, ::-1], *rest][:views], dtype=np.uint8)


def augmented(crop: U8, rng: np.random.Generator) -> U8:
    """Another picture of the same face: turned, scaled and shifted a little, mirrored half of the time, disturbed."""
    side = crop.shape[0]
    matrix = cv2.getRotationMatrix2D(
        (side / 2, side / 2), rng.normal(0, 5), float(np.exp(rng.normal(0, 0.06)))
    )
    matrix[:, 2] += rng.normal(0, 0.025, 2) * side
    moved = np.asarray(
        cv2.warpAffine(crop, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )
    changed = disturbed(moved, rng)
    return np.ascontiguousarray(changed[:, ::-1]) if rng.random() < 0.5 else changed


def _askew(points: F32, rng: np.random.Generator) -> F32:
    """The points (1, 5, 2) turned, scaled and shifted together."""
    middle = points.mean(axis=1, keepdims=True)
    size = float(np.ptp(points, axis=1).max())
    angle, scale = np.deg2rad(rng.normal(0, 4)), np.exp(rng.normal(0, 0.04))
    turn = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    return np.asarray(
        (points - middle) @ turn.T + middle + rng.normal(0, 0.02, 2) * size,
        dtype=np.float32,
    )


def disturbed(picture: U8, rng: np.random.Generator) -> U8:
    """Another camera: light, contrast, colour, and half of the time fewer pixels."""
    x = (picture.astype(np.float32) / 255) ** np.exp(rng.normal(0, 0.25))
    x = (x - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5 + rng.normal(0, 0.06)
    x *= np.exp(rng.normal(0, 0.05, 3))
    changed = np.asarray(np.clip(x, 0, 1) * 255 + 0.5, dtype=np.uint8)
    if rng.random() < 0.5:
        return changed
    side = picture.shape[0]
    small = int(side * rng.uniform(0.25, 0.8))
    shrunk = cv2.resize(changed, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
    )
