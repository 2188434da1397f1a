"""`mien train`: from a folder of pictures to a model file and a report."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from mien import plugins
from mien.errors import InputError
from mien.train import export, report
from mien.train.dataset import Dataset, check, read_dataset, small_classes
from mien.train.evaluate import Measured
from mien.train.features import Describer, FeatureTable, Progress, describe
from mien.train.learners import (
    FACE,
    NONE,
    Curve,
    Learner,
    Lesson,
    M,
    NetworkOptions,
    Task,
    Workshop,
    check_architecture,
)
from mien.train.splits import NEAR, groups_of, learnable, stratified_folds
from mien.types import I64
from mien.zoo import DLIB

log = logging.getLogger(__name__)

_LICENCE = "yours to say: bound by the terms of the pictures it was trained on"
_CLASS_WEIGHTS = ("balanced", "none")
_STEPS = ("epochs", "batch_size", "learning_rate", "patience", "augment", "tensorboard")


@dataclass(frozen=True, slots=True)
class Options:
    """How to train.

    `held_back` of the pictures are measured with, or with `folds` > 1 each fold in its turn; `seed` decides every
    draw; `people` ends the person's name in file names, and faces whose descriptors are nearer than `near` are not
    parted either (0.25: near-duplicates; 0.45: pictures of one person); `network` is for architectures but `face`.
    """

    architecture: str = FACE
    task: str | None = None
    people: str | None = None
    near: float = NEAR
    folds: int = 1
    held_back: float = 0.2
    seed: int = 0
    class_weights: str = "balanced"
    licence: str | None = None
    views: int = 2
    network: NetworkOptions = field(default_factory=NetworkOptions)

    def check(self, output: Path) -> None:
        """Raises InputError where one is out of range, or the output cannot be."""
        check_architecture(self.architecture)
        if self.class_weights not in _CLASS_WEIGHTS:
            raise InputError(
                f"class weights are {' or '.join(_CLASS_WEIGHTS)}, got {self.class_weights!r}"
            )
        if not 0.02 <= self.held_back <= 0.5:
            raise InputError(
                f"the part held back must be 0.02 to 0.5 of the pictures, got {self.held_back}"
            )
        if not 0 <= self.near <= DLIB.tolerance:
            raise InputError(
                f"faces are parted by a distance of 0 to {DLIB.tolerance}, got {self.near}"
            )
        if self.folds < 1 or self.views < 1:
            raise InputError("folds and views are 1 or more")
        if output.suffix != ".onnx":
            raise InputError(f"--output {output}: a model file ends in .onnx")
        if not output.resolve().parent.is_dir():
            raise InputError(
                f"--output {output}: there is no folder {output.resolve().parent}"
            )

    def folds_of(self, task: Task) -> I64:
        """The fold (N,) of each picture; those of one hold-out are 0, the others -1."""
        count = self.folds if self.folds > 1 else round(1 / self.held_back)
        folds = stratified_folds(
            task.groups, task.classes, folds=max(2, count), seed=self.seed
        )
        return (
            folds
            if self.folds > 1
            else np.where(folds == _fairest(folds, task.classes), 0, -1)
        )

    def card(
        self, seen: FeatureTable, learner: Learner[M], measured: Measured
    ) -> export.Card:
        """What the model file says of itself."""
        return export.Card(
            labels=seen.data.classes,
            preprocessing=learner.preprocessing,
            architecture=learner.architecture,
            seed=self.seed,
            licence=_LICENCE if self.licence is None else self.licence,
            data_sha256=seen.data.sha256(seen.digests),
            measured=measured.summary(),
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out."""

    file: Path
    report: Path
    measured: Measured
    seen: FeatureTable
    notes: tuple[str, ...] = ()


