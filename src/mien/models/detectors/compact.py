"""Our own detector: one network of YuNet's class proposes, a second one looks closer, a third says which way is up.

All are trained by training/detector.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np

from mien import geometry, store
from mien.models.detectors.angle import AngleNet, Turns
from mien.models.detectors.base import (
    MIN_FACE,
    AlignsBy,
    detect_at_scales,
    scaled_back,
    scales_for,
    together,
)
from mien.models.detectors.points import ExactPoints
from mien.models.detectors.verifier import Verifier, upright
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces, Mask
from mien.zoo import ModelSpec, spec_of

_STRIDES = np.array([8, 16, 32])  # pixels: of the first network's cells
_SAME_FACE = 0.6  # IoU of the boxes of two cells that see one face
_VOTERS = 0.5  # of the best cell's score: cells this sure also say where the face is
_AT_ONCE = 32  # faces beside each other whose overlaps with the cells near them are looked at together
_NOISE = math.radians(15)  # the exact landmarks come right from so far
_LIES = math.radians(30)  # from here on a face is turned upright before it is looked at
_STANDS = math.radians(45)
_SURE = 0.5  # of an angle, from which it counts
_PATCH, _PATCH_FACE = (
    96,
    40,
)  # pixels: of a picture of one face set upright, and of that face in it
_ZOOMS = (0.85, 1.18)  # times its size, at which the angle of one face is looked at too
_STEPS = (0.0, np.pi / 2, -np.pi / 2)  # of its angle, at which a likely face is tried
_OR_HEAD = np.array([0, np.pi], np.float32)  # or just the other way up
# Of a picture's side: that a face fills, lies off its middle.
_FILLS, _CENTRAL = 0.25, 0.17
# Times its size, at which a small picture is seen again where its face stays in doubt.
_OTHER_SIZES = (0.7, 1.4, 2.0)
_JUMPS = 0.2  # of its size (and the logarithm of that): a face that was followed goes no further
_MEETS = 0.3  # IoU of boxes of one face, found lying and found standing


class Compact:
    """An anchor-free detector with five landmarks on pictures of any size; its model card is weights/detector.md.

    Scores join those of both networks, 0 to 1: they order faces well and are no probabilities.
    """

    aligns_by: ClassVar[AlignsBy] = "landmarks"
    reliable = 16  # pixels: the smallest face it finds most of
    nms_threshold = 0.3
    proposal, clear = (
        0.2,
        0.9,
    )  # scores of the first network between which the second one looks closer
    any_angle = True  # also faces that lie or stand on their heads; off: none that leans by more than about 45 degrees
    # Score of the first network, from which a face that lies is looked for.
    faint = 0.12
    # Proposals that may lie: beside faces that stand, and where none does; of these, faces that are set upright.
    few, many = 4, 24
    dearer = 0.3  # of the way from the threshold to 1: a face that lies must be surer
    likely = 0.35  # sure of its angle: that a face stands
    # Sure of its angle, or so good a proposal: worth a closer look where nobody stands.
    hardly, plain = 0.25, 0.2
    # Score of the second network, from which what it sees upright is looked at by both: where nobody stands, and
    # where somebody does.
    maybe, rather = 0.2, 0.5
    near = 0.8  # part of the threshold from which the second network takes six views
    still = 0.5  # score of the second network, from which who was here is still here
    largest_side = 800  # pixels: in a larger picture a face that fills it is beyond the largest it was trained on
    whole_side = 480
    # The least score of a face that fills a small picture of nobody else: as it is, and
    # in the mean of its sizes.
    filling, filling_on_average = 0.54, 0.46
    cut_out = (
        320  # pixels: a picture up to this side may be a face that was cut out tight
    )

    def __init__(
        self,
        model: OnnxModel,
        verifier: Verifier,
        angle: AngleNet,
        points: ExactPoints,
        *,
        min_face: int = MIN_FACE,
        threshold: float,
    ) -> None:
        self.model = model
        self.verifier = verifier
        self.angle = angle
        self.points = points
        self.min_face = min_face
        self.threshold = threshold

    @classmethod
    def load(
        cls, spec: ModelSpec, *, min_face: int, compute: Compute | None = None
    ) -> Compact:
        model = OnnxModel(store.read(spec), spec.name, compute)
        return cls(
            model,
            Verifier.load(compute),
            AngleNet.load(compute),
            ExactPoints.load(compute),
            min_face=min_face,
            threshold=spec.threshold or 0.0,
        )

    def __call__(self, image: U8) -> Faces:
        small = max(image.shape[:2]) <= self.cut_out and self.any_angle
        detect = self._detect_in_cut_out if small else self.detect_once
        return detect_at_scales(
            detect, image, self.scales(image), nms=self.nms_threshold
        )

    def scales(self, image: U8) -> tuple[float, ...]:
        """Those every detector takes, and a last look at the whole, as small as in training, for faces that fill it."""
        scales = scales_for(image, min_face=self.min_face, reliable=self.reliable)
        side = max(image.shape[:2])
        return (
            scales
            if side * scales[-1] <= self.largest_side
            else (*scales, self.whole_side / side)
        )

    def _detect_in_cut_out(self, image: U8) -> Faces:
        """The faces of a small picture, which is seen once and as a whole; where there is none the face that fills it:
        what was cut out tight may be less sure."""
        cells = self._cells(image)
        faces = self._detect_in(image, cells)
        if len(faces):
            return faces
        faces = self._in_the_middle(image, cells)
        if len(faces) and faces.scores[0] < self.filling:
            faces = self._filling_on_average(image, faces)
        return self._set_straight(image, faces)[0]

    def _filling_on_average(self, image: U8, seen: Faces) -> Faces:
        """What was seen in the middle of a small picture, where it is surest, if other sizes on average show a face."""
        looks = [seen]
        for scale in _OTHER_SIZES:
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=way)
            sized = np.asarray(resized, np.uint8)
            face = self._in_the_middle(sized, self._cells(sized), scale=scale)
            looks.append(scaled_back(face, scale))
        faces = together(looks)
        if faces.scores.sum() < self.filling_on_average * len(looks):
            return faces[:0]
        return faces[np.argsort(-faces.scores, kind="stable")[:1]]

    def _in_the_middle(self, image: U8, cells: Faces, *, scale: float = 1.0) -> Faces:
        """What most likely is a face (1,) and fills the middle of a picture, `scale` times as large as it was given, by
        six looks; or none."""
        faces = self._proposed(cells, self.faint)
        middle = np.array(image.shape[1::-1], np.float32) / 2
        away = np.abs((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - middle)
        sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1, initial=0)
        least = max(_FILLS * 2 * middle.min(), self.min_face * scale)
        central = away.max(axis=1, initial=0) <= _CENTRAL * 2 * middle.max()
        faces = faces[np.asarray(central & (sides >= least), np.bool_)]
        first = self.verifier(image, faces.boxes)
        looks = self.verifier.steady(image, faces.boxes, first)
        faces = replace(faces, scores=joined(faces.scores, looks))
        return faces[np.argsort(-faces.scores, kind="stable")[:1]]

    def detect_once(self, image: U8) -> Faces:
        """The faces of the picture as it stands."""
        return self._detect_in(image, self._cells(image))

    def _detect_in(self, image: U8, cells: Faces) -> Faces:
        proposed = self._proposed(cells, self.proposal)
        faces = self._judged(image, proposed)
        if not self.any_angle:
            faces = faces[~self.angle.doubtful(image, faces.landmarks)]
            return self._exact(image, faces, quick=True)
        faces, turns = self._set_straight(image, faces)
        lies = (np.abs(turns.angles) > _LIES) & (turns.sure >= _SURE)
        leaning = self._lying(image, faces[lies], turns[lies], self.maybe)
        faces = together([faces[~_meet(faces, leaning)], leaning])
        stands = (np.abs(turns.angles) < _STANDS) & (turns.sure >= self.likely)
        if stands.any() or (len(faces) and not len(leaning)):
            rest = proposed[~_meet(proposed, faces)][: self.few]
            turns = self.angle(image, rest.boxes)
            sure = turns.sure >= _SURE
            lying = self._lying(image, rest[sure], turns[sure], self.rather)
            return together([faces, lying])
        lying = self._in_a_lying_picture(
            image, self._proposed(cells, self.faint, most=self.many)
        )
        return together([faces[~_meet(faces, lying)], lying])

    def again(self, image: U8, faces: Faces) -> Faces:
        """Faces (N) that were here a moment ago where they are now, without the first network.

        Their boxes go and grow with their landmarks. The score is 0, for only a look at the whole picture can tell,
        where these jump, or where the second network sees no face.
        """
        landmarks = self.points(image, faces.landmarks, quick=True)
        old, new = geometry.face_sizes(faces.landmarks), geometry.face_sizes(landmarks)
        grown = (new / np.maximum(old, 1e-3))[:, None]
        moved = (landmarks - faces.landmarks).mean(axis=1)
        middle = faces.landmarks.mean(axis=1)
        corners = faces.boxes.reshape(-1, 2, 2) - middle[:, None]
        boxes = corners * grown[:, None] + (middle + moved)[:, None]
        boxes = boxes.reshape(-1, 4).astype(np.float32)
        steady = np.hypot(*moved.T) < _JUMPS * old
        steady &= np.abs(np.log(np.maximum(grown[:, 0], 1e-3))) < _JUMPS
        steady &= self.verifier(image, boxes) >= self.still
        scores = np.where(steady, faces.scores, np.float32(0))
        return Faces(boxes, scores, landmarks)

    def _cells(self, image: U8) -> Faces:
        """Whatever cell of the first network sees something like a face."""
        padded = geometry.pad_to_multiple(image, 32)
        (cells,) = self.model(padded[None])
        size_wh = padded.shape[1], padded.shape[0]
        return decode(cells[0], size_wh, threshold=self.faint * _VOTERS)

    def _proposed(
        self, cells: Faces, least: float, *, most: int | None = None
    ) -> Faces:
        """What the first network takes for faces with this score or a better one, the `most` best of them."""
        return vote(cells, nms=self.nms_threshold, least=least, most=most)

    def _judged(self, image: U8, proposed: Faces) -> Faces:
        """Those of the proposed that the second network takes for faces, best first; what is clear already it takes for
        one unseen."""
        looks = np.ones(len(proposed), np.float32)
        doubtful = proposed.scores < self.clear
        looks[doubtful] = self.verifier(image, proposed.boxes[doubtful])
        near = doubtful & (joined(proposed.scores, looks) >= self.near * self.threshold)
        looks[near] = self.verifier.steady(image, proposed.boxes[near], looks[near])
        faces = replace(proposed, scores=joined(proposed.scores, looks))
        faces = faces[np.argsort(-faces.scores, kind="stable")]
        return faces[faces.scores >= self.threshold]

    def _lying(self, image: U8, seen: Faces, turns: Turns, least: float) -> Faces:
        """The faces among what is seen, each looked at when it is set upright, or just the other way up.

        A cheap look at each, of at least this score, says which of them are worth two of both networks.
        """
        if not len(seen):
            return Faces.empty()
        angles = _around(turns.angles[:, None] + _OR_HEAD)
        scores = self.verifier.turned(image, seen.boxes, angles)
        scores[np.abs(angles) <= _LIES] = 0
        best = scores.argmax(axis=1)
        rows = np.argsort(-scores.max(axis=1), kind="stable")[: self.few]
        found = [
            self._set_upright(image, seen.boxes[i], float(angles[i, best[i]]))
            for i in rows
            if scores[i, best[i]] >= least
        ]
        return together([Faces.empty(), *found])

    def _in_a_lying_picture(self, image: U8, seen: Faces) -> Faces:
        """The faces of a picture in which nobody stands upright; one that is found says which way up the others are."""
        turns = self.angle(image, seen.boxes)
        worth = (turns.sure >= self.hardly) | (seen.scores >= self.plain)
        lying = self._lying(image, seen[worth], turns[worth], self.maybe)
        if not len(lying):
            return lying
        surest = lying.landmarks[lying.scores.argmax()]
        others = self._all_turned(image, float(geometry.turns(surest[None])[0]))
        return together([lying, others[~_meet(others, lying)]])

    def _all_turned(self, image: U8, angle: float) -> Faces:
        """The faces of the whole picture set upright, where they are in the picture."""
        height, width = image.shape[:2]
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]], np.float32)
        size = np.ceil(np.abs(turn) @ (width, height)).astype(int)
        to_upright = np.column_stack(
            [turn, size / 2 - turn @ (width / 2, height / 2)]
        ).astype(np.float32)
        picture = cv2.warpAffine(
            image, to_upright, size.tolist(), borderMode=cv2.BORDER_REPLICATE
        )
        stands = np.asarray(picture, np.uint8)
        proposed = self._proposed(self._cells(stands), self.proposal)
        found = self._judged(stands, proposed)
        found = found[~self.angle.doubtful(stands, found.landmarks)]
        return _turned_back(self._exact(stands, found), to_upright)

    def _set_upright(self, image: U8, box: F32, angle: float) -> Faces:
        """The face in a box (4,) that is turned by about so many radians, or none.

        Set upright it shows where it is and how it still leans: so the second picture of it stands straight.
        """
        tried = (self._turned(image, box, angle + step) for step in _STEPS)
        rough = next((found for found in tried if len(found)), Faces.empty())
        lean = self.angle.leans(image, rough.landmarks, sizes=(1.0, *_ZOOMS))
        stands = np.abs(lean.angles) < _STANDS
        # What has no way up is no face, unless both networks are certain of it.
        rough = rough[stands & ((lean.sure >= _SURE) | (rough.scores >= self.clear))]
        if not len(rough):
            return rough
        angle = float(geometry.turns(rough.landmarks)[0] + lean.angles[0])
        found = self._turned(image, rough.boxes[0], angle)
        return self._exact(image, found if len(found) else rough)

    def _exact(self, image: U8, faces: Faces, *, quick: bool = False) -> Faces:
        """The faces with exact landmarks and their angles."""
        landmarks = self.points(image, faces.landmarks, quick=quick)
        return replace(faces, landmarks=landmarks, angles=geometry.degrees(landmarks))

    def _set_straight(self, image: U8, faces: Faces) -> tuple[Faces, Turns]:
        """The faces with exact landmarks and their angles, NaN where that is in doubt; and how far each is turned.

        Landmarks that surely lean are turned upright about their middle first.
        """
        leans = self.angle.steady(image, faces.landmarks, noise=_NOISE, sizes=_ZOOMS)
        around = _around(geometry.turns(faces.landmarks) + leans.angles)
        size = np.abs(leans.angles)
        lean = (size > _NOISE) & (size < _STANDS) & (leans.sure >= _SURE)
        straight = faces.landmarks.copy()
        straight[lean] = _turned_about_middle(straight[lean], leans.angles[lean])
        landmarks = self.points(image, straight)
        angles = geometry.degrees(landmarks)
        angles[leans.contradict] = np.nan
        faces = replace(faces, landmarks=landmarks, angles=angles)
        return faces, Turns(around, leans.sure)

    def _turned(self, image: U8, box: F32, angle: float) -> Faces:
        """The face that a box (4,) shows when it is turned by so many radians, in the picture's pixels; or none."""
        to_patch = upright(box, angle, size=_PATCH, face=_PATCH_FACE)
        patch = geometry.cut(image, to_patch, size=_PATCH)
        best = self._judged(
            patch, self._proposed(self._cells(patch), self.proposal, most=1)
        )
        sure = best.scores >= self.threshold + self.dearer * (1 - self.threshold)
        return _turned_back(best[sure], to_patch)


