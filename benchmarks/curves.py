"""What a process held over time, as a CSV file and a picture (SVG) beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

_WIDTH, _HIGH, _LEFT, _RIGHT = 720, 120, 60, 16
_GAP = 44  # between two panels, for the numbers of the time
_STYLE = "font:12px sans-serif;fill:#777"


def write(
    place: Path, samples: Sequence[Mapping[str, float]], columns: Sequence[str]
) -> None:
    """Writes PLACE.csv with all that was sampled, and PLACE.svg with a panel for each of the columns over `minutes`."""
    with place.with_suffix(".csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, list(samples[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(samples)
    minutes = [sample["minutes"] for sample in samples]
    parts = []
    for number, column in enumerate(columns):
        values = [sample[column] for sample in samples]
        parts += _panel(24 + number * (_HIGH + _GAP), column, minutes, values)
    height = 24 + len(columns) * (_HIGH + _GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">'
    place.with_suffix(".svg").write_text("\n".join([head, *parts, "</svg>\n"]))


def _panel(
    top: float, name: str, minutes: Sequence[float], values: Sequence[float]
) -> list[str]:
    most, end = max(*values, 1.0) * 1.1, max(minutes[-1], 1e-9)
    across, up = (_WIDTH - _LEFT - _RIGHT) / end, _HIGH / most
    way = " ".join(
        f"{_LEFT + across * x:.1f},{top + _HIGH - up * y:.1f}"
        for x, y in zip(minutes, values, strict=True)
    )
    parts = [f'<text x="{_LEFT}" y="{top - 6}" style="{_STYLE}">{name}</text>']
    for k in range(3):
        y, x = top + _HIGH * (1 - k / 2), _LEFT + across * end * k / 2
        parts += [
            f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#7775"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end" style="{_STYLE}">{most * k / 2:.4g}</text>',
            f'<text x="{x}" y="{top + _HIGH + 16}" text-anchor="middle" style="{_STYLE}">{end * k / 2:.3g} min</text>',
        ]
    line = f'<polyline points="{way}" fill="none" stroke="#2a78d6" stroke-width="2"/>'
    return [*parts, line]
