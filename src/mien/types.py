"""The values that flow through the pipeline: frozen columns of numpy arrays, one row per face."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mien.attribute import F32 as F32, IDENTITY, Estimate as Estimate, Scores as Scores
from mien.errors import InputError
from mien.space import ErrorRates

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    `image` is (H, W, 3) uint8 BGR, upright; `index` counts from 0; `time_s` is seconds from the source's start.

    Example:
        >>> analyzer.analyze_frame(Frame(image, source="door")).source
        'door'
    """

    image: U8
    index: int = 0
    time_s: float = 0.0
    source: str = ""


AGAIN = 0.5  # of the tolerance: a second face so near to a person is the same person in a mirror, on a screen


@dataclass(frozen=True, slots=True)
class Matches:
    """Who each face is: `names` (None = nobody) and `distances` (N,) float32, to the person named, or where nobody is
    to the nearest, also beyond the tolerance; NaN where the gallery is empty. `people` is how many are enrolled,
    `probabilities` (N,) float32 how likely each name is right; NaN where there is none.

    Example:
        >>> faces.matches.names, faces.matches.people
        (('Eileen Collins',), 1)
    """

    names: tuple[str | None, ...]
    distances: F32
    people: int = 0
    probabilities: F32 | None = None

    def __post_init__(self) -> None:
        if self.distances.shape != (len(self.names),):
            raise ValueError(
                f"distances has shape {self.distances.shape}, expected ({len(self.names)},)"
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: Mask | I64 | slice) -> Matches:
        chosen = np.arange(len(self.names))[rows]
        names = tuple(self.names[int(i)] for i in chosen)
        return Matches(
            names, self.distances[rows], self.people, _rows(self.probabilities, rows)
        )

    def rated(self, rates: ErrorRates | None) -> Matches:
        """These with how likely each name is right, where that was measured."""
        if rates is None:
            return self
        nameless = np.array([name is None for name in self.names], np.bool_)
        likely = rates.probability(self.distances, self.people)
        return replace(
            self, probabilities=np.where(nameless, np.float32(np.nan), likely)
        )


@dataclass(frozen=True, slots=True)
class Face:
    """One row of `Faces`. Parts that were not asked for, or of which nothing is known, are None.

    `box` (4,) float32 xyxy pixels; `landmarks` (5, 2) float32 pixels: image-left eye, image-right eye, nose,
    image-left mouth corner, image-right mouth corner; `angle` degrees it is turned clockwise from upright; `quality`
    how much the look at it is worth, 0 to 1; `name_probability` how likely the name is right, if as many come who are
    enrolled as who are not (`ErrorRates.probability`); `attributes` by name: `face["glasses"]` is the value of one.

    Example:
        >>> face = faces[0]
        >>> face.name, face.gender, face["emotion"]
        ('Eileen Collins', 'female', 'happiness')
    """

    box: F32
    score: float
    landmarks: F32
    track_id: int | None = None
    angle: float | None = None
    quality: float | None = None
    name: str | None = None
    distance: float | None = None
    name_probability: float | None = None
    embedding: F32 | None = field(default=None, repr=False)
    attributes: Mapping[str, Estimate] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __getitem__(self, attribute: str) -> str | float | None:
        """The label or number of an attribute. Raises KeyError where it was not asked for."""
        return self.attributes[attribute].value

    @property
    def age(self) -> float | None:
        """Years."""
        told = self.attributes.get("age")
        return None if told is None else told.number

    @property
    def age_group(self) -> str | None:
        told = self.attributes.get("age")
        return None if told is None else told.group

    @property
    def gender(self) -> str | None:
        return self._label("gender")

    @property
    def emotion(self) -> str | None:
        return self._label("emotion")

    def _label(self, attribute: str) -> str | None:
        told = self.attributes.get(attribute)
        return None if told is None else told.label

    @property
    def probs(self) -> dict[str, dict[str, float]]:
        """{label: probability} by attribute, or by the name of its groups."""
        named = {
            told.attribute.name
            if told.attribute.groups is None
            else told.attribute.groups.name: told.probs
            for told in self.attributes.values()
        }
        return {name: probs for name, probs in named.items() if probs}


