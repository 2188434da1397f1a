"""Whose faces are covered, and how one knows whose they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.blur.generous import MIN_FACE, GenerousDetector
from mien.errors import InputError
from mien.gallery import Gallery
from mien.models.detectors.compact import Compact, load_compact
from mien.pipeline import Analyzer, Identify
from mien.runtime import Compute
from mien.text import did_you_mean
from mien.types import U8, Faces, Mask


@dataclass(frozen=True)
class Whom:
    """Whose faces are covered: everyone's, everyone's but these people's, or only theirs; or only of people unknown.

    A face nobody can name is never spared where people are to be spared.
    """

    spared: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    unknown: bool = False

    @property
    def by_name(self) -> bool:
        """Whether it matters who somebody is."""
        return bool(self.spared) or self.only is not None or self.unknown

    @property
    def in_doubt(self) -> bool:
        """Whether a face is covered that may be anybody's."""
        return self.only is None

    def covers(self, name: str | None) -> bool:
        """Whether the face of this person is covered; None is nobody who is enrolled."""
        if self.only is not None:
            return name in self.only
        if self.unknown:
            return name is None
        return name not in self.spared

    def check(self, gallery: Gallery) -> None:
        """Refuses names that nobody bears.

        Raises:
            InputError: Such a name.
        """
        names = [person.name for person in gallery.people()]
        for name in sorted(self.spared | (self.only or frozenset())):
            if name not in names:
                raise InputError(
                    f"nobody in the gallery is called {name!r}{did_you_mean(name, names)}"
                )


class FaceFinder:
    """Finds the faces that may have to be covered: rather one too many than one too few.

    Args:
        whom: Whose are covered.
        analyzer: Tells who somebody is; needed where names matter.
        compute: Where the networks run.
    """

    def __init__(
        self,
        whom: Whom,
        analyzer: Analyzer | None = None,
        *,
        compute: Compute | None = None,
    ) -> None:
        self.whom = whom
        self.analyzer = analyzer
        shared = None if analyzer is None else analyzer.detector
        if not isinstance(shared, Compact):
            shared = load_compact(min_face=MIN_FACE, compute=compute)
        self.detector = GenerousDetector(shared)
        gallery = None if analyzer is None else analyzer.gallery
        if whom.by_name and (analyzer is None or gallery is None):
            raise InputError("whose face it is, only a gallery tells: give one")
        if whom.by_name and gallery is not None:
            whom.check(gallery)

    def covered(self, image: U8) -> Faces:
        """The faces of a photo that are to be covered."""
        faces = self.detector(image)
        if not self.whom.by_name or not len(faces):
            return faces
        covers = [self.whom.covers(name) for name in self.names(image, faces)]
        return faces[np.array(covers, np.bool_)]

    def names(self, image: U8, faces: Faces) -> tuple[str | None, ...]:
        """Who the detected faces are."""
        if self.analyzer is None or self.analyzer.gallery is None:
            return (None,) * len(faces)
        sure: Mask = ~self.analyzer.doubtful(image, faces)
        told = self.analyzer.embed(image, faces[sure])
        identify = Identify(self.analyzer.gallery, tolerance=self.analyzer.tolerance)
        named = faces.told_by(identify(image, told), sure)
        return named.matches.names if named.matches else (None,) * len(faces)
