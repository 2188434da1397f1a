"""Which of the faces that are seen are kept as unknown: good looks at people whom the gallery does not know."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mien import geometry
from mien.attribute import IDENTITY
from mien.errors import InputError
from mien.gallery.unknown import Sighting
from mien.media.images import thumbnail
from mien.quality import quality
from mien.text import printable, shown
from mien.types import U8, Faces, Frame, FrameResult, Mask

G = TypeVar("G")

if TYPE_CHECKING:
    from mien.gallery.unknown import UnknownFaces

# Of smaller or more blurred faces too little is left: strangers come to look alike.
LEAST_SIZE = 32  # pixels
LEAST_QUALITY = 0.3

_AGAIN_S = 10.0  # seconds of a stream after which somebody who is still there is kept once more


def who_is_known(gallery: G | None, only: Collection[str]) -> G:
    """The gallery that tells who is known, and so who is to be kept as unknown.

    Raises:
        InputError: There is no gallery, or who somebody is, is not asked.
    """
    if gallery is None or IDENTITY not in only:
        raise InputError(
            "keeping unknown faces (--keep-unknown, keep_unknown) needs a gallery, and identity among --only, "
            "to tell who is known"
        )
    return gallery


class UnknownCollector:
    """Keeps unknown faces for `days`; safe to share between threads.

    Args:
        unknown: Where they are kept.
        days: After so many days they are deleted.
        tolerance: The largest distance at which a face is somebody of the gallery.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        unknown: UnknownFaces,
        *,
        days: float,
        tolerance: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.unknown = unknown
        self.days = days
        self.tolerance = tolerance
        self.clock = clock

    def keep(self, image: U8, faces: Faces, *, source: str) -> int:
        """Keeps the unknown faces of one picture; returns how many."""
        return self.add(image, faces[self.wanted(image, faces)], source=source)

    def add(
        self,
        image: U8,
        faces: Faces,
        *,
        source: str,
        visits: Mapping[int, str] | None = None,
    ) -> int:
        """Keeps faces of one picture without asking whether they are worth it; returns how many. `visits` says which
        visit each track belongs to."""
        if not len(faces):
            return 0
        sightings = self._sightings(image, faces, source)
        if visits is not None and faces.track_ids is not None:
            tracks = faces.track_ids.tolist()
            sightings = [
                replace(sighting, visit=visits.get(track, ""))
                for sighting, track in zip(sightings, tracks, strict=True)
            ]
        return self.unknown.add(sightings)

    def stream(self) -> StreamCollector:
        """The same for the frames of one stream."""
        return StreamCollector(self)

    def sweep(self) -> int:
        """Deletes what is older than `days`; returns how many faces went."""
        return self.unknown.sweep(days=self.days)

    def wanted(self, image: U8, faces: Faces) -> Mask:
        """Which faces (N,) nobody owns and are good enough to be told apart."""
        if not len(faces) or faces.embeddings is None:
            return np.zeros(len(faces), np.bool_)
        wanted = np.isfinite(faces.embeddings).all(axis=1) & (
            geometry.face_sizes(faces.landmarks) >= LEAST_SIZE
        )
        if faces.matches is not None:
            named = np.array(
                [name is not None for name in faces.matches.names], np.bool_
            )
            wanted &= ~named & ~(
                faces.matches.distances <= self.tolerance
            )  # NaN where the gallery is empty
        if wanted.any():
            wanted &= quality(image, faces.boxes, faces.landmarks) >= LEAST_QUALITY
        return np.asarray(wanted, np.bool_)

    def _sightings(self, image: U8, faces: Faces, source: str) -> list[Sighting]:
        if faces.embeddings is None:
            raise ValueError("only described faces can be kept")
        photo = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        weights = quality(image, faces.boxes, faces.landmarks)
        now = self.clock()
        until = now + self.days * 86_400
        return [
            Sighting(
                row,
                photo,
                printable(shown(source)),
                now,
                until,
                float(weight),
                thumbnail(image, box),
            )
            for row, box, weight in zip(
                faces.embeddings, faces.boxes, weights, strict=True
            )
        ]


class StreamCollector:
    """Keeps the unknown faces of one stream: everybody once, and again while they stay, so that hours of one person
    do not become thousands of faces. Not safe to share between threads."""

    def __init__(self, collector: UnknownCollector) -> None:
        self.collector = collector
        self._kept_s: dict[int, float] = {}

    def keep(
        self,
        frame: Frame,
        result: FrameResult,
        visits: Mapping[int, str] | None = None,
    ) -> int:
        """Keeps who is due of one frame; returns how many. With `visits`, by track, nobody else is kept."""
        tracks = result.faces.track_ids
        if tracks is None:
            return 0
        self._kept_s = {
            track: at
            for track, at in self._kept_s.items()
            if frame.time_s - at < _AGAIN_S
        }
        due = result.faces[
            np.array(
                [
                    track not in self._kept_s and (visits is None or track in visits)
                    for track in tracks.tolist()
                ],
                np.bool_,
            )
        ]
        kept = due[self.collector.wanted(frame.image, due)]
        if len(kept) and kept.track_ids is not None:
            self._kept_s |= dict.fromkeys(kept.track_ids.tolist(), frame.time_s)
        return self.collector.add(
            frame.image, kept, source=result.source, visits=visits
        )