@dataclass(frozen=True, slots=True, repr=False)
class Faces:
    """The faces of one picture, as columns.

    `boxes` (N, 4) float32 xyxy pixels of the original image; `scores` (N,) float32 0 to 1; `landmarks` (N, 5, 2)
    float32 pixels: image-left eye, image-right eye, nose, image-left and image-right mouth corner. In results boxes
    lie in the picture; landmarks of a face that the border cuts may lie outside.
    The others are None until their stage ran: `track_ids` (N,) int64, `angles` (N,) float32 degrees clockwise,
    `qualities` (N,) float32 0 to 1, `embeddings` (N, D) float32, `attributes` by name, `matches`. A row of NaN is a
    face of which nobody knows; `Face` shows it as None.

    Example:
        >>> faces[0].name
        'Eileen Collins'
        >>> len(faces[faces.scores > 0.6])
        1
    """

    boxes: F32
    scores: F32
    landmarks: F32
    track_ids: I64 | None = None
    angles: F32 | None = None
    qualities: F32 | None = None
    embeddings: F32 | None = None
    attributes: Mapping[str, Scores] = field(
        default_factory=lambda: MappingProxyType({})
    )
    matches: Matches | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _expect("boxes", self.boxes.shape, (n, 4))
        _expect("scores", self.scores.shape, (n,))
        _expect("landmarks", self.landmarks.shape, (n, 5, 2))
        columns: tuple[Sized | None, ...]
        columns = (self.track_ids, self.angles, self.qualities, self.embeddings)
        columns = (*columns, self.matches, *self.attributes.values())
        if any(column is not None and len(column) != n for column in columns):
            for name, column in self._optional_columns().items():
                _expect(name, (len(column),), (n,))

    def _optional_columns(self) -> dict[str, I64 | F32 | Scores | Matches]:
        columns = ("track_ids", "angles", "qualities", "embeddings", "matches")
        named = {name: getattr(self, name) for name in columns}
        return {
            **{name: column for name, column in named.items() if column is not None},
            **self.attributes,
        }

    @classmethod
    def empty(cls) -> Faces:
        """No faces: every column has its dtype and no rows."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, 5, 2), np.float32),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> Face: ...
    @overload
    def __getitem__(self, rows: Mask | I64 | slice) -> Faces: ...
    def __getitem__(
        self, rows: int | np.integer[Any] | Mask | I64 | slice
    ) -> Face | Faces:
        """One face by its number, or some of them by a mask, numbers or a slice."""
        if isinstance(rows, int | np.integer):
            return self.face(int(rows))
        return Faces(
            self.boxes[rows],
            self.scores[rows],
            self.landmarks[rows],
            _rows(self.track_ids, rows),
            _rows(self.angles, rows),
            _rows(self.qualities, rows),
            _rows(self.embeddings, rows),
            {name: scores[rows] for name, scores in self.attributes.items()},
            _rows(self.matches, rows),
        )

    def __iter__(self) -> Iterator[Face]:
        return (self.face(i) for i in range(len(self)))

    def __repr__(self) -> str:
        """How many there are and who: no descriptors, which are nobody's to read."""
        told = (", ".join(filter(None, (_name(one), _told(one)))) for one in self)
        return (
            "; ".join([f"<Faces: {len(self)}", *(one or "a face" for one in told)])
            + ">"
        )

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        import html

        rows = ""
        for face in self:
            distance = "" if face.distance is None else f"{face.distance:.2f}"
            box = ", ".join(f"{v:.0f}" for v in face.box)
            track = "" if face.track_id is None else str(face.track_id)
            score = f"{face.score:.2f}"
            cells = (track, _name(face), distance, _told(face), score, box)
            texts = (f"<td>{html.escape(cell)}</td>" for cell in cells)
            rows += f"<tr>{''.join(texts)}</tr>"
        head = "".join(f"<th>{name}</th>" for name in _HEAD)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def crops(self, image: U8, *, margin: float = 0.25) -> list[U8]:
        """The faces cut out of their picture (H, W, 3), each with so much of its size on each side, as far as it goes.

        Example:
            >>> crops = result.faces.crops(image)
            >>> len(crops), crops[0].shape[2]
            (1, 3)
        """
        height, width = image.shape[:2]
        crops = []
        for box in self.boxes:
            aside = margin * float((box[2:] - box[:2]).max())
            x1, y1 = np.clip(box[:2] - aside, 0, (width - 1, height - 1)).astype(int)
            x2, y2 = np.clip(box[2:] + aside, (x1 + 1, y1 + 1), (width, height))
            crops.append(image[y1 : int(y2), x1 : int(x2)].copy())
        return crops

    def to_supervision(self) -> Any:
        """`supervision.Detections` of the faces; names, landmarks and what is told of them stand in its `data`.

        Raises:
            InputError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as exc:
            raise InputError("this needs supervision: pip install supervision") from exc
        data: dict[str, Any] = {"landmarks": self.landmarks}
        if self.matches is not None:
            data["class_name"] = np.array(
                [name or "unknown" for name in self.matches.names], str
            )
        for name in self.attributes:
            data[name] = np.array([face[name] for face in self], object)
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=np.zeros(len(self), int),
            tracker_id=self.track_ids,
            data=data,
        )

    def face(self, i: int) -> Face:
        """Row i; from the end where it is negative."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"there is no face {i}: {len(self)} were found")
        i %= len(self)
        return Face(
            box=self.boxes[i],
            score=float(self.scores[i]),
            landmarks=self.landmarks[i],
            track_id=None if self.track_ids is None else int(self.track_ids[i]),
            angle=_number(self.angles, i),
            quality=_number(self.qualities, i),
            name=None if self.matches is None else self.matches.names[i],
            distance=None
            if self.matches is None
            else _number(self.matches.distances, i),
            name_probability=None
            if self.matches is None
            else _number(self.matches.probabilities, i),
            embedding=None
            if self.embeddings is None or np.isnan(self.embeddings[i, 0])
            else self.embeddings[i],
            attributes={
                name: scores.row(i) for name, scores in self.attributes.items()
            },
        )

    def with_attributes(self, *told: Scores) -> Faces:
        """A copy that also carries these attributes."""
        return replace(
            self,
            attributes={
                **self.attributes,
                **{scores.attribute.name: scores for scores in told},
            },
        )

    def told_by(self, told: Faces, rows: Mask) -> Faces:
        """A copy with what is told of these rows (N,); of the others nobody knows, not even how far they are turned."""
        at = np.flatnonzero(rows)
        spread = {
            name: _spread(column, at, len(self))
            for name, column in told._optional_columns().items()
        }
        attributes = {name: spread.pop(name) for name in told.attributes}
        landmarks = self.landmarks.copy()
        landmarks[at] = told.landmarks
        angles = np.where(rows, 0, np.nan).astype(np.float32)
        return replace(
            self,
            landmarks=landmarks,
            attributes=attributes,
            **{"angles": angles, **spread},
        )

    def only(self, parts: Collection[str]) -> Faces:
        """A copy with these attributes, and with names where "identity" is among them."""
        kept = {
            name: scores for name, scores in self.attributes.items() if name in parts
        }
        return replace(
            self, attributes=kept, matches=self.matches if IDENTITY in parts else None
        )


