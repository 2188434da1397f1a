"""Trains the second network: is what the first one proposes a face? Seeded, resumable."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from candidates import STORED
from fitting import fit
from network import Separable, conv
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mien.models.detectors.verifier import CROP, SIDE
from train import sharpen


class Verifier(nn.Module):
    """(N,3,48,48) BGR 0..255 -> face or not, (N,) logits."""

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.body = nn.Sequential(
            conv(3, a, kernel=3, stride=2), Separable(a, b),
            Separable(b, c, stride=2), Separable(c, c), Separable(c, c),
            Separable(c, d, stride=2), Separable(d, d), Separable(d, d),
            nn.Conv2d(d, d, CROP // 8, groups=d, bias=False), nn.BatchNorm2d(d), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body((x - 127.5) * (1 / 64)))[:, 0]
        return logits


class Export(nn.Module):
    """As shipped: uint8 pictures (N,48,48,3) BGR in, scores 0 to 1 out."""

    def __init__(self, net: Verifier) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        return torch.sigmoid(self.net(crops.permute(0, 3, 1, 2).to(torch.float32)))


@dataclass(frozen=True, slots=True)
class Candidates:
    """What `candidates.py` kept: pictures (N,72,72,3) and rows (N,13)."""

    crops: list[NDArray[np.uint8]]
    rows: list[NDArray[np.float32]]

    @classmethod
    def read(cls, files: Sequence[Path]) -> Candidates:
        parts = [np.load(path) for path in files]
        return cls([part["crops"] for part in parts], [part["rows"] for part in parts])

    def batch(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Pictures (count,3,72,72) and rows, a quarter of them out of each of four files."""
        xs, ys = [], []
        for part in rng.integers(len(self.rows), size=4):
            picked = np.sort(
                rng.choice(len(self.rows[part]), count // 4, replace=False)
            )
            xs.append(self.crops[part][picked])
            ys.append(self.rows[part][picked])
        x = torch.from_numpy(np.concatenate(xs)).permute(0, 3, 1, 2).float()
        rows = np.concatenate(ys)
        rows[:, 0] = sharpen(rows[:, 0])
        return x, torch.from_numpy(rows)


def vary(x: Tensor, rng: torch.Generator) -> Tensor:
    """Boxes a little off, turned, mirrored; other colours, grey: (N,3,48,48)."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(len(x), *shape, generator=rng) * (high - low) + low

    angle, scale = uniform(-0.2, 0.2), torch.exp(uniform(-0.15, 0.15))
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack(
        [torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1
    )
    shift = uniform(-0.13, 0.13, 2) * (SIDE / STORED)
    theta = torch.cat([matrix * (CROP / STORED), shift[:, :, None]], 2)
    grid = F.affine_grid(theta, [len(x), 3, CROP, CROP], align_corners=False)
    out = F.grid_sample(x, grid, align_corners=False)
    out = out * uniform(0.75, 1.25, 1, 1, 1) * uniform(0.93, 1.07, 3, 1, 1) + uniform(
        -18, 18, 1, 1, 1
    )
    out = torch.where(
        uniform(0, 1, 1, 1, 1) < 0.12, out.mean(1, keepdim=True).expand_as(out), out
    )
    return out.clamp_(0, 255).contiguous(memory_format=torch.channels_last)


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Quality focal loss with an exponent of one."""
    gap = (logits.sigmoid() - target).abs()
    return (
        gap * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    ).mean()


def learn(
    net: Verifier, data: Candidates, out: Path, args: argparse.Namespace
) -> Verifier:
    """The moving average of the weights after all steps; continues what is there."""

    def loss(
        net: Verifier, rng: np.random.Generator, torch_rng: torch.Generator
    ) -> Tensor:
        x, rows = data.batch(rng, args.batch)
        return loss_of(net(vary(x, torch_rng)), rows[:, 0])

    return fit(net, loss, out / "verify", args, save_every=1000)


def export(net: Verifier, target: Path) -> None:
    """As ONNX: `crops` (N,48,48,3) uint8 BGR -> `scores` (N,)."""
    crops = torch.zeros((2, CROP, CROP, 3), dtype=torch.uint8)
    axes = {name: {0: "batch"} for name in ("crops", "scores")}
    torch.onnx.export(
        Export(net.eval()).eval(), (crops,), str(target), dynamo=False, opset_version=17, input_names=["crops"],
        output_names=["scores"], dynamic_axes=axes,
    )  # fmt: skip
    onnx.checker.check_model(str(target))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--candidates",
        type=Path,
        required=True,
        help="the folder that candidates.py filled",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=30_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    data = Candidates.read(sorted(args.candidates.glob("*_*.npz")))
    net = Verifier().to(memory_format=torch.channels_last).train()
    export(learn(net, data, args.out, args), args.out / "verifier.onnx")


if __name__ == "__main__":
    main()
