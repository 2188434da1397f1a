"""The photos the detector learns from: who is held out, where the faces are, bytes in memory."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from teacher import Teacher, best_face

Image = NDArray[np.uint8]
FIXTURES = ("astronaut",)  # pictures our committed tests rely on: never trained on
UTKFACE_PHOTOS = 6000


@dataclass(frozen=True, slots=True)
class Portrait:
    """One photo with one known face."""

    photo: Path
    box: NDArray[np.float32]  # (4,) xyxy, pixels
    points: NDArray[np.float32]  # (5, 2) pixels


@dataclass(frozen=True, slots=True)
class Bank:
    """Everything the composer draws from; training part only."""

    root: Path
    portraits: list[Portrait]
    scenes: list[Path]
    faceless: list[Path]
    things: list[Path]  # pictures of one thing each, many with a transparent ground


def third(path: Path) -> int:
    """0, 1 or 2 by a fixed hash of ``set/file name``; 0 is held out of training."""
    return bucket(path, 3)


def bucket(path: Path, parts: int) -> int:
    """A part number that depends on the set's and the file's name only."""
    name = f"{group(path)}/{path.stem.replace('_right', '_left')}"
    return (
        int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % parts
    )


def for_choice(path: Path) -> bool:
    """Whether a photo is kept from the second network's training, to choose its threshold by: a twelfth."""
    return bucket(path, 12) == 1


def may_learn(path: Path) -> bool:
    """Whether the last look may learn from a photo: what folds, official splits and hashes hold out, it never saw.

    Of CACD-VS folds 0 to 4; of sets with an official split its training part without a third; of scenes three fifths.
    """
    kind = group(path)
    if kind == "cacd_vs":
        return f"images/{path.name}" in _first_folds(path.parents[1] / "pairs.csv")
    if kind == "scenes":
        return bucket(path, 5) >= 2
    if kind in ("utkface", "aaf", "portraits", "affect"):
        return (
            f"images/{path.name}" in _learning_part(path.parents[1] / "labels.csv")
            and third(path) != 0
        )
    return third(path) != 0 and path.stem not in FIXTURES


@lru_cache(maxsize=2)
def _first_folds(table: Path) -> frozenset[str]:
    with table.open() as handle:
        rows = [row for row in csv.DictReader(handle) if int(row["fold"]) < 5]
    return frozenset(row[key] for row in rows for key in ("file_a", "file_b"))


@lru_cache(maxsize=8)
def _learning_part(table: Path) -> frozenset[str]:
    with table.open() as handle:
        return frozenset(
            row["file"] for row in csv.DictReader(handle) if row["split"] == "train"
        )


def group(path: Path) -> str:
    """The set a photo belongs to: the first known folder on its path, else its parent."""
    known = (
        "cacd_vs",
        "crowd",
        "noface",
        "scenes",
        "utkface",
        "packages",
        "things",
        "aaf",
        "portraits",
        "affect",
        "hands",
    )
    return next(
        (part for part in reversed(path.parts) if part in known), path.parent.name
    )


def photos(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted."""
    kinds = {".jpg", ".jpeg", ".png", ".tif"}
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in kinds)


def read(path: Path) -> Image:
    """A picture as BGR, alpha dropped."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"cannot read {path}")
    return np.asarray(image, dtype=np.uint8)


def training_faceless(data: Path) -> list[Path]:
    """Face-free photos that may be trained on."""
    pictures = (
        photos(data / "noface") + photos(data / "packages") + photos(data / "things")
    )
    return [p for p in pictures if third(p) != 0 and p.stem not in FIXTURES]


def training_scenes(data: Path) -> list[Path]:
    """Photos of many people: two thirds of crowd, twice as likely as scenes, and all of scenes."""
    return photos(data / "scenes") + 2 * [
        p for p in photos(data / "crowd") if third(p) != 0
    ]


@lru_cache(maxsize=4)
def _hand_boxes(table: Path) -> dict[str, list[list[float]]]:
    boxes: dict[str, list[list[float]]] = {}
    with table.open() as handle:
        for row in csv.DictReader(handle):
            boxes.setdefault(Path(row["file"]).name, []).append(
                [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
            )
    return boxes


def hand_boxes(photo: Path) -> NDArray[np.float32]:
    """The boxes (N,4) that people drew in a photo of crowd; none for other sets."""
    table = photo.parents[1] / "boxes.csv"
    found = (
        _hand_boxes(table).get(photo.name, [])
        if group(photo) == "crowd" and table.exists()
        else []
    )
    return np.asarray(found, np.float32).reshape(-1, 4)


def portrait_photos(data: Path) -> list[Path]:
    """Half of CACD-VS by hash (the other half stays for accuracy tests) and some UTKFace training photos."""
    cacd = [p for p in photos(data / "cacd_vs") if bucket(p, 2) == 0]
    utkface = sorted(
        photos(data / "utkface"),
        key=lambda p: hashlib.sha1(p.name.encode(), usedforsecurity=False).digest(),
    )
    return cacd + utkface[:UTKFACE_PHOTOS]


def find_portraits(paths: list[Path], teacher: Teacher) -> Iterator[Portrait]:
    """The clearest face of each photo, as the teacher sees it on the padded picture."""
    for path in paths:
        image = read(path)
        pad = 56 if image.shape[0] < 160 else 24
        padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        found = best_face(teacher, np.asarray(padded, dtype=np.uint8))
        if found is None:
            continue
        centre = (found[0][:2] + found[0][2:]) / 2 - pad
        if (centre > 0).all() and (centre < image.shape[1::-1]).all():
            yield Portrait(path, found[0] - pad, found[1] - pad)


def load_bank(data: Path, index: Path, teacher: Teacher) -> Bank:
    """The training photos; where the portraits' faces are is found once and kept in ``index`` (.npz)."""
    if not index.exists():
        found = list(find_portraits(portrait_photos(data), teacher))
        names = np.array([str(f.photo.relative_to(data)) for f in found])
        np.savez(
            index,
            names=names,
            boxes=[f.box for f in found],
            points=[f.points for f in found],
        )
    kept = np.load(index)
    rows = zip(kept["names"], kept["boxes"], kept["points"], strict=True)
    portraits = [Portrait(data / str(name), box, points) for name, box, points in rows]
    return Bank(
        data,
        portraits,
        training_scenes(data),
        training_faceless(data),
        photos(data / "things"),
    )
