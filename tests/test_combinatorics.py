"""Components and assignments, beside SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from mien.combinatorics import assignment, components

optimize = pytest.importorskip("scipy.optimize", reason="SciPy is compared with")
csgraph = pytest.importorskip("scipy.sparse.csgraph", reason="SciPy is compared with")


@pytest.mark.parametrize("pairs", [0, 5, 40, 400])
def test_components_are_numbered_as_they_appear(pairs: int) -> None:
    joined = np.random.default_rng(pairs).integers(0, 60, (2, pairs))
    links = np.zeros((60, 60))
    links[joined[0], joined[1]] = 1
    expected = csgraph.connected_components(links, directed=False)[1]
    np.testing.assert_array_equal(components(joined, 60), expected)


def test_a_long_chain_in_any_order_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(5000)
    chain = np.stack([order[:-1], order[1:]])
    assert components(chain, 5000).tolist() == [0] * 5000
    assert components(np.zeros((2, 0), np.int64), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (4, 4), (3, 9), (9, 3)])
@pytest.mark.parametrize("limit", [np.inf, 0.4])
def test_nothing_is_cheaper(shape: tuple[int, int], limit: float) -> None:
    """Also where much costs the same, as everything too far away does."""
    rng = np.random.default_rng(shape)
    for _ in range(50):
        cost = np.minimum(rng.random(shape), limit)
        rows, columns = assignment(cost)
        assert len(rows) == min(shape)
        assert len(set(rows)) == len(set(columns)) == len(rows)
        best = cost[optimize.linear_sum_assignment(cost)].sum()
        assert cost[rows, columns].sum() == pytest.approx(best)
