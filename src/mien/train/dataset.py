"""Training pictures with their labels: sub-folders, a CSV, or Adience's fold files."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import InputError
from mien.media.images import SUFFIXES, read_bytes
from mien.models.attributes.heads import AGE_GROUPS
from mien.text import composed
from mien.train.sheet import SHEET
from mien.types import F64, I64

LAST_YEAR = 100
MAX_YEARS = 130.0
_ADIENCE_PEOPLE = {"m": "male", "f": "female"}
_ADIENCE_CROPS = (
    ("faces", "coarse_tilt_aligned_face"),
    ("aligned", "landmark_aligned_face"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture: its label as text (a class name, or years) and who is on it, "" where that is not known."""

    file: Path
    label: str
    person: str = ""

    @classmethod
    def of_folders(cls, place: Path, people: str | None) -> Iterator[Sample]:
        folders = [
            folder
            for folder in place.iterdir()
            if folder.is_dir() and not folder.name.startswith(".")
        ]
        if not folders:
            raise InputError(
                f"{place} holds no sub-folders: make one per class, with its pictures inside"
            )
        for folder in sorted(folders, key=lambda folder: natural(folder.name)):
            for file in sorted(folder.rglob("*")):
                if (
                    file.suffix.lower() in SUFFIXES
                    and file.name != SHEET
                    and file.name[0] != "."
                    and file.is_file()
                ):
                    person, found, _ = (
                        file.name.partition(people) if people else ("", "", "")
                    )
                    yield cls(file, composed(folder.name), person if found else "")

    @classmethod
    def of_csv(cls, place: Path) -> Iterator[Sample]:
        try:
            text = read_bytes(place).decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise InputError(f"{place} is no CSV in UTF-8: {exc}") from exc
        rows = csv.DictReader(io.StringIO(text))
        missing = [
            name for name in ("file", "label") if name not in (rows.fieldnames or ())
        ]
        if missing:
            raise InputError(
                f"{place} has no column {' and '.join(missing)}: its first line must be file,label"
            )
        for row in rows:
            if row["file"] and row["label"]:
                yield cls(
                    place.parent / row["file"],
                    row["label"].strip(),
                    (row.get("person") or "").strip(),
                )

    @classmethod
    def of_adience(
        cls, place: Path, folds: Sequence[Path], task: str
    ) -> Iterator[Sample]:
        if task not in {"age", "gender"}:
            raise InputError(
                f"{place} holds Adience's fold files: say --task age or --task gender"
            )
        for fold in folds:
            rows = csv.DictReader(
                io.StringIO(read_bytes(fold).decode("utf-8", "replace")), delimiter="\t"
            )
            needed = {"user_id", "original_image", "face_id", task}
            if not needed <= set(rows.fieldnames or ()):
                raise InputError(
                    f"{fold} is none of Adience's fold files: it lacks {', '.join(sorted(needed))}"
                )
            for row in rows:
                label = _adience_label(row, task)
                if label is not None:
                    yield cls(_adience_file(place, row), label, row["user_id"])


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures in a fixed order. With `regression` the labels are years; else `classes` are the names they bear."""

    name: str
    items: tuple[Sample, ...]
    regression: bool = False

    def __len__(self) -> int:
        return len(self.items)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in their natural order; for years all from 0 to 100, or to the oldest."""
        if self.regression:
            return tuple(
                str(year)
                for year in range(
                    max(LAST_YEAR, math.ceil(self.years().max(initial=0))) + 1
                )
            )
        return tuple(sorted({item.label for item in self.items}, key=natural))

    def indices(self) -> I64:
        """The class of each picture (N,); for years the nearest whole one."""
        if self.regression:
            return np.rint(self.years()).astype(np.int64)
        place = {label: k for k, label in enumerate(self.classes)}
        return np.array([place[item.label] for item in self.items], dtype=np.int64)

    def years(self) -> F64:
        """The labels as numbers (N,); only with `regression`."""
        return np.array([float(item.label) for item in self.items], dtype=np.float64)

    def sha256(self, digests: Sequence[str]) -> str:
        """The hash of what is learnt from it: every picture's own hash and its label."""
        lines = sorted(
            f"{digest} {item.label}"
            for digest, item in zip(digests, self.items, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def take(self, rows: Iterable[int]) -> Dataset:
        """The same with some of its pictures."""
        return Dataset(
            self.name, tuple(self.items[int(i)] for i in rows), self.regression
        )


def read_dataset(
    place: Path,
    *,
    task: str | None = None,
    people: str | None = None,
    to_learn: bool = True,
) -> Dataset:
    """The pictures of a folder with one sub-folder per class, of a CSV (`file,label`, perhaps `person`), or of Adience.

    Args:
        place: The folder or CSV; a folder with `fold_*_data.txt` is Adience's.
        task: "regression": labels are years. "age" or "gender": which of Adience's labels.
        people: In a folder, what ends the person's name at the start of a file name, as "_" in `ada_03.jpg`.
        to_learn: Whether there must be enough to learn from; to measure with, one class and one picture will do.

    Raises:
        InputError: Nothing usable is there; the message says what was looked for.
    """
    regression = task == "regression"
    data = Dataset(str(place), tuple(_items(place, task, people)), regression)
    if not len(data):
        raise InputError(
            f"{place} holds no pictures ({', '.join(sorted(SUFFIXES)[:6])}, …)"
        )
    if to_learn:
        return check(data)
    return check_years(data) if regression else data


def _items(place: Path, task: str | None, people: str | None) -> Iterator[Sample]:
    if place.is_file():
        return Sample.of_csv(place)
    if not place.is_dir():
        raise InputError(f"there is no folder or CSV {place}")
    folds = sorted(place.glob("fold_*_data.txt"))
    return (
        Sample.of_adience(place, folds, task or "age")
        if folds
        else Sample.of_folders(place, people)
    )


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """The key that sorts names as people do: "class 2" before "class 10"."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts
    )


def _adience_label(row: dict[str, str], task: str) -> str | None:
    """The label, or None where Adience has none: of its odd age ranges, those that lie in one group are taken."""
    if task == "gender":
        return _ADIENCE_PEOPLE.get(row["gender"].strip().lower())
    ages = [int(age) for age in re.findall(r"\d+", row["age"])]
    if not ages:
        return None
    text = f"({ages[0]}, {ages[-1]})"
    if text in AGE_GROUPS.labels:
        return text
    first, last = AGE_GROUPS.of(ages[0]), AGE_GROUPS.of(ages[-1])
    return first if first == last else None


def _adience_file(place: Path, row: dict[str, str]) -> Path:
    """Where the crop of a row is: beside the fold files, or one folder up."""
    places = [
        root
        / folder
        / row["user_id"]
        / f"{prefix}.{row['face_id']}.{row['original_image']}"
        for root in (place, place.parent)
        for folder, prefix in _ADIENCE_CROPS
    ]
    return next((file for file in places if file.is_file()), places[0])


def check(data: Dataset) -> Dataset:
    """The data, if it can be learnt from.

    Raises:
        InputError: One class or age only, a class with a single picture, or a label that is no age.
    """
    if not data.regression:
        return check_classes(data)
    if len({item.label for item in check_years(data).items}) < 2:
        raise InputError(f"{data.name} holds one age only: at least two are needed")
    return data


def check_classes(data: Dataset) -> Dataset:
    """The data, if a classifier can be trained on it.

    Raises:
        InputError: One class only, or a class with a single picture.
    """
    counts = Counter(item.label for item in data.items)
    if len(counts) < 2:
        raise InputError(
            f"{data.name} holds one class only ({next(iter(counts), '')}): at least two are needed"
        )
    single = [label for label, count in counts.items() if count < 2]
    if single:
        names = ", ".join(repr(label) for label in single[:5])
        raise InputError(
            f"{data.name}: {names} has 1 usable picture; one is kept back to measure with, so a class needs 2 at "
            f"least, and 20 or more to be learnt well"
        )
    return data


def small_classes(data: Dataset) -> list[str]:
    """The classes with fewer pictures than one learns from, with how many each has; ages have none."""
    counts = Counter(() if data.regression else (item.label for item in data.items))
    return [f"{label!r} ({count})" for label, count in counts.items() if count < 10]


def check_years(data: Dataset) -> Dataset:
    """The data, if its labels are years.

    Raises:
        InputError: A label is no age.
    """
    for item in data.items:
        try:
            good = 0 <= float(item.label) <= MAX_YEARS
        except ValueError:
            good = False
        if not good:
            raise InputError(
                f"{data.name}: {item.label!r} of {item.file} is no age in years (0 to {MAX_YEARS:.0f})"
            )
    return data
