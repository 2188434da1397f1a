"""Whether two faces are one person, and how far to believe it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from mien.space import EmbeddingSpace
from mien.types import F32


@dataclass(frozen=True, slots=True)
class Verification:
    """Two faces compared: their distance, in the space's measure, the tolerance, and whether it is within it.

    Where it was measured for the embedder (else None): `probability` that they are one person, if that is as likely
    beforehand as not; `false_match_rate`, the share of pairs of strangers that are nearer than this;
    `false_non_match_rate`, the share of one person's pairs that are farther apart.
    """

    distance: float
    tolerance: float
    same: bool
    probability: float | None
    false_match_rate: float | None
    false_non_match_rate: float | None

    def to_dict(self) -> dict[str, float | bool | None]:
        """As JSON shows it."""
        # Four digits that count; true and false stay what they are.
        return {
            name: (float(f"{value:.4g}") if isinstance(value, float) else value)
            for name, value in asdict(self).items()
        }


def compare(
    one: F32, other: F32, space: EmbeddingSpace, *, tolerance: float
) -> Verification:
    """Compares two descriptors (D,) as they are kept in this space."""
    distance = float(space.from_euclidean(float(np.linalg.norm(one - other))))
    rates = space.rates
    return Verification(
        distance=distance,
        tolerance=tolerance,
        same=distance <= tolerance,
        probability=None if rates is None else float(rates.probability(distance)),
        false_match_rate=None if rates is None else float(rates.fmr(distance)),
        false_non_match_rate=None if rates is None else float(rates.fnmr(distance)),
    )
