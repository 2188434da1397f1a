"""Step 3: trains the two bodies on the kept features.

Each body learns in two phases: on its own set, then on both sets, the other set's faces with the targets the body
itself gives them undisturbed (age and gender on FER+'s small grey faces, emotion on UTKFace's larger coloured
ones), so that neither is told by the kind of picture.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import READERS, SEED, VIEWS
from network import TASKS, Body
from torch import Tensor

KEYS = ("map_128", "map_256", "embedding")
SETS = {"people": ("utkface", "ferplus"), "mood": ("ferplus", "utkface")}  # own, other
BATCH = 256
AGES = torch.arange(101, dtype=torch.float32)


@dataclass(frozen=True)
class Table:
    """One set's features by view, targets by task (soft, (N, K)) and sample weights by task (N,)."""

    views: list[dict[str, np.ndarray]]
    part: np.ndarray
    targets: dict[str, Tensor]
    weights: dict[str, Tensor]

    def rows(self, part: str) -> np.ndarray:
        return np.flatnonzero(self.part == part)

    def features(self, view: int, rows: np.ndarray) -> list[Tensor]:
        return [torch.from_numpy(self.views[view][k][rows]).float() for k in KEYS]

    def mixed(self, rows: np.ndarray, rng: np.random.Generator) -> list[Tensor]:
        """Features of these rows, each from a view drawn at random."""
        views = rng.integers(0, len(self.views), len(rows))
        parts = [[self.views[v][k][r] for v, r in zip(views, rows, strict=True)] for k in KEYS]
        return [torch.from_numpy(np.stack(p)).float() for p in parts]


# --- targets ---------------------------------------------------------------------------------------------------------


def age_targets(age: np.ndarray) -> Tensor:
    """Gaussians over 0-100 around the label, narrow for children: a year is more at 3 than at 60."""
    centre = torch.from_numpy(np.minimum(age, 100)).float()[:, None]
    sigma = torch.clamp(0.8 + 0.06 * centre, 1.0, 3.5)
    density = torch.exp(-0.5 * ((AGES - centre) / sigma) ** 2)
    return density / density.sum(dim=1, keepdim=True)


def age_weights(age: np.ndarray, train: np.ndarray) -> Tensor:
    """Rare ages count more, by the inverse root of their smoothed frequency."""
    counts = np.bincount(np.minimum(age[train], 100), minlength=101).astype(float)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="same") + 5
    return _normalised((smooth.mean() / smooth) ** 0.5, np.minimum(age, 100), train, (0.4, 2.5))


def gender_weights(labels: dict[str, np.ndarray], train: np.ndarray) -> Tensor:
    """Cells of gender, race label and age band count by the inverse root of their size."""
    band = np.digitize(labels["age"], (4, 13, 20, 40, 60))
    cell = (labels["gender"] * 8 + labels["race"]) * 8 + band
    counts = np.bincount(cell[train], minlength=cell.max() + 1) + 10.0
    return _normalised((counts.mean() / counts) ** 0.5, cell, train, (0.3, 3.0))


def _normalised(per_class: np.ndarray, index: np.ndarray, train: np.ndarray, limits: tuple[float, float]) -> Tensor:
    weight = np.clip(per_class[index] / per_class[index][train].mean(), *limits)
    return torch.from_numpy(weight / weight[train].mean()).float()


def people_tables(age: np.ndarray, labels: dict[str, np.ndarray], train: np.ndarray) -> tuple[dict, dict]:
    gender = F.one_hot(torch.from_numpy(labels["gender"]), 2).float()
    smoothing = torch.where(torch.from_numpy(age < 4), 0.15, 0.04)[:, None]
    gender = gender * (1 - smoothing) + smoothing / 2
    targets = {"age": age_targets(age), "gender": gender}
    return targets, {"age": age_weights(age, train), "gender": gender_weights(labels, train)}


def mood_tables(votes: np.ndarray, train: np.ndarray) -> tuple[dict, dict]:
    """Votes over the eight emotions as soft targets; rare emotions count more, doubtful pictures less or not at all."""
    eight = votes[:, :8].astype(np.float32)
    sure = eight.sum(axis=1) / np.maximum(votes.sum(axis=1), 1)
    soft = eight / np.maximum(eight.sum(axis=1, keepdims=True), 1)
    counts = soft[train].sum(axis=0)
    per_class = np.clip((counts.mean() / counts) ** 0.5, 0.5, 4)
    weight = (soft @ per_class) * sure**2 * (votes.argmax(axis=1) < 8)
    return {"emotion": torch.from_numpy(soft)}, {"emotion": torch.from_numpy(weight / weight[train].mean()).float()}


# --- training --------------------------------------------------------------------------------------------------------


