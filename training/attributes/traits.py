"""Step 4: teaches the older heads for age and gender, which read dlib's face ResNet, the new sets too. Seeded."""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from data import SETS
from features import AGED, EVERY, SHAPES, VIEWS
from onnx import numpy_helper
from targets import AGES, Table, load
from torch import Tensor, nn

SEED = 20
BATCH = 256
WIDTH, HIDDEN = 128, 128
SHARES = {"utkface": 0.6, "aaf": 0.25, "portraits": 0.15}  # of a batch
RATE = 4e-4
TAUGHT = 2  # the first views teach
YEARS = torch.from_numpy(AGES)
SIZES = {"age": 101, "gender": 2}


class Traits(nn.Module):
    """map_128, map_256 and descriptor -> HIDDEN features -> logits of age and gender. No normalisation: folded in."""

    def __init__(self, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.fine_1 = nn.Conv2d(128, WIDTH, 3, stride=2, padding=1)
        self.fine_2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.coarse = nn.Conv2d(256, WIDTH, 1)
        self.hidden = nn.Linear(2 * WIDTH * 16 + 128, HIDDEN)
        self.out = nn.ModuleDict(
            {task: nn.Linear(HIDDEN, size) for task, size in SIZES.items()}
        )
        self.drop_maps, self.drop = nn.Dropout2d(dropout / 4), nn.Dropout(dropout)

    def forward(
        self, map_128: Tensor, map_256: Tensor, embedding: Tensor
    ) -> dict[str, Tensor]:
        fine = torch.relu(self.fine_1(map_128))
        fine = torch.relu(self.fine_2(self.drop_maps(fine)) + fine)
        coarse = torch.relu(self.coarse(map_256))
        both = torch.cat([self.drop_maps(fine), self.drop_maps(coarse)], dim=1).flatten(
            1
        )
        x = self.drop(
            torch.relu(self.hidden(self.drop(torch.cat([both, embedding], dim=1))))
        )
        return {task: layer(x) for task, layer in self.out.items()}

    @classmethod
    def from_older(cls, heads: Path) -> Traits:
        """Begun from the heads of mien 0.1, whose file has the layers in this order."""
        body, model = cls(), onnx.load(heads)
        values = iter(
            torch.from_numpy(numpy_helper.to_array(w).astype(np.float32))
            for w in model.graph.initializer
        )
        layers = (
            body.fine_1,
            body.fine_2,
            body.coarse,
            body.hidden,
            body.out["age"],
            body.out["gender"],
        )
        with torch.no_grad():
            for layer in layers:
                layer.weight.copy_(next(values))
                layer.bias.copy_(next(values))
        return body


def kept(table: Table) -> np.ndarray:
    """Which rows of the table (N,) the ResNet was asked about."""
    rows = np.zeros(len(table.draw), bool)
    for name in AGED:
        rows |= (table.set_of == SETS.index(name)) & (
            table.row_of % EVERY.get(name, 1) == 0
        )
    return rows


class Maps:
    """The ResNet's answers to the rows of a table."""

    def __init__(self, work: Path, table: Table) -> None:
        self.table = table
        self.files = {
            (name, view): {
                key: np.load(work / f"{name}-v{view}-{key}.npy", mmap_mode="r")
                for key in SHAPES
            }
            for name in AGED
            for view in VIEWS
        }

    def __call__(self, rows: np.ndarray, views: np.ndarray) -> list[Tensor]:
        """map_128, map_256 and embedding of these rows, each in its view."""
        places = [
            (self.files[name, view], self.table.row_of[i] // EVERY.get(name, 1))
            for i, view in zip(rows, views, strict=True)
            for name in (SETS[self.table.set_of[i]],)
        ]
        return [
            torch.from_numpy(np.stack([file[key][row] for file, row in places])).float()
            for key in ("map_128", "map_256", "embedding")
        ]


def shares(table: Table) -> np.ndarray:
    """How often each row is drawn: a set by its share, in it rare ages, genders and race labels more often."""
    draw = np.zeros(len(table.draw))
    for name, share in SHARES.items():
        inside = (table.set_of == SETS.index(name)) & (table.draw > 0) & kept(table)
        draw[inside] = share * table.draw[inside] / table.draw[inside].sum()
    return draw


def learn(
    body: Traits, maps: Maps, steps: int
) -> tuple[Traits, list[dict[str, float]]]:
    """The running mean of the weights, and what it reached meanwhile on the held-out parts."""
    table, rng = maps.table, np.random.default_rng(SEED)
    mean, history = copy.deepcopy(body).eval(), []
    optimiser = torch.optim.AdamW(body.parameters(), lr=RATE, weight_decay=0.03)
    edges = np.cumsum(shares(table))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = (
                RATE
                * min(1, (step + 1) / 150)
                * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            )
        rows = np.searchsorted(edges, rng.random(BATCH) * edges[-1]).clip(
            max=len(edges) - 1
        )
        loss = loss_of(body.train(), maps, rows, rng)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(body.parameters(), 5.0)
        optimiser.step()
        average(mean, body, min(0.996, step / (step + 10)))
        if (step + 1) % 200 == 0:
            history.append(
                {
                    "step": step + 1,
                    "loss": float(loss.detach()),
                    **judge(mean, maps, "held"),
                }
            )
            print(
                time.strftime("%H:%M:%S"),
                {k: round(v, 3) for k, v in history[-1].items()},
                flush=True,
            )
    return mean, history


def loss_of(
    body: Traits, maps: Maps, rows: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """With mixup of the maps and of the targets."""
    share, order = (
        float(rng.beta(0.3, 0.3)),
        torch.from_numpy(rng.permutation(len(rows))),
    )
    seen = [
        share * x + (1 - share) * x[order]
        for x in maps(rows, rng.integers(0, TAUGHT, len(rows)))
    ]
    targets = {key: torch.from_numpy(maps.table.targets[key][rows]) for key in SIZES}
    targets = {key: share * x + (1 - share) * x[order] for key, x in targets.items()}
    answers = body(*seen)
    age = F.log_softmax(answers["age"], dim=1)
    off = ((age.exp() - targets["age"]) @ YEARS).abs()
    gender = -(targets["gender"] * F.log_softmax(answers["gender"], dim=1)).sum(dim=1)
    return (0.5 * (-(targets["age"] * age).sum(dim=1) + 0.06 * off) + gender).mean()


@torch.no_grad()
def average(mean: Traits, body: Traits, keep: float) -> None:
    for old, new in zip(
        mean.state_dict().values(), body.state_dict().values(), strict=True
    ):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


@torch.no_grad()
def logits_of(
    body: Traits, maps: Maps, rows: np.ndarray, view: int
) -> dict[str, Tensor]:
    parts = []
    for start in range(0, len(rows), 512):
        some = rows[start : start + 512]
        parts.append(body(*maps(some, np.full(len(some), view))))
    return {task: torch.cat([p[task] for p in parts]) for task in SIZES}


def judge(body: Traits, maps: Maps, part: str) -> dict[str, float]:
    scores, table = {}, maps.table
    for name in AGED:
        rows = np.flatnonzero(
            (table.set_of == SETS.index(name))
            & (table.part == part)
            & table.found
            & kept(table)
        )
        logits = logits_of(body, maps, rows, 0)
        ages = table.labels["age"][rows]
        off = F.softmax(logits["age"], dim=1).numpy() @ AGES - ages
        right = logits["gender"].argmax(dim=1).numpy() == table.labels["gender"][rows]
        scores |= {
            f"{name} mae": float(np.abs(off).mean()),
            f"{name} gender": float(right[ages > 3].mean()),
        }
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--heads", type=Path, required=True, help="the older heads to begin from"
    )
    parser.add_argument("--steps", type=int, default=800)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    maps = Maps(args.work, load(args.work))
    mean, history = learn(Traits.from_older(args.heads), maps, args.steps)
    np.savez(
        args.work / "traits-weights.npz",
        **{k: v.numpy() for k, v in mean.state_dict().items()},
    )
    (args.work / "traits-history.json").write_text(json.dumps(history))


if __name__ == "__main__":
    main()
