"""How `mien people check` shows what it found."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien.gallery.check import GalleryCheck
from mien.text import counted


def as_json(report: GalleryCheck) -> str:
    """The report as one JSON object; distances that there are none of are null."""
    return json.dumps(_plain(dataclasses.asdict(report)), ensure_ascii=False, indent=1)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def show(report: GalleryCheck, console: Console) -> None:
    """Prints the report as tables for people."""
    console.print(
        f"{counted(report.photos, 'photo')} of {counted(report.people, 'person')} at tolerance {report.tolerance:g}"
    )
    pairs = ("person", "and", "nearest", "typical")
    found = [
        _table(
            "Look like one person: 'mien people merge' joins two",
            pairs,
            map(dataclasses.astuple, report.duplicates),
        ),
        _table(
            "Will be confused at this tolerance",
            pairs,
            map(dataclasses.astuple, report.alike),
        ),
        _table(
            "Photos that do not look like the person's others",
            ("person", "photo", "own", "other", "looks like", ""),
            (
                (
                    p.name,
                    p.source,
                    p.own,
                    p.other,
                    p.looks_like if p.other <= report.tolerance else "",
                    "left out of searches" if p.left_out else "",
                )
                for p in report.odd
            ),
        ),
        _table(
            "Small, blurred or turned away: count less",
            ("person", "photo", "quality"),
            map(dataclasses.astuple, report.poor),
        ),
        _table(
            "Photos that are passed over, or show several people",
            ("person", "photo", "why"),
            ((remark.name, remark.source, remark.reason) for remark in report.remarks),
        ),
        _table(
            "Photos that would help",
            ("person", "photos", "what is missing"),
            (
                (one.name, one.photos, "; ".join(one.suggestions))
                for one in report.missing
            ),
        ),
        _table(
            "Described in one view, or imported as numbers: enrol these photos once more and they tell more",
            ("person", "photos"),
            map(dataclasses.astuple, report.one_view),
        ),
    ]
    for table in found:
        if table is not None:
            console.print()
            console.print(table)
    if not any(found):
        console.print("nothing to mend")
    console.print()
    console.print(_suggested(report))


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> Table | None:
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table if table.row_count else None


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if math.isfinite(value) else "-"
    return escape(str(value))


def _suggested(report: GalleryCheck) -> str:
    best = report.suggestion
    if best is None:
        return "no tolerance suggested: too few people have several photos (20 photos beside others of the same person)"
    return (
        f"suggested: --tolerance {best.tolerance:.2f} (misses {best.missed:.1%} of these photos, "
        f"mistakes {best.mistaken:.1%} for somebody else)"
    )
