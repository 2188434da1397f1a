"""`mien models`: the weights, their licences and where they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien import plugins, store
from mien.cli import UNUSABLE, new_app
from mien.cli.options import ModelsDir, models_dir
from mien.cli.outputs import file_to_write
from mien.errors import InputError, ModelError
from mien.media import images
from mien.models import embedders
from mien.models.folder import ModelFile, ModelFolder
from mien.zoo import ARCFACE_POINTS, ZOO, FaceCrop, ModelSpec, specs_of

models_app = new_app()

_WIDTH_IN_PIPES = 160


@models_app.callback(invoke_without_command=True)
def models(
    ctx: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON, with hashes.")
    ] = False,
    own: ModelsDir = None,
) -> None:
    """List the models: what for, licence, size, what they were trained on, and whether they are on this machine.

    Your own files in the folder --models-dir are listed too, with their labels.

    Example: [bold]mien models --models-dir models/[/bold]
    """
    if ctx.invoked_subcommand is not None:
        return
    place = models_dir(own)
    files = [] if place is None else ModelFolder(place).files()
    if as_json:
        rows = [*map(_row, ZOO.values()), *map(_own_row, files), *_further_rows()]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "for", "size", "here", "licence", "trained on"):
        table.add_column(title, overflow="fold", no_wrap=title in {"name", "size"})
    for spec in ZOO.values():
        size = f"{spec.size_bytes / 1e6:.1f} MB"
        table.add_row(
            spec.name,
            spec.task,
            size,
            "yes" if _is_here(spec) else "no",
            spec.licence,
            spec.trained_on,
        )
    for file in files:
        size = f"{file.file.stat().st_size / 1e6:.1f} MB"
        table.add_row(
            escape(file.name),
            file.attribute,
            size,
            "yes",
            escape(file.licence),
            escape(
                f"cannot be used: {file.error}"
                if file.error
                else f"classes: {', '.join(file.labels)}"
            ),
        )
    for row in _further_rows():
        told = (str(row[key]) for key in ("name", "task", "here", "source"))
        name, task, _, source = map(escape, told)
        table.add_row(name, task, "", "yes", "", source)
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_PIPES).print(
        table, highlight=False
    )


def _own_row(file: ModelFile) -> dict[str, object]:
    return {
        "name": file.name,
        "task": file.attribute or None,
        "family": "own",
        "source": str(file.file),
        "size_bytes": file.file.stat().st_size,
        "licence": file.licence or None,
        "labels": list(file.labels),
        "error": file.error or None,
        "here": True,
    }


def _further_rows() -> list[dict[str, object]]:
    """What packages add, and embedders that were taken in."""
    kinds = {
        plugins.DETECTORS: "detection",
        plugins.EMBEDDERS: "embedding",
        plugins.ATTRIBUTES: "attributes",
    }
    rows: list[dict[str, object]] = [
        {
            "name": plugin.name,
            "task": task,
            "family": "plug-in",
            "source": f"package {plugin.package}",
            "here": True,
        }
        for group, task in kinds.items()
        for plugin in plugins.found(group).values()
        if plugin.package != plugins.OWN
    ]
    own = {"task": "embedding", "family": "own", "here": True}
    return [
        *rows,
        *(
            {"name": file.stem, "source": str(file), **own}
            for file in embedders.own_files()
        ),
    ]


def _is_here(spec: ModelSpec) -> bool:
    try:
        return store.path_of(spec).is_file()
    except ModelError:
        return False


def _row(spec: ModelSpec) -> dict[str, object]:
    names = (
        "name",
        "task",
        "family",
        "source",
        "sha256",
        "size_bytes",
        "licence",
        "trained_on",
        "threshold",
    )
    return {**{name: getattr(spec, name) for name in names}, "here": _is_here(spec)}


@models_app.command()
def get(name: list[str]) -> None:
    """Download models from their official address, checked by hash.

    Example: [bold]mien models get yunet antispoof[/bold]
    """
    for spec in [spec for one in name for spec in specs_of(one)]:
        typer.echo(f"{spec.name}: {store.download(spec)}")


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
def import_model(
    file: list[Path],
    output: Annotated[
        Path | None, typer.Option("--output", help="The model file to write (.onnx).")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="age, gender, or a text file with one label a line."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Of a checkpoint: levi_hassner, levi_hassner_bn or inception (default: seen)."
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="What to note as the licence of the weights.")
    ] = None,
    padding: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Margin around a face, in sizes of its box (default: as it was made for).",
        ),
    ] = None,
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="embedder: an .onnx network of ArcFace's kind tells who faces are.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of an embedder, for --embedder (else FILE's)."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Of an embedder: cosine | euclidean.")
    ] = "cosine",
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Of an embedder: the largest distance of one person (cosine: 1 - cos)."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Of an embedder: its five points as 'x,y x,y …' pixels (default: ArcFace's)."
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Of an embedder: pixels a side that it sees.")
    ] = 112,
    channels: Annotated[str, typer.Option(help="Of an embedder: rgb | bgr.")] = "rgb",
    mean: Annotated[
        float,
        typer.Option(help="Of an embedder: a pixel x becomes (x - mean) * scale."),
    ] = 127.5,
    scale: Annotated[float, typer.Option(help="Of an embedder.")] = 1 / 127.5,
) -> None:
    """Take over a network of Caffe or TensorFlow 1 as a model file, or take in listed weights fetched elsewhere.

    Files of the list of models are told by their hash. A network's own files are
    NET.prototxt NET.caffemodel [MEAN.binaryproto]; the folder of a checkpoint, or one step in it; GRAPH.pb LABELS.txt.

    Example: [bold]mien models import face_detection_yunet_2023mar.onnx[/bold]

    Example: [bold]mien models import age.prototxt age.caffemodel mean.binaryproto --labels age --output age.onnx[/bold]

    Example: [bold]mien models import 22801/ --architecture inception --labels age --output age.onnx[/bold]

    Example: [bold]mien models import output_graph.pb output_labels.txt --output emotion.onnx[/bold]

    Example: [bold]mien models import w600k_r50.onnx --as embedder --name r50 --tolerance 0.7[/bold]
    """
    if as_ is not None:
        crop = FaceCrop(_points(template), size, channels, mean, scale)  # type: ignore[arg-type]
        bounds = {"metric": metric, "tolerance": tolerance}
        _import_embedder(
            as_,
            file,
            crop,
            {"name": name, "licence": licence, "output": output, **bounds},
        )
        return
    from mien.train.importers.model_file import (
        UNKNOWN_LICENCE,
        ImportOptions,
        convert,
        is_foreign,
    )

    if output is None and not is_foreign(file):
        for one in file:
            typer.echo(f"{store.import_file(one).name}: taken from {one}")
        return
    if output is None or output.suffix.lower() != ".onnx":
        raise InputError("say where the model file goes: --output FILE.onnx")
    file_to_write("--output", output, suffixes=(".onnx",), inputs=file)
    data = convert(
        file, ImportOptions(labels, architecture, licence or UNKNOWN_LICENCE, padding)
    )
    _write(output, data)
    typer.echo(f"{output}: taken from {', '.join(map(str, file))}")


def _points(template: str | None) -> tuple[tuple[float, float], ...]:
    if template is None:
        return ARCFACE_POINTS
    try:
        points = tuple(
            tuple(map(float, point.split(","))) for point in template.split()
        )
    except ValueError as exc:
        raise InputError(
            f"--template is five points as 'x,y x,y x,y x,y x,y', got {template!r}"
        ) from exc
    return points  # type: ignore[return-value]


def _import_embedder(
    kind: str, files: list[Path], crop: FaceCrop, given: dict[str, Any]
) -> None:
    """Takes a network in as an embedder, into the user's data folder unless another place is named."""
    if kind != "embedder":
        raise InputError(f"--as {kind} is unknown; there is embedder")
    if len(files) != 1 or given["tolerance"] is None:
        raise InputError(
            "an embedder is one .onnx file; say with --tolerance up to which distance two are one person"
        )
    (file,) = files
    name = given["name"] or file.stem
    if name in ZOO or plugins.named(plugins.EMBEDDERS, name) is not None:
        raise InputError(
            f"{name} is the name of another embedder; give this one another with --name"
        )
    bounds = {key: given[key] for key in ("metric", "tolerance")}
    licence = given["licence"] or "not stated"
    data = embedders.take_in(
        images.read_bytes(file), name, crop, bounds, licence=licence
    )
    output = given["output"] or store.data_dir() / embedders.FOLDER / f"{name}.onnx"
    file_to_write("--output", output, suffixes=(".onnx",), inputs=files)
    _write(output, data)
    typer.echo(
        f"{output}: taken from {file}; use it with --embedder {output if given['output'] else name}"
    )


def _write(output: Path, data: bytes) -> None:
    try:
        store.write_atomically(output, data)
    except OSError as exc:
        raise InputError(f"cannot write {output}: {exc.strerror or exc}") from exc
