"""Which frames of a film are worth enrolling: one face in them, sharp, and unlike each other."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mien.errors import NoFaceError
from mien.gallery import Photo
from mien.gallery.weights import medoid
from mien.geometry import l2_distances
from mien.pipeline import Analyzer, in_foreground, photo_of
from mien.sources import open_source
from mien.types import F32, I64, U8, Frame

MOST = 6  # photos of one film
CAMERA_S = 6.0  # for how long a camera is looked through
_EVERY_S = 0.2  # between two frames that are looked at
_FRAMES = 1_500  # at most: five minutes of a film
_CANDIDATES = 24  # kept in memory at a time
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclass(frozen=True, slots=True)
class _Take:
    image: U8
    time_s: float
    photo: Photo

    @classmethod
    def of(cls, analyzer: Analyzer, frame: Frame) -> _Take | None:
        """A frame with one face that is worth it; None else."""
        faces = analyzer.detector(frame.image)
        faces = faces[in_foreground(faces.landmarks)]
        if len(faces) != 1:
            return None
        described = analyzer.embed(frame.image, faces)
        photo = photo_of(frame.image, described, b"", source="")
        return None if photo.poor else cls(frame.image, frame.time_s, photo)

    def photo_of(self, name: str) -> Photo:
        """The photo with the frame itself as its content."""
        content = bytes(cv2.imencode(".jpg", self.image, _JPEG)[1].tobytes())
        sha256 = hashlib.sha256(content).hexdigest()
        source = f"{name} at {self.time_s:.1f} s.jpg"
        return replace(self.photo, content=content, sha256=sha256, source=source)

    @classmethod
    def all_of(
        cls, analyzer: Analyzer, frames: Iterable[Frame], seconds: float
    ) -> list[_Take]:
        """The frames that could be taken, the most varied of them where there are many."""
        takes: list[_Take] = []
        looked, first_s, due_s = 0, None, -math.inf
        for frame in frames:
            first_s = frame.time_s if first_s is None else first_s
            if frame.time_s - first_s > seconds or looked == _FRAMES:
                break
            if frame.time_s < due_s:
                continue
            due_s, looked = frame.time_s + _EVERY_S, looked + 1
            take = cls.of(analyzer, frame)
            if take is not None:
                takes.append(take)
            if len(takes) >= 2 * _CANDIDATES:
                takes = _chosen(takes, _CANDIDATES, apart=0.0)
        return takes


def best_photos(
    analyzer: Analyzer, uri: str | int, *, seconds: float = math.inf
) -> list[Photo]:
    """The best frames of a film or a camera (its number) as `Gallery.enroll` takes them, those alike left out.

    Raises:
        SourceError: It cannot be opened.
        NoFaceError: No frame shows one face well enough.
    """
    with open_source(uri) as frames:
        takes = _Take.all_of(analyzer, frames, seconds)
    name = f"camera {uri}" if isinstance(uri, int) else uri
    if not takes:
        raise NoFaceError(
            f"no frame of {name} shows one face large and sharp; come nearer, alone, in more light"
        )
    # Of the person who is seen most: others may pass through the picture.
    rows = analyzer.space.kept(_rows(takes))
    away = l2_distances(rows, rows[medoid(rows)][None])[:, 0]
    far = away > analyzer.space.stranger
    chosen = _chosen(
        [take for take, other in zip(takes, far, strict=True) if not other],
        MOST,
        apart=analyzer.space.euclidean(analyzer.space.duplicate) / 2,
    )
    return [take.photo_of(name) for take in sorted(chosen, key=lambda t: t.time_s)]


def _rows(takes: list[_Take]) -> F32:
    return np.stack([take.photo.embedding for take in takes])


def _chosen(takes: list[_Take], most: int, *, apart: float) -> list[_Take]:
    """The best take, then again and again the one that is best and least like those chosen; none nearer than
    `apart` to one of them."""
    worth = np.array([take.photo.quality for take in takes])
    distances = l2_distances(_rows(takes), _rows(takes))
    order: I64 = np.array([worth.argmax()])
    while len(order) < min(most, len(takes)):
        nearest = distances[:, order].min(axis=1)
        best = int((nearest * worth).argmax())
        if nearest[best] <= apart:
            break
        order = np.append(order, best)
    return [takes[i] for i in order.tolist()]
