"""`mien report`: what the result of a batch, or the visits of cameras, hold."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli import new_app
from mien.cli.outputs import file_to_write
from mien.errors import InputError
from mien.installs import lacking
from mien.text import ESCAPE

report_app = new_app()

_FORMATS = ("html", "json")


@report_app.command()
def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="What 'mien batch' has written; or visits of cameras: beside a gallery (people.db), of a service "
            "(http://host:8000, its key in MIEN_KEY), or the lines of 'mien watch' (.jsonl).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it here (default: stdout)."),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option("--format", help=" | ".join(_FORMATS))
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", help="The page's heading.")
    ] = None,
) -> None:
    """Tell what a batch result or visits hold: people, ages, emotions over time, in one HTML file or as JSON.

    Example: [bold]mien report faces/ --output report.html[/bold]
    """
    named = output.suffix.lower().lstrip(".") if output is not None else "html"
    kind = format or named
    if output is not None:
        file_to_write("--output", output, suffixes=[f".{one}" for one in _FORMATS])
    if kind not in _FORMATS:
        raise InputError(
            f"--format {kind} is unknown; use one of {', '.join(_FORMATS)}"
        )
    if output is not None and kind != named:
        raise InputError(
            f"--output {output} is {named} by its name, but --format says {kind}: leave one out"
        )
    text = _told(source, kind, title)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8", errors=ESCAPE)
    except OSError as exc:
        raise InputError(f"cannot write {output}: {exc.strerror or exc}") from exc


def _told(source: str, kind: str, title: str | None) -> str:
    """The report of a source, as a page or as JSON."""
    from mien.models.attributes.heads import BUILT_IN
    from mien.report.visits import is_of_visits, read_visits, to_html as visits_to_html
    from mien.watch.counts import count

    if is_of_visits(source):
        visits = read_visits(source, key=os.environ.get("MIEN_KEY", ""))
        counts = count(visits, tuple(BUILT_IN.values()))
        if kind == "html":
            return visits_to_html(counts, title or "Visits")
        return _as_json(counts.to_dict())
    try:
        from mien.batch import Archive
        from mien.report.numbers import summarise
        from mien.report.page import to_html
    except ImportError as exc:
        raise InputError(lacking("mien report", "pyarrow", "parquet")) from exc
    found = summarise(Archive.open(Path(source)))
    if kind == "html":
        return to_html(found, title or "Faces in an archive")
    return _as_json(found.to_dict())


def _as_json(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"
