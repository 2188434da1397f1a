"""`mien models`: the weights, their licences and where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mien import store
from mien.cli import UNUSABLE, new_app
from mien.errors import ModelError
from mien.zoo import ZOO, ModelSpec, spec_of

models_app = new_app()


@models_app.callback(invoke_without_command=True)
def models(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="As JSON, with hashes.")] = False
) -> None:
    """List the models: what for, licence, size, what they were trained on, and whether they are on this machine.

    Example: [bold]mien models[/bold]
    """
    if ctx.invoked_subcommand is not None:
        return
    if as_json:
        typer.echo(json.dumps([_row(spec) for spec in ZOO.values()], indent=1))
        return
    table = Table("name", "for", "size", "here", "licence", "trained on", box=None, pad_edge=False)
    for spec in ZOO.values():
        size = f"{spec.size_bytes / 1e6:.1f} MB"
        table.add_row(spec.name, spec.task, size, "yes" if _is_here(spec) else "no", spec.licence, spec.trained_on)
    Console().print(table, highlight=False)


def _is_here(spec: ModelSpec) -> bool:
    try:
        return store.path_of(spec).is_file()
    except ModelError:
        return False


def _row(spec: ModelSpec) -> dict[str, object]:
    names = ("name", "task", "family", "source", "sha256", "size_bytes", "licence", "trained_on", "threshold")
    return {**{name: getattr(spec, name) for name in names}, "here": _is_here(spec)}


@models_app.command()
def get(name: list[str]) -> None:
    """Download models from their official address, checked by hash.

    Example: [bold]mien models get yunet[/bold]
    """
    for one in name:
        typer.echo(f"{one}: {store.download(spec_of(one))}")


@models_app.command()
def verify() -> None:
    """Check every model on this machine against its published hash.

    Example: [bold]mien models verify[/bold]
    """
    bad = 0
    for spec in ZOO.values():
        if not _is_here(spec):
            typer.echo(f"{spec.name}: not here")
            continue
        try:
            store.read(spec)
            typer.echo(f"{spec.name}: as published")
        except ModelError as exc:
            bad += 1
            typer.echo(f"mien: {exc}", err=True)
    if bad:
        raise typer.Exit(UNUSABLE)


@models_app.command(name="import")
def import_model(file: list[Path]) -> None:
    """Take in model files fetched elsewhere; their hash tells which they are.

    Example: [bold]mien models import face_detection_yunet_2023mar.onnx[/bold]
    """
    for one in file:
        typer.echo(f"{store.import_file(one).name}: taken from {one}")
