"""Pages that need nothing else: one HTML file with its style, in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from mien.output import charts
from mien.output.charts import Series

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1d21;--dim:#646a73;--line:#dfe2e6;--card:#f6f7f9;
--c0:#9aa3ad;--c1:#e0a800;--c2:#e8743b;--c3:#3b7dd8;--c4:#d1383d;--c5:#5b9b4b;--c6:#9a5fc4;--c7:#2a9d97}
@media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e8eaed;--dim:#9aa1ab;--line:#30343a;--card:#1d2024;
--c0:#7c8691;--c1:#e3b83a;--c2:#ef8a58;--c3:#639af0;--c4:#ea6165;--c5:#7dbb6d;--c6:#b788dc;--c7:#4fbdb6}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:2rem 1rem 4rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.5rem 0 .5rem}
.dim{color:var(--dim)}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;
margin:1.5rem 0}
.cards div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.cards b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;display:block}
.confusion td.cell{min-width:3rem;text-align:center;
background:hsl(212 70% 50% / var(--share))}.faces{display:flex;flex-wrap:wrap;gap:.8rem}figure{margin:0;width:7rem}
figure img{width:7rem;height:7rem;border-radius:.4rem;display:block}
figcaption{font-size:.78rem;line-height:1.3;margin-top:.2rem;overflow-wrap:anywhere}
svg text{fill:var(--fg);font:13px system-ui,sans-serif}.grid{stroke:var(--line)}
.legend{display:flex;flex-wrap:wrap;
gap:.2rem 1rem;margin:.4rem 0;font-size:.9rem}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;
margin-right:.4em}details{margin:.5rem 0}summary{cursor:pointer;color:var(--dim)}.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.25rem .8rem .25rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}li{overflow-wrap:anywhere}
"""


def page(title: str, body: str) -> str:
    """The whole page."""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


def table(head: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; whole numbers are grouped by thousands."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    heading = f"<thead><tr>{top}</tr></thead>" if top else ""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table>{heading}<tbody>{body}</tbody></table></div>'


def section(name: str, series: Series, draw: charts.Draw, note: str = "") -> str:
    """A series as a picture with its table; nothing where nothing was counted."""
    picture = draw(series, name)
    if not picture:
        return ""
    rows = (
        (row, *counts) for row, counts in zip(series.rows, series.counts, strict=True)
    )
    numbers = table(("", *series.labels), rows)
    return block(name, note, charts.legend(series.labels) + picture, numbers)


def block(name: str, note: str, picture: str, numbers: str) -> str:
    """A heading, a remark, a picture, and its numbers folded up."""
    about = dim(note) if note else ""
    return f"<h2>{escape(name)}</h2>{about}{picture}<details><summary>As a table</summary>{numbers}</details>"


def dim(text: str) -> str:
    """A remark."""
    return f'<p class="dim">{escape(text)}</p>'


def cards(note: str, counts: Mapping[str, int]) -> str:
    """A remark, and under it each count on a card with its name."""
    shown = "".join(
        f"<div><b>{number:,}</b>{escape(name)}</div>" for name, number in counts.items()
    )
    return f'{dim(note)}<div class="cards">{shown}</div>'


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"<td>{value:,}</td>"
    return f"<td>{escape(str(value))}</td>"
