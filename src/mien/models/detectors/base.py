"""Detectors: a picture in, the boxes and five landmarks of its faces out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from mien import geometry, plugins, store
from mien.dlib_models import hog, mmod
from mien.errors import ModelError
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces, Mask
from mien.zoo import ModelSpec, spec_of

AlignsBy = Literal["box", "landmarks"]

MIN_FACE = 40
_CHEAP_SIDE = 1280  # pictures up to this long a side are looked at as they are, once
_OVERVIEW_SIDE = 640
_TILE_SIDE, _TILE_OVERLAP = 2048, 256
_SMALLEST_SIDE = 4  # of a picture in which a detector looks for a face


class Detector(Protocol):
    """Finds faces. `aligns_by` says what of its answer is to be trusted for alignment: the box (drawn as dlib draws it,
    the landmarks are then those of a mean face) or the landmarks. One that knows which way up faces are gives their
    `angles`, NaN where a face stands otherwise than its landmarks say; of the others' faces that is asked anew.

    Example:
        >>> found = analyzer.detector(image)
        >>> found.boxes.shape, found.landmarks.shape
        ((1, 4), (1, 5, 2))
    """

    @property
    def aligns_by(self) -> AlignsBy: ...

    def __call__(self, image: U8) -> Faces:
        """The faces of a picture (H, W, 3) uint8 BGR, best first."""
        ...


# What a detector may have besides, so that streams, which ask for less than it gives by itself, can say so.


@runtime_checkable
class HasThreshold(Protocol):
    """The smallest score of a face; of 0 or below there is none to lower."""

    threshold: float


@runtime_checkable
class HasLeastFace(Protocol):
    """The smallest face it looks for, pixels."""

    min_face: int


@runtime_checkable
class HasReliableSize(HasLeastFace, Protocol):
    """The smallest face, in pixels of what it sees, that it finds most of."""

    @property
    def reliable(self) -> int: ...


@runtime_checkable
class FindsAnyAngle(Protocol):
    """Whether it looks for faces that lie or stand on their heads."""

    any_angle: bool


def scales_for(image: U8, *, min_face: int, reliable: int) -> tuple[float, ...]:
    """The scales at which to look at a picture so that faces from `min_face` pixels up to its whole size are found.

    `reliable` is the smallest face the detector finds most of, in pixels. A large picture is looked at twice: as small
    as `min_face` allows, and once more as a whole for faces too large for the detector at that scale.
    """
    side = max(image.shape[:2])
    fine = min(1.0, max(reliable / min_face, _CHEAP_SIDE / side))
    return (fine,) if side * fine <= _CHEAP_SIDE else (fine, _OVERVIEW_SIDE / side)


def detect_at_scales(
    detect: Callable[[U8], Faces], image: U8, scales: Sequence[float], *, nms: float
) -> Faces:
    """What `detect` finds in the picture at all scales, in the picture's own pixels, best first."""
    parts = [
        scaled_back(_detect_in_tiles(detect, geometry.shrink(image, scale)), scale)
        for scale in scales
    ]
    faces = together(parts)
    return faces[geometry.nms(faces.boxes, faces.scores, threshold=nms)]


def _detect_in_tiles(detect: Callable[[U8], Faces], image: U8) -> Faces:
    """What `detect` finds in a picture, a large one tile by tile, so that memory stays bounded.

    Of two tiles that overlap one sees a face whole; faces too large for that are left to the look at the whole.
    """
    if min(image.shape[:2]) < _SMALLEST_SIDE:
        return Faces.empty()
    height, width = image.shape[:2]
    corners = [(x, y) for y in _tile_starts(height) for x in _tile_starts(width)]
    return together([_in_tile(detect, image, x, y) for x, y in corners])


def _tile_starts(length: int) -> range:
    return (
        range(0, max(1, length - _TILE_OVERLAP), _TILE_SIDE - _TILE_OVERLAP)
        if length > _TILE_SIDE
        else range(1)
    )


def _in_tile(detect: Callable[[U8], Faces], image: U8, x: int, y: int) -> Faces:
    """The faces of one tile in the picture's pixels, without those that its inner borders cut."""
    height, width = image.shape[:2]
    right, bottom = min(x + _TILE_SIDE, width), min(y + _TILE_SIDE, height)
    found = detect(image[y:bottom, x:right])
    at = np.array([x, y], np.float32)
    faces = replace(
        found, boxes=found.boxes + np.tile(at, 2), landmarks=found.landmarks + at
    )
    x1, y1, x2, y2 = faces.boxes.T
    cut = ((x1 <= x) & (x > 0)) | ((y1 <= y) & (y > 0))
    cut |= ((x2 >= right) & (right < width)) | ((y2 >= bottom) & (bottom < height))
    kept: Mask = ~cut
    return faces[kept]


def together(parts: Sequence[Faces]) -> Faces:
    """All faces in one; with their angles where a part tells any."""
    boxes, scores, landmarks = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("boxes", "scores", "landmarks")
    )
    if all(part.angles is None for part in parts):
        return Faces(boxes, scores, landmarks)
    angles = [
        geometry.degrees(part.landmarks) if part.angles is None else part.angles
        for part in parts
    ]
    return Faces(boxes, scores, landmarks, angles=np.concatenate(angles))


def scaled_back(faces: Faces, scale: float) -> Faces:
    """Faces found in a picture of this scale, in pixels of the picture itself."""
    return replace(
        faces,
        boxes=faces.boxes / np.float32(scale),
        landmarks=faces.landmarks / np.float32(scale),
    )


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
            self._run, image, min_face=self.min_face, threshold=self.threshold
        )
        return boxes_only(boxes.astype(np.float32), scores)

    def _run(self, canvas: F32) -> F32:
        return np.asarray(self.model(canvas)[0], dtype=np.float32)


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


