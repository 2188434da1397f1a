"""What each chip should be answered: its labels, and where it has none, its teachers; with weights per task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data import EMOTIONS, SETS

AGES = np.arange(101, dtype=np.float32)
INFANT = 4  # years; below, gender is hardly to be seen
TAUGHT = 0.2  # the weight of a teacher's answer beside a label's
SMILES, JAW = (44, 45), 25  # columns of the blendshapes
FRESH = {
    "utkface": 0.12,
    "ferplus": 0.38,
    "affect": 0.34,
    "aaf": 0.09,
    "portraits": 0.07,
}  # shares of a batch
CAN = np.ones(
    (3, 8), np.float32
)  # which emotions a source brings: FER+, AffectNet, FFHQ
CAN[1, :2] = 0
CAN[2, 2:] = 0


@dataclass(frozen=True)
class Table:
    """All sets, one row a chip. `weights` are 0 where nothing is known; `can` (N, 8) are the source's emotions."""

    chips: list[np.ndarray]
    set_of: np.ndarray
    row_of: np.ndarray
    part: np.ndarray
    found: np.ndarray
    labels: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    can: np.ndarray
    draw: np.ndarray  # how often a row is drawn, relative to others

    def chip(self, i: int) -> np.ndarray:
        return self.chips[self.set_of[i]][self.row_of[i]]


def load(work: Path) -> Table:
    files = [dict(np.load(work / f"{name}.npz")) for name in SETS]
    chips = [np.load(work / f"{name}.npy", mmap_mode="r") for name in SETS]
    labels = {key: np.concatenate([file[key] for file in files]) for key in files[0]}
    taught = _taught(work, [len(c) for c in chips])
    set_of = np.concatenate([np.full(len(c), i) for i, c in enumerate(chips)])
    row_of = np.concatenate([np.arange(len(c)) for c in chips])
    targets, weights = _targets(labels, taught)
    draw = _draw(set_of, labels, weights)
    can = CAN[np.clip(labels["origin"], 0, 2)]
    part, found = labels["part"], labels["found"]
    return Table(
        chips, set_of, row_of, part, found, labels, targets, weights, can, draw
    )


def _taught(work: Path, counts: list[int]) -> dict[str, np.ndarray]:
    """The teachers' answers; zeros where none was asked."""
    sizes = {"blendshapes": 52, "age": 101, "gender": 2, "emotion": 8}
    columns: dict[str, list[np.ndarray]] = {key: [] for key in (*sizes, "presence")}
    for name, count in zip(SETS, counts, strict=True):
        full = {key: np.zeros((count, size), np.float32) for key, size in sizes.items()}
        full["presence"] = np.full(count, -9, np.float32)
        path = work / f"{name}-taught.npz"
        if path.exists():
            file = np.load(path)
            for key in full:
                full[key][file["rows"] if "rows" in file else slice(None)] = file[key]
        for key, values in full.items():
            columns[key].append(values)
    return {key: np.concatenate(values) for key, values in columns.items()}


def _targets(
    labels: dict[str, np.ndarray], taught: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    targets = {
        key: taught[key].copy() for key in ("age", "gender", "emotion", "blendshapes")
    }
    weights = {
        key: TAUGHT * (taught[key].sum(axis=1) > 0).astype(np.float32)
        for key in targets
    }
    aged, told = np.isfinite(labels["age"]), labels["gender"] >= 0
    targets["age"][aged] = _ages(labels["age"][aged], labels["age_pm"][aged])
    weights["age"][aged] = 1
    targets["gender"][told] = _genders(labels["gender"][told], labels["age"][told])
    weights["gender"][told] = 1
    targets["emotion"], weights["emotion"] = _emotions(labels, taught)
    weights["blendshapes"] = (taught["presence"] > 0).astype(np.float32)
    return targets, weights


def _ages(ages: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """A Gaussian over the years, wider the older and the less sure."""
    ages = np.minimum(ages, 100)
    spread = np.sqrt((0.8 + np.minimum(ages, 50) * 0.045) ** 2 + doubt**2 / 3)
    density = np.exp(-0.5 * ((AGES - ages[:, None]) / spread[:, None]) ** 2)
    return (density / density.sum(axis=1, keepdims=True)).astype(np.float32)


def _genders(gender: np.ndarray, ages: np.ndarray) -> np.ndarray:
    smooth = np.where(ages < INFANT, 0.2, 0.02)
    male = np.where(gender == 1, 1 - smooth, smooth)
    return np.stack([1 - male, male], axis=1).astype(np.float32)


def _emotions(
    labels: dict[str, np.ndarray], taught: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Votes; where nobody voted, smiles and calm faces by blendshapes, where the older heads do not contradict."""
    votes, origin = labels["votes"], labels["origin"]
    kept = np.where((votes <= 1) & (votes.max(axis=1, keepdims=True) > 2), 0, votes)
    total = kept.sum(axis=1, keepdims=True)
    target = kept / np.maximum(total, 1e-6)
    web = origin > 0
    target[web] = 0.9 * target[web] + 0.1 * CAN[origin[web]] / CAN[origin[web]].sum(
        axis=1, keepdims=True
    )
    weight = (total[:, 0] > 0).astype(np.float32)
    weight[origin == 0] *= (total[:, 0] > labels["doubtful"])[origin == 0]
    few = (origin == 1) & (
        votes[:, :2].sum(axis=1) > 0
    )  # AffectNet's 25 neutral and happy faces
    weight[few] = 0
    smiling, calm = moods(taught)
    unlabelled = origin < 0
    for rows, name in (
        (smiling & unlabelled, "happiness"),
        (calm & unlabelled, "neutral"),
    ):
        target[rows] = 0.03 / 7
        target[rows, EMOTIONS.index(name)] = 0.97
        weight[rows] = 0.6
    return target.astype(np.float32), weight


def moods(taught: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Which faces surely smile, and which are surely calm (N,)."""
    shapes, sure = taught["blendshapes"], taught["presence"] > 0
    smile = shapes[:, SMILES].mean(axis=1)
    said = taught["emotion"].argmax(axis=1)
    clearly = taught["emotion"].max(axis=1) > 0.65
    smiling = sure & ((smile > 0.5) | ((smile > 0.15) & (said == 1) & clearly))
    calm = sure & (smile < 0.05) & (shapes[:, JAW] < 0.06) & (said == 0) & clearly
    return smiling, calm


def _draw(
    set_of: np.ndarray, labels: dict[str, np.ndarray], weights: dict[str, np.ndarray]
) -> np.ndarray:
    """Within a set rare labels (ages with gender, emotions) are drawn by the inverse root of their number."""
    age = (
        np.where(np.isfinite(labels["age"]), np.nan_to_num(labels["age"]), -5).astype(
            int
        )
        // 5
    )
    kind = (
        (age + 1) * 27
        + (labels["gender"] + 1) * 9
        + (labels["race"] + 1) * 1000
        + np.where(labels["origin"] >= 0, labels["votes"].argmax(axis=1), 8)
    )
    draw = np.zeros(len(set_of))
    usable = (weights["age"] == 1) | (weights["emotion"] > 0)
    for i, name in enumerate(SETS):
        rows = np.flatnonzero((set_of == i) & (labels["part"] == "train") & usable)
        _, inverse, count = np.unique(
            kind[rows], return_inverse=True, return_counts=True
        )
        share = 1 / np.sqrt(count[inverse])
        draw[rows] = FRESH[name] * share / share.sum()
    return draw / draw.sum()
