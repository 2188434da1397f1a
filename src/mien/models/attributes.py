"""Age, gender and emotion from the inner maps of dlib's face ResNet, by small heads of our own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mien import store
from mien.runtime import Compute, OnnxModel
from mien.types import AGE_GROUP_STARTS, AGE_GROUPS, F32, Faces, Scores
from mien.zoo import ModelSpec, spec_of

GENDERS = ("female", "male")
EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
_AGES = np.arange(101, dtype=np.float32)


class AttributeHeads:
    """Reads the heads: `only` names those wanted of "age", "gender", "emotion"."""

    def __init__(self, model: OnnxModel, *, only: frozenset[str] = frozenset({"age", "gender", "emotion"})) -> None:
        self.model = model
        self.wanted = tuple(name for name in ("age", "gender", "emotion") if name in only)

    @classmethod
    def load(cls, only: frozenset[str], compute: Compute | None = None) -> AttributeHeads:
        spec: ModelSpec = spec_of("attributes")
        return cls(OnnxModel(store.read(spec), spec.name, compute), only=only)

    def __call__(self, faces: Faces, map_128: F32, map_256: F32) -> Faces:
        """The faces (with embeddings) and what the heads make of map_128 (N, 128, 8, 8) and map_256 (N, 256, 4, 4)."""
        if faces.embeddings is None:
            raise ValueError("the heads read the descriptors too: run the trunk first")
        probs = dict(zip(self.wanted, self.model(map_128, map_256, faces.embeddings, outputs=self.wanted), strict=True))
        if "age" in probs:
            faces = add_age(faces, probs["age"])
        if "gender" in probs:
            faces = faces.with_attributes(gender=Scores(GENDERS, probs["gender"]))
        if "emotion" in probs:
            faces = faces.with_attributes(emotion=Scores(EMOTIONS, probs["emotion"]))
        return faces


def add_age(faces: Faces, probs: F32) -> Faces:
    """The faces with `ages` and "age_group" from a distribution over the ages 0 to 100 (N, 101)."""
    groups = np.add.reduceat(probs, AGE_GROUP_STARTS, axis=1)
    aged = replace(faces, ages=(probs @ _AGES).astype(np.float32))
    return aged.with_attributes(age_group=Scores(AGE_GROUPS, groups.astype(np.float32)))
