"""A classifier of your own: an .onnx file that carries its labels and its preprocessing in its metadata.

Metadata `labels` is a JSON list; `preprocessing` a JSON object with the fields of `Preprocessing`, all optional.
A face is looked at once, or twelve times: the whole, its corners and its centre, each also mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien import geometry
from mien.attribute import Attribute
from mien.errors import InputError, ModelError
from mien.models.attributes.heads import described
from mien.runtime import Compute, OnnxModel
from mien.text import from_json
from mien.types import F32, I64, U8, Faces, Scores

CROP_COUNTS = (1, 12)
_CHOICES = {
    "channels": ("rgb", "bgr"),
    "layout": ("nhwc", "nchw"),
    "crop": ("aligned", "box"),
    "sampling": ("centre", "corner"),
}
_AROUND = (
    256 / 227
)  # how much wider than one crop the picture is whose corners are looked at
_PASS = 32  # pictures that go through the network at once


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How faces are cut out and fed.

    `crop` is "aligned" (a square, upright by the landmarks) or "box" (the face's box, cut at the border of the
    photo; its sides may differ, the network sees a square). `padding` is what of the face box's size stands around it;
    `padding_px` (with "box") is in pixels and comes on top. The crop is brought to `resize` pixels first (0: straight
    to `size`), bilinear, between pixel centres or, as TensorFlow 1 does, between pixel corners (`sampling` "centre" or
    "corner"). Pixels 0 to 255 become (x - mean) / std in the order of `channels` ("rgb" or "bgr"); with `standardize`
    each picture then has mean 0 and deviation 1. `layout` is "nhwc" or "nchw".

    Raises:
        ValueError: A choice is unknown, or the sizes do not fit.
    """

    size: int = 150
    padding: float = 0.25
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    channels: str = "rgb"
    layout: str = "nhwc"
    crop: str = "aligned"
    padding_px: int = 0
    resize: int = 0
    sampling: str = "centre"
    standardize: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}"
                )
        if self.size < 1 or (self.resize and self.resize < self.size):
            raise ValueError(
                f"size {self.size} and resize {self.resize} do not fit: resize is 0 or at least size"
            )

    @classmethod
    def of(cls, model: OnnxModel) -> Preprocessing:
        """What the file says of how pictures are fed."""
        given: Mapping[str, Any] = _json(model, "preprocessing") or {}
        known = {field.name for field in fields(Preprocessing)}
        try:
            chosen: dict[str, Any] = {
                key: value for key, value in given.items() if key in known
            }
            return cls(**chosen)
        except (TypeError, AttributeError, ValueError) as exc:
            raise ModelError(
                f"{model.name} carries preprocessing that cannot be read: {exc}"
            ) from exc


