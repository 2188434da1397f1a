"""Which things hang together, and which of two lists belong together: what else would need all of SciPy."""

from __future__ import annotations

import numpy as np

from mien.types import F64, I64


def components(pairs: I64, count: int) -> I64:
    """The number of the component of each of `count` things (count,) that pairs (2, P) join, in order of appearance."""
    labels = np.arange(count)
    while True:
        a, b = labels[pairs]
        joined = labels.copy()
        np.minimum.at(joined, a, b)
        np.minimum.at(joined, b, a)
        while not np.array_equal(joined, joined[joined]):
            joined = joined[joined]
        if np.array_equal(joined, labels):
            return np.unique(labels, return_inverse=True)[1].astype(np.int64)
        labels = joined


def assignment(cost: F64) -> tuple[I64, I64]:
    """Rows and columns of costs (N, M) that belong together: as many as there can be, at the least sum."""
    if cost.shape[0] > cost.shape[1]:
        columns, rows = assignment(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    rows = np.arange(len(cost))
    nearest = cost.argmin(axis=1) if cost.size else rows
    if len(set(nearest.tolist())) == len(rows):
        return rows, nearest.astype(np.int64)
    return rows, _shortest_paths(np.asarray(cost, np.float64))


def _shortest_paths(cost: F64) -> I64:
    """The column of each row by shortest augmenting paths (Jonker and Volgenant 1987); N <= M, nothing infinite."""
    height, width = cost.shape
    owner = np.full(width + 1, -1)  # of each column; the last is where a row begins
    u, v = np.zeros(height), np.zeros(width + 1)
    for row in range(height):
        owner[width], column = row, width
        least = np.full(width, np.inf)
        came_from = np.full(width, width)
        done = np.zeros(width + 1, np.bool_)
        while owner[column] >= 0:
            done[column] = True
            here = owner[column]
            slack = cost[here] - u[here] - v[:width]
            shorter = ~done[:width] & (slack < least)
            least[shorter], came_from[shorter] = slack[shorter], column
            following = int(np.where(done[:width], np.inf, least).argmin())
            step = least[following]
            u[owner[done]] += step
            v[done] -= step
            least[~done[:width]] -= step
            column = following
        while column != width:
            owner[column] = owner[came_from[column]]
            column = int(came_from[column])
    found = np.empty(height, np.int64)
    columns = np.flatnonzero(owner[:width] >= 0)
    found[owner[columns]] = columns
    return found
