"""Numbers as small SVG pictures. Colours and text follow the page (CSS variables), so they suit dark and light."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]
Draw = Callable[["Series", str], str]

STEP = 10  # of numbers: years are counted by decades

_WIDTH = 720  # user units; the page scales
_BAR, _GAP, _LABEL, _COUNT = 20, 6, 130, 60
_HEIGHT, _FOOT, _LEFT = 220, 56, 46
_WIDE, _HIGH, _ASIDE, _BELOW, _ABOVE = 560, 300, 52, 44, 28  # of lines and dots
_LINES = (3, 2, 5, 6)  # their colours
_ONE = 3  # where nothing is told apart
_COLOURS = {  # of the page's variables --c0 … --c7
    "neutral": 0, "happiness": 1, "surprise": 2, "sadness": 3, "anger": 4, "disgust": 5, "fear": 6, "contempt": 7,
    "female": 6, "male": 3, "photo": 3, "video": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """Counts by row (a period, an age) and label."""

    rows: tuple[str, ...]
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # one tuple per row


def crossed(
    rows: Sequence[str | None],
    columns: Sequence[str | None],
    wanted: Sequence[str],
    known: Sequence[str],
) -> Series:
    """How often each pair occurs, in the wanted rows; without a pair, no rows. Known labels come in their order."""
    counts = Counter(
        pair for pair in zip(rows, columns, strict=True) if None not in pair
    )
    labels = labels_of((column for _, column in counts if column is not None), known)
    if not labels:
        return Series((), (), ())
    return Series(
        tuple(wanted),
        labels,
        tuple(tuple(counts[row, label] for label in labels) for row in wanted),
    )


def labels_of(found: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Labels that occur: the known ones in their order, then those of models of one's own."""
    occurring = set(found)
    return (
        *(label for label in known if label in occurring),
        *sorted(occurring.difference(known)),
    )


def step_of(number: float) -> str:
    """The ten that a number lies in: "20-29"."""
    start = int(number // STEP) * STEP
    return f"{start}-{start + STEP - 1}"


def steps_between(found: Iterable[str]) -> list[str]:
    """All tens from the least of those found to the greatest."""
    starts = [int(step.split("-")[0]) for step in found]
    if not starts:
        return []
    return [step_of(start) for start in range(min(starts), max(starts) + 1, STEP)]


def bars(series: Series, title: str) -> str:
    """One bar across per row, its labels stacked."""
    largest = max((sum(row) for row in series.counts), default=0)
    if not largest:
        return ""
    room = _WIDTH - _LABEL - _COUNT
    parts = []
    for i, (name, counts) in enumerate(zip(series.rows, series.counts, strict=True)):
        y = i * (_BAR + _GAP)
        parts.append(
            _text(
                _LABEL - 8,
                y + 15,
                name if len(name) <= 18 else name[:17] + "…",
                anchor="end",
            )
        )
        x = float(_LABEL)
        for k, (label, count) in enumerate(zip(series.labels, counts, strict=True)):
            width = room * count / largest
            colour = (
                _colour(label, k) if len(series.labels) > 1 else _colour(name, _ONE)
            )
            parts.append(_rect((x, y, width, _BAR), colour, f"{name}: {count}"))
            x += width
        parts.append(_text(x + 6, y + 15, f"{sum(counts):,}"))
    return _svg(parts, len(series.rows) * (_BAR + _GAP), title)


def columns(series: Series, title: str) -> str:
    """One column up per row, its labels stacked."""
    largest = max((sum(row) for row in series.counts), default=0)
    if not largest:
        return ""
    step = (_WIDTH - _LEFT) / len(series.rows)
    parts = _grid(largest)
    every = -(-len(series.rows) // 8)
    for i, (name, counts) in enumerate(zip(series.rows, series.counts, strict=True)):
        x, y = _LEFT + i * step, float(_HEIGHT)
        for k, (label, count) in enumerate(zip(series.labels, counts, strict=True)):
            height = (_HEIGHT - 10) * count / largest
            y -= height
            place = (x + step * 0.1, y, min(step * 0.8, 60), height)
            parts.append(_rect(place, _colour(label, k), f"{name}, {label}: {count}"))
        if i % every == 0:
            parts.append(_text(x + step * 0.1, _HEIGHT + 18, name))
    return _svg(parts, _HEIGHT + _FOOT // 2, title)


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
            [frame.line([(frame.x0, frame.x0), (frame.x1, frame.x1)], "var(--dim)")]
            if diagonal
            else []
        ),
    ]
    for k, (name, points) in enumerate(lines.items()):
        colour = f"var(--c{_LINES[k % len(_LINES)]})"
        parts.extend(
            frame.dots(points, colour) if dots else [frame.line(points, colour)]
        )
        x = _ASIDE + 170 * k
        parts.append(
            f'<rect x="{x}" y="8" width="12" height="4" style="fill:{colour}"/>'
        )
        parts.append(_text(x + 18, 15, name))
    parts.append(_text(_WIDE / 2, _HIGH - 6, x_name, anchor="middle"))
    return _svg(parts, _HIGH, x_name, width=_WIDE)


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
        right = _ASIDE + (x - self.x0) / (self.x1 - self.x0) * (_WIDE - _ASIDE - 16)
        up = (
            _HIGH
            - _BELOW
            - (y - self.y0) / (self.y1 - self.y0) * (_HIGH - _BELOW - _ABOVE)
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
            parts.append(_rule(py, _ASIDE, _WIDE - 16))
            parts.append(_text(_ASIDE - 6, py + 4, f"{y:.3g}", anchor="end"))
            foot = _HIGH - _BELOW + 16
            parts.append(_text(px, foot, f"{x:.3g}", anchor="middle"))
        return parts

    def line(self, points: Points, colour: str) -> str:
        way = " ".join(f"{px},{py}" for px, py in (self.at(x, y) for x, y in points))
        return f'<polyline fill="none" style="stroke:{colour}" stroke-width="2" points="{way}"/>'

    def dots(self, points: Points, colour: str) -> list[str]:
        places = (self.at(x, y) for x, y in points)
        return [
            f'<circle cx="{px}" cy="{py}" r="3.5" style="fill:{colour}" fill-opacity=".6"/>'
            for px, py in places
        ]


def legend(labels: tuple[str, ...]) -> str:
    """What the colours mean; nothing for one colour."""
    if len(labels) < 2:
        return ""
    keys = "".join(
        f'<span><i style="background:{_colour(label, k)}"></i>{escape(label)}</span>'
        for k, label in enumerate(labels)
    )
    return f'<p class="legend">{keys}</p>'


def _grid(largest: int) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _HEIGHT - (_HEIGHT - 10) * share
        parts.append(_rule(y, _LEFT, _WIDTH))
        parts.append(_text(_LEFT - 6, y + 4, f"{largest * share:,.0f}", anchor="end"))
    return parts


def _rect(place: tuple[float, float, float, float], colour: str, told: str) -> str:
    x, y, width, height = place
    if width <= 0 or height <= 0:
        return ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {size} style="fill:{colour}"><title>{escape(told)}</title></rect>'


def _colour(label: str, other: int) -> str:
    return f"var(--c{_COLOURS.get(label, other) % 8})"


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(y: float, left: float, right: float) -> str:
    return f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _svg(parts: list[str], height: float, title: str, *, width: int = _WIDTH) -> str:
    content = "".join(parts)
    box = f'viewBox="0 0 {width} {height:.0f}" style="max-width:{width}px"'
    return f'<svg {box} role="img" aria-label="{escape(title)}">{content}</svg>'
