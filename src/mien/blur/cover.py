"""Faces made unrecognisable in a picture's pixels.

What is left of a face is a handful of colours: few enough that neither eyes nor networks tell who it was, rounded, and
with noise that nobody can take off again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import cv2
import numpy as np

from mien.errors import InputError
from mien.media import images
from mien.text import did_you_mean
from mien.types import F32, U8

AROUND = 0.3  # of a head's box, covered beyond it on each side

_SQUARES = 4  # across the shorter side of what is covered
_CELLS = 4  # the same, where they have no edges
_FAINT = 0.04  # part of the contrast that a blurred face keeps; at an eighth it is found as a face now and then
_STRONG = 2.0  # the same for squares: the more they differ, the less they are one face
_STEP = 24  # grey levels that are told apart among squares
_NOISE = 30.0  # grey levels
_INK = 24  # grey level of a box
_SOFT = 1.1  # times the size: where what covers a face has faded out


class CoverStyle(Protocol):
    """What stands in the place of a patch (H, W, 3) of a picture; `side` is the shorter one of all that is covered.

    `seed` is the face's own: its noise stays the same from frame to frame, because what changes could be averaged away.
    """

    def __call__(self, patch: U8, side: float, seed: int) -> U8: ...


def cover(image: U8, boxes: F32, style: CoverStyle, seeds: Sequence[int]) -> U8:
    """A copy of a BGR picture in which nobody can tell the faces in boxes (N, 4), each with its seed."""
    out, size_wh = image.copy(), np.array(image.shape[1::-1])
    end = _SOFT**3  # a box with round corners: |x|³ + |y|³ = 1
    for box, seed in zip(boxes, seeds, strict=True):
        centre = (box[:2] + box[2:]) / 2
        half = np.maximum((box[2:] - box[:2]) * (0.5 + AROUND), 2.0)
        left, top = np.clip(np.floor(centre - half * _SOFT), 0, size_wh).astype(int)
        right, bottom = np.clip(np.ceil(centre + half * _SOFT), 0, size_wh).astype(int)
        if right <= left or bottom <= top:
            continue
        patch = np.ascontiguousarray(image[top:bottom, left:right])
        across = np.abs((np.arange(left, right) + 0.5 - centre[0]) / half[0]) ** 3
        down = np.abs((np.arange(top, bottom) + 0.5 - centre[1]) / half[1]) ** 3
        # The edge fades out beyond the face.
        share = np.clip((end - across - down[:, None]) / (end - 1), 0, 1)[..., None]
        covered = style(patch, 2 * float(half.min()), seed)
        place = out[top:bottom, left:right]
        place[:] = np.rint(covered * share + place * (1 - share))
    return out


def pixels(patch: U8, side: float, seed: int) -> U8:
    """Large squares."""
    height, width = patch.shape[:2]
    # Colours in other places, lighter or darker, and rounded: eyes and mouth are nowhere.
    small = _few_colours(patch, side / _SQUARES)
    random = np.random.default_rng(seed)
    colours = random.permutation(small.reshape(-1, 3)).reshape(small.shape)
    noise = random.normal(0, _NOISE, (*small.shape[:2], 1))
    mean = small.mean(axis=(0, 1))
    rounded = np.rint((mean + _STRONG * (colours - mean) + noise) / _STEP) * _STEP
    small = np.asarray(np.clip(rounded, 0, 255), np.uint8)
    squares = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(squares, np.uint8)


def blur(patch: U8, side: float, seed: int) -> U8:
    """Hardly more than the mean colour: whatever light and dark is left in it, a network takes for a face far away."""
    height, width = patch.shape[:2]
    small = _few_colours(patch, side / _CELLS)
    mean = small.mean(axis=(0, 1))
    faint = np.rint(mean + _FAINT * (small - mean)).astype(np.uint8)
    soft = cv2.resize(faint, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft, np.uint8)


def box(patch: U8, side: float, seed: int) -> U8:
    """One colour."""
    return np.full_like(patch, _INK)


def _few_colours(patch: U8, cell: float) -> U8:
    """A patch as a picture of a pixel per cell."""
    rows, columns = (max(1, round(length / cell)) for length in patch.shape[:2])
    small = cv2.resize(patch, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


@dataclass(frozen=True)
class Sticker:
    """A picture over the face, as large as it fits; on large squares, because it may let something through."""

    image: U8
    alpha: F32  # (H, W) 0 to 1

    @classmethod
    def read(cls, path: Path) -> Sticker:
        """The picture in a file.

        Raises:
            InputError: It cannot be read.
        """
        return cls(*images.read_with_alpha(path))

    def __call__(self, patch: U8, side: float, seed: int) -> U8:
        out = pixels(patch, side, seed)
        height, width = self.image.shape[:2]
        scale = min(patch.shape[1] / width, patch.shape[0] / height)
        size_wh = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(self.image, size_wh, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self.alpha, size_wh, interpolation=cv2.INTER_AREA)[..., None]
        left, top = (
            (patch.shape[1] - size_wh[0]) // 2,
            (patch.shape[0] - size_wh[1]) // 2,
        )
        place = out[top : top + size_wh[1], left : left + size_wh[0]]
        place[:] = np.rint(image * alpha + place * (1 - alpha))
        return out


STYLES: Mapping[str, CoverStyle] = MappingProxyType(
    {"blur": blur, "pixels": pixels, "box": box}
)


def style_of(name: str) -> CoverStyle:
    """A style by its name, or a picture by its path.

    Raises:
        InputError: There is neither.
    """
    if name in STYLES:
        return STYLES[name]
    if Path(name).suffix.lower() not in images.SUFFIXES:
        raise InputError(
            f"--style {name} is unknown; use {', '.join(STYLES)} or a picture file"
            f"{did_you_mean(name, STYLES)}"
        )
    return Sticker.read(Path(name))