class Yunet:
    """YuNet (Wu et al. 2023) of opencv_zoo, on pictures of any size."""

    aligns_by: ClassVar[AlignsBy] = "landmarks"
    reliable = 16  # pixels: the smallest face it finds most of
    nms_threshold = 0.3

    def __init__(
        self, model: OnnxModel, *, min_face: int = MIN_FACE, threshold: float = 0.6
    ) -> None:
        self.model = model
        self.min_face = min_face
        self.threshold = threshold

    @classmethod
    def load(
        cls, spec: ModelSpec, *, min_face: int, compute: Compute | None = None
    ) -> Yunet:
        data = store.derived(spec, free_input_size, version=1)
        model = OnnxModel(data, spec.name, compute)
        return cls(model, min_face=min_face, threshold=spec.threshold or 0.0)

    def __call__(self, image: U8) -> Faces:
        scales = scales_for(image, min_face=self.min_face, reliable=self.reliable)
        return detect_at_scales(
            self._detect_once, image, scales, nms=self.nms_threshold
        )

    def _detect_once(self, image: U8) -> Faces:
        blob = (
            geometry.pad_to_multiple(image, 32)
            .transpose(2, 0, 1)[None]
            .astype(np.float32)
        )
        maps = dict(zip(self.model.outputs, self.model(blob), strict=True))
        return Faces(
            *decode_yunet(maps, blob.shape[3], blob.shape[2], threshold=self.threshold)
        )


def decode_yunet(
    maps: dict[str, F32], width: int, height: int, *, threshold: float
) -> tuple[F32, F32, F32]:
    """Boxes (N, 4) xyxy, scores (N,) and landmarks (N, 5, 2) in pixels from the network's twelve outputs."""
    parts = [
        _decode_stride(maps, s, width // s, height // s, threshold) for s in (8, 16, 32)
    ]
    boxes, scores, landmarks = (
        np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)
    )
    return boxes, scores, landmarks


def _decode_stride(
    maps: dict[str, F32], stride: int, columns: int, rows: int, threshold: float
) -> tuple[F32, F32, F32]:
    scores = np.sqrt(
        np.clip(maps[f"cls_{stride}"], 0, 1) * np.clip(maps[f"obj_{stride}"], 0, 1)
    ).reshape(-1)
    hits = np.flatnonzero(scores[: rows * columns] >= threshold)
    cells = np.stack([hits % columns, hits // columns], axis=1).astype(np.float32)
    box = maps[f"bbox_{stride}"].reshape(-1, 4)[hits]
    centre, half = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
    landmarks = (
        maps[f"kps_{stride}"].reshape(-1, 5, 2)[hits] + cells[:, None]
    ) * stride
    return (
        np.concatenate([centre - half, centre + half], axis=1),
        scores[hits],
        landmarks,
    )


def free_input_size(data: bytes) -> bytes:
    """The same network with its batch, height and width set free."""
    import onnx

    graph_model = onnx.load_model_from_string(data)
    for tensor in graph_model.graph.input:
        for axis, label in ((2, "height"), (3, "width")):
            tensor.type.tensor_type.shape.dim[axis].dim_param = label
    for tensor in graph_model.graph.output:
        tensor.type.tensor_type.shape.dim[1].dim_param = (
            "cells_" + tensor.name.rpartition("_")[2]
        )
    del graph_model.graph.value_info[:]
    return bytes(graph_model.SerializeToString())


def boxes_only(boxes: F32, scores: F32) -> Faces:
    """Faces of a detector that gives boxes as dlib draws them and no landmarks: those of a mean face stand in."""
    return Faces(
        boxes, np.clip(scores, 0, 1).astype(np.float32), geometry.mean_landmarks(boxes)
    )


def load_hog(*, min_face: int, compute: Compute | None = None) -> Detector:
    return Hog.load(spec_of("hog"), min_face=min_face, compute=compute)


def load_mmod(*, min_face: int, compute: Compute | None = None) -> Detector:
    return Mmod.load(spec_of("mmod"), min_face=min_face, compute=compute)


def load_yunet(*, min_face: int, compute: Compute | None = None) -> Detector:
    return Yunet.load(spec_of("yunet"), min_face=min_face, compute=compute)


# What else a family of detectors reads.
SECOND_STAGES = {"compact": ("verifier", "angle", "points")}


def made_of(name: str) -> tuple[str, ...]:
    """What the answers of a detector come from: files of weights with the start of their SHA-256, of a detector from
    another package that package with its version.

    Raises:
        ModelError: Unknown.
    """
    theirs = plugins.found(plugins.DETECTORS).get(name)
    if theirs is not None and theirs.package != plugins.OWN:
        version = theirs.entry.dist.version if theirs.entry.dist else ""
        return (f"{name}@{theirs.package}-{version}",)
    names = (name, *SECOND_STAGES.get(spec_of(name).family, ()))
    return tuple(f"{one}@{spec_of(one).sha256[:12]}" for one in names)


def load_detector(
    name: str, *, min_face: int = MIN_FACE, compute: Compute | None = None
) -> Detector:
    """A detector by its name, ours or a package's.

    Raises:
        ModelError: Unknown, not a detector, or its weights are not on this machine.
        PluginError: The package that offers it cannot be loaded.
    """
    parts = plugins.found(plugins.DETECTORS)
    if name not in parts:
        spec_of(name)
        raise ModelError(f"{name} is no detector; there are {', '.join(parts)}")
    return parts[name].load()(min_face=min_face, compute=compute)  # type: ignore[no-any-return]
