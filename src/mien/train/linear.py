"""A linear classifier on many features from few pictures: multinomial logistic regression, fitted by L-BFGS.

Why no deep-learning library here: on top of a frozen network, with tens to thousands of pictures, this problem is
convex. L-BFGS finds its one optimum in a second, the same every time, where stochastic descent with TensorFlow would
need a 250 MB extra, minutes and luck with its learning rate. Networks trained inside are in `mien.train.keras`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.train.lbfgs import least_between, minimize
from mien.types import F32, F64

PENALTIES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
MAX_COMPONENTS = 512
_EXACT_ROWS = (
    1600  # up to here the components are exact, above found by a random projection
)
_FLOOR = 1e-3  # of a block's mean spread: what hardly varies is not blown up


@dataclass(frozen=True, slots=True)
class Projection:
    """Blocks of features (N, D_b), each standardised and scaled to count alike, onto their principal components.

    `means` and `scales` hold a row (D_b,) per block; `axes` a matrix (D_b, C) per block.
    """

    names: tuple[str, ...]
    means: tuple[F32, ...]
    scales: tuple[F32, ...]
    axes: tuple[F32, ...]

    @classmethod
    def fit(cls, blocks: Mapping[str, F32], *, seed: int) -> Projection:
        """The components of the rows of all blocks (N, D_b) together."""
        names = tuple(blocks)
        means = tuple(
            block.mean(axis=0, dtype=np.float64).astype(np.float32)
            for block in blocks.values()
        )
        scales = tuple(_scale(block) for block in blocks.values())
        joined = _joined(tuple(blocks.values()), means, scales)
        axes = _principal_axes(joined, seed)
        cuts = np.cumsum([len(mean) for mean in means])[:-1]
        return cls(names, means, scales, tuple(np.split(axes, cuts)))

    def __call__(self, blocks: Mapping[str, F32]) -> F64:
        """Components (N, C) of rows."""
        chosen = tuple(blocks[name] for name in self.names)
        return (
            _joined(chosen, self.means, self.scales) @ np.concatenate(self.axes)
        ).astype(np.float64)

    def fold(self, weights: F64, bias: F64) -> tuple[dict[str, F32], F32]:
        """The same classifier as matrices (D_b, K) on the raw features of each block, and its bias (K,)."""
        parts = {
            name: (scale[:, None] * (axes @ weights)).astype(np.float32)
            for name, scale, axes in zip(
                self.names, self.scales, self.axes, strict=True
            )
        }
        moved = sum(
            mean.astype(np.float64) @ parts[name]
            for name, mean in zip(self.names, self.means, strict=True)
        )
        return parts, (bias - moved).astype(np.float32)


def _scale(block: F32) -> F32:
    spread = block.std(axis=0, dtype=np.float64)
    floor = _FLOOR * max(float(spread.mean()), 1e-12)
    return np.asarray(
        1 / ((spread + floor) * np.sqrt(block.shape[1])), dtype=np.float32
    )


def _joined(
    blocks: tuple[F32, ...], means: tuple[F32, ...], scales: tuple[F32, ...]
) -> F32:
    return np.concatenate(
        [(b - m) * s for b, m, s in zip(blocks, means, scales, strict=True)], axis=1
    )


def _principal_axes(rows: F32, seed: int) -> F32:
    """The axes (D, C) of centred rows (N, D), the most important first."""
    if len(rows) > _EXACT_ROWS:
        # Fewer rows with the same important axes (Halko et al. 2011, two power iterations).
        rng = np.random.default_rng(seed)
        sketch = rows @ rng.standard_normal(
            (rows.shape[1], MAX_COMPONENTS + 32), dtype=np.float32
        )
        for _ in range(2):
            basis, _upper = np.linalg.qr(sketch)
            sketch = rows @ (rows.T @ basis)
        basis, _upper = np.linalg.qr(sketch)
        rows = np.asarray(basis.T @ rows, dtype=np.float32)
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    order = np.argsort(-values)[:MAX_COMPONENTS]
    order = order[values[order] > 1e-6 * max(values.max(initial=0), 1e-12)]
    return np.asarray(
        (rows.T @ vectors[:, order].astype(np.float32)) / np.sqrt(values[order]),
        dtype=np.float32,
    )


@dataclass(frozen=True, slots=True)
class Softmax:
    """Logits are x @ weights (C, K) + bias (K,)."""

    weights: F64
    bias: F64

    def logits(self, x: F64) -> F64:
        return np.asarray(x @ self.weights + self.bias, dtype=np.float64)

    def cooled(self, temperature: float) -> Softmax:
        """The same answers, as sure as the temperature makes them."""
        return Softmax(self.weights / temperature, self.bias / temperature)


def fit_softmax(
    x: F64, targets: F64, weights: F64, *, penalty: float, start: Softmax | None = None
) -> Softmax:
    """The classifier that fits target distributions (N, K) of rows (N, C), weighted (N,), with an L2 penalty."""
    classes, width = targets.shape[1], x.shape[1]
    scaled = weights / weights.sum()

    def loss(flat: F64) -> tuple[float, F64]:
        w, b = flat[: width * classes].reshape(width, classes), flat[width * classes :]
        logs = log_softmax(x @ w + b)
        error = (np.exp(logs) - targets) * scaled[:, None]
        value = -float((scaled[:, None] * targets * logs).sum()) + penalty / 2 * float(
            (w * w).sum()
        )
        return value, np.concatenate(
            [(x.T @ error + penalty * w).ravel(), error.sum(axis=0)]
        )

    first = (
        np.zeros((width + 1) * classes)
        if start is None
        else np.append(start.weights.ravel(), start.bias)
    )
    best = minimize(loss, first)
    return Softmax(
        best[: width * classes].reshape(width, classes), best[width * classes :]
    )


def penalty_path(x: F64, targets: F64, weights: F64) -> dict[float, Softmax]:
    """A classifier for every penalty, the strongest first, each begun where the last one ended."""
    path: dict[float, Softmax] = {}
    last: Softmax | None = None
    for penalty in PENALTIES:
        last = fit_softmax(x, targets, weights, penalty=penalty, start=last)
        path[penalty] = last
    return path


def log_loss(logits: F64, targets: F64) -> float:
    """The mean cross-entropy of logits (N, K) against target distributions, in nats."""
    return float(-(targets * log_softmax(logits)).sum(axis=1).mean())


def temperature_of(logits: F64, targets: F64) -> float:
    """What logits (N, K) of pictures not learnt from must be divided by to be as sure as they are right (Guo 2017)."""

    def loss(log_t: float) -> float:
        return log_loss(logits / np.exp(log_t), targets)

    return float(np.exp(least_between(loss, -3, 3)))


def log_softmax(logits: F64) -> F64:
    """Logarithms of probabilities (N, K)."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def probabilities(logits: F64) -> NDArray[np.float64]:
    """Rows that sum to 1."""
    return np.asarray(np.exp(log_softmax(logits)), dtype=np.float64)
