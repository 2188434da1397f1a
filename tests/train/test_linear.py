"""The solver finds the optimum; what it folds into plain matrices answers the same."""

from __future__ import annotations

import numpy as np
import pytest

from mien.train import linear


@pytest.fixture
def blocks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=(200, 3))
    return {
        "a": (cause @ rng.normal(size=(3, 40)) + 5).astype(np.float32),
        "b": (100 * rng.normal(size=(200, 20)) - 7).astype(np.float32),
    }


def test_the_folded_matrices_answer_as_the_components_do(
    blocks: dict[str, np.ndarray],
) -> None:
    projection = linear.Projection.fit(blocks, seed=0)
    x = projection(blocks)
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(size=(x.shape[1], 4)), rng.normal(size=4)
    matrices, folded = projection.fold(weights, bias)
    direct = (
        sum(blocks[name].astype(np.float64) @ matrices[name] for name in blocks)
        + folded
    )
    np.testing.assert_allclose(direct, x @ weights + bias, atol=2e-3)


def test_features_that_never_vary_do_no_harm() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    rows[:, 2] = 3
    projection = linear.Projection.fit({"a": rows}, seed=0)
    assert np.isfinite(projection({"a": rows})).all()
    assert np.abs(projection.axes[0][2]).max() < 1e-3


def test_many_rows_have_the_same_important_axes_as_by_the_exact_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    rows = (
        rng.normal(size=(700, 8)) * np.arange(8, 0, -1) @ rng.normal(size=(8, 900))
    ).astype(np.float32)
    exact = linear.Projection.fit({"a": rows}, seed=0)
    monkeypatch.setattr(linear, "_EXACT_ROWS", 100)
    quick = linear.Projection.fit({"a": rows}, seed=0)
    shared = np.linalg.svd(exact.axes[0][:, :8].T @ quick.axes[0][:, :8])[1]
    np.testing.assert_allclose(shared, 1, atol=1e-3)


def test_the_fit_is_the_optimum() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6))
    targets = np.eye(3)[(x[:, :3] + rng.normal(size=(120, 3))).argmax(axis=1)]
    weights = rng.uniform(0.5, 2, 120)
    model = linear.fit_softmax(x, targets, weights, penalty=0.01)
    error = (linear.probabilities(model.logits(x)) - targets) * (
        weights / weights.sum()
    )[:, None]
    assert np.abs(x.T @ error + 0.01 * model.weights).max() < 1e-4
    assert np.abs(error.sum(axis=0)).max() < 1e-4


def test_weights_count_as_pictures_shown_more_often() -> None:
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(40, 4)), np.eye(2)[rng.integers(0, 2, 40)]
    times = rng.integers(1, 4, 40)
    weighted = linear.fit_softmax(x, targets, times.astype(float), penalty=0.1)
    repeated = linear.fit_softmax(
        np.repeat(x, times, axis=0),
        np.repeat(targets, times, axis=0),
        np.ones(times.sum()),
        penalty=0.1,
    )
    np.testing.assert_allclose(weighted.weights, repeated.weights, atol=1e-3)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_false_certainty(factor: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 1.5
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert linear.temperature_of(logits * factor, np.eye(3)[truth]) == pytest.approx(
        factor, rel=0.05
    )
