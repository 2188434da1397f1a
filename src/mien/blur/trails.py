"""Where every face of a film is, in every frame: sights joined to trails, followed forwards and backwards.

A detector loses faces that turn away, blink past or hide behind a hand, and whoever stops a film there sees them. So a
trail goes on before its first sight and after its last one, by optical flow, for as long as a cut does not end it.
"""

from __future__ import annotations

import secrets
from array import array
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from mien import geometry
from mien.tracking import flow
from mien.types import F32, U8, Faces, Frame
from mien.zoo import spec_of

_SIDE = 480  # pixels of the small pictures that flow is read from
_HOLD_S = 1.0  # a trail goes on without a sight, at both ends and in between
_WEAK_HOLD_S = 0.2  # the same for what was never sure to be a face
_MOST_PAST = 256  # frames remembered for that, however little time they say has passed
# Score of a sight that makes a trail one of a face for sure.
_SURE = spec_of("compact").threshold or 0.0
_OFTEN = 8  # sights that do as well
_SAME, _NEAR = (
    0.2,
    0.5,
)  # IoU, or distance in sizes, up to which a sight belongs to a trail
_POINTS = np.stack(np.meshgrid(*[[-0.2, 0.0, 0.2]] * 2), -1).reshape(
    -1, 2
)  # of a face's size about its middle


@dataclass(frozen=True, slots=True)
class Small:
    """A frame as flow sees it: grey, of small size."""

    grey: U8
    thumb: U8
    scale: float
    time_s: float

    @classmethod
    def of(cls, frame: Frame) -> Small:
        scale = min(1.0, _SIDE / max(frame.image.shape[:2]))
        small = geometry.shrink(frame.image, scale)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        return cls(grey, flow.thumbnail(grey), scale, frame.time_s)

    def is_cut_from(self, before: Small) -> bool:
        """Whether it shows another scene than the frame before."""
        other_shape = before.grey.shape != self.grey.shape
        return other_shape or flow.is_cut(before.thumb, self.thumb)


@dataclass(slots=True)
class Trail:
    """One face through a film: a box in every frame from `start` on, without a gap.

    `seed` is that of its noise; `sights` are the times at which a detector saw it, `last` the number of the last such
    frame; `names` are the times at which it was asked who it is, and the answers.
    """

    start: int
    seed: int = field(default_factory=lambda: secrets.randbits(64))
    sights: list[float] = field(default_factory=list)
    names: list[tuple[float, str | None]] = field(default_factory=list)
    named_s: float = float("-inf")
    best: float = 0.0
    last: int = 0
    _boxes: array[float] = field(default_factory=lambda: array("f"))

    @property
    def end(self) -> int:
        """The number of the first frame it is not in."""
        return self.start + len(self._boxes) // 4

    @property
    def sure(self) -> bool:
        """Whether this is surely a face."""
        return self.best >= _SURE or len(self.sights) >= _OFTEN

    @property
    def hold_s(self) -> float:
        """How long it goes on without a sight."""
        return _HOLD_S if self.sure else _WEAK_HOLD_S

    def box(self, index: int) -> F32:
        """The box (4,) in a frame."""
        at = 4 * (index - self.start)
        return np.array(self._boxes[at : at + 4], np.float32)

    def wide_box(self, index: int) -> F32:
        """The box (4,) that also holds those of the frames beside: nothing shows where a face is quick."""
        near = range(max(self.start, index - 1), min(self.end, index + 2))
        boxes = np.stack([self.box(i) for i in near])
        return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])

    def see(self, index: int, time_s: float, box: F32, score: float) -> None:
        """A detector saw it in this frame. Where it was only followed before, it may also have come straight here."""
        self._put(index, box)
        if self.sights and index - self.last > 1:
            ways = np.linspace(0, 1, index - self.last + 1)[1:-1, None]
            first = self.box(self.last)
            for i, way in zip(range(self.last + 1, index), ways, strict=True):
                here, straight = self.box(i), (1 - way) * first + way * box
                # The box around both.
                top = np.minimum(here[:2], straight[:2])
                bottom = np.maximum(here[2:], straight[2:])
                self._put(i, np.concatenate([top, bottom]))
        self.sights.append(time_s)
        self.best, self.last = max(self.best, score), index

    def follow(self, index: int, box: F32) -> None:
        """It was followed to here."""
        self._put(index, box)

    def before(self, box: F32) -> None:
        """It was followed back by one more frame."""
        self._boxes = array("f", box.tolist()) + self._boxes
        self.start -= 1

    def _put(self, index: int, box: F32) -> None:
        at = 4 * (index - self.start)
        self._boxes[at : at + 4] = array("f", np.asarray(box, np.float32).tolist())


