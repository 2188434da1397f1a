"""Draws docs/peers.svg from benchmarks/peers.json: speed and accuracy beside others, each group in one run.

python docs/chart.py
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NUMBERS = HERE.parent / "benchmarks" / "peers.json"
WIDTH, PANEL, ROW, LABEL, ROOM = 860, 410, 24, 126, 190  # user units
STYLE = """
.title { font-weight: 600 } .dim { fill: #5b657c; font-size: 12px } text { fill: #1d2433 }
.other { fill: #aab3c8 } .ours { fill: #3c8d5a }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9f2 } .dim { fill: #9aa5bd } .other { fill: #56617a } .ours { fill: #4fae74 } }
"""


def panel(group: dict[str, Any], left: float, top: float) -> tuple[list[str], float]:
    """One group of bars; how high it is."""
    values, begin = group["values"], group.get("from", 0)
    most = max(values.values()) - begin
    hint = f"{group['better']} is better, {group['command']}"
    if begin:
        hint = f"bars from {begin}, {hint}"
    parts = [
        text(left, top + 14, group["title"], "title"),
        text(left, top + 31, hint, "dim"),
    ]
    for i, (name, value) in enumerate(values.items()):
        y = top + 42 + i * ROW
        wide = max(1.5, ROOM * (value - begin) / most)
        look = "ours" if name == "mien" else "other"
        parts.append(text(left + LABEL - 8, y + 14, name, "", 'text-anchor="end"'))
        parts.append(
            f'<rect class="{look}" x="{left + LABEL}" y="{y}" width="{wide:.1f}" height="18" rx="3"/>'
        )
        parts.append(text(left + LABEL + wide + 6, y + 14, f"{value:g}"))
    return parts, 42 + len(values) * ROW


def text(x: float, y: float, words: str, kind: str = "", more: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def drawn(groups: list[dict[str, Any]]) -> str:
    """Two columns of groups."""
    parts, top = [], 10.0
    for i in range(0, len(groups), 2):
        heights = []
        for group, left in zip(
            groups[i : i + 2], (10, 10 + WIDTH - PANEL), strict=False
        ):
            bars, height = panel(group, left, top)
            parts += bars
            heights.append(height)
        top += max(heights) + 22
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" '
        'font-family="system-ui, sans-serif" font-size="14" role="img" '
        'aria-label="Speed and accuracy of mien beside others; the numbers stand in the README">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


if __name__ == "__main__":
    groups = json.loads(NUMBERS.read_text(encoding="utf-8"))
    (HERE / "peers.svg").write_text(drawn(groups), encoding="utf-8")