def train(
    place: Path,
    output: Path,
    options: Options,
    progress: Progress = lambda done, total: None,
) -> Trained:
    """Trains a model on the pictures of a place and writes it, with a report beside it.

    Raises:
        InputError: The pictures cannot be learnt from; the message says why.
        ModelError: The exported network is not the trained one; nothing is written then.
    """
    options.check(output)
    data = read_dataset(place, task=options.task, people=options.people)
    describer = Describer.load(views=options.views)
    seen = describe(data, describer, progress)
    _say(seen)
    task = make_task(seen, options)
    open_learner = plugins.load(
        plugins.ARCHITECTURES, options.architecture, what="an architecture"
    )
    workshop = Workshop(describer, work_folder(output), progress)
    learner = open_learner(Lesson(seen, task), options.network, workshop)
    _check_apart(seen.data, task)
    folds = options.folds_of(task)
    notes = _notes(seen.data, task, folds, learner.quick or options.folds > 1)
    for note in notes:
        log.warning("%s", note)
    measured, model = _measure(learner, seen, task, folds)
    card = options.card(seen, learner, measured)
    export.write_model(output, learner.export(model, card))
    shutil.rmtree(work_folder(output), ignore_errors=True)
    page = output.with_suffix(".html")
    report.write(
        page,
        report.Page(
            card, measured, seen.data, seen.skipped, _curve(model), describer, notes
        ),
    )
    return Trained(output, page, measured, seen, notes)


def idle(options: Options) -> dict[str, str]:
    """Options, and those of the network, that change nothing beside the others given, and why."""
    network = options.network
    found: dict[str, str] = {}
    if options.architecture == FACE:
        names = [part.name for part in fields(NetworkOptions)]
        found |= dict.fromkeys(
            names,
            "the architecture face has one linear layer, which is learnt in one go",
        )
    elif network.weights == NONE:
        found["fine_tune"] = "with weights none all of the network learns"
    elif not network.fine_tune:
        found |= dict.fromkeys(
            _STEPS, "without --fine-tune only a last layer is learnt, in one go"
        )
    if options.folds > 1:
        found["held_back"] = "with --folds every picture is measured with once"
    if options.task == "regression":
        found["class_weights"] = "ages have no classes"
    return found


def _say(seen: FeatureTable) -> None:
    for reason in seen.skipped:
        log.warning("left out: %s", reason)
    lacking = int((~seen.found).sum())
    if lacking:
        log.warning(
            "in %d of %d pictures no face was found; they are taken as face crops as they are",
            lacking,
            len(seen.found),
        )
    if few := small_classes(check(seen.data)):
        log.warning(
            "few pictures to learn from: %s; 20 or more a class are advised",
            ", ".join(few),
        )


