"""The space that an embedder's descriptors live in: the one place that knows its size, its measure and its bounds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.attribute import F32
from mien.errors import InputError

F64 = NDArray[np.float64]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it stands in names of files


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What the descriptors of one embedder are, and which distances mean what.

    All distances are in the space's own measure. Descriptors of a cosine space are kept at unit length, where the
    Euclidean distance orders like the cosine's, so that one search serves both.

    Args:
        name: Of the embedder; galleries are bound to it.
        size: Numbers of a descriptor.
        metric: "euclidean", or "cosine": 1 - cos of the angle.
        tolerance: Two descriptors nearer than this are one person.
        linkage: The mean distance at which two groups of strangers are one person.
        duplicate: Two descriptors nearer than this are nearly the same picture.

    Raises:
        InputError: The name is none, the size is no size, the metric unknown, or a bound is not positive.
    """

    name: str
    size: int
    metric: Literal["euclidean", "cosine"]
    tolerance: float
    linkage: float
    duplicate: float

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f"{self.name!r} cannot name an embedder: take up to 64 letters, digits and . _ -")
        if self.metric not in ("euclidean", "cosine"):
            raise InputError(f"the metric of {self.name} is {self.metric!r}; there are euclidean and cosine")
        if self.size < 1 or min(self.tolerance, self.linkage, self.duplicate) <= 0:
            raise InputError(f"the space of {self.name} needs a size and bounds above 0")

    @classmethod
    def like(
        cls, other: EmbeddingSpace, *, name: str, size: int, metric: Literal["euclidean", "cosine"], tolerance: float
    ) -> EmbeddingSpace:
        """A space of which only the tolerance is known: its other bounds stand to it as those of another space do."""
        linkage, duplicate = other.linkage / other.tolerance, other.duplicate / other.tolerance
        if metric == "cosine":
            linkage, duplicate = linkage**2, duplicate**2  # so do then the Euclidean distances
        return cls(name, size, metric, tolerance, linkage * tolerance, duplicate * tolerance)

    def kept(self, descriptors: F32) -> F32:
        """Descriptors (N, D) as they are kept and compared: of a cosine space at unit length."""
        if self.metric == "euclidean":
            return descriptors
        lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
        return np.asarray(descriptors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def euclidean(self, bound: float) -> float:
        """As `to_euclidean`, of one bound, no digit of which is lost."""
        return bound if self.metric == "euclidean" else math.sqrt(2 * bound)

    def scaled(self, distance: float, by: F32 | F64) -> F32:
        """The distance whose Euclidean one is `by` times that of `distance`."""
        factor = by if self.metric == "euclidean" else by**2
        return np.asarray(distance * factor, dtype=np.float32)

    def to_euclidean(self, distance: float | F32) -> F32:
        """The Euclidean distance of kept descriptors that are this far apart in the space's measure."""
        given = np.asarray(distance, np.float32)
        return given if self.metric == "euclidean" else np.sqrt(2 * given)

    def from_euclidean(self, distance: float | F32) -> F32:
        """The other way round; NaN stays NaN."""
        given = np.asarray(distance, np.float32)
        return given if self.metric == "euclidean" else np.asarray(given**2 / 2, dtype=np.float32)
