"""Which faces nobody owns are one person: average linkage, with faces that must and faces that must not be together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.combinatorics import components
from mien.geometry import l2_distances
from mien.types import F32, F64, I64, Mask

LEAST_FACES = 3
_MOST_AT_ONCE = 1000  # faces grouped anew when one more comes
_BLOCK = 1024
_SLACK = 1e-3  # float32 products are this near; one step too many changes no group


@dataclass(frozen=True, slots=True)
class KeptFaces:
    """KeptFaces faces as columns: `embeddings` (N, D); `photos`, the picture each was in (two faces of one picture are
    never one person); `groups`, the group each is in ("" for none yet); `pins`, the group a user put it in, or ""."""

    embeddings: F32
    photos: Sequence[str]
    groups: Sequence[str]
    pins: Sequence[str]

    def __len__(self) -> int:
        return len(self.photos)

    def steps(self, start: int, reach: float) -> list[tuple[int, int]]:
        """Pairs of rows within reach, from a block on."""
        near = _within(
            self.embeddings[start : start + _BLOCK], self.embeddings[start:], reach
        )
        return [(start + int(i), start + int(j)) for i, j in np.argwhere(near) if i < j]

    def islands(self, reach: float) -> list[I64]:
        """The rows that reach each other over steps of at most `reach`, or by a user's word."""
        if not len(self):
            return []
        joins = [self.steps(start, reach) for start in range(0, len(self), _BLOCK)]
        joins += [
            [(rows[0], row) for row in rows[1:]]
            for rows in _members(self.pins).values()
        ]
        pairs = np.array([pair for some in joins for pair in some], np.int64).reshape(
            -1, 2
        )
        island = components(pairs.T, len(self))
        order = np.argsort(island, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(island[order])) + 1)

    def taken(self, rows: I64) -> KeptFaces:
        """Some of the rows."""
        photos, groups, pins = (
            [column[i] for i in rows]
            for column in (self.photos, self.groups, self.pins)
        )
        return KeptFaces(self.embeddings[rows], photos, groups, pins)

    def start(self, rows: I64) -> tuple[F64, list[list[int]]]:
        """Distances between single faces, infinite where they may not be together, and what is together already."""
        distances = l2_distances(self.embeddings[rows], self.embeddings[rows]).astype(
            np.float64
        )
        photos = np.array([self.photos[i] for i in rows], object)
        pins = np.array([self.pins[i] for i in rows], object)
        pinned = pins != ""
        together = (pins[:, None] == pins[None]) & pinned[:, None] & pinned[None]
        apart = (photos[:, None] == photos[None]) | (
            (pins[:, None] != pins[None]) & pinned[:, None] & pinned[None]
        )
        distances[apart & ~together] = np.inf
        clusters = [[int(i)] for i in np.flatnonzero(~pinned)]
        clusters += [
            np.flatnonzero(pins == pin).tolist() for pin in sorted(set(pins[pinned]))
        ]
        return distances, clusters

    def linked(self, rows: I64, reach: float) -> I64:
        """Labels (M,) of some rows by average linkage."""
        order = sorted(
            range(len(rows)), key=lambda i: self.embeddings[rows[i]].tobytes()
        )  # the same in whatever order
        ordered = rows[order]
        labels = np.empty(len(rows), np.int64)
        labels[order] = _average_linkage(*self.start(ordered), reach)
        return _by_appearance(labels)


def group(kept: KeptFaces, *, reach: float) -> I64:
    """A label (N,) per face from scratch: equal for faces of one person, numbered by first appearance.

    `reach` is the mean Euclidean distance at which two groups are one person: a space's linkage. The tolerance is for
    one probe against known people; among thousands of strangers it would join most of them.
    `kept.groups` is not looked at. The order of the rows does not matter: the same faces give the same groups.
    """
    labels = np.full(len(kept), -1, np.int64)
    for rows in kept.islands(reach):
        labels[rows] = labels.max(initial=-1) + 1 + kept.linked(rows, reach)
    return _by_appearance(labels)


def regroup(kept: KeptFaces, new: I64, *, reach: float) -> tuple[I64, I64]:
    """The rows (M,) whose groups may change because the rows `new` came, and a label (M,) for each of them.

    All rows that the new ones reach over steps of at most `reach` are grouped from scratch: what comes out is what
    `group` says of everything at once. Only where that is more than 1,000 faces the far ones keep their groups.
    """
    inside = np.zeros(len(kept), np.bool_)
    together = [(names, _members(names)) for names in (kept.groups, kept.pins)]
    edge = _with_members(new, together)
    while len(edge):
        inside[edge] = True
        if inside.sum() >= _MOST_AT_ONCE + len(new):
            break
        near = _within(kept.embeddings[edge], kept.embeddings, reach).any(axis=0)
        edge = _with_members(np.flatnonzero(near & ~inside), together)
        edge = edge[~inside[edge]]
    rows = np.flatnonzero(inside)
    return rows, group(kept.taken(rows), reach=reach)


def _within(a: F32, b: F32, reach: float) -> Mask:
    """Whether rows of `a` (N, D) and `b` (M, D) are about `reach` apart or nearer: (N, M)."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * (a @ b.T)
    return np.asarray(squared <= (reach + _SLACK) ** 2, np.bool_)


def _with_members(
    rows: I64, together: list[tuple[Sequence[str], dict[str, list[int]]]]
) -> I64:
    """The rows and all that bear a name of theirs."""
    everybody = set(rows.tolist())
    for names, members in together:
        for name in {names[i] for i in rows.tolist()} - {""}:
            everybody.update(members[name])
    return np.array(sorted(everybody), np.int64)


def _members(names: Sequence[str]) -> dict[str, list[int]]:
    """The rows that bear each name."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if name:
            found.setdefault(name, []).append(i)
    return found


def _average_linkage(faces: F64, clusters: list[list[int]], reach: float) -> I64:
    """Joins the two nearest clusters as long as the mean distance between their faces is within reach."""
    sizes = np.array([len(cluster) for cluster in clusters])
    gaps = _means(faces, clusters)
    nearest = gaps.argmin(axis=1)
    while len(clusters) > 1:
        a = int(gaps[np.arange(len(gaps)), nearest].argmin())
        b = int(nearest[a])
        if not gaps[a, b] <= reach:
            break
        # Makes `b` part of `a`, in place
        joined = (sizes[a] * gaps[a] + sizes[b] * gaps[b]) / (sizes[a] + sizes[b])
        gaps[a], gaps[:, a] = joined, joined
        gaps[b], gaps[:, b], gaps[a, a] = np.inf, np.inf, np.inf
        sizes[a] += sizes[b]
        clusters[a], clusters[b] = clusters[a] + clusters[b], []
        nearest = np.where(gaps[:, a] < gaps[np.arange(len(gaps)), nearest], a, nearest)
        stale = np.flatnonzero(
            (nearest == a) | (nearest == b) | (np.arange(len(gaps)) == a)
        )
        nearest[stale] = gaps[stale].argmin(axis=1)
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
