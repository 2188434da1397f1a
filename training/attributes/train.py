"""Step 3: trains the network. Seeded; SIGTERM stops it, and it takes up where it stopped; a running mean of the weights
is what counts."""

from __future__ import annotations

import argparse
import copy
import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import EMOTIONS, SETS
from network import FaceNet, pretrained
from targets import AGES, Table, load
from torch import Tensor, nn
from views import disturbed, plain

SEED = 20
BATCH = 96
FROZEN = 2  # of dlib's stages keep their weights: edges are edges
LOSS = {"age": 0.3, "gender": 0.3, "emotion": 2.0, "blendshapes": 0.3}
MIXED = 0.7  # of all steps: so long pictures are laid over each other (mixup, Zhang et al. 2018)
ACROSS = 0.35  # how much an emotion also competes with those its source does not bring; see README.md
YEARS = torch.from_numpy(AGES)


class Batches:
    """Draws training batches; batch n is the same whenever it is asked for."""

    def __init__(self, table: Table, steps: int) -> None:
        self.table, self.steps = table, steps
        self.edges = np.cumsum(table.draw)
        self.mirror = torch.from_numpy(mirrored_shapes())

    def __call__(
        self, step: int
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor], Tensor]:
        rng = np.random.default_rng((SEED, step))
        rows = np.searchsorted(self.edges, rng.random(BATCH) * self.edges[-1]).clip(
            max=len(self.edges) - 1
        )
        flips = rng.random(BATCH) < 0.5
        views = [
            disturbed(self.table.chip(i), rng, mirrored=flip)
            for i, flip in zip(rows, flips, strict=True)
        ]
        targets = {
            key: torch.from_numpy(values[rows])
            for key, values in self.table.targets.items()
        }
        shapes, flipped = targets["blendshapes"], torch.from_numpy(flips)
        targets["blendshapes"] = torch.where(
            flipped[:, None], shapes[:, self.mirror], shapes
        )
        weights = {
            key: torch.from_numpy(values[rows])
            for key, values in self.table.weights.items()
        }
        drawn = (as_input(views), targets, weights)
        if step < MIXED * self.steps:
            drawn = mixed(*drawn, rng.beta(0.4, 0.4, BATCH), self.partners(rows, rng))
        return *drawn, torch.from_numpy(self.table.can[rows])

    def partners(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each row of a batch another one of the same source, or itself."""
        source = self.table.set_of[rows] * 4 + self.table.labels["origin"][rows]
        partners = np.arange(len(rows))
        for one in np.unique(source):
            members = np.flatnonzero(source == one)
            partners[members] = rng.permutation(members)
        return partners


def mixed(
    x: Tensor,
    targets: dict[str, Tensor],
    weights: dict[str, Tensor],
    shares: np.ndarray,
    partners: np.ndarray,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Every picture laid over its partner's, its own share the larger one; so are what both should be answered."""
    own = torch.from_numpy(np.maximum(shares, 1 - shares)).float()
    other = torch.from_numpy(partners)
    share = own.view(-1, 1, 1, 1)
    x = share * x + (1 - share) * x[other]
    both = {key: own * w + (1 - own) * w[other] for key, w in weights.items()}
    for key, target in targets.items():
        mine, theirs = own * weights[key], (1 - own) * weights[key][other]
        total = both[key].clamp_min(1e-9)
        targets[key] = (mine / total)[:, None] * target
        targets[key] += (theirs / total)[:, None] * target[other]
    return x.contiguous(memory_format=torch.channels_last), targets, both


def mirrored_shapes() -> np.ndarray:
    """For each blendshape the one that its mirror image shows: left and right stand side by side."""
    pairs = [
        (1, 2),
        (4, 5),
        (7, 8),
        (9, 10),
        (11, 12),
        (13, 14),
        (15, 16),
        (17, 18),
        (19, 20),
        (21, 22),
        (24, 26),
    ]
    pairs += [
        (28, 29),
        (30, 31),
        (33, 39),
        (34, 35),
        (36, 37),
        (44, 45),
        (46, 47),
        (48, 49),
        (50, 51),
    ]
    order = np.arange(52)
    for a, b in pairs:
        order[[a, b]] = b, a
    return order


def as_input(views: list[np.ndarray]) -> Tensor:
    """(N, 3, SIDE, SIDE) float, channels last in memory."""
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float()


def loss_of(
    answers: dict[str, Tensor],
    targets: dict[str, Tensor],
    weights: dict[str, Tensor],
    can: Tensor,
) -> Tensor:
    age = F.log_softmax(answers["age"], dim=1)
    off = (age.exp() @ YEARS - targets["age"] @ YEARS).abs()
    losses = {
        "age": -(targets["age"] * age).sum(dim=1) + 0.08 * off,
        "gender": -(targets["gender"] * F.log_softmax(answers["gender"], dim=1)).sum(
            dim=1
        ),
        "emotion": emotion_loss(answers["emotion"], targets["emotion"], can),
        "blendshapes": 20
        * (answers["blendshapes"] - targets["blendshapes"]).square().mean(dim=1),
    }
    return sum(LOSS[key] * (losses[key] * weights[key]).mean() for key in losses)


def emotion_loss(logits: Tensor, target: Tensor, can: Tensor) -> Tensor:
    """Cross-entropy among the source's own emotions, and to a part among all."""
    among = F.log_softmax(logits + torch.log(can.clamp_min(1e-9)), dim=1)
    everything = F.log_softmax(logits, dim=1)
    own = -(target * among.clamp_min(-30)).sum(dim=1)
    return (1 - ACROSS) * own + ACROSS * -(target * everything).sum(dim=1)


class Trainer:
    def __init__(self, table: Table, steps: int, work: Path, *, half: bool) -> None:
        torch.manual_seed(SEED)
        self.table, self.steps, self.work, self.half = table, steps, work, half
        self.net = FaceNet()
        self.net.load_state_dict(pretrained(), strict=False)
        self.net = self.net.to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net).eval()
        self.step, self.history = 0, []
        self.stopping = False
        signal.signal(signal.SIGTERM, self.stop)
        fresh = [
            p
            for name, p in self.net.named_parameters()
            if not name.startswith(("first", "stages"))
        ]
        old = [
            p
            for name, p in self.net.named_parameters()
            if name.startswith(("first", "stages"))
        ]
        groups = [{"params": old, "lr": 4e-4}, {"params": fresh, "lr": 1e-3}]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=0.02)
        self.rates = [group["lr"] for group in groups]
        self.resume()

    def resume(self) -> None:
        path = self.work / "training.pt"
        if path.exists():
            kept = torch.load(path, weights_only=False)
            self.net.load_state_dict(kept["net"])
            self.mean.load_state_dict(kept["mean"])
            self.optimiser.load_state_dict(kept["optimiser"])
            self.step, self.history = kept["step"], kept["history"]

    def save(self) -> None:
        kept = {
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        kept |= {"step": self.step, "history": self.history}
        torch.save(kept, self.work / "training.tmp")
        (self.work / "training.tmp").replace(self.work / "training.pt")

    def stop(self, *_: object) -> None:
        self.stopping = True

    def run(self) -> None:
        batches, since = Batches(self.table, self.steps), time.monotonic()
        while self.step < self.steps and not self.stopping:
            loss = self.learn(*batches(self.step))
            self.step += 1
            if self.step % 50 == 0:
                self.report(loss, time.monotonic() - since)
                since = time.monotonic()
            if self.step % 400 == 0 or self.step == self.steps:
                self.judge()
                self.save()
        self.save()

    def learn(
        self,
        x: Tensor,
        targets: dict[str, Tensor],
        weights: dict[str, Tensor],
        can: Tensor,
    ) -> float:
        done = self.step / self.steps
        warm = min(1.0, (self.step + 1) / 150)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = (
                rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            )
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            answers = self.net(x, FROZEN)
        loss = loss_of(
            {k: v.float() for k, v in answers.items()}, targets, weights, can
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 4.0)
        self.optimiser.step()
        self.average()
        return float(loss.detach())

    @torch.no_grad()
    def average(self) -> None:
        keep = min(0.997, self.step / (self.step + 20))
        for mean, now in zip(
            self.mean.parameters(), self.net.parameters(), strict=True
        ):
            mean.lerp_(now, 1 - keep)

    def report(self, loss: float, seconds: float) -> None:
        print(
            f"{time.strftime('%H:%M:%S')} step {self.step} loss {loss:.3f} {50 * BATCH / seconds:.0f} a second",
            flush=True,
        )

    def judge(self) -> None:
        """The running mean on a bounded piece of every set's held-out part."""
        scores = judge(self.mean, self.table)
        self.history.append({"step": self.step, **scores})
        print(
            json.dumps({k: round(v, 3) for k, v in self.history[-1].items()}),
            flush=True,
        )
        (self.work / "history.json").write_text(json.dumps(self.history))


@torch.no_grad()
def answers_of(
    net: FaceNet, table: Table, rows: np.ndarray, *, mirrored: bool = False
) -> dict[str, np.ndarray]:
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(rows), 128):
        views = [
            plain(table.chip(i), mirrored=mirrored) for i in rows[start : start + 128]
        ]
        parts.append(net(as_input(views)))
    return {key: torch.cat([p[key] for p in parts]).numpy() for key in parts[0]}


