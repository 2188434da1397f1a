"""The least value of a smooth convex function: L-BFGS (Liu and Nocedal 1989), and golden sections on a line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from mien.types import F64

_REMEMBERED = 10
_ENOUGH = 1e-4  # of the fall that the slope promises (Armijo)
_GOLDEN = (5**0.5 - 1) / 2

Loss = Callable[[F64], tuple[float, F64]]
Steps = deque[tuple[F64, F64]]  # what the last steps changed: in x, in the gradient


def minimize(
    loss: Loss, start: F64, *, steps: int = 200, tolerance: float = 1e-7
) -> F64:
    """Where `loss`, which gives its value and gradient, is least; ends once a step changes less than the tolerance."""
    x, (value, gradient) = start, loss(start)
    past: Steps = deque(maxlen=_REMEMBERED)
    for _ in range(steps):
        direction = _descent(gradient, past)
        slope = float(gradient @ direction)
        length = 1.0 if past else min(1.0, 1 / max(float(np.abs(gradient).sum()), 1e-9))
        while True:
            moved = x + length * direction
            reached, slopes = loss(moved)
            if reached <= value + _ENOUGH * length * slope:
                break
            length /= 2
            if length < 1e-12:  # nothing is below in what numbers can tell
                return x
        if float((moved - x) @ (slopes - gradient)) > 0:
            past.append((moved - x, slopes - gradient))
        fall = value - reached
        x, value, gradient = moved, reached, slopes
        if fall <= tolerance * max(abs(value), 1.0):
            break
    return x


def _descent(gradient: F64, past: Steps) -> F64:
    """Downhill by the gradient and the curvature that the last steps have seen (the two-loop recursion)."""
    q = -gradient
    shares = []
    for dx, dg in reversed(past):
        share = float(dx @ q) / float(dx @ dg)
        q = q - share * dg
        shares.append(share)
    if past:
        dx, dg = past[-1]
        q = q * (float(dx @ dg) / float(dg @ dg))
    for (dx, dg), share in zip(past, reversed(shares), strict=True):
        q = q + (share - float(dg @ q) / float(dx @ dg)) * dx
    return q


def least_between(
    loss: Callable[[float], float], low: float, high: float, *, within: float = 1e-5
) -> float:
    """Where a function with one valley is least."""
    while high - low > within:
        left = high - _GOLDEN * (high - low)
        right = low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return (low + high) / 2
