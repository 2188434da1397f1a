"""How `mien people about` shows what is kept about somebody."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from mien.about import Kept
from mien.cli.outputs import console


def show(name: str, found: Sequence[Kept], *, as_json: bool) -> None:
    """Prints all of it."""
    if as_json:
        document = {"name": name, "kept": [_record(one) for one in found]}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    columns = ("what", "of", "since", "until", "picture")
    table = Table(*columns, box=None, pad_edge=False)
    for one in found:
        when = [_local(one.since), _local(one.until)]
        row = [one.what, one.source, *when, "yes" if one.picture else "no"]
        table.add_row(*map(escape, row))
    console().print(table)


def _record(one: Kept) -> dict[str, Any]:
    times = {
        key: None
        if at is None
        else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        for key, at in (("since", one.since), ("until", one.until))
    }
    return dataclasses.asdict(one) | times


def _local(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
