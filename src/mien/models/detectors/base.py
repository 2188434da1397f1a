"""What detectors share: their protocol, scales and tiles of large pictures, loading by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from mien import geometry, plugins
from mien.errors import ModelError
from mien.runtime import Compute
from mien.types import F32, U8, Faces
from mien.zoo import spec_of

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


@runtime_checkable
class LooksAgain(Protocol):
    """Looks only where faces were a moment ago, in a small part of the time that the whole picture takes."""

    def again(self, image: U8, faces: Faces) -> Faces:
        """The same faces (N) where they are now; a score of 0 where only a look at the whole picture can tell."""
        ...


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
    if max(image.shape[:2]) <= _TILE_SIDE:
        return detect(image)
    height, width = image.shape[:2]
    parts = []
    for y, x in product(_tile_starts(height), _tile_starts(width)):
        right, bottom = min(x + _TILE_SIDE, width), min(y + _TILE_SIDE, height)
        found = detect(image[y:bottom, x:right])
        at = np.array([x, y], np.float32)
        boxes = found.boxes + np.tile(at, 2)
        faces = replace(found, boxes=boxes, landmarks=found.landmarks + at)
        # Not those that the tile's inner borders cut.
        x1, y1, x2, y2 = boxes.T
        cut = ((x1 <= x) & (x > 0)) | ((y1 <= y) & (y > 0))
        cut |= ((x2 >= right) & (right < width)) | ((y2 >= bottom) & (bottom < height))
        parts.append(faces[np.asarray(~cut, np.bool_)])
    return together(parts)


def _tile_starts(length: int) -> range:
    return (
        range(0, max(1, length - _TILE_OVERLAP), _TILE_SIDE - _TILE_OVERLAP)
        if length > _TILE_SIDE
        else range(1)
    )


def together(parts: Sequence[Faces]) -> Faces:
    """All faces in one; with their angles where a part tells any."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
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


def boxes_only(boxes: F32, scores: F32) -> Faces:
    """Faces of a detector that gives boxes as dlib draws them and no landmarks: those of a mean face stand in."""
    return Faces(
        boxes, np.clip(scores, 0, 1).astype(np.float32), geometry.mean_landmarks(boxes)
    )


# What else a family of detectors reads.
SECOND_STAGES = {"compact": ("verifier", "angle", "points")}


def made_of(name: str) -> tuple[str, ...]:
    """What the answers of a detector come from: files of weights with the start of their SHA-256, of a detector from
    another package that package with its version.

    Raises:
        ModelError: Unknown.
    """
    theirs = plugins.named(plugins.DETECTORS, name)
    if theirs is not None and theirs.package != plugins.OWN:
        return (f"{name}@{theirs.package}-{theirs.version}",)
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
    part = plugins.named(plugins.DETECTORS, name)
    if part is None:
        spec_of(name)
        known = ", ".join(plugins.found(plugins.DETECTORS))
        raise ModelError(f"{name} is no detector; there are {known}")
    return part.make(min_face=min_face, compute=compute)  # type: ignore[no-any-return]
