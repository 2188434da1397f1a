"""The space that an embedder's descriptors live in: the one place that knows its size, its measure and its bounds."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.attribute import F32
from mien.errors import InputError

F64 = NDArray[np.float64]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it stands in names of files
_STEP = 0.025  # of distance: half the width of the window that densities are taken over
_RARE = 1e-3  # the least density of one person's photos at any distance: some of them always are odd


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How often a distance misleads, measured on pairs of photos.

    Each row of `table`, by ascending distance in the space's own measure, says of one distance which share of pairs of
    strangers is nearer (the false match rate, FMR, above 0), and which share of pairs of one person is farther apart
    (the false non-match rate, FNMR).
    """

    table: tuple[tuple[float, float, float], ...]

    def fmr(self, distance: float | F32) -> F64:
        """The share of strangers who are nearer than this."""
        distances, logs, _ = _columns(self.table)
        return np.asarray(10 ** np.interp(distance, distances, logs))

    def fnmr(self, distance: float | F32) -> F64:
        """The share of one person's pairs that are farther apart than this."""
        distances, _, fnmr = _columns(self.table)
        return np.asarray(np.interp(distance, distances, fnmr))

    def probability(self, distance: float | F32, people: int = 1) -> F32:
        """How likely the nearest of so many people is the one seen, if as many who come are enrolled as are not.

        Everybody who is enrolled is one more who may look alike by chance.
        """
        measured = self.table[0][0], self.table[-1][0] - _STEP
        middle = np.clip(np.asarray(distance, np.float32), *measured)
        low, high = middle - np.float32(_STEP), middle + np.float32(_STEP)
        one = np.maximum((self.fnmr(low) - self.fnmr(high)) / (2 * _STEP), _RARE)
        strangers = (self.fmr(high) - self.fmr(low)) / (2 * _STEP)
        return np.asarray(one / (one + max(1, people) * strangers), dtype=np.float32)

    def tolerance(self, false_names: float, people: int) -> float:
        """The distance within which of a stranger's looks this share is taken for one of so many people.

        Raises:
            InputError: It is no share between 0 and 1.
        """
        if not 0 < false_names < 1:
            raise InputError(
                f"false names are a share between 0 and 1, as 0.001; got {false_names}"
            )
        of_each = -np.expm1(np.log1p(-false_names) / max(1, people))
        distances, logs, _ = _columns(self.table)
        return float(np.interp(np.log10(of_each), logs, distances))


@cache  # asked several times for every frame of a stream
def _columns(table: tuple[tuple[float, float, float], ...]) -> F64:
    """Distances, logarithms of the FMR, FNMR (3, K)."""
    distances, fmr, fnmr = np.array(table).T
    return np.stack([distances, np.log10(fmr), fnmr])


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
        rates: How often which distance misleads, where that was measured.

    Raises:
        InputError: The name is none, the size is no size, the metric unknown, or a bound is not positive.

    Example:
        >>> analyzer.space.size, analyzer.space.metric, analyzer.space.tolerance
        (128, 'euclidean', 0.6)
    """

    name: str
    size: int
    metric: Literal["euclidean", "cosine"]
    tolerance: float
    linkage: float
    duplicate: float
    rates: ErrorRates | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"{self.name!r} cannot name an embedder: take up to 64 letters, digits and . _ -"
            )
        if self.metric not in ("euclidean", "cosine"):
            raise InputError(
                f"the metric of {self.name} is {self.metric!r}; there are euclidean and cosine"
            )
        if self.size < 1 or min(self.tolerance, self.linkage, self.duplicate) <= 0:
            raise InputError(
                f"the space of {self.name} needs a size and bounds above 0"
            )

    @classmethod
    def like(
        cls,
        other: EmbeddingSpace,
        *,
        name: str,
        size: int,
        metric: Literal["euclidean", "cosine"],
        tolerance: float,
    ) -> EmbeddingSpace:
        """A space of which only the tolerance is known: its other bounds stand to it as those of another space do."""
        linkage, duplicate = (
            other.linkage / other.tolerance,
            other.duplicate / other.tolerance,
        )
        if metric == "cosine":
            linkage, duplicate = (
                linkage**2,
                duplicate**2,
            )  # so do then the Euclidean distances
        return cls(
            name, size, metric, tolerance, linkage * tolerance, duplicate * tolerance
        )

    def bound(
        self, *, tolerance: float | None, false_names: float | None, people: int
    ) -> float:
        """The largest distance of one person: as given, or so that this share of strangers gets the name of one of so
        many people, or the space's own.

        Raises:
            InputError: Both are given, one is no such number, or how often the space errs was not measured.
        """
        if tolerance is not None and false_names is not None:
            raise InputError(
                "tolerance and false_names say the same in two ways: give one of them"
            )
        if tolerance is not None and not 0 <= tolerance < math.inf:
            raise InputError(
                f"tolerance: a distance from 0, as {self.tolerance:g} for {self.name}; got {tolerance}"
            )
        if false_names is None:
            return self.tolerance if tolerance is None else tolerance
        if self.rates is None:
            raise InputError(
                f"how often {self.name} errs was not measured: say tolerance, not false_names"
            )
        return self.rates.tolerance(false_names, people)

    def described(self) -> dict[str, str | int | float]:
        """What is written down with descriptors of this space: all but how often it errs, which is measured anew."""
        return {name: value for name, value in asdict(self).items() if name != "rates"}

    def kept(self, descriptors: F32) -> F32:
        """Descriptors (N, D) as they are kept and compared: of a cosine space at unit length."""
        if self.metric == "euclidean":
            return descriptors
        lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
        return np.asarray(descriptors / np.maximum(lengths, 1e-12), dtype=np.float32)

    @property
    def stranger(self) -> float:
        """The Euclidean distance from which two kept descriptors are no longer one person."""
        return self.euclidean(self.tolerance)

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
        return (
            given
            if self.metric == "euclidean"
            else np.asarray(given**2 / 2, dtype=np.float32)
        )
