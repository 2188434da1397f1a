"""How right a model is: accuracy, confusion, calibration, errors in years; a model file run over a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import InputError, ModelError
from mien.media import images
from mien.models.backbone import FaceBackbone
from mien.models.backbone_head import BackboneHead
from mien.models.classifier import Classifier
from mien.models.own import load_own
from mien.runtime import Compute
from mien.train.dataset import Dataset
from mien.train.export import Card
from mien.train.faces import TrainingFace
from mien.train.features import Describer, Progress, named
from mien.types import F32, F64, I64

BINS = 10


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: its pictures, the share of them recognised, the share of answers of this name that are right.

    A share of nothing is None: the recall of a class without a picture, the precision of an answer never given.
    """

    label: str
    pictures: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Probabilities (N, K) of pictures a model had not learnt from, beside the truth.

    `truth` (N,) are columns of `labels`; `years` (N,) the true ages where labels are years; `rows` (N,) tells which
    pictures of the data set they are; `folds` (N,) which part was measured together.
    """

    labels: tuple[str, ...]
    truth: I64
    probs: F64
    rows: I64
    folds: I64
    years: F64 | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def guesses(self) -> I64:
        """The likeliest column of each row (N,)."""
        return np.asarray(self.probs.argmax(axis=1), dtype=np.int64)

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return float((self.guesses == self.truth).mean())

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the classes' recalls: what accuracy would be with equally many pictures of each."""
        return float(
            np.mean([row.recall for row in self.per_class() if row.recall is not None])
        )

    @property
    def errors(self) -> F64:
        """How far the mean age is from the true one, in years (N,)."""
        if self.years is None:
            raise ValueError("errors in years are of regressions only")
        told = self.probs @ np.array([float(label) for label in self.labels])
        return np.asarray(np.abs(told - self.years), dtype=np.float64)

    def confusion(self) -> I64:
        """Counts (K, K): row the truth, column the answer."""
        k = len(self.labels)
        return (
            np.bincount(self.truth * k + self.guesses, minlength=k * k)
            .reshape(k, k)
            .astype(np.int64)
        )

    def per_class(self) -> tuple[ClassRow, ...]:
        """A row for each class."""
        table = self.confusion()
        hits, of_truth, of_answers = (
            np.diag(table),
            table.sum(axis=1),
            table.sum(axis=0),
        )
        return tuple(
            ClassRow(
                label, int(t), float(h / t) if t else None, float(h / a) if a else None
            )
            for label, h, t, a in zip(
                self.labels, hits, of_truth, of_answers, strict=True
            )
        )

    def calibration(self) -> list[tuple[float, float, int]]:
        """For each tenth of certainty that occurs: the mean certainty, the share of right answers, how many."""
        sure, right = self.probs.max(axis=1), self.guesses == self.truth
        cells = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
        inside = [cells == k for k in range(BINS)]
        return [
            (float(sure[c].mean()), float(right[c].mean()), int(c.sum()))
            for c in inside
            if c.any()
        ]

    @property
    def calibration_error(self) -> float:
        """The expected calibration error over ten bins, 0 to 1."""
        return sum(
            count * abs(sure - right) for sure, right, count in self.calibration()
        ) / max(1, len(self))

    def fold_values(self) -> list[float]:
        """The accuracy of each fold; of ages the mean error in years."""
        value = (
            (self.guesses == self.truth).astype(np.float64)
            if self.years is None
            else self.errors
        )
        return [
            float(value[self.folds == fold].mean()) for fold in np.unique(self.folds)
        ]

    def worst(self, count: int) -> I64:
        """Positions of the gravest mistakes, the gravest first: the surest wrong answers, or the largest errors."""
        if self.years is not None:
            return np.argsort(-self.errors, kind="stable")[:count].astype(np.int64)
        wrong = np.flatnonzero(self.guesses != self.truth)
        return wrong[np.argsort(-self.probs.max(axis=1)[wrong], kind="stable")][
            :count
        ].astype(np.int64)

    def summary(self) -> dict[str, object]:
        """The figures as JSON shows them."""
        folds = self.fold_values()
        spread = float(np.std(folds, ddof=1)) if len(folds) > 1 else None
        if self.years is not None:
            errors = self.errors
            figures = {
                "mean_error_years": errors.mean(),
                "median_error_years": np.median(errors),
            }
            figures["within_5_years"] = (errors <= 5).mean()
        else:
            figures = {
                "accuracy": self.accuracy,
                "balanced_accuracy": self.balanced_accuracy,
            }
            figures["calibration_error"] = self.calibration_error
        rounded = {name: round(float(value), 4) for name, value in figures.items()}
        parts = {
            "folds": [round(f, 4) for f in folds],
            "spread": None if spread is None else round(spread, 4),
        }
        return {
            "pictures": len(self),
            **rounded,
            **(parts if spread is not None else {}),
        }

    @classmethod
    def of(cls, labels: tuple[str, ...], data: Dataset, probs: F32) -> Measured:
        """Of probabilities (N, K) beside what the data says."""
        years = data.years() if data.regression else None
        if years is None:
            truth = np.array(
                [labels.index(item.label) for item in data.items], dtype=np.int64
            )
        else:
            known = np.array([float(label) for label in labels])
            truth = np.abs(known[None] - years[:, None]).argmin(axis=1).astype(np.int64)
        everything = np.arange(len(data), dtype=np.int64)
        return cls(
            labels,
            truth,
            probs.astype(np.float64),
            everything,
            np.zeros_like(everything),
            years,
        )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model file measured on pictures: `card` is the file's own, `data` what could be read, `skipped` the rest;
    `learnt` is true where the model was trained on these very pictures."""

    card: Card
    measured: Measured
    data: Dataset
    skipped: tuple[str, ...]
    learnt: bool


def evaluate_file(
    file: Path,
    data: Dataset,
    describer: Describer,
    progress: Progress = lambda done, total: None,
    *,
    crops: int = 1,
) -> Evaluated:
    """What a model file answers to a data set, by the very way `mien analyze` takes; one of pixels after 1 or 12 crops.

    Raises:
        ModelError: The file is no model with labels.
        InputError: The data set's classes are not the model's.
    """
    model = load_own(file, "own", Compute("cpu"), crops=crops)
    _check_labels(model, data)
    rows: list[int] = []
    digests: list[str] = []
    skipped: list[str] = []
    answers: list[F32] = []
    for i, item in enumerate(data.items):
        try:
            content = images.read_bytes(item.file)
            answers.append(_answer(model, describer, describer.face_in(content)))
        except InputError as exc:
            skipped.append(named(exc, item.file))
        else:
            rows.append(i)
            digests.append(hashlib.sha256(content).hexdigest())
        progress(i + 1, len(data))
    if not rows:
        raise InputError(
            f"none of the {len(data)} pictures of {data.name} can be read; the first: {skipped[0]}"
        )
    read = data.take(rows)
    measured = Measured.of(model.labels, read, np.concatenate(answers))
    card = Card.of(model.model.metadata)
    return Evaluated(
        card, measured, read, tuple(skipped), card.data_sha256 == read.sha256(digests)
    )


def _answer(
    model: Classifier | BackboneHead, describer: Describer, face: TrainingFace
) -> F32:
    """Probabilities (1, K) of one face."""
    if isinstance(model, BackboneHead):
        seen = describer.backbone
        own = FaceBackbone(seen.model, seen.aligner, seen.net, [model], fast=True)
        faces = own(face.image, face.faces)
    else:
        faces = model(face.image, face.faces)
    return faces.attributes["own"].probs


def _check_labels(model: Classifier | BackboneHead, data: Dataset) -> None:
    if data.regression:
        try:
            [float(label) for label in model.labels]
        except ValueError as exc:
            raise ModelError(
                "this model's labels are no years; leave out --regression"
            ) from exc
        return
    unknown = [label for label in data.classes if label not in model.labels]
    if unknown:
        raise InputError(
            f"{data.name} has classes the model does not know ({', '.join(unknown[:5])}); "
            f"it knows {', '.join(model.labels[:12])}"
        )


def as_lines(measured: Measured) -> Iterator[str]:
    """The figures as text for a terminal."""
    for name, value in measured.summary().items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        yield f"{name.replace('_', ' ')}: {text}"
    if measured.years is None:
        yield ""
        rows = measured.per_class()
        width = max(len("class"), *(len(row.label) for row in rows))
        yield f"{'class':<{width}}  pictures  recall  precision"
        for row in rows:
            recall, precision = share_text(row.recall), share_text(row.precision)
            yield f"{row.label:<{width}}  {row.pictures:>8}  {recall:>6}  {precision:>9}"


def share_text(share: float | None) -> str:
    """A share as tables show it; a dash where there was nothing to take a share of."""
    return "–" if share is None else f"{share:.3f}"
