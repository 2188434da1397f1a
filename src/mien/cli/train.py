"""`mien train` and `mien evaluate`: models of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien import plugins
from mien.cli import SOME_FAILED, new_app
from mien.cli.outputs import file_to_write
from mien.errors import InputError
from mien.progress import counter

if TYPE_CHECKING:
    from mien.train.fit import Options, Trained

train_app = new_app()
evaluate_app = new_app()

_NETWORK = "Networks other than face"
Regression = Annotated[
    bool, typer.Option("--regression", help="The labels are ages in years.")
]
Task = Annotated[
    str | None, typer.Option("--task", help="Of Adience's fold files: age or gender.")
]


@train_app.command()
def train(
    ctx: typer.Context,
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder with one sub-folder per class, or a CSV file,label.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The model file to write (.onnx).")
    ],
    architecture: Annotated[
        str,
        typer.Option(
            "--architecture",
            help=f"{', '.join(plugins.found(plugins.ARCHITECTURES))}.",
        ),
    ] = "face",
    regression: Regression = False,
    task: Task = None,
    people: Annotated[
        str | None,
        typer.Option(
            "--people",
            help="What ends the person's name in file names: _ for ada_03.jpg.",
        ),
    ] = None,
    near: Annotated[
        float,
        typer.Option(
            "--near",
            help="Nearer faces are not parted: 0.25 near-duplicates, 0.45 one person.",
        ),
    ] = 0.25,
    folds: Annotated[
        int,
        typer.Option(
            "--folds", min=1, help="Measure in so many parts, with the spread."
        ),
    ] = 1,
    held_back: Annotated[
        float,
        typer.Option("--held-back", help="The share of pictures to measure with."),
    ] = 0.2,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed makes the same model.")
    ] = 0,
    class_weights: Annotated[
        str, typer.Option("--class-weights", help="balanced or none.")
    ] = "balanced",
    licence: Annotated[
        str | None, typer.Option("--licence", help="Written into the model file.")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            help="imagenet, none, or a Keras weights file.",
            rich_help_panel=_NETWORK,
        ),
    ] = "imagenet",
    fine_tune: Annotated[
        int,
        typer.Option(
            "--fine-tune",
            min=0,
            help="Last blocks that learn too.",
            rich_help_panel=_NETWORK,
        ),
    ] = 0,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=16,
            help="Side of its pictures in pixels.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, help="At most.", rich_help_panel=_NETWORK)
    ] = 30,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size", min=2, help="Pictures a step.", rich_help_panel=_NETWORK
        ),
    ] = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Of Adam.", rich_help_panel=_NETWORK),
    ] = None,
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=1,
            help="Epochs to wait for better.",
            rich_help_panel=_NETWORK,
        ),
    ] = 6,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment/--no-augment",
            help="Vary the pictures.",
            rich_help_panel=_NETWORK,
        ),
    ] = True,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard", help="Folder for its logs.", rich_help_panel=_NETWORK
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The figures as one line of JSON.")
    ] = False,
) -> None:
    """Train a model on folders of faces: for --emotion-model, --age-model, --gender-model everywhere.

    Example: [bold]mien train moods/ --output moods.onnx[/bold]
    """
    from mien.train.fit import Options
    from mien.train.learners import NetworkOptions

    if regression and task:
        raise InputError("give --regression or --task, not both")
    network = NetworkOptions(
        weights,
        fine_tune,
        size,
        epochs,
        batch_size,
        learning_rate,
        patience,
        augment,
        0.2,
        tensorboard,
    )
    options = Options(
        architecture=architecture,
        task="regression" if regression else task,
        people=people,
        near=near,
        folds=folds,
        held_back=held_back,
        seed=seed,
        class_weights=class_weights,
        licence=licence,
        network=network,
    )
    _refuse_idle(ctx, options)
    end(run(place, output, options, as_json=as_json))


def _refuse_idle(ctx: typer.Context, options: Options) -> None:
    """Refuses what was given and would change nothing."""
    from mien.train.fit import idle

    said = {
        name
        for name in ctx.params
        if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    reasons: dict[str, list[str]] = {}
    for name, reason in idle(options).items():
        if name in said:
            reasons.setdefault(reason, []).append("--" + name.replace("_", "-"))
    if reasons:
        parts = (
            f"{', '.join(names)} would change nothing: {reason}"
            for reason, names in reasons.items()
        )
        raise InputError(f"{'; '.join(parts)}; leave it out")


def run(
    place: Path, output: Path, options: Options, *, as_json: bool = False
) -> Trained:
    """Trains and tells what came of it."""
    from mien.train import evaluate, fit

    file_to_write("--output", output, suffixes=(".onnx",), inputs=[place])
    with counter("training") as advance:
        try:
            trained = fit.train(place, output, options, advance)
        except KeyboardInterrupt:
            if fit.work_folder(output).is_dir():
                typer.echo(
                    "mien: stopped; the same command goes on from the last whole epoch",
                    err=True,
                )
            raise
    figures = trained.measured.summary() | (
        {"notes": list(trained.notes)} if trained.notes else {}
    )
    _tell(evaluate.as_lines(trained.measured), figures, as_json=as_json)
    typer.echo(f"{trained.file} and {trained.report} are written", err=True)
    return trained


def end(trained: Trained) -> None:
    """Ends the command, with 1 where pictures were left out."""
    if trained.seen.skipped:
        raise typer.Exit(SOME_FAILED)


@evaluate_app.command()
def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.onnx", help="The model file.")
    ],
    place: Annotated[
        Path, typer.Argument(metavar="DIR", help="Pictures as 'mien train' takes them.")
    ],
    regression: Regression = False,
    task: Task = None,
    crops: Annotated[
        int,
        typer.Option(
            "--crops", "--looks", help="1, or 12 (corners, centre, mirrored; averaged)."
        ),
    ] = 1,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write an HTML page with pictures here."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The figures as JSON, with the confusion matrix."),
    ] = False,
) -> None:
    """Measure a model on pictures it has not learnt from: accuracy, classes, confusion, calibration.

    Example: [bold]mien evaluate moods.onnx other-moods/ --report moods-test.html[/bold]
    """
    from mien.train import evaluate as measuring, report as pages
    from mien.train.dataset import read_dataset
    from mien.train.features import Describer

    if report is not None:
        file_to_write("--report", report, suffixes=(".html",), inputs=[model, place])
    data = read_dataset(
        place, task="regression" if regression else task, to_learn=False
    )
    describer = Describer.load()
    with counter("measuring") as advance:
        result = measuring.evaluate_file(model, data, describer, advance, crops=crops)
    for reason in result.skipped:
        typer.echo(f"mien: left out: {reason}", err=True)
    if result.learnt:
        typer.echo(
            "mien: the model has learnt from these very pictures: others will be told less well",
            err=True,
        )
    if report is not None:
        pages.write(
            report,
            pages.Page(
                result.card,
                result.measured,
                result.data,
                result.skipped,
                None,
                describer,
            ),
        )
    measured = result.measured
    figures = measured.summary() | {
        "labels": list(measured.labels),
        "confusion": measured.confusion().tolist(),
    }
    _tell(measuring.as_lines(measured), figures, as_json=as_json)
    if result.skipped:
        raise typer.Exit(SOME_FAILED)


def _tell(lines: Iterator[str], figures: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures, ensure_ascii=False))
        return
    for line in lines:
        typer.echo(line)