def _meet(faces: Faces, others: Faces) -> Mask:
    """Which faces (N,) lie where one of the others lies."""
    if not len(others):
        return np.zeros(len(faces), np.bool_)
    return np.asarray(
        geometry.iou(faces.boxes, others.boxes).max(axis=1) >= _MEETS, np.bool_
    )


def _turned_back(faces: Faces, to_upright: F32) -> Faces:
    """Faces found in what a map (2, 3) made of a picture, in that picture's pixels."""
    landmarks = geometry.transform(faces.landmarks, geometry.invert(to_upright))
    return replace(
        faces,
        boxes=geometry.head_boxes(landmarks),
        landmarks=landmarks,
        angles=geometry.degrees(landmarks),
    )


def _around(angles: F32) -> F32:
    """Radians between -pi and pi."""
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi, np.float32)


def _turned_about_middle(landmarks: F32, angles: F32) -> F32:
    """Landmarks (N, 5, 2) turned clockwise by angles (N,), radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    middle = landmarks.mean(axis=1, keepdims=True)
    moved = np.einsum("nij,npj->npi", turn, landmarks - middle) + middle
    return np.asarray(moved, np.float32)


def joined(first: F32, second: F32) -> F32:
    """One score of both networks' (N,): the second counts twice. Chosen on photos kept from both trainings."""
    return np.asarray(np.sqrt(second * np.sqrt(first)), np.float32)


