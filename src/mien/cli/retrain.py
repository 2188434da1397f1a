"""`mien retrain`: the options of TensorFlow's retrain.py, told to `mien train`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.cli import new_app
from mien.cli.outputs import file_to_write
from mien.cli.train import end, run
from mien.errors import InputError

if TYPE_CHECKING:
    from mien.train.fit import Options

retrain_app = new_app()

_FLAGS = ("flip_left_right", "print_misclassified_test_images")
_TAKEN = (
    "image_dir output_graph output_labels architecture how_many_training_steps learning_rate testing_percentage "
    "train_batch_size summaries_dir flip_left_right random_crop random_scale random_brightness weights"
).split()
_NEEDLESS = {
    "validation_percentage": "the pictures that decide when to stop are a sixth of those learnt from",
    "bottleneck_dir": "what a frozen network sees is kept in mien's own cache",
    "model_dir": "Keras keeps ImageNet weights in its own cache",
    "intermediate_output_graphs_dir": "an unfinished training is kept beside the model file",
    "intermediate_store_frequency": "it is kept after every epoch",
    "eval_step_interval": "it is measured after every epoch",
    "test_batch_size": "all pictures are measured",
    "validation_batch_size": "all pictures are measured",
    "final_tensor_name": "the file's metadata say what its output is",
    "print_misclassified_test_images": "the report shows them",
}
_AUGMENTING = ("flip_left_right", "random_crop", "random_scale", "random_brightness")
_TODAY = {  # the names of `mien train`
    "epochs": ("how_many_training_steps",),
    "batch_size": ("train_batch_size",),
    "learning_rate": ("learning_rate",),
    "tensorboard": ("summaries_dir",),
    "augment": _AUGMENTING,
    "weights": ("weights",),
}
_MOBILENET = re.compile(
    r"mobilenet_(1\.0|0\.75|0\.50|0\.25)_(224|192|160|128)(_quantized)?"
)


@retrain_app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def retrain(ctx: typer.Context) -> None:
    """Train with the options of TensorFlow's old retrain.py.

    Known are --image_dir, --output_graph, --output_labels,
    --architecture, --how_many_training_steps, --learning_rate, --testing_percentage, --train_batch_size,
    --summaries_dir, --flip_left_right, --random_crop, --random_scale, --random_brightness; and --weights.

    The model is an .onnx file that holds its labels. Options that have no use any more are named on stderr.

    Example: [bold]mien retrain --image_dir moods --output_graph moods.onnx --architecture inception_v3[/bold]
    """
    given = _parsed(ctx.args)
    for name in given.keys() & _NEEDLESS.keys():
        typer.echo(f"mien: --{name} has no use here: {_NEEDLESS[name]}", err=True)
    if not given.get("image_dir"):
        raise InputError("--image_dir names the folder with one sub-folder per class")
    place, output = Path(given["image_dir"]), _output(given)
    labels = Path(given["output_labels"]) if "output_labels" in given else None
    if labels is not None:
        file_to_write("--output_labels", labels, suffixes=(".txt",), inputs=[place])
    options = _options(given, place)
    _tell_idle(given, options)
    trained = run(place, output, options)
    if labels is not None:
        _write_labels(labels, output)
    end(trained)


def _tell_idle(given: Mapping[str, str], options: Options) -> None:
    """Says which of the options given change nothing with this architecture."""
    from mien.train.fit import idle

    for name, reason in idle(options).items():
        for old in _TODAY.get(name, ()):
            if old in given:
                typer.echo(f"mien: --{old} has no use here: {reason}", err=True)


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    """The old options by name, given as --name=value or --name value."""
    given: dict[str, str] = {}
    left = iter(arguments)
    for argument in left:
        name, has_value, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in {*_TAKEN, *_NEEDLESS}:
            raise InputError(
                f"{argument} was no option of retrain.py; "
                f"there are --{', --'.join(_TAKEN)}"
            )
        if has_value or name in _FLAGS:
            given[name] = value or "1"
            continue
        try:
            given[name] = next(left)
        except StopIteration:
            raise InputError(f"--{name} needs a value") from None
    return given


def _number(given: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        return float(given.get(name, otherwise))
    except ValueError:
        raise InputError(f"--{name} {given[name]} is no number") from None


def _output(given: Mapping[str, str]) -> Path:
    """The model file: a name in .pb becomes one in .onnx."""
    named = Path(given.get("output_graph", "output_graph.onnx"))
    if named.suffix != ".onnx":
        typer.echo(
            f"mien: the model is written to {named.with_suffix('.onnx')}", err=True
        )
    return named.with_suffix(".onnx")


def _options(given: Mapping[str, str], place: Path) -> Options:
    from mien.train.dataset import read_dataset
    from mien.train.fit import Options
    from mien.train.learners import NetworkOptions

    batch = max(2, int(_number(given, "train_batch_size", 100)))
    steps, pictures = (
        _number(given, "how_many_training_steps", 6000),
        len(read_dataset(place)),
    )
    rate = _number(given, "learning_rate", 0) or None
    network = NetworkOptions(
        weights=given.get("weights", "imagenet"),
        epochs=max(1, math.ceil(steps * batch / max(pictures, batch))),
        batch_size=batch,
        learning_rate=rate,
        augment=any(_number(given, name, 0) for name in _AUGMENTING),
        tensorboard=Path(given["summaries_dir"]) if "summaries_dir" in given else None,
    )
    architecture, size = _architecture(given.get("architecture", "inception_v3"))
    held_back = _number(given, "testing_percentage", 10) / 100
    return Options(
        architecture=architecture,
        held_back=held_back,
        network=replace(network, size=size),
    )


def _architecture(name: str) -> tuple[str, int | None]:
    """The architecture of today for one of then, and the side of its pictures where the name tells it."""
    old = _MOBILENET.fullmatch(name)
    if old is None:
        return name, None
    typer.echo(f"mien: mobilenet_v3 stands in for {name}", err=True)
    return "mobilenet_v3", int(old[2])


def _write_labels(file: Path, model: Path) -> None:
    """The labels as the old script wrote them: in lower case, a blank for all that is no letter or digit."""
    from mien.models.own import load_own

    lines = [
        re.sub(r"[\W_]+", " ", label.lower()) for label in load_own(model, "own").labels
    ]
    try:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot write {file}: {exc.strerror or exc}") from exc