def make_task(seen: FeatureTable, options: Options) -> Task:
    """Targets, weights and groups of what was seen."""
    classes = seen.data.indices()
    groups = groups_of(
        seen.digests,
        seen.descriptors,
        [item.person for item in seen.data.items],
        near=options.near,
    )
    _warn_of_conflicts(seen, groups)
    if seen.data.regression:
        # An age as a bell over the years beside it, wider for the old, whose ages are told less exactly.
        years = seen.data.years()
        sigma = np.interp(years, [0, 45], [1.0, 3.5])[:, None]
        bell = np.exp(
            -(((np.arange(len(seen.data.classes))[None] - years[:, None]) / sigma) ** 2)
            / 2
        )
        targets = np.asarray(bell / bell.sum(axis=1, keepdims=True), dtype=np.float64)
        return Task(targets, np.ones(len(classes)), groups, classes // 10, options.seed)
    counts = np.bincount(classes)
    even = (
        1 / counts[classes]
        if options.class_weights == "balanced"
        else np.ones(len(classes))
    )
    return Task(
        np.eye(len(counts))[classes], even / even.mean(), groups, classes, options.seed
    )


def _warn_of_conflicts(seen: FeatureTable, groups: I64) -> None:
    """Says which pictures are the same file under two labels."""
    labels: dict[str, set[str]] = {}
    for digest, item in zip(seen.digests, seen.data.items, strict=True):
        labels.setdefault(digest, set()).add(item.label)
    for digest, several in labels.items():
        if len(several) > 1:
            first = seen.data.items[seen.digests.index(digest)].file
            log.warning(
                "%s stands under several labels: %s", first, ", ".join(sorted(several))
            )
    largest = int(np.bincount(groups).max())
    if largest > len(groups) / 2:
        log.warning(
            "%d of %d pictures belong together (one person or near-duplicates)",
            largest,
            len(groups),
        )


def _check_apart(data: Dataset, task: Task) -> None:
    """Refuses a class that cannot be both learnt from and measured with."""
    if data.regression:
        return
    kinds = enumerate(data.classes)
    alone = [
        repr(label)
        for number, label in kinds
        if len(np.unique(task.groups[task.classes == number])) < 2
    ]
    if alone:
        names = ", ".join(alone)
        raise InputError(
            f"all pictures of {names} belong together (one person, or one photo many times); add others"
        )


def _fairest(folds: I64, classes: I64) -> int:
    """The fold that holds the most even share of every class, some of each where that can be.

    Where most pictures of a class belong together, the fold that holds them would leave next to nothing to learn from.
    """
    count, kinds = int(folds.max()) + 1, int(classes.max()) + 1
    counts = np.bincount(folds * kinds + classes, minlength=count * kinds).reshape(
        count, kinds
    )
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    unfair = np.abs(shares - 1 / count) + ((shares == 0) | (shares == 1))
    return int(unfair.sum(axis=1).argmin())


def _notes(data: Dataset, task: Task, folds: I64, learns_all: bool) -> tuple[str, ...]:
    """What the figures do not say by themselves: of which classes little was learnt from, or none measured with."""
    if data.regression:
        return ()
    notes, unmeasured = [], []
    for number, label in enumerate(data.classes):
        held = folds[task.classes == number]
        left = min(
            len(held) - int((held == fold).sum())
            for fold in np.unique(folds[folds >= 0])
        )
        if (held < 0).all():
            unmeasured.append(repr(label))
        elif left < len(held) / 2:
            together = int(np.bincount(task.groups[task.classes == number]).max())
            notes.append(
                f"{label!r}: {together} of {len(held)} pictures belong together (near-duplicates, equal files or one "
                f"person) and are never parted, so what was measured has learnt from {left} of them; "
                + (
                    "the model written has learnt from all"
                    if learns_all
                    else "give more that differ"
                )
            )
    if unmeasured:
        names = ", ".join(unmeasured[:5]) + (
            f" and {len(unmeasured) - 5} more" if len(unmeasured) > 5 else ""
        )
        notes.append(
            f"no picture of {names} was measured with: too few that do not belong together; try --folds"
        )
    return tuple(notes)


def _measure(
    learner: Learner[M], seen: FeatureTable, task: Task, folds: I64
) -> tuple[Measured, M]:
    """The answers to pictures not learnt from; and the model to keep: one that has learnt from all, or, where that
    would take as long again, the measured one."""
    rows = [np.flatnonzero(folds == fold) for fold in np.unique(folds[folds >= 0])]
    answers = []
    for held in rows:
        learning = np.setdiff1d(np.arange(len(folds)), held)
        if not learnable(task.classes, learning) and not seen.data.regression:
            left = Counter(seen.data.items[int(i)].label for i in learning)
            missing = ", ".join(
                repr(label) for label in seen.data.classes if not left[label]
            )
            raise InputError(
                f"all pictures of {missing} belong together (one person, or one photo many times)"
            )
        model = learner.learn(learning)
        answers.append(learner.predict(model, held))
    order = np.concatenate(rows)
    years = seen.data.years()[order] if seen.data.regression else None
    truth = seen.data.indices()[order]
    measured = Measured(
        seen.data.classes, truth, np.concatenate(answers), order, folds[order], years
    )
    once = len(rows) == 1 and not learner.quick
    return measured, model if once else learner.learn(np.arange(len(folds)))


def _curve(model: object) -> Curve | None:
    curve = getattr(model, "curve", None)
    return curve if isinstance(curve, Curve) else None


def work_folder(output: Path) -> Path:
    """Where an unfinished training is kept: beside its model file."""
    return output.with_name(output.name + ".unfinished")