def decode(cells: F32, size_wh: tuple[int, int], *, threshold: float) -> Faces:
    """What the cells (15, A) of one picture see whose score, 0 to 1, reaches the threshold.

    A cell says how sure it is (logit), where the middle of the face lies, the logarithms of its size, five points;
    the cells of stride 8 come first, then those of 16 and 32, row by row.
    """
    # Few of thousands see anything: only what these say is worked out.
    hits = np.flatnonzero(cells[0] >= math.log(threshold / (1 - threshold)))
    seen = cells[:, hits]
    columns, rows = size_wh[0] // _STRIDES, size_wh[1] // _STRIDES
    ends = (columns * rows).cumsum()
    level = np.searchsorted(ends, hits, "right")
    index, columns = hits - (ends - columns * rows)[level], columns[level]
    stride = _STRIDES[level].astype(np.float32)
    cell = np.stack([index % columns, index // columns]).astype(np.float32)
    centre, half = (seen[1:3] + cell) * stride, np.exp(seen[3:5]) * (stride / 2)
    boxes = np.concatenate([centre - half, centre + half]).T
    points = (seen[5:].reshape(5, 2, -1) + cell) * stride
    scores = 1 / (1 + np.exp(-seen[0]))
    return Faces(np.ascontiguousarray(boxes), scores, points.transpose(2, 0, 1))


def vote(cells: Faces, *, nms: float, least: float, most: int | None = None) -> Faces:
    """One face for all cells (N) that see it, best first: the best score, of at least `least`, and the place averaged
    by score, which is steadier than one cell's."""
    sure = cells[cells.scores >= least]
    best = sure[geometry.nms(sure.boxes, sure.scores, threshold=nms)[:most]]
    voters = cells[cells.scores >= least * _VOTERS]
    voters = voters[np.argsort(voters.boxes[:, 0], kind="stable")]
    # Of a large picture's thousands of cells only those are compared whose left sides are near enough to overlap so.
    reach = (1 / _SAME_FACE - 1) * (best.boxes[:, 2] - best.boxes[:, 0])
    low = np.searchsorted(voters.boxes[:, 0], best.boxes[:, 0] - reach, "left")
    high = np.searchsorted(voters.boxes[:, 0], best.boxes[:, 0] + reach, "right")
    boxes, landmarks = best.boxes.copy(), best.landmarks.copy()
    rows = np.argsort(best.boxes[:, 0], kind="stable")
    for some in (rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)):
        near = voters[slice(low[some].min(), high[some].max())]
        boxes[some], landmarks[some] = _mean_place(best[some], near)
    return Faces(boxes, best.scores, landmarks)


def _mean_place(faces: Faces, cells: Faces) -> tuple[F32, F32]:
    """Boxes (K, 4) and landmarks (K, 5, 2) averaged over the cells (N) that see the same faces (K)."""
    votes = geometry.iou(faces.boxes, cells.boxes) >= _SAME_FACE
    votes &= cells.scores >= _VOTERS * faces.scores[:, None]
    weights = np.where(votes, cells.scores, np.float32(0))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
    landmarks = weights @ cells.landmarks.reshape(-1, 10)
    return weights @ cells.boxes, landmarks.reshape(-1, 5, 2)


def load_compact(*, min_face: int, compute: Compute | None = None) -> Compact:
    return Compact.load(spec_of("compact"), min_face=min_face, compute=compute)
