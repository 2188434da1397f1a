"""Who a face is: exact search over all descriptors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.geometry import l2_distances
from mien.types import F32, Matches


def match(embeddings: F32, owners: Sequence[str], descriptors: F32, *, tolerance: float | F32) -> Matches:
    """Names the faces of one picture.

    Each face gets the person of its nearest descriptor, if within `tolerance` (one for all, or one per face); one
    person bears one face at most, the nearer one. `owners` names the row of `descriptors` (M, D) it stands beside.
    """
    if not len(embeddings) or not len(descriptors):
        return Matches((None,) * len(embeddings), np.full(len(embeddings), np.nan, np.float32))
    people, distances = nearest_per_person(embeddings, owners, descriptors)
    names = _assign(people, distances, tolerance)
    return Matches(names, distances.min(axis=1))


def nearest_per_person(embeddings: F32, owners: Sequence[str], descriptors: F32) -> tuple[list[str], F32]:
    """Everybody's name once, and each face's distance (N, P) to each person's nearest descriptor."""
    people, positions = np.unique(np.array(owners, dtype=object).astype(str), return_inverse=True)
    order = np.argsort(positions, kind="stable")
    starts = np.searchsorted(positions[order], np.arange(len(people)))
    distances = l2_distances(embeddings, descriptors)[:, order]
    return people.tolist(), np.minimum.reduceat(distances, starts, axis=1)


def _assign(people: Sequence[str], distances: F32, tolerance: float | F32) -> tuple[str | None, ...]:
    names: list[str | None] = [None] * len(distances)
    taken: set[int] = set()
    faces, persons = np.nonzero(distances <= np.reshape(tolerance, (-1, 1)))
    for i in np.argsort(distances[faces, persons], kind="stable"):
        face, person = int(faces[i]), int(persons[i])
        if names[face] is None and person not in taken:
            names[face] = people[person]
            taken.add(person)
    return tuple(names)
