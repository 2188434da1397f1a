"""Which pictures are measured with and which are learnt from: what belongs together stays on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.combinatorics import components
from mien.train.duplicates import near_pairs
from mien.types import F32, I64
from mien.zoo import DLIB

NEAR = DLIB.duplicate


def groups_of(
    digests: Sequence[str],
    descriptors: F32,
    persons: Sequence[str],
    *,
    near: float = NEAR,
) -> I64:
    """A group number for each picture (N,): equal files, near-duplicates and pictures of one person share it.

    `persons` are names, "" where nobody is named.
    """
    pairs = [_same(digests), _same(persons), near_pairs(descriptors, near=near)]
    return components(np.concatenate(pairs, axis=1), len(digests))


def _same(names: Sequence[str]) -> I64:
    """Pairs (2, P) of each named picture with the first that bears its name."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(name, i), i) for i, name in enumerate(names) if name]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def stratified_folds(groups: I64, classes: I64, *, folds: int, seed: int) -> I64:
    """The fold (N,) of each picture: groups stay whole, classes are spread evenly over the folds.

    The largest groups are placed first, each where its classes are scarcest; ties are broken by the seed.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(int(groups.max(initial=-1)) + 1)
    sizes = np.bincount(groups, minlength=len(order))
    order = order[np.argsort(-sizes[order], kind="stable")]
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    totals = np.maximum(np.bincount(classes), 1)
    filled = np.zeros((folds, len(totals)))
    result = np.zeros(len(groups), dtype=np.int64)
    for group in order:
        share = np.bincount(classes[members[group]], minlength=len(totals)) / totals
        crowding = filled @ share + 1e-3 * filled.sum(axis=1) * share.sum()
        fold = int(np.argmin(crowding))
        filled[fold] += share
        result[members[group]] = fold
    return result


def learnable(classes: I64, learning: I64) -> bool:
    """Whether every class of the pictures also is among those to learn from."""
    return set(classes.tolist()) <= set(classes[learning].tolist())