def judge(
    net: FaceNet, table: Table, part: str = "held", most: int = 400
) -> dict[str, float]:
    scores: dict[str, float] = {}
    for i, name in enumerate(SETS):
        rows = np.flatnonzero((table.set_of == i) & (table.part == part))
        rows = np.random.default_rng(SEED).permutation(rows)[:most]
        answers = answers_of(net, table, rows)
        scores |= {
            f"{name} {key}": value
            for key, value in scores_of(answers, table, rows).items()
        }
    return scores


def scores_of(
    answers: dict[str, np.ndarray], table: Table, rows: np.ndarray
) -> dict[str, float]:
    scores = {}
    ages, gender = table.labels["age"][rows], table.labels["gender"][rows]
    if np.isfinite(ages).any():
        probs = np.exp(answers["age"] - answers["age"].max(axis=1, keepdims=True))
        said = probs @ AGES / probs.sum(axis=1)
        scores["mae"] = float(np.abs(said - ages).mean())
        scores["gender"] = float(
            (answers["gender"].argmax(axis=1) == gender)[ages > 3].mean()
        )
    sure = table.weights["emotion"][rows] > 0
    if sure.sum() > 20:
        truth, said = (
            table.targets["emotion"][rows].argmax(axis=1)[sure],
            answers["emotion"].argmax(axis=1)[sure],
        )
        scores["emotion"] = float((truth == said).mean())
        scores["recall"] = float(
            np.mean([(said[truth == c] == c).mean() for c in np.unique(truth)])
        )
        for c in (0, 1):
            if (truth == c).any():
                scores[EMOTIONS[c]] = float((said[truth == c] == c).mean())
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=16000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--half",
        action="store_true",
        help="multiply in bfloat16: 1.7 times as fast where the processor can (AVX-512 BF16, AMX), slower elsewhere",
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    Trainer(load(args.work), args.steps, args.work, half=args.half).run()


if __name__ == "__main__":
    main()