def _expect(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"{name} has shape {got}, expected {expected}")


def _rows(column: Any, rows: Mask | I64 | slice) -> Any:
    return None if column is None else column[rows]


def _spread(column: Any, at: I64, count: int) -> Any:
    """The rows of a column at their places among `count`; the others are NaN, names None."""
    if isinstance(column, Matches):
        names: list[str | None] = [None] * count
        for i, name in zip(at, column.names, strict=True):
            names[i] = name
        rates = (
            None
            if column.probabilities is None
            else _spread(column.probabilities, at, count)
        )
        return replace(
            column,
            names=tuple(names),
            distances=_spread(column.distances, at, count),
            probabilities=rates,
        )
    if isinstance(column, Scores):
        return Scores(column.attribute, _spread(column.probs, at, count))
    spread = np.full((count, *column.shape[1:]), np.nan, np.float32)
    spread[at] = column
    return spread


def _number(column: F32 | None, i: int) -> float | None:
    return None if column is None or np.isnan(column[i]) else float(column[i])


_HEAD = ("", "name", "distance", "told", "score", "box")


def _told(face: Face) -> str:
    """What the attributes say of a face, as labels say it."""
    told = sorted(face.attributes.values(), key=lambda one: one.attribute.order)
    return ", ".join(one.text for one in told if one.text)


def _name(face: Face) -> str:
    return face.name or ("unknown" if face.distance is not None else "")


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What was found in one picture; `width` and `height` are its size; the pixels are not kept.

    Example:
        >>> result.width, result.height, len(result.faces)
        (512, 512, 1)
    """

    source: str
    index: int
    time_s: float
    width: int
    height: int
    faces: Faces
