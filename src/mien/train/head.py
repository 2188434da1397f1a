"""The `face` architecture: a linear head on the frozen backbone, learnt in seconds from a few pictures a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.models.attributes.heads import EMOTION_FEATURES
from mien.models.backbone_head import network_version
from mien.train import export
from mien.train.features import F16
from mien.train.learners import FACE, Curve, Lesson, NetworkOptions, Task, Workshop
from mien.train.linear import (
    Projection,
    Softmax,
    fit_softmax,
    log_loss,
    penalty_path,
    probabilities,
    temperature_of,
)
from mien.train.splits import stratified_folds
from mien.types import F32, F64, I64

# What a head may read: inner maps know expressions, the deeper ones and the descriptor know age, gender and who it is.
# What the emotion network made of it knows expressions best.
READINGS = (
    (EMOTION_FEATURES,),
    (EMOTION_FEATURES, "map_128"),
    ("map_128", "map_256"),
    ("map_256", "embedding"),
    ("embedding",),
)
_CHOOSING = 600  # pictures that suffice to choose what is read
_INNER_FOLDS = 4


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A learnt classifier: matrices (D, K) by the output they read, bias (K,)."""

    matrices: Mapping[str, F32]
    bias: F32
    curve: Curve

    def probs(self, answers: Mapping[str, F32]) -> F64:
        """Probabilities (N, K) from outputs (N, ...) by name."""
        logits = self.bias.astype(np.float64)
        for name, matrix in self.matrices.items():
            logits = (
                logits
                + answers[name].reshape(-1, len(matrix)).astype(np.float64) @ matrix
            )
        return probabilities(logits)


class LinearLearner:
    """Learns linear classifiers on what a frozen network saw, from some of the pictures.

    Args:
        answers: The network's outputs (N, views, ...) by name, the plain view first.
        task: What is to be learnt.
        readings: The sets of outputs that may be read; the best is chosen.
    """

    def __init__(
        self,
        answers: Mapping[str, F16],
        task: Task,
        readings: Sequence[tuple[str, ...]],
    ) -> None:
        self.answers = answers
        self.task = task
        self.readings = readings

    def learn(self, rows: I64) -> LinearModel:
        """What the pictures `rows` teach: what it reads and how far it trusts them is chosen among them."""
        names = self._reading(rows)
        work = self._work(names, rows, views=self.answers[names[0]].shape[1])
        penalty, temperature, curve = self._choose(work, rows)
        fitted = fit_softmax(
            work.x, work.targets, work.weights, penalty=penalty
        ).cooled(temperature)
        matrices, bias = work.projection.fold(fitted.weights, fitted.bias)
        return LinearModel(matrices, bias, curve)

    def predict(self, model: LinearModel, rows: I64) -> F64:
        """Probabilities (N, K) of the plain views of pictures."""
        return model.probs(self.plain(tuple(model.matrices), rows))

    def plain(self, names: tuple[str, ...], rows: I64) -> dict[str, F32]:
        """The answers (N, ...) to the plain views of pictures."""
        return {name: self.answers[name][rows, 0].astype(np.float32) for name in names}

    def _reading(self, rows: I64) -> tuple[str, ...]:
        """What a head should read: the choice whose answers on pictures kept back are best."""
        if len(self.readings) == 1:
            return self.readings[0]
        some = rows
        if len(rows) > _CHOOSING:
            parts = self._folds(rows, folds=-(-len(rows) // _CHOOSING))
            some = rows[parts == 0]
        losses = [
            self._choose(self._work(names, some, views=1), some)[2]
            for names in self.readings
        ]
        return self.readings[
            int(np.argmin([min(curve.lines["held back"]) for curve in losses]))
        ]

    def _folds(self, rows: I64, folds: int) -> I64:
        _, groups = np.unique(self.task.groups[rows], return_inverse=True)
        return stratified_folds(
            groups, self.task.classes[rows], folds=folds, seed=self.task.seed
        )

    def _work(self, names: tuple[str, ...], rows: I64, *, views: int) -> _Work:
        blocks = {
            name: self.answers[name][rows, :views]
            .reshape(len(rows) * views, -1)
            .astype(np.float32)
            for name in names
        }
        projection = Projection.fit(blocks, seed=self.task.seed)
        again = np.repeat(rows, views)
        return _Work(
            projection,
            projection(blocks),
            self.task.targets[again],
            self.task.weights[again],
            views,
        )

    def _choose(self, work: _Work, rows: I64) -> tuple[float, float, Curve]:
        """The penalty that answers best on pictures kept back, the temperature there, and the losses by penalty."""
        parts = self._folds(rows, _INNER_FOLDS)
        kept: dict[float, list[tuple[F64, F64, float]]] = {}
        for part in np.unique(parts):
            away = np.repeat(parts == part, work.views)
            for penalty, model in work.path(~away).items():
                shown = slice(None, None, work.views)
                held = model.logits(work.x[away][shown]), work.targets[away][shown]
                kept.setdefault(penalty, []).append(
                    (*held, log_loss(model.logits(work.x[~away]), work.targets[~away]))
                )
        return _best(kept)


class HeadLearner(LinearLearner):
    """Learns heads of the backbone and writes them as files."""

    architecture = FACE
    preprocessing: Mapping[str, object] = {
        "reads": "backbone",
        "network": network_version(),
    }
    quick = True

    def __init__(
        self, lesson: Lesson, options: NetworkOptions, workshop: Workshop
    ) -> None:
        super().__init__(lesson.seen.answers, lesson.task, READINGS)

    def export(self, model: LinearModel, card: export.Card) -> bytes:
        """The model file, checked."""
        plain = self.plain(
            tuple(model.matrices), np.arange(min(64, len(self.task.classes)))
        )
        proto = export.backbone_head(model.matrices, model.bias)
        return export.finished(
            proto, card, list(plain.values()), model.probs(plain).astype(np.float32)
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """Components (N * views, C) of pictures, the views of one after the other."""

    projection: Projection
    x: F64
    targets: F64
    weights: F64
    views: int

    def path(self, rows: np.ndarray) -> dict[float, Softmax]:
        return penalty_path(self.x[rows], self.targets[rows], self.weights[rows])


def _best(
    kept: Mapping[float, list[tuple[F64, F64, float]]],
) -> tuple[float, float, Curve]:
    penalties = tuple(kept)
    temperatures, held, learnt = [], [], []
    for parts in kept.values():
        logits, targets = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        temperatures.append(temperature_of(logits, targets))
        held.append(log_loss(logits / temperatures[-1], targets))
        learnt.append(float(np.mean([part[2] for part in parts])))
    best = int(np.argmin(held))
    curve = Curve(
        "penalty", penalties, {"learnt from": tuple(learnt), "held back": tuple(held)}
    )
    return penalties[best], temperatures[best], curve
