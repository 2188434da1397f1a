"""Small charts as SVG text, without a plotting library."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 560, 300, 52, 44, 28
_COLOURS = ("#3274d9", "#e0752d", "#3d9970", "#b4509e")


def chart(
    lines: Mapping[str, Points],
    *,
    x_name: str,
    dots: bool = False,
    diagonal: bool = False,
) -> str:
    """Points by name in one diagram, joined to lines or as dots; `diagonal` draws where x equals y on equal axes."""
    values = [point for points in lines.values() for point in points]
    if not values:
        return ""
    frame = _Frame.around(values, equal=diagonal)
    parts = [
        *frame.grid(),
        *(
            [frame.line([(frame.x0, frame.x0), (frame.x1, frame.x1)], "#888")]
            if diagonal
            else []
        ),
    ]
    for k, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        parts.extend(
            frame.dots(points, colour) if dots else [frame.line(points, colour)]
        )
        x = _LEFT + 170 * k
        parts.append(f'<rect x="{x}" y="8" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="15">{html.escape(name)}</text>')
    parts.append(
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(x_name)}</text>'
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">{"".join(parts)}</svg>'


class _Frame:
    """From values to pixels."""

    def __init__(self, x0: float, x1: float, y0: float, y1: float) -> None:
        self.x0, self.x1, self.y0, self.y1 = x0, x1, y0, y1

    @classmethod
    def around(cls, values: Points, *, equal: bool) -> _Frame:
        xs, ys = [x for x, _ in values], [y for _, y in values]
        if equal:
            high = max(*xs, *ys)
            return cls(0, 1 if high <= 1 else high, 0, 1 if high <= 1 else high)
        low, high = min(ys), max(ys)
        room = 0.05 * (high - low) or 0.5
        return cls(
            min(xs),
            max(xs) if max(xs) > min(xs) else min(xs) + 1,
            low - room,
            high + room,
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        right = _LEFT + (x - self.x0) / (self.x1 - self.x0) * (_WIDTH - _LEFT - 16)
        up = (
            _HEIGHT
            - _BOTTOM
            - (y - self.y0) / (self.y1 - self.y0) * (_HEIGHT - _BOTTOM - _TOP)
        )
        return round(right, 1), round(up, 1)

    def grid(self) -> list[str]:
        parts = []
        for k in range(5):
            x, y = (
                low + (high - low) * k / 4
                for low, high in ((self.x0, self.x1), (self.y0, self.y1))
            )
            (px, _), (_, py) = self.at(x, self.y0), self.at(self.x0, y)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 16}" y1="{py}" y2="{py}"/>'
            )
            parts.append(
                f'<text x="{_LEFT - 6}" y="{py + 4}" text-anchor="end">{y:.3g}</text>'
            )
            parts.append(
                f'<text x="{px}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{x:.3g}</text>'
            )
        return parts

    def line(self, points: Points, colour: str) -> str:
        way = " ".join(f"{px},{py}" for px, py in (self.at(x, y) for x, y in points))
        return (
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{way}"/>'
        )

    def dots(self, points: Points, colour: str) -> list[str]:
        places = (self.at(x, y) for x, y in points)
        return [
            f'<circle cx="{px}" cy="{py}" r="3.5" fill="{colour}" fill-opacity=".6"/>'
            for px, py in places
        ]
