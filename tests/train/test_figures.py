"""What figures say, and what is said where they would mislead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.errors import InputError
from mien.train.dataset import Dataset, Sample
from mien.train.evaluate import Measured, as_lines
from mien.train.fit import Options, _notes, idle
from mien.train.learners import NetworkOptions, Task
from mien.types import I64


def a_task(groups: list[int], classes: list[int]) -> Task:
    kinds = np.array(classes)
    return Task(
        np.eye(int(kinds.max()) + 1)[kinds],
        np.ones(len(kinds)),
        np.array(groups),
        kinds,
    )


def a_dataset(classes: list[int]) -> Dataset:
    return Dataset(
        "moods",
        tuple(
            Sample(Path(f"{i}.jpg"), "happy" if k else "calm")
            for i, k in enumerate(classes)
        ),
    )


CLASSES = [1] * 18 + [0] * 18
TWINS = [0] * 16 + list(range(1, 21))  # 16 of the 18 happy pictures are one photo


def test_what_belongs_together_is_left_to_learn_from() -> None:
    task = a_task(TWINS, CLASSES)
    folds = Options().folds_of(task)
    happy = folds[:18]
    assert (happy < 0).sum() >= 16
    assert {int((folds[18:] == 0).sum()), int((happy == 0).sum())} & {0} == set()
    assert _notes(a_dataset(CLASSES), task, folds, True) == ()


def test_even_classes_are_parted_as_before() -> None:
    task = a_task(list(range(40)), [0, 1] * 20)
    folds = Options().folds_of(task)
    assert [int((folds[k::2] == 0).sum()) for k in (0, 1)] == [4, 4]


def test_it_is_said_where_little_was_learnt_from() -> None:
    task = a_task(TWINS, CLASSES)
    folds = Options(folds=5).folds_of(task)
    (note,) = _notes(a_dataset(CLASSES), task, folds, True)
    assert note.startswith("'happy': 16 of 18 pictures belong together")
    assert "learnt from 2 of them; the model written has learnt from all" in note


def test_it_is_said_which_classes_were_not_measured() -> None:
    folds: I64 = np.array([-1] * 18 + [0] * 3 + [-1] * 15)
    (note,) = _notes(a_dataset(CLASSES), a_task(TWINS, CLASSES), folds, True)
    assert note.startswith("no picture of 'happy' was measured with")


def test_a_class_without_a_picture_has_no_recall() -> None:
    zeros = np.zeros(2, np.int64)
    measured = Measured(
        ("calm", "happy"), zeros, np.array([[0.9, 0.1], [0.8, 0.2]]), zeros, zeros
    )
    calm, happy = measured.per_class()
    assert (calm.recall, calm.precision, happy.pictures) == (1.0, 1.0, 0)
    assert (happy.recall, happy.precision) == (None, None)
    assert [line.split() for line in as_lines(measured)][-1] == ["happy", "0", "–", "–"]
    assert measured.balanced_accuracy == 1.0


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (
            Options(),
            {"weights", "fine_tune", "epochs", "tensorboard", "size", "dropout"},
        ),
        (
            Options(architecture="inception_v3"),
            {"epochs", "batch_size", "learning_rate", "patience", "augment"},
        ),
        (
            Options(
                architecture="inception_v3",
                network=NetworkOptions(weights="none", fine_tune=2),
            ),
            {"fine_tune"},
        ),
        (
            Options(architecture="inception_v3", network=NetworkOptions(fine_tune=2)),
            set(),
        ),
        (Options(folds=3, task="regression"), {"held_back", "class_weights"}),
    ],
)
def test_what_changes_nothing(options: Options, names: set[str]) -> None:
    found = idle(options)
    assert names <= set(found)
    assert names or not found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["--epochs", "3", "--tensorboard", "logs"],
            "--epochs, --tensorboard would change nothing: the architecture face",
        ),
        (["--folds", "3", "--held-back", "0.3"], "--held-back would change nothing"),
        (
            ["--architecture", "mobilenet_v3", "--patience", "3"],
            "without --fine-tune only a last layer",
        ),
    ],
)
def test_options_without_effect_are_refused(
    given: list[str], words: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        app, ["train", str(tmp_path), "--output", str(tmp_path / "m.onnx"), *given]
    )
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)
