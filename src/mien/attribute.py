"""What can be told of a face, as data: each attribute says what it is, and everything that shows faces asks it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import InputError

F32 = NDArray[np.float32]
Colour = tuple[int, int, int]  # RGB

IDENTITY = "identity"  # who a face is: computed like an attribute, told by a gallery
_RESERVED = frozenset(
    "box score landmarks track_id name distance name_probability embedding quality angle again "
    "source index time_s width height face faces error identity content_hash".split()
)
_ENDINGS = ("_probs", "_sure", "_interval")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_INTERVAL = (0.1, 0.9)  # quantiles: four of five faces are to lie between them


@dataclass(frozen=True, slots=True)
class Groups:
    """Ranges of a number that have labels of their own.

    `starts` are the first number of each, ascending, so that every number falls into one.
    """

    name: str
    labels: tuple[str, ...]
    starts: tuple[float, ...]

    def of(self, number: float) -> str:
        """The label of the group a number lies in."""
        place = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.labels[max(0, place)]


@dataclass(frozen=True, slots=True)
class Column:
    """One thing that stands in a table or in JSON; `kind` is text, number, flag, probs or interval."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """What one attribute is. It tells, in this order of what is given:

    - one of `labels`, by their probabilities;
    - a number, by the probabilities of the `values` it may have: its mean, and how sure it is;
    - one of `groups`, by their probabilities, where a model knows no more;
    - a plain number, where none of them is given.

    Args:
        name: Small letters, digits and underscores; what JSON, tables and `--only` call it.
        labels: The classes, in the order of their probabilities.
        values: The numbers that probabilities are of, ascending.
        groups: Ranges of the number that have labels.
        unit: Of the number.
        half_life_s: In a stream, how fast what was seen loses its weight; None: it does not change while we look.
        order: Where it stands in the label of a face; the least comes first.
        show: What a picture says of it, of {name} and {value}.
        colours: RGB by label, for charts.
        sure_from: The least probability of a label that is said without a question mark.
        caution: What it must not be used for.

    Raises:
        InputError: The name is taken by something else that is told of faces, or is no name; two labels are
            the same.

    Example:
        >>> Attribute("glasses", labels=("no", "yes"), show="glasses: {value}").labels
        ('no', 'yes')
    """

    name: str
    labels: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    groups: Groups | None = None
    unit: str = ""
    half_life_s: float | None = None
    order: int = 50
    show: str = "{name} {value}"
    colours: Mapping[str, Colour] = field(default_factory=dict)
    sure_from: float = 0.0
    caution: str = ""

    def __post_init__(self) -> None:
        check_attribute_name(self.name)
        if len(set(self.labels)) < len(self.labels) or not all(self.labels):
            raise InputError(
                f"the labels of {self.name} must be different words, got {list(self.labels)}"
            )

    @property
    def size(self) -> int:
        """How many scores tell it (K)."""
        if self.labels or self.values:
            return len(self.labels) or len(self.values)
        return 1 if self.groups is None else len(self.groups.labels)

    @property
    def is_number(self) -> bool:
        """Whether its value is a number (which may be unknown where only groups are told)."""
        return not self.labels

    @property
    def momentary(self) -> bool:
        """Whether it changes from one moment to the next."""
        return self.half_life_s is not None

    @property
    def plural(self) -> str:
        return self.name if self.name.endswith("s") else f"{self.name}s"

    @property
    def columns(self) -> tuple[Column, ...]:
        """What stands in JSON and tables of it."""
        if self.labels:
            sure = (Column(f"{self.name}_sure", "flag"),) if self.sure_from else ()
            return (
                Column(self.name, "text"),
                Column(f"{self.name}_probs", "probs"),
                *sure,
            )
        grouped = (
            ()
            if self.groups is None
            else (
                Column(self.groups.name, "text"),
                Column(f"{self.groups.name}_probs", "probs"),
            )
        )
        spread = (Column(f"{self.name}_interval", "interval"),) if self.values else ()
        return (Column(self.name, "number"), *grouped, *spread)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Attribute:
        """Of plain values, as JSON has them."""
        given = dict(given)
        groups = given.get("groups")
        if groups is not None:
            given["groups"] = Groups(
                groups["name"], tuple(groups["labels"]), tuple(groups["starts"])
            )
        for name in ("labels", "values"):
            given[name] = tuple(given.get(name, ()))
        given["colours"] = {
            label: tuple(colour) for label, colour in given.get("colours", {}).items()
        }
        return cls(**given)


def to_json(attributes: Iterable[Attribute]) -> str:
    """Attributes as they are kept with results."""
    return json.dumps(
        [{**asdict(one), "colours": dict(one.colours)} for one in attributes],
        ensure_ascii=False,
    )


def from_json(text: str) -> tuple[Attribute, ...]:
    """The way back. Fields of a later version are passed over."""
    known = {field.name for field in fields(Attribute)}
    return tuple(
        Attribute.from_dict({key: value for key, value in one.items() if key in known})
        for one in json.loads(text)
    )


def check_attribute_name(name: str) -> str:
    """The name, if an attribute may bear it.

    Raises:
        InputError: It is no name, or says something else already.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} names no attribute: use small letters, digits and _, a letter first"
        )
    if name in _RESERVED or name.endswith(_ENDINGS):
        raise InputError(
            f"an attribute cannot be called {name!r}: results say something else by that name"
        )
    return name


