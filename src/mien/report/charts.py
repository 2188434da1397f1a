"""Series as small SVG pictures. Colours and text follow the page (CSS variables), so they suit dark and light."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from mien.report.numbers import Series

Draw = Callable[[Series, str], str]

_WIDTH = 720  # user units; the page scales
_BAR, _GAP, _LABEL, _COUNT = 20, 6, 130, 60
_HEIGHT, _FOOT, _LEFT = 220, 56, 46
_ONE = 3  # where nothing is told apart
_COLOURS = {  # of the page's variables --c0 … --c7
    "neutral": 0, "happiness": 1, "surprise": 2, "sadness": 3, "anger": 4, "disgust": 5, "fear": 6, "contempt": 7,
    "female": 6, "male": 3, "photo": 3, "video": 2,
}  # fmt: skip


def bars(series: Series, title: str) -> str:
    """One bar across per row, its labels stacked."""
    largest = max((sum(row) for row in series.counts), default=0)
    if not largest:
        return ""
    room = _WIDTH - _LABEL - _COUNT
    parts = []
    for i, (name, counts) in enumerate(zip(series.rows, series.counts, strict=True)):
        y = i * (_BAR + _GAP)
        parts.append(_text(_LABEL - 8, y + 15, _short(name, 18), anchor="end"))
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
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
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


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _svg(parts: list[str], height: float, title: str) -> str:
    content = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{content}</svg>'
