"""Slightly moved, turned, scaled and mirrored copies of a face, distributed as dlib's `jitter_image` makes them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

MAX_ANGLE_DEG = 3.0
SCALES = (0.97, 0.99999)  # share of the chip that the face fills
MAX_SHIFT = 0.02  # of the face's side
BORDER = 3  # pixels of the chip that are not taken for the face
SEED = 0  # dlib starts every encoder alike; every call of ours does


def jittered(chip: U8, count: int) -> U8:
    """`count` copies (count, H, W, 3) of a chip (H, W, 3), the same ones in every call."""
    random = np.random.default_rng(SEED)
    return np.stack([_one(chip, random) for _ in range(count)])


def _one(chip: U8, random: np.random.Generator) -> U8:
    side = chip.shape[0] - 2 * BORDER
    shift = random.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * side
    crop = side / random.uniform(*SCALES)
    angle = np.deg2rad(random.uniform(-MAX_ANGLE_DEG, MAX_ANGLE_DEG))
    scale = (crop - 1) / (chip.shape[0] - 1)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle = (chip.shape[0] - 1) / 2
    turn = np.array([[cos, -sin], [sin, cos]])
    offset = middle + shift - turn @ (middle, middle)
    matrix = np.column_stack([turn, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        chip.astype(np.float32), matrix, chip.shape[1::-1], flags=flags
    )
    moved = np.asarray(warped + 1e-3).astype(np.uint8)
    return moved[:, ::-1] if random.random() > 0.5 else moved
