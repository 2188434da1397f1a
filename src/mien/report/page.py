"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mien.report import charts
from mien.report.numbers import BatchReport, PersonCount, Series, Totals

_MOST_PEOPLE = 30  # in the picture; the table has them all
_MOST_ERRORS = 200

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1d21;--dim:#646a73;--line:#dfe2e6;--card:#f6f7f9;
--c0:#9aa3ad;--c1:#e0a800;--c2:#e8743b;--c3:#3b7dd8;--c4:#d1383d;--c5:#5b9b4b;--c6:#9a5fc4;--c7:#2a9d97}
@media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e8eaed;--dim:#9aa1ab;--line:#30343a;--card:#1d2024;
--c0:#7c8691;--c1:#e3b83a;--c2:#ef8a58;--c3:#639af0;--c4:#ea6165;--c5:#7dbb6d;--c6:#b788dc;--c7:#4fbdb6}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:2rem 1rem 4rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.5rem 0 .5rem}
.dim{color:var(--dim)}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.75rem;
margin:1.5rem 0}.cards div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.cards b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;display:block}
svg text{fill:var(--fg);font:13px system-ui,sans-serif}.grid{stroke:var(--line)}.legend{display:flex;flex-wrap:wrap;
gap:.2rem 1rem;margin:.4rem 0;font-size:.9rem}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;
margin-right:.4em}details{margin:.5rem 0}summary{cursor:pointer;color:var(--dim)}.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.25rem .8rem .25rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}li{overflow-wrap:anywhere}
"""


def to_html(report: BatchReport, title: str) -> str:
    """The whole page."""
    sections = [
        _people(report.people),
        *(
            _attribute(name, series, report)
            for name, series in report.attributes.items()
        ),
        _section("Photos and videos over time", report.files_over_time, charts.columns),
        _section("Faces per photo", report.faces_per_photo, charts.bars),
        _errors(report.errors),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n{_totals(report.totals)}\n"
        + "\n".join(filter(None, sections))
        + "\n</html>\n"
    )


def _attribute(name: str, series: Series, report: BatchReport) -> str:
    title = name.replace("_", " ").capitalize()
    if name.endswith("_over_time"):
        return _section(title, series, charts.columns, _about_time(report.totals))
    unit = report.units.get(name)
    return _section(
        title,
        series,
        charts.bars,
        f"One per face of a photo and track of a video, in {unit}." if unit else "",
    )


def _totals(totals: Totals) -> str:
    cards = {
        "photos": totals.photos,
        "videos": totals.videos,
        "faces": totals.faces,
        "with a name": totals.named,
        "people": totals.people,
        "without a face": totals.without_face,
        "failed": totals.failed,
    }
    shown = "".join(
        f"<div><b>{count:,}</b>{name}</div>" for name, count in cards.items()
    )
    period = f"{totals.period[0]} to {totals.period[1]}, " if totals.period else ""
    return f'<p class="dim">{period}{totals.bytes / 1e9:.2f} GB</p><div class="cards">{shown}</div>'


def _about_time(totals: Totals) -> str:
    files = totals.photos + totals.videos
    return f"Time is the camera's where the file tells it ({totals.timed_by_exif:,} of {files:,}), else the file's own."


def _section(name: str, series: Series, draw: charts.Draw, note: str = "") -> str:
    picture = draw(series, name)
    if not picture:
        return ""
    rows = (
        (row, *counts) for row, counts in zip(series.rows, series.counts, strict=True)
    )
    return _block(
        name,
        note,
        charts.legend(series.labels) + picture,
        _table(("", *series.labels), rows),
    )


def _people(people: Sequence[PersonCount]) -> str:
    if not people:
        return ""
    most = people[:_MOST_PEOPLE]
    counts = tuple((person.photos, person.videos) for person in most)
    series = Series(tuple(person.name for person in most), ("photo", "video"), counts)
    picture = charts.legend(series.labels) + charts.bars(series, "People")
    rows = (
        (person.name, person.photos, person.videos, person.first, person.last)
        for person in people
    )
    note = "In how many photos and videos each is seen."
    return _block(
        "People",
        note,
        picture,
        _table(("name", "photos", "videos", "first", "last"), rows),
    )


def _block(name: str, note: str, picture: str, table: str) -> str:
    about = f'<p class="dim">{escape(note)}</p>' if note else ""
    return f"<h2>{escape(name)}</h2>{about}{picture}<details><summary>As a table</summary>{table}</details>"


def _table(head: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    return (
        f"<td>{value:,}</td>"
        if isinstance(value, int)
        else f"<td>{escape(str(value))}</td>"
    )


def _errors(errors: Sequence[str]) -> str:
    if not errors:
        return ""
    listed = "".join(f"<li>{escape(error)}</li>" for error in errors[:_MOST_ERRORS])
    more = len(errors) - _MOST_ERRORS
    rest = (
        f"<p>and {more:,} more: the table <code>errors</code> has them</p>"
        if more > 0
        else ""
    )
    return f"<h2>Failed files</h2><details><summary>{len(errors):,} files</summary><ul>{listed}</ul>{rest}</details>"
