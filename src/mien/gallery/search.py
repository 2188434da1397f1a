"""Who a face is: exact search over all descriptors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.geometry import l2_distances
from mien.types import F32, F64, I64, Matches


def match(
    embeddings: F32,
    owners: Sequence[str],
    descriptors: F32,
    *,
    tolerance: float | F32,
    weights: F32 | None = None,
) -> Matches:
    """Names the faces of one picture.

    Each face gets the person of its nearest descriptor, if within `tolerance` (one for all, or one per face); one
    person bears one face at most, the nearer one. `owners` names the row of `descriptors` (M, D) it stands beside;
    `weights` (M,) makes rows count less: one of 0.8 must be nearer than 0.8 of the tolerance, one of 0 never counts.
    """
    weights = np.ones(len(descriptors), np.float32) if weights is None else weights
    counting = np.flatnonzero(weights > 0)
    if not len(embeddings) or not len(counting):
        return nobody(len(embeddings))
    names, persons = number([owners[i] for i in counting.tolist()])
    distances = l2_distances(embeddings, descriptors[counting])
    weighted = distances / weights[counting]
    faces, rows = np.nonzero(weighted <= per_face(tolerance, len(embeddings))[:, None])
    given = assign(faces, persons[rows], weighted[faces, rows], count=len(embeddings))
    return Matches(tuple(None if person < 0 else names[person] for person in given), distances.min(axis=1))


def nobody(count: int) -> Matches:
    """The matches of `count` faces where nobody is enrolled."""
    return Matches((None,) * count, np.full(count, np.nan, np.float32))


def per_face(tolerance: float | F32, count: int) -> F32:
    """The tolerance (count,) of each face."""
    return np.broadcast_to(np.asarray(tolerance, np.float32).reshape(-1), (count,))


def number(names: Sequence[str]) -> tuple[list[str], I64]:
    """Every name once, and the place in that list of each of `names` (M,)."""
    places: dict[str, int] = {}
    rows = np.fromiter((places.setdefault(name, len(places)) for name in names), np.int64, len(names))
    return list(places), rows


def assign(faces: I64, persons: I64, distances: F32 | F64, *, count: int) -> I64:
    """Who each of `count` faces of one picture is, -1 for nobody.

    The candidates (C,) say which face could be which person at which distance. The nearest pair is taken first, then
    the next of which neither the face nor the person is taken yet.
    """
    given = np.full(count, -1, np.int64)
    taken: set[int] = set()
    for i in np.argsort(distances, kind="stable"):
        face, person = int(faces[i]), int(persons[i])
        if given[face] < 0 and person not in taken:
            given[face] = person
            taken.add(person)
    return given
