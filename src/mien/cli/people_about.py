"""How `mien people about` shows what is kept about somebody."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import typer
from rich.markup import escape
from rich.table import Table

from mien.about import Kept
from mien.cli.outputs import console, local_time, utc_time


def show(name: str, found: Sequence[Kept], *, as_json: bool) -> None:
    """Prints all of it."""
    if as_json:
        kept = [dataclasses.asdict(one) for one in found]
        for one in kept:
            for key in ("since", "until"):
                one[key] = None if one[key] is None else utc_time(one[key])
        document = {"name": name, "kept": kept}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    columns = ("what", "of", "since", "until", "picture")
    table = Table(*columns, box=None, pad_edge=False)
    for each in found:
        when = [local_time(each.since), local_time(each.until)]
        row = [each.what, each.source, *when, "yes" if each.picture else "no"]
        table.add_row(*map(escape, row))
    console().print(table)
