"""Trains the student on cached shards: seeded, resumable, curves as JSON lines and PNG."""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from network import Network
from numpy.typing import NDArray
from teacher import mirror_rows
from torch import Tensor, nn
from torch.nn import functional as F

POSITIVE = 0.25  # the teacher's score from which a cell also learns box and landmarks
LOG_EVERY = 50
SAVE_EVERY = 250


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast; ``step`` counts over all phases of a run."""

    steps: int
    batch: int = 16
    rate: float = 3e-3
    decay: float = 5e-4
    warmup: int = 300
    points: float = 8.0  # weight of the landmarks
    seed: int = 0

    def rate_at(self, step: int) -> float:
        warm = min(1.0, (step + 1) / self.warmup)
        return (
            self.rate
            * warm
            * (0.02 + 0.98 * (1 + math.cos(math.pi * min(step / self.steps, 1.0))) / 2)
        )


class Shards:
    """Random batches out of all finished shards of some folders; new shards join when ``refresh`` is called."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.opened: dict[Path, tuple[NDArray[np.uint8], NDArray[np.float16]]] = {}

    def refresh(self) -> int:
        """How many shards there are now."""
        for done in (
            path for folder in self.folders for path in sorted(folder.glob("*.done"))
        ):
            if done not in self.opened:
                paths = [
                    done.with_suffix(f".{kind}.npy") for kind in ("images", "rows")
                ]
                self.opened[done] = (
                    np.load(paths[0], mmap_mode="r"),
                    np.load(paths[1], mmap_mode="r"),
                )
        return len(self.opened)

    def batch(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """``count`` pictures of one shard and the teacher's rows; mirrored half of the time."""
        images, rows = self.opened[list(self.opened)[rng.integers(len(self.opened))]]
        picked = np.sort(rng.choice(len(images), count, replace=False))
        x, y = np.asarray(images[picked]), np.asarray(rows[picked], dtype=np.float32)
        y[..., 0] = sharpen(y[..., 0])
        if rng.random() < 0.5:
            x, y = np.ascontiguousarray(x[:, :, ::-1]), mirror_rows(y, *x.shape[1:3])
        return x, y


def sharpen(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """The teacher is unsure (0.3) of masked and turned faces, and right: 0.2 -> 0.35, 0.3 -> 0.52, 0.5 -> 0.76."""
    logit = np.log(np.clip(score, 1e-4, 1) / np.clip(1 - score, 1e-4, 1))
    return np.where(score > 0, 1 / (1 + np.exp(-1.3 * (logit + 0.9))), 0).astype(
        np.float32
    )


def to_input(images: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """(N,H,W,3) u8 -> (N,3,H,W) float, each picture with its own gain and offset."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    gain = torch.from_numpy(
        rng.uniform(0.8, 1.2, (len(images), 1, 1, 1)).astype(np.float32)
    )
    shift = torch.from_numpy(
        rng.uniform(-12, 12, (len(images), 1, 1, 1)).astype(np.float32)
    )
    return (
        (x * gain + shift).clamp_(0, 255).contiguous(memory_format=torch.channels_last)
    )


def losses(outs: list[Tensor], target: Tensor) -> dict[str, Tensor]:
    """Quality focal score, DIoU of boxes and smooth L1 of landmarks in box widths, per positive weight."""
    got = torch.cat([o.flatten(2).transpose(1, 2) for o in outs], 1)
    wanted = target[..., 0]
    focal = (
        got[..., 0].sigmoid() - wanted
    ).square() * F.binary_cross_entropy_with_logits(
        got[..., 0], wanted, reduction="none"
    )
    positive = wanted > POSITIVE
    weight = wanted[positive]
    total = weight.sum().clamp(min=1.0)
    mine, theirs = got[positive], target[positive]
    box = ((1 - distance_iou(mine[:, 1:5], theirs[:, 1:5])) * weight).sum() / total
    width = theirs[:, 3:5].exp().mean(1, keepdim=True).clamp(min=0.5)
    gap = F.smooth_l1_loss(
        mine[:, 5:] / width, theirs[:, 5:] / width, reduction="none", beta=0.05
    ).mean(1)
    return {
        "score": focal.sum() / total,
        "box": box,
        "points": (gap * weight).sum() / total,
    }


def distance_iou(a: Tensor, b: Tensor) -> Tensor:
    """DIoU of (n,4) boxes given as centre and log size in strides, both from the same cell."""
    half_a, half_b = a[:, 2:].clamp(-6, 6).exp() / 2, b[:, 2:].clamp(-6, 6).exp() / 2
    low_a, high_a, low_b, high_b = (
        a[:, :2] - half_a,
        a[:, :2] + half_a,
        b[:, :2] - half_b,
        b[:, :2] + half_b,
    )
    inter = (
        (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b))
        .clamp(min=0)
        .prod(1)
    )
    union = 4 * (half_a.prod(1) + half_b.prod(1)) - inter
    span = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).square().sum(1)
    return inter / union.clamp(min=1e-6) - (a[:, :2] - b[:, :2]).square().sum(
        1
    ) / span.clamp(min=1e-6)


class Run:
    """One training run in one folder: network, its moving average, optimiser, log."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.folder, self.plan, self.step = folder, plan, 0
        self.net = Network().to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.net).eval()
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": plan.decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, plan.rate)
        if (folder / "last.pt").exists():
            self._resume()

    def _resume(self) -> None:
        kept = torch.load(self.folder / "last.pt", weights_only=True)
        self.step = kept["step"]
        self.net.load_state_dict(kept["net"])
        self.average.load_state_dict(kept["average"])
        self.optimiser.load_state_dict(kept["optimiser"])

    def save(self) -> None:
        """Checkpoint, replaced whole."""
        parts = {"net": self.net.state_dict(), "average": self.average.state_dict()}
        torch.save(
            {"step": self.step, "optimiser": self.optimiser.state_dict(), **parts},
            self.folder / "next.pt",
        )
        (self.folder / "next.pt").replace(self.folder / "last.pt")

    def learn(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """One step; the losses."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        parts = losses(self.net(x), y)
        loss = parts["score"] + 2 * parts["box"] + self.plan.points * parts["points"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        follow(self.average, self.net, min(0.9985, (1 + self.step) / (10 + self.step)))
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, keep: float) -> None:
    """The moving average of the weights goes a step towards them; running statistics are taken as they are."""
    for mean, now in zip(average.parameters(), net.parameters(), strict=True):
        mean.lerp_(now, 1 - keep)
    for mean, now in zip(average.buffers(), net.buffers(), strict=True):
        mean.copy_(now)


def train(run: Run, shards: Shards, until: int) -> None:
    """Steps up to ``until``; the same seed and the same shards give the same batches."""
    seen: list[dict[str, float]] = []
    began, first = time.perf_counter(), run.step
    with (run.folder / "curve.jsonl").open("a") as log:
        while run.step < until:
            rng = np.random.default_rng([run.plan.seed, run.step])
            count = (
                shards.refresh()
                if run.step % LOG_EVERY == 0 or not shards.opened
                else len(shards.opened)
            )
            images, rows = shards.batch(rng, run.plan.batch)
            seen.append(run.learn(to_input(images, rng), torch.from_numpy(rows)))
            if run.step % LOG_EVERY == 0:
                rate = (
                    (run.step - first) * run.plan.batch / (time.perf_counter() - began)
                )
                mean = {
                    k: round(float(np.mean([s[k] for s in seen])), 5) for k in seen[0]
                }
                size = images.shape[1]
                log.write(
                    json.dumps(
                        {
                            "step": run.step,
                            "size": size,
                            "shards": count,
                            "per_s": round(rate, 1),
                            **mean,
                        }
                    )
                    + "\n"
                )
                log.flush()
                seen.clear()
            if run.step % SAVE_EVERY == 0:
                run.save()
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shards",
        type=Path,
        nargs="+",
        required=True,
        help="folders, one per picture size",
    )
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        help="folder of the run; continues what is there",
    )
    parser.add_argument(
        "--steps", type=int, required=True, help="length of the whole schedule"
    )
    parser.add_argument(
        "--until", type=int, help="stop here (the next phase goes on); default: steps"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--points", type=float, default=8.0, help="weight of the landmarks"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.run.mkdir(parents=True, exist_ok=True)
    run = Run(args.run, Plan(steps=args.steps, seed=args.seed, points=args.points))
    until = args.steps if args.until is None else args.until
    train(run, Shards(args.shards), until)


if __name__ == "__main__":
    main()
