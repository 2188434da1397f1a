"""Which faces nobody owns are one person: average linkage, with faces that must and faces that must not be together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mien.geometry import l2_distances
from mien.types import F32, F64, I64, Mask

# The mean distance at which two groups are one person. dlib's 0.6 is for one probe against known people; among
# thousands of strangers it joins most of them. Chosen on folds 0 to 4 of CACD-VS as the largest step of 0.01 with
# pairwise precision 0.98 over all pairs of photos; on folds 5 to 9: 0.99, with recall 0.81 (benchmarks/unknown.py).
REACH = 0.52
LEAST_FACES = 3
_MOST_AT_ONCE = 1000  # faces grouped anew when one more comes
_BLOCK = 1024
_SLACK = 1e-3  # float32 products are this near; one step too many changes no group


@dataclass(frozen=True, slots=True)
class Kept:
    """Kept faces as columns: `embeddings` (N, D); `photos`, the picture each was in (two faces of one picture are
    never one person); `groups`, the group each is in ("" for none yet); `pins`, the group a user put it in, or ""."""

    embeddings: F32
    photos: Sequence[str]
    groups: Sequence[str]
    pins: Sequence[str]

    def __len__(self) -> int:
        return len(self.photos)


def group(kept: Kept, *, reach: float = REACH) -> I64:
    """A label (N,) per face from scratch: equal for faces of one person, numbered by first appearance.

    `kept.groups` is not looked at. The order of the rows does not matter: the same faces give the same groups.
    """
    fresh = Kept(kept.embeddings, kept.photos, [""] * len(kept), kept.pins)
    labels = np.full(len(kept), -1, np.int64)
    for rows in _islands(fresh, reach):
        labels[rows] = labels.max(initial=-1) + 1 + _linked(fresh, rows, reach)
    return _by_appearance(labels)


def regroup(kept: Kept, new: I64, *, reach: float = REACH) -> tuple[I64, I64]:
    """The rows (M,) whose groups may change because the rows `new` came, and a label (M,) for each of them.

    All rows that the new ones reach over steps of at most `reach` are grouped from scratch: what comes out is what
    `group` says of everything at once. Only where that is more than 1,000 faces the far ones keep their groups.
    """
    inside = np.zeros(len(kept), np.bool_)
    members = _members(kept)
    edge = _with_members(new, kept, members)
    while len(edge):
        inside[edge] = True
        if inside.sum() >= _MOST_AT_ONCE:
            break
        near = _within(kept.embeddings[edge], kept.embeddings, reach).any(axis=0)
        edge = _with_members(np.flatnonzero(near & ~inside), kept, members)
        edge = edge[~inside[edge]]
    rows = np.flatnonzero(inside)
    return rows, _linked(kept, rows, reach)


def _islands(kept: Kept, reach: float) -> list[I64]:
    """The rows that reach each other over steps of at most `reach`, or by a user's word."""
    joins = [_steps(kept, start, reach) for start in range(0, len(kept), _BLOCK)]
    joins += [[(rows[0], row) for row in rows[1:]] for rows in _members(kept).values()]
    pairs = np.array([pair for some in joins for pair in some], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(len(kept), len(kept)))
    count, island = connected_components(graph, directed=False)
    order = np.argsort(island, kind="stable")
    return np.split(order, np.searchsorted(island[order], np.arange(1, count)))


def _steps(kept: Kept, start: int, reach: float) -> list[tuple[int, int]]:
    near = _within(kept.embeddings[start : start + _BLOCK], kept.embeddings[start:], reach)
    return [(start + int(i), start + int(j)) for i, j in np.argwhere(near) if i < j]


def _within(a: F32, b: F32, reach: float) -> Mask:
    """Whether rows of `a` (N, D) and `b` (M, D) are about `reach` apart or nearer: (N, M)."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * (a @ b.T)
    return np.asarray(squared <= (reach + _SLACK) ** 2, np.bool_)


def _members(kept: Kept) -> dict[str, list[int]]:
    """The rows of each group and of each pin."""
    found: dict[str, list[int]] = {}
    for i, names in enumerate(zip(kept.groups, kept.pins, strict=True)):
        for name in set(names) - {""}:
            found.setdefault(name, []).append(i)
    return found


def _with_members(rows: I64, kept: Kept, members: dict[str, list[int]]) -> I64:
    everybody = set(rows.tolist())
    for i in rows.tolist():
        for name in (kept.groups[i], kept.pins[i]):
            everybody.update(members.get(name, ()))
    return np.array(sorted(everybody), np.int64)


def _linked(kept: Kept, rows: I64, reach: float) -> I64:
    """Labels (M,) of some rows by average linkage."""
    order = sorted(range(len(rows)), key=lambda i: kept.embeddings[rows[i]].tobytes())  # the same in whatever order
    ordered = rows[order]
    labels = np.empty(len(rows), np.int64)
    labels[order] = _average_linkage(*_start(kept, ordered), reach)
    return _by_appearance(labels)


def _start(kept: Kept, rows: I64) -> tuple[F64, list[list[int]]]:
    """Distances between single faces, infinite where they may not be together, and what is together already."""
    distances = l2_distances(kept.embeddings[rows], kept.embeddings[rows]).astype(np.float64)
    photos = np.array([kept.photos[i] for i in rows], object)
    pins = np.array([kept.pins[i] for i in rows], object)
    pinned = pins != ""
    together = (pins[:, None] == pins[None]) & pinned[:, None] & pinned[None]
    apart = (photos[:, None] == photos[None]) | ((pins[:, None] != pins[None]) & pinned[:, None] & pinned[None])
    distances[apart & ~together] = np.inf
    clusters = [[int(i)] for i in np.flatnonzero(~pinned)]
    clusters += [np.flatnonzero(pins == pin).tolist() for pin in sorted(set(pins[pinned]))]
    return distances, clusters


def _average_linkage(faces: F64, clusters: list[list[int]], reach: float) -> I64:
    """Joins the two nearest clusters as long as the mean distance between their faces is within reach."""
    sizes = np.array([len(cluster) for cluster in clusters])
    gaps = _means(faces, clusters)
    while len(clusters) > 1:
        a, b = divmod(int(gaps.argmin()), len(gaps))
        if gaps[a, b] > reach:
            break
        joined = (sizes[a] * gaps[a] + sizes[b] * gaps[b]) / (sizes[a] + sizes[b])
        gaps[a], gaps[:, a] = joined, joined
        gaps[b], gaps[:, b], gaps[a, a] = np.inf, np.inf, np.inf
        clusters[a] = clusters[a] + clusters[b]
        clusters[b] = []
        sizes[a] += sizes[b]
    labels = np.empty(len(faces), np.int64)
    for label, cluster in enumerate(clusters):
        labels[cluster] = label
    return labels


def _means(faces: F64, clusters: list[list[int]]) -> F64:
    """Mean distances (K, K) between clusters; infinite on the diagonal."""
    member = np.zeros((len(clusters), len(faces)))
    for i, cluster in enumerate(clusters):
        member[i, cluster] = 1 / len(cluster)
    if len(clusters) == len(faces):
        gaps = faces[np.ix_([c[0] for c in clusters], [c[0] for c in clusters])]
    else:
        apart = np.isinf(faces)
        gaps = member @ np.where(apart, 0, faces) @ member.T
        gaps[(member > 0) @ apart.astype(float) @ (member > 0).T > 0] = np.inf
    np.fill_diagonal(gaps, np.inf)
    return np.asarray(gaps, np.float64)


def _by_appearance(labels: I64) -> I64:
    """The same labels numbered 0, 1, 2 … in the order of their first row."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], np.int64)