@dataclass(frozen=True, slots=True)
class Scores:
    """One attribute of many faces: `probs` (N, K) float32, a row per face.

    Rows sum to 1, in the order of the attribute's labels, values or groups; of a plain number they hold the number.
    A row of NaN is a face of which nobody knows.

    Example:
        >>> glasses = Attribute("glasses", labels=("no", "yes"))
        >>> Scores(glasses, np.array([[0.1, 0.9]], np.float32)).row(0).value
        'yes'
    """

    attribute: Attribute
    probs: F32

    def __post_init__(self) -> None:
        if self.probs.ndim != 2 or self.probs.shape[1] != self.attribute.size:
            raise ValueError(
                f"{self.attribute.name} has shape {self.probs.shape}, expected (N, {self.attribute.size})"
            )

    def __len__(self) -> int:
        return len(self.probs)

    def __getitem__(
        self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice
    ) -> Scores:
        return Scores(self.attribute, self.probs[rows])

    @property
    def labels(self) -> tuple[str, ...]:
        return self.attribute.labels

    @property
    def numbers(self) -> F32 | None:
        """The number (N,) of each face, NaN where unknown; None where this attribute has none."""
        if self.attribute.values:
            return (self.probs @ np.array(self.attribute.values, np.float32)).astype(
                np.float32
            )
        return (
            None
            if self.attribute.labels or self.attribute.groups is not None
            else self.probs[:, 0]
        )

    def row(self, i: int) -> Estimate:
        """Of face i."""
        return Estimate(self.attribute, self.probs[i])

    def top(self) -> tuple[str | None, ...]:
        """The likeliest label, or group, of each face; None where unknown."""
        rows = [self.row(i) for i in range(len(self))]
        return tuple(row.label if self.attribute.labels else row.group for row in rows)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One attribute of one face: `scores` (K,) as in `Scores`.

    Example:
        >>> told = faces[0].attributes["gender"]
        >>> told.label, sorted(told.probs)
        ('female', ['female', 'male'])
    """

    attribute: Attribute
    scores: F32

    def __repr__(self) -> str:
        """What is told, without the numbers it comes from."""
        value = self.value
        told = f"{value:.1f}" if isinstance(value, float) else repr(value)
        return f"<Estimate: {self.attribute.name} {told}>"

    @property
    def known(self) -> bool:
        return not np.isnan(self.scores[0])

    @property
    def label(self) -> str | None:
        """The likeliest label."""
        if not self.known or not self.attribute.labels:
            return None
        return self.attribute.labels[int(self.scores.argmax())]

    @property
    def number(self) -> float | None:
        """The number, in the attribute's unit: the mean of what it may be."""
        if not self.known or self.attribute.labels:
            return None
        if self.attribute.values:
            return float(self.scores @ np.array(self.attribute.values, np.float32))
        return None if self.attribute.groups is not None else float(self.scores[0])

    @property
    def value(self) -> str | float | None:
        """The label or the number."""
        return self.label if self.attribute.labels else self.number

    @property
    def group(self) -> str | None:
        """The group: the one the shown number lies in, or the likeliest where there is no number."""
        groups = self.attribute.groups
        if groups is None or not self.known:
            return None
        number = self.number
        return (
            groups.labels[int(self.scores.argmax())]
            if number is None
            else groups.of(round(number, 1))
        )

    @property
    def probs(self) -> dict[str, float]:
        """The probability of each label or group; empty where unknown."""
        if not self.known:
            return {}
        if self.attribute.labels:
            return dict(
                zip(self.attribute.labels, map(float, self.scores), strict=True)
            )
        groups = self.attribute.groups
        if groups is None:
            return {}
        if not self.attribute.values:
            by_group = self.scores
        else:
            starts = np.searchsorted(self.attribute.values, groups.starts)
            by_group = np.asarray(
                np.add.reduceat(self.scores, starts), dtype=np.float32
            )
        return dict(zip(groups.labels, map(float, by_group), strict=True))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The numbers between which it lies four times of five; None for all but distributions."""
        if not self.known or not self.attribute.values:
            return None
        values = np.array(self.attribute.values)
        upto = np.concatenate([[0.0], np.cumsum(self.scores, dtype=np.float64)])
        edges = np.concatenate(
            [[values[0]], (values[:-1] + values[1:]) / 2, [values[-1]]]
        )
        low, high = np.interp(_INTERVAL, upto / upto[-1], edges)
        return float(low), float(high)

    @property
    def sure(self) -> bool | None:
        """Whether the label may be said without doubt; None where unknown or no bound is set."""
        if not self.known or not self.attribute.labels or not self.attribute.sure_from:
            return None
        return bool(self.scores.max() >= self.attribute.sure_from)

    @property
    def text(self) -> str:
        """What a picture says of it; empty where nothing is known."""
        value = self.value if self.value is not None else self.group
        if value is None:
            return ""
        shown = value if isinstance(value, str) else f"{value:.0f}"
        said = self.attribute.show.format(name=self.attribute.name, value=shown)
        return f"{said}?" if self.sure is False else said

    def fields(self) -> dict[str, object]:
        """What JSON and tables say of it, by column: probabilities to 4 digits, numbers to 1.

        Of a face nobody knows about the value is None, and its probabilities are left out.
        """
        given = {column.name: self._field(column) for column in self.attribute.columns}
        return {
            column.name: given[column.name]
            for column in self.attribute.columns
            if given[column.name] is not None or column.kind in {"text", "number"}
        }

    def _field(self, column: Column) -> object:
        if column.kind == "probs":
            return {label: round(p, 4) for label, p in self.probs.items()} or None
        if column.kind == "flag":
            return self.sure
        if column.kind == "interval":
            return (
                None
                if self.interval is None
                else [round(end, 1) for end in self.interval]
            )
        if column.kind == "number":
            return None if self.number is None else round(self.number, 1)
        return self.label if self.attribute.labels else self.group
