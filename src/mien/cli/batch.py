"""`mien batch`: archives of photos and videos in, Parquet out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress as Bar, TextColumn, TimeRemainingColumn

from mien.cli import DONE, SOME_FAILED, UNUSABLE, new_app
from mien.cli.options import SharedOptions, with_shared_options
from mien.cli.outputs import refuse_inputs
from mien.errors import InputError
from mien.installs import lacking
from mien.text import counted

if TYPE_CHECKING:
    from mien.batch import BatchSummary, Progress

batch_app = new_app()


@batch_app.command()
@with_shared_options
def batch(
    shared: SharedOptions,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Folders (with all inside them), globs, files, s3://… gs://…",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The folder of the result; run again to go on."
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Workers (default: one per core)."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="A Ray cluster: auto, HOST:6379, ray://HOST:10001 or local.",
        ),
    ] = None,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Of a video, take every Nth frame.")
    ] = 1,
    by_content: Annotated[
        bool,
        typer.Option(
            "--by-content",
            help="Files are changed if their content is, not their time.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try files again that failed before.")
    ] = False,
) -> None:
    """Analyse archives of photos and videos into Parquet tables. What is done is not done again.

    Example: [bold]mien batch photos/ 's3://archive/2024/**/*.jpg' --output faces/ && mien report faces/[/bold]
    """
    try:
        from mien.batch import BatchOptions, run_batch
    except ImportError as exc:
        raise InputError(lacking("mien batch", "pyarrow", "parquet")) from exc
    refuse_inputs("--output", [output], inputs)
    options = BatchOptions(
        shared.choices(), every, jobs, address, by_content, retry_failed
    )
    start = time.monotonic()
    with _progress() as on_progress:
        summary = run_batch(inputs, output, options, on_progress)
    for reason in summary.errors:
        typer.echo(f"mien: {reason}", err=True)
    typer.echo(_said(summary, time.monotonic() - start), err=True)
    if code := exit_code(summary):
        raise typer.Exit(code)


def exit_code(summary: BatchSummary) -> int:
    """Done, some failed, or nothing that could be used."""
    if not summary.errors:
        return DONE
    usable = summary.unchanged + summary.analyzed - summary.failed
    return SOME_FAILED if usable else UNUSABLE


def _said(summary: BatchSummary, seconds: float) -> str:
    parts = [
        f"{counted(summary.analyzed, 'file')} analysed, {counted(summary.faces, 'face')}, {len(summary.errors)} failed"
    ]
    if summary.unchanged:
        parts.append(f"{summary.unchanged} unchanged")
    if summary.removed:
        parts.append(f"{summary.removed} gone")
    if summary.failed_before:
        parts.append(
            f"{summary.failed_before} failed before (--retry-failed tries them again)"
        )
    return f"{', '.join(parts)}; {seconds:.1f} s"


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A bar with the time left, by bytes; only where somebody looks."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda progress: None
        return
    columns = (
        TextColumn("analysing"),
        BarColumn(),
        TextColumn("{task.fields[files]}/{task.fields[of_files]} files"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, files=0, of_files="?")
        yield lambda now: bar.update(
            task,
            completed=now.size,
            total=now.of_size,
            files=now.files,
            of_files=now.of_files,
        )
