"""Faces cut upright, then one pass for the descriptor that tells who it is and one for what it looks like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien import geometry, store
from mien.attribute import Attribute
from mien.dlib_models import chip, landmarks, resnet
from mien.models.attributes.heads import EMOTION_FEATURES, EmotionNet, TraitHeads
from mien.models.backbone_head import BackboneHead
from mien.models.detectors.base import AlignsBy, made_of
from mien.runtime import Compute, OnnxModel, in_chunks
from mien.space import EmbeddingSpace
from mien.types import F32, I64, U8, Faces, Scores
from mien.zoo import DLIB, ZOO, spec_of

# Raise it when detectors or aligner make something else of the same weights.
_VERSION = 9
# A mean of two views lies nearer to others than one: distances shrink. Of CACD-VS's folds 0 to 4 the smallest step of
# 0.01 with which no more strangers than with one view are nearer than 0.6 (benchmarks/pairs.py).
_OF_TWO = 1.02
_LEANS = 0.45  # radians from upright from which the predictor is shown an upright copy
_SHARPEST = 300  # pixels: side of the largest face in such a copy
_DLIB_EYES = (
    (2, 3),
    (0, 1),
)  # dlib's five points: image-right eye's outer and inner corner, image-left's, nose base


class Aligner:
    """Cuts faces upright into dlib's 150-pixel chips, by dlib's five points found inside each face's box."""

    def __init__(
        self, predictor: landmarks.ShapePredictor, *, aligns_by: AlignsBy
    ) -> None:
        self.predictor = predictor
        self.aligns_by = aligns_by

    @classmethod
    def load(cls, aligns_by: AlignsBy) -> Aligner:
        return cls(load_predictor("dlib_landmarks_5"), aligns_by=aligns_by)

    def points(self, image: U8, faces: Faces) -> F32:
        """dlib's five points (N, 5, 2), pixels."""
        if self.aligns_by == "box":
            return landmarks.predict(self.predictor, image, _inclusive(faces.boxes))
        boxes = geometry.square_boxes(faces.landmarks)
        points = landmarks.predict(self.predictor, image, _inclusive(boxes))
        for row in np.flatnonzero(np.abs(geometry.turns(faces.landmarks)) > _LEANS):
            # dlib's five points (5, 2) of a face that lies or stands on its head: its predictor knows upright ones
            five = faces.landmarks[row]
            side = int(np.clip(geometry.face_sizes(five[None])[0], 1, _SHARPEST))
            box = np.array([[0.5, 0.5, 1.5, 1.5]], np.float32) * side
            to_patch = geometry.similarity(five, geometry.mean_landmarks(box)[0])
            patch = geometry.cut(image, to_patch, size=2 * side)
            found = landmarks.predict(self.predictor, patch, _inclusive(box))[0]
            points[row] = geometry.transform(found, geometry.invert(to_patch))
        return points

    def __call__(self, image: U8, faces: Faces) -> tuple[U8, Faces]:
        """The chips (N, 150, 150, 3) uint8 BGR, and the faces with landmarks at least as good as they had."""
        points = self.points(image, faces)
        chips = chip.cut_chips(image, points)
        if self.aligns_by == "landmarks":
            return chips, faces
        # Eyes are the middle of their corners; nose and mouth follow from a mean face laid on the eyes and nose base.
        eyes = np.stack(
            [points[:, list(corners)].mean(axis=1) for corners in _DLIB_EYES], axis=1
        )
        seen = np.concatenate([eyes, points[:, 4:5]], axis=1)
        to_image = geometry.invert(geometry.similarity(seen, _CHIP_SEEN))
        rest = geometry.transform(
            np.broadcast_to(geometry.CHIP_LANDMARKS[2:], (len(points), 3, 2)), to_image
        )
        return chips, replace(
            faces, landmarks=np.concatenate([eyes, rest], axis=1).astype(np.float32)
        )

    @staticmethod
    def mirrored(image: U8, faces: Faces) -> U8:
        """Another view (N, 150, 150, 3) of each face: cut by its own five landmarks, and mirrored."""
        to_chip = geometry.similarity(faces.landmarks, geometry.CHIP_LANDMARKS)
        views = [
            geometry.cut(image, move, size=geometry.CHIP_SIZE)[:, ::-1]
            for move in to_chip
        ]
        return np.array(views, np.uint8).reshape(
            -1, geometry.CHIP_SIZE, geometry.CHIP_SIZE, 3
        )


def _inclusive(boxes: F32) -> I64:
    return np.rint(boxes).astype(np.int64)


# dlib's five template points in the 150-pixel chip (get_face_chip_details), its eyes reduced to their middles.
_CHIP_SEEN = np.array([[46.7, 45.2], [103.4, 45.1], [75.1, 85.1]], dtype=np.float32)


def load_predictor(name: str) -> landmarks.ShapePredictor:
    """One of dlib's shape predictors, converted once and kept in the cache."""
    spec = spec_of(name)
    data = store.derived(
        spec,
        lambda raw: landmarks.dumps(landmarks.read_shape_predictor(raw, spec.name)),
        version=1,
    )
    return landmarks.loads(data, spec.name)


def load_resnet(compute: Compute | None = None) -> OnnxModel:
    """dlib's face ResNet, converted once and kept in the cache."""
    spec = spec_of("dlib_resnet")
    data = store.derived(spec, lambda raw: resnet.to_onnx(raw, spec.name), version=1)
    return OnnxModel(data, spec.name, compute)


