"""Points followed from one small grey picture to the next by optical flow, and cuts noticed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mien.types import F32, U8, Mask

_WINDOW = (17, 17)
_LEVELS = 3
_ENOUGH = 32  # pixels: size of a face whose points can be followed well
_THUMB_WH = (32, 18)
_THUMB_SIDE = 320  # pixels: a picture this small is small enough to make a thumbnail of
_FOLLOW_SIDE = 640  # pixels: longer side of a picture in which small faces are followed
_CUT = 22.0  # grey levels of 255: mean difference of two thumbnails above which they show different scenes
_COMES = 20  # grey levels by which a cell of a thumbnail changes when somebody comes
_CHANGE, _ALIKE = (
    8.0,
    0.6,
)  # the same for smaller differences of thumbnails that correlate less than so much


@dataclass(frozen=True, slots=True)
class Shift:
    """How faces moved: `by` (N, 2) pixels of the picture; `steady` (N,) whether their points agree on it."""

    by: F32
    steady: Mask


class Scene:
    """A frame as flow sees it: grey, at as many sizes as are asked for, each half as large as the one before."""

    def __init__(self, image: U8) -> None:
        self._sizes = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)]
        self.shape = self._sizes[0].shape
        self.thumb = thumbnail(self.halved(_halvings(max(self.shape) / _THUMB_SIDE)))

    def halved(self, times: int) -> U8:
        """The picture, halved so many times."""
        while len(self._sizes) <= times:
            self._sizes.append(_halved(self._sizes[-1]))
        return self._sizes[times]

    def follow(self, after: Scene, points: F32, sizes: F32) -> Shift:
        """The way of each face's points (N, P, 2) from here to a later frame of the same shape.

        In as small a picture as shows it, for faces of these sizes (N,).
        """
        times = _halvings(max(self.shape) / _FOLLOW_SIDE)
        if len(sizes):
            large = int(np.log2(max(1.0, float(sizes.min()) / _ENOUGH)))
            times = max(times, large)
        smaller = np.float32(2**times)
        here, there = self.halved(times), after.halved(times)
        shift = follow(here, there, points / smaller, sizes / smaller)
        return Shift(shift.by * smaller, shift.steady)


def _halvings(too_large: float) -> int:
    """How often to halve what is so many times too large."""
    return max(0, int(np.ceil(np.log2(too_large))))


def thumbnail(grey: U8) -> U8:
    """A grey picture (H, W) as small as scenes can be told apart by."""
    return np.asarray(
        cv2.resize(grey, _THUMB_WH, interpolation=cv2.INTER_AREA), dtype=np.uint8
    )


def is_moving(before: U8, after: U8, boxes: F32, size_wh: tuple[int, int]) -> bool:
    """Whether thumbnails differ where no face is, nor its body below, as when somebody comes in.

    Boxes (N, 4) are of a picture of this size.
    """
    changed = cv2.absdiff(before, after) > _COMES
    cells = np.array(_THUMB_WH, np.float32) / size_wh
    for x1, y1, x2, _ in boxes * np.tile(cells, 2):
        beside = (x2 - x1) / 2 + 1
        left, right = int(max(0, x1 - beside)), int(max(0, x2 + beside + 1))
        changed[int(max(0, y1 - beside)) :, left:right] = False
    return bool(changed.any())


def is_cut(before: U8, after: U8) -> bool:
    """Whether two thumbnails of one stream show different scenes."""
    apart = float(cv2.absdiff(before, after).mean())
    if apart <= _CHANGE or apart > _CUT:
        return apart > _CUT
    a, b = before - before.mean(), after - after.mean()
    spread = float(np.sqrt((a**2).sum() * (b**2).sum()))
    correlation = float((a * b).sum()) / spread if spread else 0.0
    return correlation < _ALIKE


def follow(before: U8, after: U8, points: F32, sizes: F32) -> Shift:
    """The median way of each face's points (N, P, 2) from one grey picture (H, W) to the next.

    A face is steady when most of its points were found again and went the same way, within an eighth of its size (N,).
    """
    n, p = points.shape[:2]
    if not n:
        return Shift(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_))
    if sizes.min() >= 2 * _ENOUGH:  # of large faces half as much shows as well
        points, sizes = points / np.float32(2), sizes / np.float32(2)
        shift = follow(_halved(before), _halved(after), points, sizes)
        return Shift(shift.by * np.float32(2), shift.steady)
    start = np.ascontiguousarray(points.reshape(-1, 1, 2), dtype=np.float32)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, start, None, winSize=_WINDOW, maxLevel=_LEVELS
    )  # type: ignore[call-overload]
    ways, places = (moved - start).reshape(n, p, 2), moved.reshape(n, p, 2)
    inside = ((places >= 0) & (places < after.shape[::-1])).all(axis=2)
    seen = found.reshape(n, p).astype(np.bool_) & inside
    by = _median(ways, seen)
    agree = seen & (
        np.hypot(*np.moveaxis(ways - by[:, None], 2, 0)) < sizes[:, None] / 8
    )
    return Shift(by, agree.sum(axis=1) > p // 2)


def _halved(grey: U8) -> U8:
    return np.asarray(
        cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8
    )


def _median(ways: F32, seen: Mask) -> F32:
    """The middle of each face's ways (N, P, 2) that were seen (N, P); zero where none was."""
    count = seen.sum(axis=1)
    ordered = np.sort(np.where(seen[..., None], ways, np.inf), axis=1)
    middle = ordered[np.arange(len(ways)), np.maximum(count - 1, 0) // 2]
    return np.where(count[:, None] > 0, middle, 0).astype(np.float32)
