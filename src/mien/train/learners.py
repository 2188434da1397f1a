"""What an architecture is given, and what it has to do: learn, answer, become a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from mien import plugins
from mien.errors import InputError
from mien.train.export import Card
from mien.train.features import Describer, FeatureTable, Progress
from mien.types import F64, I64

M = TypeVar("M")

FACE = "face"
IMAGENET, NONE = "imagenet", "none"  # weights that are no file


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of the report: what is counted along x, and values by name."""

    x_name: str
    x: tuple[float, ...]
    lines: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learnt: target distributions (N, K), weights of pictures (N,), and who belongs together (N,)."""

    targets: F64
    weights: F64
    groups: I64
    classes: I64
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How a network is trained.

    `weights` is "imagenet", "none" or a file; `fine_tune` the number of last blocks that learn too; `size` the side
    of its pictures in pixels, None takes the architecture's; training ends after `epochs`, or `patience` epochs
    without getting better; `tensorboard` is a folder for its logs.
    """

    weights: str = IMAGENET
    fine_tune: int = 0
    size: int | None = None
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float | None = None
    patience: int = 6
    augment: bool = True
    dropout: float = 0.2
    tensorboard: Path | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """The pictures with what the backbone saw in them, and what is to be learnt of them."""

    seen: FeatureTable
    task: Task


@dataclass(frozen=True, slots=True)
class Workshop:
    """What finds the faces, a folder for checkpoints and crops, and whom the epochs are told."""

    describer: Describer
    folder: Path
    progress: Progress = lambda done, total: None


class Learner(Protocol[M]):
    """An architecture: learns from some pictures, answers for others, becomes a file."""

    @property
    def architecture(self) -> str: ...

    @property
    def preprocessing(self) -> Mapping[str, object]: ...

    @property
    def quick(self) -> bool:
        """Whether a second training on all pictures is cheap."""
        ...

    def learn(self, rows: I64) -> M: ...

    def predict(self, model: M, rows: I64) -> F64: ...

    def export(self, model: M, card: Card) -> bytes: ...


class OpenLearner(Protocol):
    """What stands for an architecture in the table of parts."""

    def __call__(
        self, lesson: Lesson, options: NetworkOptions, workshop: Workshop
    ) -> Learner[object]: ...


def architectures() -> list[str]:
    """The names that `mien train --architecture` knows."""
    return list(plugins.found(plugins.ARCHITECTURES))


def check_architecture(name: str) -> None:
    """Raises:
    InputError: Nothing has that name.
    """
    known = architectures()
    if name not in known:
        raise InputError(
            f"architecture {name!r} is unknown; there are {', '.join(known)}"
        )