def load_backbone(*, compute: Compute | None = None) -> FaceBackbone:
    """dlib's face ResNet as an embedder by itself, for faces whose landmarks can be trusted."""
    return FaceBackbone(load_resnet(compute), Aligner.load("landmarks"))


def described_by(detector: str, *, min_face: int, embedder: Sequence[str] = ()) -> str:
    """What decides the descriptors of a picture, as a few letters: every file of weights, the smallest face looked for,
    this code. What is kept of them is kept under it. `embedder` is what another embedder than dlib's is made of."""
    threshold = ZOO[detector].threshold if detector in ZOO else None
    ours = [spec_of(name).sha256 for name in ("dlib_landmarks_5", "dlib_resnet")]
    decides = [_VERSION, min_face, threshold, *made_of(detector), *ours, *embedder]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]


Head = BackboneHead | TraitHeads


class FaceBackbone:
    """The stage that aligns faces and looks at them: dlib's face ResNet tells who they are, `net` what they feel like.

    Adds `embeddings` (N, 128), not L2-normalised: distances mean what they mean in dlib (0.6 decides), the emotion of
    `net`, and what `heads`, ours and the user's, read from the passes of both. A still face is described by the mean of
    two views: dlib's own cut, and the mirrored cut by its landmarks, and so is what it looks like; `fast` takes the
    first alone.
    """

    def __init__(
        self,
        model: OnnxModel,
        aligner: Aligner,
        net: EmotionNet | None = None,
        heads: Sequence[Head] = (),
        *,
        fast: bool = False,
    ) -> None:
        self.model = model
        self.aligner = aligner
        self.net = net
        self.heads = tuple(heads)
        self.fast = fast

    @property
    def space(self) -> EmbeddingSpace:
        """Of the embeddings."""
        return DLIB

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What is told."""
        ours = () if self.net is None else self.net.attributes
        return (
            *ours,
            *(attribute for head in self.heads for attribute in head.attributes),
        )

    @property
    def quick(self) -> tuple[Head, ...]:
        """The heads that do without the ResNet."""
        return tuple(
            head for head in self.heads if set(head.reads) == {EMOTION_FEATURES}
        )

    def __call__(self, image: U8, faces: Faces) -> Faces:
        if not len(faces):
            return self._nobody(
                replace(faces, embeddings=np.zeros((0, DLIB.size), np.float32))
            )
        return self.describe(*self._views(image, faces, two=not self.fast))

    def observe(self, image: U8, faces: Faces, times_seen: I64) -> Faces:
        """The faces of a stream, each in one view: the two take turns, by how often (N,) a face was looked at."""
        if not len(faces):
            return self(image, faces)
        chips, faces = self.aligner(image, faces)
        odd = np.flatnonzero(times_seen % 2)
        chips[odd] = self.aligner.mirrored(image, faces[odd])
        return self.describe(chips, faces)

    def describe(self, chips: U8, faces: Faces) -> Faces:
        """The faces with what their chips (N, 150, 150, 3) tell; behind these a second view of each may follow."""
        faces, answers = self._told(chips, faces, self.heads, {resnet.EMBEDDING})
        first, second = np.split(answers[resnet.EMBEDDING], [len(faces)])
        mean = (
            np.asarray((first + second) * (_OF_TWO / 2), np.float32)
            if len(second)
            else first
        )
        return replace(faces, embeddings=mean)

    def tell(self, image: U8, faces: Faces, *, still: bool = True) -> Faces:
        """The faces with their attributes and without descriptors: the ResNet runs only if a head reads it.

        Those of a stream are not `still`: one view of each is enough.
        """
        return self._told_of(image, faces, self.heads, two=still and not self.fast)

    def glance(self, image: U8, faces: Faces) -> Faces:
        """The faces with what changes from moment to moment: the ResNet never runs."""
        return self._told_of(image, faces, self.quick, two=False)

    def _told_of(
        self, image: U8, faces: Faces, heads: tuple[Head, ...], *, two: bool
    ) -> Faces:
        if not len(faces):
            return self._nobody(faces)
        if self.net is None and not heads and self.aligner.aligns_by == "landmarks":
            return faces
        return self._told(*self._views(image, faces, two=two), heads, set())[0]

    def _views(self, image: U8, faces: Faces, *, two: bool) -> tuple[U8, Faces]:
        """The chips of faces, behind them, where two views are wanted, the second ones."""
        chips, faces = self.aligner(image, faces)
        return (
            np.concatenate([chips, self.aligner.mirrored(image, faces)])
            if two
            else chips
        ), faces

    def _nobody(self, faces: Faces) -> Faces:
        """No faces, with every column."""
        none = (
            Scores(attribute, np.zeros((0, attribute.size), np.float32))
            for attribute in self.attributes
        )
        return faces.with_attributes(*none)

    def _told(
        self, chips: U8, faces: Faces, heads: tuple[Head, ...], wanted: set[str]
    ) -> tuple[Faces, dict[str, F32]]:
        """The faces with their attributes, and the networks' answers: those `wanted` and those that the heads read."""
        answers = {} if self.net is None else self.net.answers(chips)
        missing = sorted(wanted.union(*(head.reads for head in heads)) - answers.keys())
        if missing:
            answers |= zip(
                missing, in_chunks(self.model, chips, outputs=missing), strict=True
            )
        if self.net is not None:
            faces = self.net.told(faces, answers)
        for head in heads:
            faces = head(faces, answers)
        return faces, answers
