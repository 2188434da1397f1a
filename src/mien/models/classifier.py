"""A classifier of your own: an .onnx file that carries its labels and its preprocessing in its metadata.

Metadata `labels` is a JSON list; `preprocessing` a JSON object with the fields of `Preprocessing`, all optional.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien import geometry
from mien.errors import ModelError
from mien.runtime import Compute, OnnxModel
from mien.types import AGE_GROUPS, F32, U8, Faces, Scores


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How crops are fed: `padding` is what of the face box's size stands around it; pixels 0 to 255 become
    (x - mean) / std in the order of `channels` ("rgb" or "bgr"); `layout` is "nhwc" or "nchw"."""

    size: int = 150
    padding: float = 0.25
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    channels: str = "rgb"
    layout: str = "nhwc"


class Classifier:
    """The stage that adds one attribute, by a model of the user's."""

    def __init__(self, model: OnnxModel, attribute: str) -> None:
        self.model = model
        self.attribute = attribute
        self.labels = labels_of(model)
        self.preprocessing = _preprocessing(model)

    @classmethod
    def load(cls, file: Path, attribute: str, compute: Compute | None = None) -> Classifier:
        """Reads a model file.

        Raises:
            ModelError: Unreadable, no network, or without labels.
        """
        try:
            data = file.read_bytes()
        except OSError as exc:
            raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
        return cls(OnnxModel(data, str(file), compute), attribute)

    def __call__(self, image: U8, faces: Faces) -> Faces:
        if not len(faces):
            return faces
        scores = Scores(self.labels, as_probabilities(self.model(self._crops(image, faces))[0]))
        return with_scores(faces, self.attribute, scores)

    def _crops(self, image: U8, faces: Faces) -> F32:
        how = self.preprocessing
        crops = aligned_crops(image, faces.landmarks, size=how.size, padding=how.padding)
        pixels = crops[..., ::-1] if how.channels == "rgb" else crops
        scaled = (pixels.astype(np.float32) - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2) if how.layout == "nchw" else scaled)


def aligned_crops(image: U8, landmarks: F32, *, size: int, padding: float) -> U8:
    """Upright square pictures (N, size, size, 3) of faces by their five landmarks (N, 5, 2)."""
    unit = (geometry.CHIP_LANDMARKS - geometry.CHIP_FACE[0]) / (geometry.CHIP_FACE[1] - geometry.CHIP_FACE[0])
    template = ((unit + padding) / (1 + 2 * padding) * size).astype(np.float32)
    crops = [cv2.warpAffine(image, matrix, (size, size)) for matrix in geometry.similarity(landmarks, template)]
    return np.asarray(crops, dtype=np.uint8)


def as_probabilities(outputs: F32) -> F32:
    """Rows that sum to 1: as they are if they do, else through softmax."""
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return outputs.astype(np.float32)
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def with_scores(faces: Faces, attribute: str, scores: Scores) -> Faces:
    """The faces with what a model tells of them.

    Raises:
        ModelError: It tells ages by labels that are neither years nor the eight age groups.
    """
    return _with_age(faces, scores) if attribute == "age" else faces.with_attributes(**{attribute: scores})


def _with_age(faces: Faces, scores: Scores) -> Faces:
    """Labels that are numbers are years: their mean is the age; the eight groups are an age group."""
    if scores.labels == AGE_GROUPS:
        return faces.with_attributes(age_group=scores)
    try:
        years = np.array([float(label) for label in scores.labels], dtype=np.float32)
    except ValueError as exc:
        raise ModelError("an age model's labels must be years (0, 1, 2, …) or the eight age groups") from exc
    return replace(faces, ages=(scores.probs @ years).astype(np.float32))


def labels_of(model: OnnxModel) -> tuple[str, ...]:
    """The class names that a model file carries.

    Raises:
        ModelError: It carries none.
    """
    labels = _json(model, "labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ModelError(f"{model.name} carries no labels: a model file holds them as a JSON list in its metadata")
    return tuple(labels)


def _preprocessing(model: OnnxModel) -> Preprocessing:
    given: Mapping[str, Any] = _json(model, "preprocessing") or {}
    known = {field.name for field in fields(Preprocessing)}
    try:
        chosen: dict[str, Any] = {key: value for key, value in given.items() if key in known}
        return Preprocessing(**chosen)
    except (TypeError, AttributeError) as exc:
        raise ModelError(f"{model.name} carries preprocessing that cannot be read: {exc}") from exc


def _json(model: OnnxModel, key: str) -> Any:
    try:
        return json.loads(model.metadata.get(key, "null"))
    except ValueError as exc:
        raise ModelError(f"{model.name}: its metadata {key!r} is no JSON") from exc