def loss_of(task: str, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    loss = -(target * F.log_softmax(logits, dim=1)).sum(dim=1)
    if task == "age":
        loss = loss + 0.06 * ((F.softmax(logits, dim=1) - target) @ AGES).abs()
    return (loss * weight).mean() * (0.5 if task == "age" else 1.0)


def balance(targets: Tensor) -> Tensor:
    """Sample weights by the inverse root of the frequency of what the targets say."""
    share = targets.mean(dim=0)
    weight = targets @ torch.clamp((share.mean() / share).sqrt(), 0.5, 3)
    return weight / weight.mean()


def mix(features: list[Tensor], targets: list[Tensor], rng: np.random.Generator) -> tuple[list[Tensor], list[Tensor]]:
    """Mixup of features and targets within the batch."""
    share = float(rng.beta(0.3, 0.3))
    order = torch.from_numpy(rng.permutation(len(features[0])))
    return tuple([share * x + (1 - share) * x[order] for x in column] for column in (features, targets))


@torch.no_grad()
def logits_of(body: Body, table: Table, rows: np.ndarray, view: int) -> dict[str, Tensor]:
    parts = [body(*table.features(view, rows[i : i + 512])) for i in range(0, len(rows), 512)]
    return {task: torch.cat([p[task] for p in parts]) for task in parts[0]}


class Trainer:
    """Trains one body with AdamW, one cycle per phase and a running mean of its weights."""

    def __init__(self, name: str) -> None:
        self.name, self.tasks = name, tuple(TASKS[name])
        torch.manual_seed(SEED)
        self.rng = np.random.default_rng(SEED)
        self.body = Body(TASKS[name]).to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.body).eval()
        self.history: list[dict[str, float]] = []
        self.steps = 0

    def phase(self, sources: list[tuple[Table, np.ndarray, float]], own: Table, *, epochs: int, rate: float) -> None:
        """`sources`: table, rows and how much its loss counts; one pass goes over all of them once."""
        per_epoch = sum(len(rows) // BATCH for _, rows, _ in sources)
        optimiser = torch.optim.AdamW(self.body.parameters(), lr=rate, weight_decay=0.03)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, epochs * per_epoch, pct_start=0.2)
        for _ in range(epochs):
            losses = [self.step(t, rows, gain, optimiser, schedule) for t, rows, gain in self.batches(sources)]
            scores = self.scores(own, "held") | {"loss": float(np.mean(losses))}
            self.history.append(scores)
            print(self.name, len(self.history), json.dumps({k: round(v, 4) for k, v in scores.items()}), flush=True)

    def batches(self, sources: list[tuple[Table, np.ndarray, float]]) -> Iterator[tuple[Table, np.ndarray, float]]:
        jobs = []
        for table, rows, gain in sources:
            shuffled = self.rng.permutation(rows)
            jobs += [(table, np.sort(shuffled[i : i + BATCH]), gain) for i in range(0, len(rows) - BATCH + 1, BATCH)]
        return (jobs[i] for i in self.rng.permutation(len(jobs)))

    def step(self, table: Table, rows: np.ndarray, gain: float, optimiser, schedule) -> float:
        self.body.train()
        columns = [table.targets[t][rows] * table.weights[t][rows, None] for t in self.tasks]
        features, columns = mix(table.mixed(rows, self.rng), columns, self.rng)
        logits = self.body(*features)
        loss = torch.zeros(())
        for task, column in zip(self.tasks, columns, strict=True):
            weight = column.sum(dim=1)
            loss = loss + loss_of(task, logits[task], column / weight[:, None].clamp_min(1e-6), weight)
        loss = loss * gain
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.body.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        self.average()
        return float(loss.detach())

    @torch.no_grad()
    def average(self, most: float = 0.996) -> None:
        self.steps += 1
        keep = min(most, self.steps / (self.steps + 10))
        for mean, now in zip(self.mean.state_dict().values(), self.body.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)

    def logits(self, table: Table, rows: np.ndarray, view: int = 0) -> dict[str, Tensor]:
        return logits_of(self.mean, table, rows, view)

    def scores(self, table: Table, part: str, view: int = 0) -> dict[str, float]:
        rows = table.rows(part)
        logits = self.logits(table, rows, view)
        result = {}
        for task in self.tasks:
            target = table.targets[task][rows]
            probs = F.softmax(logits[task], dim=1)
            if task == "age":
                result["age_mae"] = float(((probs - target) @ AGES).abs().mean())
            else:
                clear = table.weights[task][rows] > 0
                right = probs.argmax(dim=1) == target.argmax(dim=1)
                result[f"{task}_accuracy"] = float(right[clear].float().mean())
        return result

    def distil(self, other: Table) -> Table:
        """The other set with this body's own answers as targets: the mean over two views, plain and mirrored."""
        rows = np.arange(len(other.part))
        both = [self.logits(other, rows, view) for view in range(len(other.views))[:2]]
        targets = {t: sum(F.softmax(b[t], dim=1) for b in both) / len(both) for t in self.tasks}
        return Table(other.views, other.part, targets, {t: balance(targets[t]) for t in self.tasks})


# --- the run ----------------------------------------------------------------------------------------------------------


def load(work: Path, data: Path, name: str) -> tuple[Table, dict[str, np.ndarray]]:
    """A set's table, with targets for its own tasks."""
    faces = READERS[name](data)
    train = np.flatnonzero(faces.part == "train")
    if name == "utkface":
        targets, weights = people_tables(faces.labels["age"], faces.labels, train)
    else:
        targets, weights = mood_tables(faces.labels["votes"], train)
    files = [{k: np.load(work / f"{name}-v{v}-{k}.npy", mmap_mode="r") for k in KEYS} for v in range(VIEWS)]
    return Table(files, faces.part, targets, weights), faces.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--body", choices=TASKS, required=True)
    parser.add_argument("--epochs", type=int, nargs=2, required=True, help="passes of the two phases")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    (own, _), (other, _) = (load(args.work, args.data, name) for name in SETS[args.body])
    rows = own.rows("train")
    usable = rows[(sum(own.weights.values())[rows] > 0).numpy()]
    trainer = Trainer(args.body)
    trainer.phase([(own, usable, 1.0)], own, epochs=args.epochs[0], rate=2e-3)
    taught = trainer.distil(other)
    some = trainer.rng.permutation(other.rows("train"))[: len(usable) // 2]
    trainer.phase([(own, usable, 1.0), (taught, some, 0.5)], own, epochs=args.epochs[1], rate=8e-4)
    np.savez(args.work / f"{args.body}.npz", **{k: v.numpy() for k, v in trainer.mean.state_dict().items()})
    (args.work / f"{args.body}.json").write_text(json.dumps({"history": trainer.history}, indent=1))


if __name__ == "__main__":
    main()
