"""The values that flow through the pipeline: frozen columns of numpy arrays, one row per face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Adience's eight groups (Levi-Hassner 2015) and the first age of each when every age from 0 to 100 falls into
# one: the cuts lie half-way between the end of a group and the start of the next.
AGE_GROUPS = ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)")
AGE_GROUP_STARTS = (0, 3, 7, 14, 23, 35, 46, 57)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    `image` is (H, W, 3) uint8 BGR, upright; `index` counts from 0; `time_s` is seconds from the source's start.
    """

    image: U8
    index: int = 0
    time_s: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """Class probabilities: `probs` (N, K) float32, rows sum to 1, columns in the order of `labels`."""

    labels: tuple[str, ...]
    probs: F32

    def __post_init__(self) -> None:
        if self.probs.ndim != 2 or self.probs.shape[1] != len(self.labels):
            raise ValueError(f"probs has shape {self.probs.shape}, expected (N, {len(self.labels)})")

    def __len__(self) -> int:
        return len(self.probs)

    def __getitem__(self, rows: Mask | I64 | slice) -> Scores:
        return Scores(self.labels, self.probs[rows])

    def row(self, i: int) -> dict[str, float]:
        """Row i as {label: probability}."""
        return dict(zip(self.labels, map(float, self.probs[i]), strict=True))

    def top(self) -> tuple[str, ...]:
        """The likeliest label of each row."""
        return tuple(self.labels[int(k)] for k in self.probs.argmax(axis=1)) if len(self) else ()


AGAIN = 0.5  # of the tolerance: a second face so near to a person is the same person in a mirror, on a screen


@dataclass(frozen=True, slots=True)
class Matches:
    """Who each face is: `names` (None = nobody) and `distances` (N,) float32, to the person named, or where nobody is
    to the nearest, also beyond the tolerance; NaN where the gallery is empty."""

    names: tuple[str | None, ...]
    distances: F32

    def __post_init__(self) -> None:
        if self.distances.shape != (len(self.names),):
            raise ValueError(f"distances has shape {self.distances.shape}, expected ({len(self.names)},)")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Mask | I64 | slice) -> Matches:
        chosen = np.arange(len(self.names))[rows]
        return Matches(tuple(self.names[int(i)] for i in chosen), self.distances[rows])


@dataclass(frozen=True, slots=True)
class Face:
    """One row of `Faces`. Parts whose stage did not run are None.

    `box` (4,) float32 xyxy pixels; `landmarks` (5, 2) float32 pixels: image-left eye, image-right eye, nose,
    image-left mouth corner, image-right mouth corner; `age` years; `probs` maps an attribute to {label: probability}.
    """

    box: F32
    score: float
    landmarks: F32
    track_id: int | None = None
    name: str | None = None
    distance: float | None = None
    age: float | None = None
    embedding: F32 | None = None
    probs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def gender(self) -> str | None:
        return self.top("gender")

    @property
    def emotion(self) -> str | None:
        return self.top("emotion")

    @property
    def age_group(self) -> str | None:
        return self.top("age_group")

    def top(self, attribute: str) -> str | None:
        """The likeliest label of an attribute, or None where it was not computed."""
        probs = self.probs.get(attribute)
        return max(probs, key=lambda label: probs[label]) if probs else None


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one picture, as columns.

    `boxes` (N, 4) float32 xyxy pixels of the original image; `scores` (N,) float32 0 to 1; `landmarks` (N, 5, 2)
    float32 pixels: image-left eye, image-right eye, nose, image-left and image-right mouth corner. In results boxes
    lie in the picture; landmarks of a face that the border cuts may lie outside.
    The others are None until their stage ran: `track_ids` (N,) int64, `embeddings` (N, D) float32, `ages` (N,)
    float32 years, `attributes` by name ("gender", "emotion", "age_group", your own), `matches`. In a stream, a row of
    NaN is a face nobody has looked at yet; `Face` shows it as None.

    Example:
        >>> faces[faces.scores > 0.6]
    """

    boxes: F32
    scores: F32
    landmarks: F32
    track_ids: I64 | None = None
    embeddings: F32 | None = None
    ages: F32 | None = None
    attributes: Mapping[str, Scores] = field(default_factory=lambda: MappingProxyType({}))
    matches: Matches | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _expect("boxes", self.boxes.shape, (n, 4))
        _expect("scores", self.scores.shape, (n,))
        _expect("landmarks", self.landmarks.shape, (n, 5, 2))
        for name, column in self._optional_columns().items():
            if len(column) != n:
                raise ValueError(f"{name} has {len(column)} rows, expected {n}")

    def _optional_columns(self) -> dict[str, I64 | F32 | Scores | Matches]:
        named = {name: getattr(self, name) for name in ("track_ids", "embeddings", "ages", "matches")}
        return {**{name: column for name, column in named.items() if column is not None}, **self.attributes}

    @classmethod
    def empty(cls) -> Faces:
        """No faces: every column has its dtype and no rows."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Mask | I64 | slice) -> Faces:
        chosen = {f.name: _rows(getattr(self, f.name), rows) for f in fields(self) if f.name != "attributes"}
        return Faces(**chosen, attributes={name: scores[rows] for name, scores in self.attributes.items()})

    def __iter__(self) -> Iterator[Face]:
        return (self.face(i) for i in range(len(self)))

    def face(self, i: int) -> Face:
        """Row i."""
        return Face(
            box=self.boxes[i],
            score=float(self.scores[i]),
            landmarks=self.landmarks[i],
            track_id=None if self.track_ids is None else int(self.track_ids[i]),
            name=None if self.matches is None else self.matches.names[i],
            distance=_distance(self.matches, i),
            age=None if self.ages is None or np.isnan(self.ages[i]) else float(self.ages[i]),
            embedding=None if self.embeddings is None or np.isnan(self.embeddings[i, 0]) else self.embeddings[i],
            probs={name: s.row(i) for name, s in self.attributes.items() if not np.isnan(s.probs[i, 0])},
        )

    def with_attributes(self, **attributes: Scores) -> Faces:
        """A copy that also carries these attributes."""
        return replace(self, attributes={**self.attributes, **attributes})


def _expect(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"{name} has shape {got}, expected {expected}")


def _rows(column: Any, rows: Mask | I64 | slice) -> Any:
    return None if column is None else column[rows]


def _distance(matches: Matches | None, i: int) -> float | None:
    if matches is None or np.isnan(matches.distances[i]):
        return None
    return float(matches.distances[i])


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What was found in one picture; `width` and `height` are its size; the pixels are not kept."""

    source: str
    index: int
    time_s: float
    width: int
    height: int
    faces: Faces
