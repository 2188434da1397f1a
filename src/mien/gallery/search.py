"""Who a face is: exact search over all descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.gallery.counter import Stricter
from mien.geometry import l2_distances
from mien.space import EmbeddingSpace
from mien.types import AGAIN, F32, F64, I64, Matches

CLEARLY = 0.21  # of the tolerance: a face so much nearer to one person is not another; twins are less far apart


@dataclass(frozen=True, slots=True)
class Candidates:
    """Which of the `faces` (C,) of one picture could be which of the `persons` (C,): the `distances` (C,) to the photo
    that says so, and the same over its weight."""

    faces: I64
    persons: I64
    distances: F32 | F64
    weighted: F32 | F64


def match(
    embeddings: F32,
    owners: Sequence[str],
    descriptors: F32,
    *,
    tolerance: float | F32,
    weights: F32 | None = None,
    stricter: Sequence[Stricter] = (),
) -> Matches:
    """Names the faces of one picture.

    Each face gets the person of its nearest descriptor, if within `tolerance` (one for all, or one per face): see
    `assign` for a person whom several faces resemble. `owners` names the row of `descriptors` (M, D) it stands beside;
    `weights` (M,) makes rows count less: one of 0.8 must be nearer than 0.8 of the tolerance, one of 0 never counts.
    `stricter` has the tolerance of each face for single people, by name, where that is less: see `counter`. All
    distances are Euclidean.
    """
    weights = np.ones(len(descriptors), np.float32) if weights is None else weights
    counting = np.flatnonzero(weights > 0)
    if not len(embeddings) or not len(counting):
        return nobody(len(embeddings))
    names, persons = number([owners[i] for i in counting.tolist()])
    distances = l2_distances(embeddings, descriptors[counting])
    weighted = distances / weights[counting]
    limits = per_face(tolerance, len(embeddings))
    refused = np.zeros(weighted.shape, np.bool_)
    for face, single in enumerate(stricter):
        for name, limit in single.items():
            if name in names:
                theirs = persons == names.index(name)
                refused[face] |= theirs & (weighted[face] > limit)
    faces, rows = np.nonzero((weighted <= limits[:, None]) & ~refused)
    nearest = np.where(refused, np.inf, distances).min(axis=1)
    near = Candidates(
        faces, persons[rows], distances[faces, rows], weighted[faces, rows]
    )
    return decide(near, names, limits=limits, nearest=nearest, people=len(names))


def decide(
    near: Candidates, names: Sequence[str], *, limits: F32, nearest: F32, people: int
) -> Matches:
    """The matches of a picture's faces: the name of the person whom each takes, at the distance to that person.

    Where it takes none, the distance to the `nearest` (N,) whom it can be; infinite where that is nobody. `limits` (N,)
    are the tolerances of the faces, `people` how many there are to be found.
    """
    taken = assign(near, limits=limits)
    distances = np.where(np.isinf(nearest), np.nan, nearest).astype(np.float32)
    distances[taken >= 0] = near.distances[taken[taken >= 0]]
    return Matches(
        tuple(None if i < 0 else names[near.persons[i]] for i in taken),
        distances,
        people,
    )


def nobody(count: int) -> Matches:
    """The matches of `count` faces where nobody is enrolled."""
    return Matches((None,) * count, np.full(count, np.nan, np.float32))


def told_in(space: EmbeddingSpace, matches: Matches) -> Matches:
    """Matches at Euclidean distances as they are told: in the measure of the space, with how likely a name is right."""
    return replace(matches, distances=space.from_euclidean(matches.distances)).rated(
        space.rates
    )


def per_face(tolerance: float | F32, count: int) -> F32:
    """The tolerance (count,) of each face."""
    return np.broadcast_to(np.asarray(tolerance, np.float32).reshape(-1), (count,))


def number(names: Sequence[str]) -> tuple[list[str], I64]:
    """Every name once, and the place in that list of each of `names` (M,)."""
    places: dict[str, int] = {}
    rows = np.fromiter(
        (places.setdefault(name, len(places)) for name in names), np.int64, len(names)
    )
    return list(places), rows


def assign(near: Candidates, *, limits: F32) -> I64:
    """Which candidate each face takes (N,), -1 for none, by its tolerance in `limits` (N,).

    The nearest pair is taken first, then the next of which neither the face nor the person is taken. A face clearly
    nearer to somebody who is taken by a nearer face is nobody else: it is that person again where it is so near that
    hardly another could be, and nobody where it may be a relative.
    """
    order = np.argsort(near.weighted, kind="stable").tolist()
    first: dict[int, int] = {}
    for i in order:
        first.setdefault(int(near.faces[i]), i)
    taken = np.full(len(limits), -1, np.int64)
    persons: set[int] = set()
    for i in order:
        face, person = int(near.faces[i]), int(near.persons[i])
        likely = near.weighted[i] - near.weighted[first[face]] <= CLEARLY * limits[face]
        if likely and taken[face] < 0 and person not in persons:
            taken[face] = i
            persons.add(person)
    for face, i in first.items():
        if taken[face] < 0 and near.weighted[i] <= AGAIN * limits[face]:
            taken[face] = i
    return taken
