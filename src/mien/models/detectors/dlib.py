"""dlib's two detectors, without dlib: HOG and MMOD."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from mien import store
from mien.dlib_models import hog, mmod
from mien.models.detectors.base import (
    MIN_FACE,
    AlignsBy,
    Detector,
    boxes_only,
)
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces
from mien.zoo import ModelSpec, spec_of


class Mmod:
    """dlib's CNN detector (max-margin object detection, King 2015), without dlib; slow, and sure of what it finds.

    Boxes are dlib's, corners inclusive; scores are its confidences cut to 0 to 1.
    """

    aligns_by: ClassVar[AlignsBy] = "box"

    def __init__(
        self, model: OnnxModel, *, min_face: int = MIN_FACE, threshold: float = 0.0
    ) -> None:
        self.model = model
        self.min_face = min_face
        self.threshold = threshold

    @classmethod
    def load(
        cls, spec: ModelSpec, *, min_face: int, compute: Compute | None = None
    ) -> Mmod:
        data = store.derived(spec, lambda raw: mmod.to_onnx(raw, spec.name), version=1)
        model = OnnxModel(data, spec.name, compute)
        return cls(model, min_face=min_face, threshold=spec.threshold or 0.0)

    def __call__(self, image: U8) -> Faces:
        boxes, scores = mmod.detect(
            lambda canvas: np.asarray(self.model(canvas)[0], np.float32),
            image,
            min_face=self.min_face,
            threshold=self.threshold,
        )
        return boxes_only(boxes.astype(np.float32), scores)


class Hog:
    """dlib's frontal face detector (HOG, King 2013), without dlib: upright faces that look at the camera, and quick.

    Boxes are dlib's, corners inclusive; scores are its own cut to 0 to 1.
    """

    aligns_by: ClassVar[AlignsBy] = "box"

    def __init__(
        self, model: OnnxModel, *, min_face: int = MIN_FACE, threshold: float = 0.0
    ) -> None:
        self.model = model
        self.min_face = min_face
        self.threshold = threshold

    @classmethod
    def load(
        cls, spec: ModelSpec, *, min_face: int, compute: Compute | None = None
    ) -> Hog:
        data = store.derived(spec, lambda raw: hog.to_onnx(hog.loads(raw)), version=1)
        return cls(
            OnnxModel(data, spec.name, compute),
            min_face=min_face,
            threshold=spec.threshold or 0.0,
        )

    def __call__(self, image: U8) -> Faces:
        upsample = max(0, math.ceil(math.log2(hog.MIN_FACE / self.min_face)))
        boxes, scores, _ = hog.detect(
            self.score, image[:, :, ::-1], upsample=upsample, threshold=self.threshold
        )
        return boxes_only(boxes.astype(np.float32), scores)

    def score(self, features: F32) -> F32:
        """The filters' answers, as `mien.dlib_models.hog.detect` wants them."""
        return np.asarray(self.model(features)[0], dtype=np.float32)


def load_hog(*, min_face: int, compute: Compute | None = None) -> Detector:
    return Hog.load(spec_of("hog"), min_face=min_face, compute=compute)


def load_mmod(*, min_face: int, compute: Compute | None = None) -> Detector:
    return Mmod.load(spec_of("mmod"), min_face=min_face, compute=compute)
