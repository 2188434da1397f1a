"""The options of the old retrain.py."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.cli.retrain import _architecture, _options, _parsed
from mien.errors import InputError
from mien.models.own import load_own


def test_old_options_become_todays(small: Path, tmp_path: Path) -> None:
    given = _parsed(
        [
            *(
                "--image_dir",
                str(small),
                "--how_many_training_steps=500",
                "--train_batch_size",
                "20",
            ),
            *(
                "--learning_rate",
                "0.02",
                "--testing_percentage",
                "25",
                "--flip_left_right",
            ),
            *(
                "--architecture",
                "mobilenet_0.50_192_quantized",
                "--summaries_dir",
                str(tmp_path),
            ),
        ]
    )
    options = _options(given, small)
    assert options.architecture == "mobilenet_v3"
    assert options.held_back == 0.25
    network = options.network
    pictures = sum(path.is_file() for path in small.rglob("*"))
    assert network.epochs == math.ceil(500 * 20 / pictures)
    assert (network.size, network.batch_size, network.learning_rate) == (192, 20, 0.02)
    assert network.augment
    assert network.tensorboard == tmp_path
    assert network.weights == "imagenet"


@pytest.mark.parametrize("name", ["inception_v3", "face", "levi_hassner"])
def test_todays_architectures_stay(name: str) -> None:
    assert _architecture(name) == (name, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--imagedir", "x"], "--imagedir was no option"),
        (["x"], "x was no option"),
        (["--image_dir"], "--image_dir needs a value"),
    ],
)
def test_options_it_never_had(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _parsed(arguments)


def test_numbers_must_be_numbers(small: Path) -> None:
    with pytest.raises(InputError, match="--train_batch_size many is no number"):
        _options({"train_batch_size": "many"}, small)


@pytest.mark.slow
def test_the_whole_way(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small / "Happy", tmp_path / "data" / "Very-Happy_1")
    shutil.copytree(small / "Angry", tmp_path / "data" / "Angry")
    (tmp_path / "data" / "Angry" / "broken.jpg").write_bytes(b"no picture")
    given = {
        "image_dir": tmp_path / "data",
        "output_graph": tmp_path / "g.pb",
        "output_labels": tmp_path / "labels.txt",
    }
    given |= {
        "architecture": "face",
        "bottleneck_dir": "/tmp/bottleneck",
        "how_many_training_steps": 500,
    }
    result = CliRunner().invoke(
        app, ["retrain", *(f"--{name}={value}" for name, value in given.items())]
    )
    assert result.exit_code == 1, (
        result.output
    )  # one picture was left out; the labels are there all the same
    assert "--bottleneck_dir has no use here" in result.stderr
    assert (
        "--how_many_training_steps has no use here: the architecture face"
        in result.stderr
    )
    assert (tmp_path / "labels.txt").read_text() == "angry\nvery happy 1\n"
    assert load_own(tmp_path / "g.onnx", "x").labels == ("Angry", "Very-Happy_1")


def test_labels_that_cannot_be_written_are_refused_before_the_work(
    small: Path, tmp_path: Path
) -> None:
    for labels in (tmp_path, tmp_path / "file" / "labels.txt"):
        (tmp_path / "file").touch()
        given = [
            "--image_dir",
            small,
            "--output_graph",
            tmp_path / "g.onnx",
            "--output_labels",
            labels,
        ]
        result = CliRunner().invoke(
            app, ["retrain", *map(str, given), "--architecture", "face"]
        )
        assert isinstance(result.exception, InputError)
        assert "--output_labels" in str(result.exception)
        assert not (tmp_path / "g.onnx").exists()
