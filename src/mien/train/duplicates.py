"""Pictures that show nearly the same: bursts, neighbouring frames, photos saved again."""

from __future__ import annotations

import numpy as np

from mien import geometry
from mien.combinatorics import components
from mien.types import F32, I64

_ROWS = 1024


def near_pairs(descriptors: F32, *, near: float) -> I64:
    """The pairs (2, P) of rows of descriptors (N, D) that are less than `near` apart, each row with itself too."""
    found = [np.zeros((2, 0), np.int64)]
    for start in range(0, len(descriptors), _ROWS):
        close = np.argwhere(
            geometry.l2_distances(descriptors[start : start + _ROWS], descriptors)
            < near
        ).T
        found.append((close + np.array([[start], [0]])).astype(np.int64))
    return np.concatenate(found, axis=1)


def near_duplicates(descriptors: F32, *, near: float) -> list[I64]:
    """The rows of descriptors (N, D) in groups of two and more, in which each row is less than `near` from another.

    Groups and the rows in them are in the order of the table; a row that nothing is near to is in none.
    """
    numbers = components(near_pairs(descriptors, near=near), len(descriptors))
    members = (
        np.flatnonzero(numbers == number) for number in dict.fromkeys(numbers.tolist())
    )
    return [rows.astype(np.int64) for rows in members if len(rows) > 1]
