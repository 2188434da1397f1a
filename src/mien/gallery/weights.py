"""How much each photo of a person counts: poor ones less, one that shows somebody else not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from mien.geometry import l2_distances
from mien.types import F32, Mask

LEAST = 0.8  # the weight of the poorest photo: it must be nearer than four fifths of the tolerance to give its name
_POOR, GOOD = 0.05, 0.3  # the qualities at which a photo counts least and fully
_FEWEST = 4  # photos; of fewer nobody can say which is the odd one
_SPREAD = 1.5  # times the usual distance to the medoid
_SAMPLE = 256  # photos of one person that are compared with each other


def weigh(descriptors: F32, qualities: F32, *, stranger: float) -> F32:
    """The weights (M,) of one person's photos: descriptors (M, D), qualities (M,) 0 to 1.

    A photo nearer than `stranger`, Euclidean, to its person's medoid is never an outlier.
    """
    weights = LEAST + (1 - LEAST) * np.clip((qualities - _POOR) / (GOOD - _POOR), 0, 1)
    return np.where(outliers(descriptors, stranger=stranger), 0, weights).astype(
        np.float32
    )


def weigh_people(
    owners: Sequence[Hashable], descriptors: F32, qualities: F32, *, stranger: float
) -> F32:
    """The weights (M,) of the photos of many; `owners` (M,) tells whose each is."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for i, owner in enumerate(owners):
        rows[owner].append(i)
    weights = np.ones(len(owners), np.float32)
    for mine in rows.values():
        weights[mine] = weigh(descriptors[mine], qualities[mine], stranger=stranger)
    return weights


def outliers(descriptors: F32, *, stranger: float) -> Mask:
    """Which of one person's photos (M, D) are far from the medoid of the others; none of fewer than four."""
    if len(descriptors) < _FEWEST:
        return np.zeros(len(descriptors), np.bool_)
    away = l2_distances(descriptors, descriptors[medoid(descriptors)][None])[:, 0]
    return np.asarray(
        away > max(stranger, _SPREAD * float(np.median(away))), dtype=np.bool_
    )


def medoid(descriptors: F32) -> int:
    """Which of a person's photos (M, D) is most like the nearer half of the others."""
    count = len(descriptors)
    sample = np.unique(
        np.linspace(0, count - 1, min(count, _SAMPLE)).round().astype(np.intp)
    )
    distances = np.sort(l2_distances(descriptors[sample], descriptors[sample]), axis=1)
    half = len(distances) // 2 + 1
    return int(
        sample[np.asarray(distances[:, :half].mean(axis=1), dtype=np.float64).argmin()]
    )


def changed(old: Iterable[float], new: F32) -> Mask:
    """Which weights are other than those kept."""
    return np.asarray(np.abs(np.fromiter(old, np.float32) - new) > 1e-6, dtype=np.bool_)
