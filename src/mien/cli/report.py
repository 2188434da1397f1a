"""`mien report`: what the result of a batch holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mien.cli import new_app
from mien.cli.outputs import file_to_write
from mien.errors import InputError
from mien.installs import lacking

report_app = new_app()

_FORMATS = ("html", "json")


@report_app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What 'mien batch' has written.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it here (default: stdout)."),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option("--format", help=" | ".join(_FORMATS))
    ] = None,
    title: Annotated[
        str, typer.Option("--title", help="The page's heading.")
    ] = "Faces in an archive",
) -> None:
    """Tell what a batch result holds: people, ages, emotions over time, in one HTML file or as JSON.

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
    try:
        from mien.batch import Archive
        from mien.report import summarise, to_html
    except ImportError as exc:
        raise InputError(lacking("mien report", "pyarrow", "parquet")) from exc
    found = summarise(Archive.open(folder))
    text = (
        to_html(found, title)
        if kind == "html"
        else json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n"
    )
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot write {output}: {exc.strerror or exc}") from exc
