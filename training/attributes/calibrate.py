"""Step 4: per task a shift of the logits and a temperature, chosen on the held-out part, plain and mirrored view."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fit import SETS, Table, load, logits_of
from network import INFANT, TASKS, Body
from torch import Tensor

VIEWS = (0, 1)


def temperature(logits: Tensor, target: Tensor) -> float:
    """The divisor of the logits that makes the held-out targets likeliest."""
    grid = torch.exp(torch.linspace(-1.2, 0.9, 106))
    losses = [float(-(target * F.log_softmax(logits / t, dim=1)).sum(dim=1).mean()) for t in grid]
    return float(grid[int(np.argmin(losses))])


def emotion_shift(logits: Tensor, truth: Tensor, prior: Tensor) -> Tensor:
    """What is added to the logits: -tau log prior, tau where accuracy plus half the mean recall is best."""
    best = (-1.0, 0.0)
    for tau in np.linspace(-0.3, 0.9, 25):
        top = (logits - tau * torch.log(prior)).argmax(dim=1)
        recall = np.mean([float((top[truth == c] == c).float().mean()) for c in range(8)])
        best = max(best, (float((top == truth).float().mean()) + 0.5 * recall, float(tau)))
    return -best[1] * torch.log(prior)


def gender_shift(logits: Tensor, female: Tensor) -> Tensor:
    """What makes women as often right as men."""
    margin = logits[:, 0] - logits[:, 1]
    grid = np.linspace(-1.5, 1.5, 61)
    gaps = [
        abs(float((margin[female] + b > 0).float().mean() - (margin[~female] + b < 0).float().mean())) for b in grid
    ]
    shift = float(grid[int(np.argmin(gaps))])
    return torch.tensor([shift / 2, -shift / 2])


def calibrate(task: str, logits: Tensor, target: Tensor, labels: dict[str, np.ndarray]) -> dict[str, object]:
    """`target` (N, K) as trained; gender and emotion are calibrated to the label, age to its spread."""
    shift = torch.zeros(logits.shape[1])
    if task == "emotion":
        truth = target.argmax(dim=1)
        shift = emotion_shift(logits, truth, target.mean(dim=0))
        target = F.one_hot(truth, 8).float()
    if task == "gender":
        female, adult = torch.from_numpy(labels["gender"] == 0), torch.from_numpy(labels["age"] >= 15)
        shift = gender_shift(logits[adult], female[adult])
        target = torch.stack([female, ~female], dim=1).float()
    return {"shift": shift.tolist(), "temperature": temperature(logits + shift, target)}


def doubt(gender: Tensor, age: Tensor, female: Tensor) -> float:
    """How far the gender logits shrink for a face surely under INFANT years: the likeliest on the held-out part."""
    infant = F.softmax(age, dim=1)[:, :INFANT].sum(dim=1, keepdim=True)
    grid = np.linspace(0, 1, 41)
    losses = [float(F.cross_entropy(gender * (1 - d * infant), (~female).long())) for d in grid]
    return float(grid[int(np.argmin(losses))])


def calibrated(logits: Tensor, chosen: dict[str, object]) -> Tensor:
    return (logits + torch.tensor(chosen["shift"])) / chosen["temperature"]


def held_out(body: Body, table: Table, labels: dict[str, np.ndarray]) -> dict[str, dict[str, object]]:
    rows = table.rows("held")
    rows = rows[(sum(table.weights.values())[rows] > 0).numpy()]
    seen = [logits_of(body, table, rows, view) for view in VIEWS]
    columns = {k: np.tile(v[rows], len(VIEWS)) for k, v in labels.items() if v.shape == table.part.shape}
    logits = {task: torch.cat([s[task] for s in seen]) for task in seen[0]}
    chosen = {t: calibrate(t, logits[t], table.targets[t][rows].repeat(len(VIEWS), 1), columns) for t in logits}
    if "gender" in chosen:
        gender, age = (calibrated(logits[t], chosen[t]) for t in ("gender", "age"))
        chosen["gender"]["doubt"] = doubt(gender, age, torch.from_numpy(columns["gender"] == 0))
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, tasks in TASKS.items():
        body = Body(tasks).eval()
        with np.load(args.work / f"{name}.npz") as npz:
            body.load_state_dict({k: torch.from_numpy(v) for k, v in npz.items()})
        table, labels = load(args.work, args.data, SETS[name][0])
        chosen = held_out(body, table, labels)
        (args.work / f"{name}-calibration.json").write_text(json.dumps(chosen))
        print(
            name,
            {task: (c["temperature"], np.round(c["shift"], 2)[:8]) for task, c in chosen.items()},
            chosen.get("gender", {}).get("doubt"),
        )


if __name__ == "__main__":
    main()
