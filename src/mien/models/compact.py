"""Our own detector: one network of YuNet's class proposes, a second one looks closer; trained by training/detector."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from mien import geometry, store
from mien.models.detectors import MIN_FACE, Anchor, detect_at_scales, scales_for
from mien.models.verifier import Verifier
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces
from mien.zoo import ModelSpec

_SAME_FACE = 0.6  # IoU of the boxes of two cells that see one face
_VOTERS = 0.5  # of the best cell's score: cells this sure also say where the face is
_AT_ONCE = 256  # faces whose overlaps with all cells are held in memory


class Compact:
    """An anchor-free detector with five landmarks on pictures of any size; its model card is weights/detector.md.

    Scores join those of both networks, 0 to 1: they order faces well and are no probabilities.
    """

    anchor: ClassVar[Anchor] = "landmarks"
    reliable = 16  # pixels: the smallest face it finds most of
    nms_threshold = 0.3
    proposal, clear = 0.2, 0.9  # scores of the first network between which the second one looks closer
    near = 0.8  # part of the threshold from which the second network looks six times
    largest_side = 800  # pixels: in a larger picture a face that fills it is beyond the largest it was trained on
    whole_side = 480

    def __init__(
        self, model: OnnxModel, verifier: Verifier, *, min_face: int = MIN_FACE, threshold: float = 0.64
    ) -> None:
        self.model = model
        self.verifier = verifier
        self.min_face = min_face
        self.threshold = threshold

    @classmethod
    def load(cls, spec: ModelSpec, *, min_face: int, compute: Compute | None = None) -> Compact:
        model = OnnxModel(store.read(spec), spec.name, compute)
        return cls(model, Verifier.load(compute), min_face=min_face, threshold=spec.threshold or 0.0)

    def __call__(self, image: U8) -> Faces:
        return detect_at_scales(self.look, image, self.scales(image), nms=self.nms_threshold)

    def scales(self, image: U8) -> tuple[float, ...]:
        """Those every detector takes, and a last look at the whole, as small as in training, for faces that fill it."""
        scales = scales_for(image, min_face=self.min_face, reliable=self.reliable)
        side = max(image.shape[:2])
        return scales if side * scales[-1] <= self.largest_side else (*scales, self.whole_side / side)

    def look(self, image: U8) -> Faces:
        """The faces of the picture as it stands, best first."""
        boxes, scores, landmarks = self.model(geometry.pad_to_multiple(image, 32)[None])
        seen = decode(boxes[0], scores[0], landmarks[0], threshold=self.proposal * _VOTERS)
        proposed = vote(seen, nms=self.nms_threshold)
        proposed = proposed[proposed.scores >= self.proposal]
        faces = replace(proposed, scores=joined(proposed.scores, self._look_closer(image, proposed)))
        faces = faces[np.argsort(-faces.scores, kind="stable")]
        return faces[faces.scores >= self.threshold]

    def _look_closer(self, image: U8, proposed: Faces) -> F32:
        """The second network's scores (N,): 1 for what is clear already."""
        scores = np.ones(len(proposed), np.float32)
        doubtful = proposed.scores < self.clear
        scores[doubtful] = self.verifier(image, proposed.boxes[doubtful])
        near = doubtful & (joined(proposed.scores, scores) >= self.near * self.threshold)
        scores[near] = self.verifier.steady(image, proposed.boxes[near])
        return scores


def joined(first: F32, second: F32) -> F32:
    """One score of both networks' (N,): the closer look counts twice. Chosen on photos kept from both trainings."""
    return np.asarray(np.sqrt(second * np.sqrt(first)), np.float32)


def decode(boxes: F32, scores: F32, landmarks: F32, *, threshold: float) -> Faces:
    """The cells (A, 4), (A,), (A, 5, 2) of one picture whose score reaches the threshold."""
    hits = np.flatnonzero(scores >= threshold)
    return Faces(boxes[hits], scores[hits], landmarks[hits])


def vote(seen: Faces, *, nms: float) -> Faces:
    """One face for all cells (N) that see it: the best score, the place averaged by score; steadier than one cell."""
    best = geometry.nms(seen.boxes, seen.scores, threshold=nms)
    parts = [best[i : i + _AT_ONCE] for i in range(0, len(best), _AT_ONCE)]
    places = [_mean_place(seen[part], seen) for part in parts]
    boxes = np.concatenate([boxes for boxes, _ in places]) if places else seen.boxes[:0]
    landmarks = np.concatenate([points for _, points in places]) if places else seen.landmarks[:0]
    return Faces(boxes, seen.scores[best], landmarks)


def _mean_place(faces: Faces, seen: Faces) -> tuple[F32, F32]:
    """Boxes (K, 4) and landmarks (K, 5, 2) averaged over the cells (N) that see the same faces (K)."""
    votes = geometry.iou(faces.boxes, seen.boxes) >= _SAME_FACE
    votes &= seen.scores >= _VOTERS * faces.scores[:, None]
    weights = np.where(votes, seen.scores, np.float32(0))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
    return weights @ seen.boxes, np.einsum("kn,npd->kpd", weights, seen.landmarks)