class TrailFinder:
    """Joins the sights of one film's frames, given in their order, to trails."""

    def __init__(self) -> None:
        self.trails: list[Trail] = []
        self.live: list[Trail] = []
        self._past: deque[Small] = deque(maxlen=_MOST_PAST)

    def step(self, frame: Frame, faces: Faces) -> list[Trail]:
        """Takes what a detector saw in a frame; gives the trail of each face."""
        now = Small.of(frame)
        if self._past and now.is_cut_from(self._past[-1]):
            self._past.clear()
            self.live = []
        self._follow(now, frame.index)
        found = [
            self._begun(frame, now, box, float(score)) if trail is None else trail
            for trail, box, score in zip(
                self._joined(frame, faces), faces.boxes, faces.scores, strict=True
            )
        ]
        self._past.append(now)
        while now.time_s - self._past[0].time_s > _HOLD_S:
            self._past.popleft()
        return found

    def _follow(self, now: Small, index: int) -> None:
        """Moves the live trails to the new frame; those not seen for too long end."""
        self.live = [
            trail
            for trail in self.live
            if now.time_s - trail.sights[-1] <= trail.hold_s
        ]
        if not self.live or not self._past:
            return
        boxes = np.stack([trail.box(index - 1) for trail in self.live])
        moved = _moved(self._past[-1], now, boxes)
        for trail, box in zip(self.live, moved, strict=True):
            trail.follow(index, box)

    def _joined(self, frame: Frame, faces: Faces) -> list[Trail | None]:
        """The live trail that each face continues, nearest first; None where there is none."""
        found: list[Trail | None] = [None] * len(faces)
        if not self.live or not len(faces):
            return found
        boxes = np.stack([trail.box(frame.index) for trail in self.live])
        # 0 where two boxes cannot be of one face.
        overlap = geometry.iou(boxes, faces.boxes)
        sizes = np.maximum(_side(boxes)[:, None], _side(faces.boxes)[None])
        away = (
            np.linalg.norm(_centre(boxes)[:, None] - _centre(faces.boxes)[None], axis=2)
            / sizes
        )
        near = np.clip(_NEAR - away, 0, None) * 0.1
        likeness = np.where(overlap >= _SAME, overlap, near).astype(np.float32)
        while likeness.max() > 0:
            row, column = np.unravel_index(likeness.argmax(), likeness.shape)
            likeness[row], likeness[:, column] = 0, 0
            trail = self.live[row]
            trail.see(
                frame.index,
                frame.time_s,
                faces.boxes[column],
                float(faces.scores[column]),
            )
            found[column] = trail
        return found

    def _begun(self, frame: Frame, now: Small, box: F32, score: float) -> Trail:
        """A new trail, followed back to where the face came from."""
        trail = Trail(frame.index)
        trail.see(frame.index, frame.time_s, box, score)
        after = now
        for before in reversed(self._past):
            if frame.time_s - before.time_s > trail.hold_s:
                break
            box = _moved(after, before, box[None])[0]
            trail.before(box)
            after = before
        self.trails.append(trail)
        self.live.append(trail)
        return trail


def _moved(before: Small, after: Small, boxes: F32) -> F32:
    """Boxes (N, 4) of one frame where they are in another; where flow is lost they stay."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    points = centres[:, None] + _POINTS * sizes[:, None, None]
    scale = np.float32(before.scale)
    shift = flow.follow(
        before.grey,
        after.grey,
        (points * scale).astype(np.float32),
        (sizes * scale).astype(np.float32),
    )
    by = np.where(shift.steady[:, None], shift.by / scale, 0)
    return np.asarray(boxes + np.tile(by, 2), np.float32)


def _side(boxes: F32) -> F32:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1), np.float32)


def _centre(boxes: F32) -> F32:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float32)
