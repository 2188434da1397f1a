"""Step 4: per task a shift of the logits and a temperature, chosen on the held-out parts of all sets alike.

Every set counts the same, and so does every class in a set: what is said shall not lean to what one set is full of.
Undisturbed, mirrored and disturbed views are calibrated together, since doubt has to hold for poor pictures too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import EMOTIONS, NETWORKS, SETS
from features import VIEWS
from network import FaceNet, learnt
from targets import AGES, Table, load
from torch import Tensor
from traits import Maps, Traits, kept, logits_of
from views import disturbed, plain

from train import SEED, as_input

INFANT = 4  # years; as in export.py
SEEN, PHOTO = (
    [0, 1],
    [0, 2],
)  # views that are calibrated on, and the two of which a photo's answer is the mean
SURE = {
    "gender": 0.95,
    "emotion": 0.9,
}  # of what is said without doubt, so much shall be right
YEARS = torch.from_numpy(AGES)
CURVES = torch.stack(
    [(YEARS - 50) / 50, ((YEARS - 50) / 50) ** 2, ((YEARS - 50) / 50) ** 3]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = load(args.work)
    held = table.part == "held"
    path = args.work / "calibration.json"
    chosen = json.loads(path.read_text()) if path.exists() else {}
    if "attributes" in args.networks:
        aged = table.found & np.isfinite(table.labels["age"]) & kept(table)
        rows = np.flatnonzero(held & aged)
        traits = traits_of(args.work, table, rows)
        chosen["age"] = for_age(traits["age"], table, rows)
        chosen["gender"] = for_gender(traits, table, rows)
    if "emotion" in args.networks:
        rows = np.flatnonzero(held & table.found & (table.weights["emotion"] > 0))
        chosen["emotion"] = for_emotion(
            emotions_of(args.work, table, rows), table, rows
        )
    path.write_text(json.dumps(chosen))
    print(
        {
            task: {k: np.round(v, 3).tolist() for k, v in c.items() if task != "age"}
            for task, c in chosen.items()
        }
    )


def traits_of(work: Path, table: Table, rows: np.ndarray) -> dict[str, Tensor]:
    """Logits (views, N, K) of each row."""
    body = Traits().eval()
    with np.load(work / "traits-weights.npz") as npz:
        body.load_state_dict(
            {name: torch.from_numpy(values) for name, values in npz.items()}
        )
    maps = Maps(work, table)
    seen = [logits_of(body, maps, rows, view) for view in VIEWS]
    return {task: torch.stack([logits[task] for logits in seen]) for task in seen[0]}


@torch.no_grad()
def emotions_of(work: Path, table: Table, rows: np.ndarray) -> Tensor:
    """Logits (2, N, 8) of each row plain, and mirrored and disturbed."""
    net, rng = FaceNet().eval(), np.random.default_rng(SEED)
    net.load_state_dict(learnt(work))
    parts: list[list[Tensor]] = [[], []]
    for start in range(0, len(rows), 128):
        chips = [table.chip(i) for i in rows[start : start + 128]]
        parts[0].append(net(as_input([plain(chip) for chip in chips]))["emotion"])
        parts[1].append(
            net(as_input([disturbed(chip, rng, mirrored=True) for chip in chips]))[
                "emotion"
            ]
        )
    return torch.stack([torch.cat(part) for part in parts])


def balanced(groups: np.ndarray, classes: np.ndarray) -> Tensor:
    """A weight (N,) a row: every group the same in sum, every class the same in its group; rare ones up to a point."""
    weight = np.zeros(len(groups))
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        _, inverse, count = np.unique(
            classes[inside], return_inverse=True, return_counts=True
        )
        share = 1 / np.maximum(count, 15)[inverse]
        weight[inside] = share / share.sum()
    return torch.from_numpy(weight / weight.sum()).float()


def fit(loss_of: object, *parameters: Tensor, steps: int = 150) -> None:
    """Moves the parameters to the least loss."""
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=steps, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    optimiser.step(closure)


def for_emotion(logits: Tensor, table: Table, rows: np.ndarray) -> dict[str, object]:
    told = table.weights["emotion"][rows] > 0
    truth = table.targets["emotion"][rows].argmax(axis=1)[told]
    groups = table.set_of[rows][told]
    x, weight = logits[:, told], balanced(groups, np.zeros(len(truth)))
    target = torch.from_numpy(truth).repeat(len(x), 1).reshape(-1)
    shift, warmth = (
        torch.zeros(8, requires_grad=True),
        torch.zeros(1, requires_grad=True),
    )

    def loss() -> Tensor:
        each = F.cross_entropy(
            ((x + shift) / warmth.exp()).reshape(-1, 8), target, reduction="none"
        )
        return (each.reshape(len(x), -1) * weight).sum() / len(
            x
        ) + 0.01 * shift.square().sum()

    fit(loss, shift, warmth)
    shift, warmth = (shift - shift.mean()).detach(), warmth.detach().exp()
    probs = F.softmax((x + shift) / warmth, dim=2)
    # Where only calm faces and smiles are known is easy: these sets count as one, or doubt would hardly be shown.
    labelled = np.isin(groups, [SETS.index("ferplus"), SETS.index("affect")])
    weight = balanced(np.where(labelled, groups, -1), np.zeros(len(truth)))
    bound = bound_of("emotion", probs.reshape(-1, 8), target, weight.repeat(len(x)))
    right = probs[0].argmax(dim=1).numpy() == truth
    for group in np.unique(groups):
        inside = groups == group
        recalls = {
            EMOTIONS[c]: round(float(right[inside & (truth == c)].mean()), 2)
            for c in np.unique(truth[inside])
        }
        print("emotion", group, round(float(right[inside].mean()), 3), recalls)
    return {"shift": shift.tolist(), "temperature": float(warmth), "sure": bound}


def bound_of(task: str, probs: Tensor, truth: Tensor, weight: Tensor) -> float:
    """The least probability from which on as much of what is said is right as SURE asks for."""
    top, said = probs.max(dim=1)
    order = top.argsort(descending=True)
    right = ((said == truth).float() * weight)[order].cumsum(0) / weight[order].cumsum(
        0
    )
    enough = torch.nonzero(right >= SURE[task]).flatten()
    last = int(enough[-1]) if len(enough) else 0
    print(
        task,
        "sure from",
        float(top[order][last]),
        "said of",
        float(weight[order][: last + 1].sum() / weight.sum()),
    )
    return float(top[order][last])


def for_gender(
    logits: dict[str, Tensor], table: Table, rows: np.ndarray
) -> dict[str, object]:
    told = table.labels["gender"][rows] >= 0
    truth, ages = table.labels["gender"][rows][told], table.labels["age"][rows][told]
    weight = balanced(table.set_of[rows][told], truth)
    x = logits["gender"][SEEN][:, told]
    infant = F.softmax(logits["age"][SEEN][:, told], dim=2)[:, :, :INFANT].sum(
        dim=2, keepdim=True
    )
    target = torch.from_numpy(truth).repeat(len(x), 1).reshape(-1)
    shift, warmth, doubt = (torch.zeros(1, requires_grad=True) for _ in range(3))
    side = torch.tensor([0.5, -0.5])

    def answers() -> Tensor:
        return (x + shift * side) / warmth.exp() * (1 - torch.sigmoid(doubt) * infant)

    def loss() -> Tensor:
        each = F.cross_entropy(answers().reshape(-1, 2), target, reduction="none")
        return (each.reshape(len(x), -1) * weight).sum() / len(x)

    fit(loss, shift, warmth, doubt)
    probs = F.softmax(answers().detach(), dim=2)
    bound = bound_of("gender", probs.reshape(-1, 2), target, weight.repeat(len(x)))
    right = probs[0].argmax(dim=1).numpy() == truth
    for i, name in enumerate(SETS):
        inside = (table.set_of[rows][told] == i) & (ages > 3)
        if inside.any():
            print(
                "gender",
                name,
                [round(float(right[inside & (truth == g)].mean()), 3) for g in (0, 1)],
            )
    chosen = {
        "shift": (shift * side).detach().tolist(),
        "temperature": float(warmth.detach().exp()),
        "doubt": float(torch.sigmoid(doubt.detach())),
    }
    return {**chosen, "sure": bound}


def for_age(logits: Tensor, table: Table, rows: np.ndarray) -> dict[str, object]:
    """A smooth shift over the years, and the temperature with which four of five ages lie in the interval of a photo,
    which is that of the mean of two views."""
    aged = np.isfinite(table.labels["age"][rows])
    ages = table.labels["age"][rows][aged]
    groups = table.set_of[rows][aged]
    weight = balanced(groups, np.zeros(len(groups)))
    x, truth = logits[SEEN][:, aged], torch.from_numpy(ages)
    bend = torch.zeros(3, requires_grad=True)

    def loss() -> Tensor:
        said = F.softmax(x + bend @ CURVES, dim=2) @ YEARS
        return ((said - truth).abs() * weight).sum() / len(
            x
        ) + 0.02 * bend.square().sum()

    fit(loss, bend)
    shifted = logits[PHOTO][:, aged] + (bend.detach() @ CURVES)
    grid = torch.exp(torch.linspace(-0.9, 0.7, 65))
    held = [
        float((inside(F.softmax(shifted / t, dim=2).mean(dim=0), truth) * weight).sum())
        for t in grid
    ]
    warmth = float(grid[int(np.argmin(np.abs(np.array(held) - 0.8)))])
    said = F.softmax(shifted[0] / warmth, dim=1) @ YEARS
    for i in np.unique(groups):
        off = (said - truth)[torch.from_numpy(groups == i)]
        print(
            "age",
            SETS[i],
            "off",
            round(float(off.abs().mean()), 2),
            "bias",
            round(float(off.mean()), 2),
        )
    return {"shift": (bend.detach() @ CURVES).tolist(), "temperature": warmth}


def inside(probs: Tensor, truth: Tensor) -> Tensor:
    """Whether the true age (N,) lies in the interval that is told: whole years, a tenth beyond each of its ends."""
    edges = np.concatenate([[0], np.arange(100) + 0.5, [100]])
    upto = F.pad(probs.cumsum(dim=1), (1, 0)).numpy()
    ends = np.array(
        [np.interp((0.1, 0.9), row / row[-1], edges) for row in upto]
    ).round()
    return torch.from_numpy(
        (truth.numpy() >= ends[:, 0]) & (truth.numpy() <= ends[:, 1])
    ).float()


if __name__ == "__main__":
    main()