class Classifier:
    """The stage that adds one attribute, by a model of the user's.

    Args:
        model: The network, with its metadata.
        name: What it tells, a built-in attribute or a new one.
        crops: 1, or 12: the whole, four corners and the centre, each also mirrored, their probabilities averaged.

    Raises:
        InputError: `crops` is neither.
        ModelError: The network carries no labels, or preprocessing that cannot be read.
    """

    def __init__(self, model: OnnxModel, name: str, crops: int = 1) -> None:
        self.model = model
        self.crops = check_crops(crops)
        self.labels = labels_of(model)
        self.attribute = described(name, self.labels)
        self.preprocessing = Preprocessing.of(model)

    @classmethod
    def load(
        cls, file: Path, name: str, compute: Compute | None = None, *, crops: int = 1
    ) -> Classifier:
        """Reads a model file.

        Raises:
            ModelError: Unreadable, no network, or without labels.
        """
        return cls(read_model(file, compute), name, crops)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return (self.attribute,)

    def __call__(self, image: U8, faces: Faces) -> Faces:
        if not len(faces):
            return faces.with_attributes(
                Scores(self.attribute, np.zeros((0, self.attribute.size), np.float32))
            )
        step = max(1, _PASS // self.crops)
        parts = [
            self._probabilities(image, faces[i : i + step])
            for i in range(0, len(faces), step)
        ]
        return faces.with_attributes(Scores(self.attribute, np.concatenate(parts)))

    def _probabilities(self, image: U8, faces: Faces) -> F32:
        """One row of probabilities (N, K) per face, the mean over its crops."""
        how = self.preprocessing
        crops: Sequence[U8]
        if how.crop == "box":
            crops = box_crops(
                image, faces.boxes, padding=how.padding, padding_px=how.padding_px
            )
        else:
            side = _side(how, self.crops)
            crops = list(
                aligned_crops(image, faces.landmarks, size=side, padding=how.padding)
            )
        views = [crops_of(crop, how, crops=self.crops) for crop in crops]
        probs = as_probabilities(self.model(feed(np.concatenate(views), how))[0])
        return np.asarray(
            probs.reshape(len(faces), self.crops, -1).mean(axis=1), dtype=np.float32
        )


def read_model(file: Path, compute: Compute | None = None) -> OnnxModel:
    """The network in a model file.

    Raises:
        ModelError: Unreadable, or no network.
    """
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
    return OnnxModel(data, str(file), compute)


def check_crops(crops: int) -> int:
    """The number of crops.

    Raises:
        InputError: It is neither 1 nor 12.
    """
    if crops not in CROP_COUNTS:
        raise InputError(f"crops: 1 or 12, got {crops}")
    return crops


def _side(how: Preprocessing, crops: int) -> int:
    """The side of the picture that crops are taken of; twelve need one wider than themselves."""
    return how.resize or (how.size if crops == 1 else round(how.size * _AROUND))


def crops_of(crop: U8, how: Preprocessing, *, crops: int) -> F32:
    """Crops (`crops`, size, size, 3) at one crop, BGR 0 to 255: the whole, then corners and centre, mirrored ones after
    their originals."""
    picture = bilinear(crop, _side(how, crops), sampling=how.sampling)
    whole = bilinear(picture, how.size, sampling=how.sampling)
    if crops == 1:
        return whole[None]
    free = len(picture) - how.size
    places = ((0, 0), (0, free), (free, 0), (free, free), (free // 2, free // 2))
    views = [whole, *(picture[y : y + how.size, x : x + how.size] for y, x in places)]
    return np.stack([side for view in views for side in (view, view[:, ::-1])])


def feed(pictures: F32, how: Preprocessing) -> F32:
    """Pictures (N, size, size, 3), BGR 0 to 255, as the network wants them."""
    pixels = pictures[..., ::-1] if how.channels == "rgb" else pictures
    scaled = np.asarray(
        (pixels - np.array(how.mean, np.float32)) / np.array(how.std, np.float32),
        dtype=np.float32,
    )
    if how.standardize:
        scaled = standardized(scaled)
    return np.ascontiguousarray(
        scaled.transpose(0, 3, 1, 2) if how.layout == "nchw" else scaled,
        dtype=np.float32,
    )


def standardized(pictures: F32) -> F32:
    """Pictures (N, H, W, 3), each with mean 0 and deviation 1 over all its values (TensorFlow's
    `per_image_standardization`)."""
    values = pictures.reshape(len(pictures), -1).astype(np.float64)
    deviation = np.maximum(
        values.std(axis=1, keepdims=True), 1 / np.sqrt(values.shape[1])
    )
    centred = (values - values.mean(axis=1, keepdims=True)) / deviation
    return np.asarray(centred.reshape(pictures.shape), dtype=np.float32)


def bilinear(image: U8 | F32, size: int, *, sampling: str) -> F32:
    """The picture (H, W, C) as a square of `size` pixels, its aspect not kept.

    `sampling` "centre" lays pixel centres on each other (OpenCV, Caffe), "corner" the top left ones (TensorFlow 1).
    """
    if image.shape[:2] == (size, size):
        return image.astype(np.float32)
    rows, columns = (
        _between(image.shape[0], size, sampling),
        _between(image.shape[1], size, sampling),
    )
    left, right = (
        image[:, columns[0]].astype(np.float32),
        image[:, columns[1]].astype(np.float32),
    )
    across = left + (right - left) * columns[2][:, None]
    top, bottom = across[rows[0]], across[rows[1]]
    return np.asarray(top + (bottom - top) * rows[2][:, None, None], dtype=np.float32)


def _between(length: int, size: int, sampling: str) -> tuple[I64, I64, F32]:
    """For each of `size` samples the two pixels it lies between, and how far from the first."""
    step, steps = np.float32(length / size), np.arange(size, dtype=np.float32)
    at = steps * step if sampling == "corner" else (steps + 0.5) * step - 0.5
    at = np.clip(at, 0, length - 1).astype(np.float32)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, length - 1), (at - low).astype(np.float32)


def box_crops(
    image: U8, boxes: F32, *, padding: float, padding_px: int = 0
) -> list[U8]:
    """What boxes (N, 4) show with `padding` of their size and `padding_px` pixels around, cut at the border."""
    height, width = image.shape[:2]
    around = padding * (boxes[:, 2:] - boxes[:, :2]) + padding_px
    low = np.rint(boxes[:, :2] - around).clip(0, [width - 1, height - 1])
    high = np.rint(boxes[:, 2:] + around).clip(low + 1, [width, height])
    corners = np.concatenate([low, high], axis=1).astype(np.int64)
    return [image[y1:y2, x1:x2] for x1, y1, x2, y2 in corners]


def aligned_crops(image: U8, landmarks: F32, *, size: int, padding: float) -> U8:
    """Upright square pictures (N, size, size, 3) of faces by their five landmarks (N, 5, 2)."""
    unit = (geometry.CHIP_LANDMARKS - geometry.CHIP_FACE[0]) / (
        geometry.CHIP_FACE[1] - geometry.CHIP_FACE[0]
    )
    template = ((unit + padding) / (1 + 2 * padding) * size).astype(np.float32)
    crops = [
        cv2.warpAffine(image, matrix, (size, size))
        for matrix in geometry.similarity(landmarks, template)
    ]
    return np.asarray(crops, dtype=np.uint8)


def as_probabilities(outputs: F32) -> F32:
    """Rows that sum to 1: as they are if they do, else through softmax."""
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return outputs.astype(np.float32)
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def labels_of(model: OnnxModel) -> tuple[str, ...]:
    """The class names that a model file carries.

    Raises:
        ModelError: It carries none.
    """
    labels = _json(model, "labels")
    if (
        not isinstance(labels, list)
        or not labels
        or not all(isinstance(label, str) for label in labels)
    ):
        raise ModelError(
            f"{model.name} carries no labels: a model file holds them as a JSON list in its metadata"
        )
    return tuple(labels)


def _json(model: OnnxModel, key: str) -> Any:
    try:
        return from_json(model.metadata.get(key, "null"))
    except ValueError as exc:
        raise ModelError(f"{model.name}: its metadata {key!r} is no JSON") from exc
