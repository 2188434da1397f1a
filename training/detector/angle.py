"""Trains the network that says which way up a face is: which of what the first one proposes lies or stands on its head?

It learns from what `gather.py` kept, turned by any angle. Seeded, resumable.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from fitting import fit
from network import Separable, conv
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mien import geometry
from mien.models.detectors.angle import FRAME
from mien.models.detectors.verifier import CROP, SIDE

SEEN = 32  # pixels of what the network sees of a crop: which way up is coarse
STORED, KEPT = (
    56,
    20,
)  # half of what `gather.py` kept, and of the face's longer side in it
FACES, CROWDED = 0.65, 0.3  # of a batch; of its faces those of crowds and scenes
U8, F32 = NDArray[np.uint8], NDArray[np.float32]


class Angle(nn.Module):
    """(N,3,32,32) BGR 0..255 -> (N,2): how far it is turned, sine and cosine, the shorter the less sure."""

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.body = nn.Sequential(
            conv(3, a, kernel=3, stride=2), Separable(a, b),
            Separable(b, c, stride=2), Separable(c, c), Separable(c, c),
            Separable(c, d, stride=2), Separable(d, d),
            nn.Conv2d(d, d, SEEN // 8, groups=d, bias=False), nn.BatchNorm2d(d), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        up: Tensor = self.head(self.body((x - 127.5) * (1 / 64)))
        return up


class Export(nn.Module):
    """As shipped: uint8 pictures (N,48,48,3) BGR in, sine and cosine (N,2) out."""

    def __init__(self, net: Angle) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        pictures = crops.permute(0, 3, 1, 2).to(torch.float32)
        up: Tensor = self.net(
            F.interpolate(pictures, size=SEEN, mode="bilinear", align_corners=False)
        )
        return up


@dataclass(frozen=True, slots=True)
class Looks:
    """What the network learns from: N pictures in rising order of their files."""

    pictures: U8  # (N, STORED, STORED, 3)
    angles: F32  # (N,) radians, how far each face is turned clockwise, NaN where there is none
    chances: NDArray[np.float64]  # (N,) that each is drawn

    @classmethod
    def read(cls, folder: Path, *, held_out: bool) -> Looks:
        """The last file of each kind is held out."""
        files = [
            p
            for p in sorted(folder.glob("*.rows.npy"))
            if (p.name[:-9] in last_of_kinds(folder)) == held_out
        ]
        rows = [np.load(path) for path in files]
        pictures = np.concatenate(
            [halved(Path(str(path).replace(".rows.", ".crops."))) for path in files]
        )
        crowded = np.repeat(
            [path.name.startswith("scenes") for path in files],
            [len(part) for part in rows],
        )
        every = np.concatenate(rows)
        return cls(pictures, angles_of(every), chances_of(every, crowded))

    def batch(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Pictures (count,3,56,56) and angles."""
        picked = rng.choice(len(self.angles), count, p=self.chances)
        return torch.from_numpy(self.pictures[picked]).permute(
            0, 3, 1, 2
        ).float(), torch.from_numpy(self.angles[picked])


def halved(path: Path) -> U8:
    whole = np.load(path, mmap_mode="r")
    return np.stack(
        [
            cv2.resize(picture, (STORED, STORED), interpolation=cv2.INTER_AREA)
            for picture in whole
        ]
    )


def last_of_kinds(folder: Path) -> set[str]:
    names = sorted(
        path.name.removesuffix(".rows.npy") for path in folder.glob("*.rows.npy")
    )
    return set({name.split("_")[0]: name for name in names}.values())


def angles_of(rows: F32) -> F32:
    """By the five points where they are known, else by the turn of the picture; NaN where no face is."""
    points = rows[:, 4:].reshape(-1, 5, 2)
    known = np.isfinite(points).all((1, 2))
    angles = rows[:, 3].copy()
    to_frame = geometry.similarity(points[known], FRAME)
    angles[known] = -np.arctan2(to_frame[:, 1, 0], to_frame[:, 0, 0])
    angles[rows[:, 0] < 0.5] = np.nan
    return angles


def chances_of(rows: F32, crowded: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often each row is drawn: what the first network takes for a face by mistake more often."""
    face = rows[:, 0] >= 0.5
    doubtful = (rows[:, 0] < 0.5) & (rows[:, 0] > 0.2)
    chances = np.where(
        face | doubtful, 0.0, 0.3 + np.clip(rows[:, 1], 0, 0.7).astype(np.float64)
    )
    chances *= (1 - FACES) / chances.sum()
    for kind, share in (
        (face & crowded, FACES * CROWDED),
        (face & ~crowded, FACES * (1 - CROWDED)),
    ):
        chances[kind] = share / kind.sum()
    return chances / chances.sum()


def vary(x: Tensor, angles: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turned by any angle, boxes a little off, mirrored, other light, grey, blurred: (N,3,32,32), sine and cosine."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(len(x), *shape, generator=rng) * (high - low) + low

    turn, scale = uniform(-math.pi, math.pi), torch.exp(uniform(-0.25, 0.25))
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(turn) * scale, torch.sin(turn) * scale
    matrix = torch.stack(
        [torch.stack([cos * flip, sin], 1), torch.stack([-sin * flip, cos], 1)], 1
    )
    shift = uniform(-0.14, 0.14, 2) * (2 * KEPT / STORED)
    theta = torch.cat([matrix * (CROP / SIDE * KEPT / STORED), shift[:, :, None]], 2)
    grid = F.affine_grid(theta, [len(x), 3, SEEN, SEEN], align_corners=False)
    out = spoilt(F.grid_sample(x, grid, align_corners=False), uniform, rng)
    true = flip * (angles + turn)
    return out, torch.nan_to_num(torch.stack([torch.sin(true), torch.cos(true)], 1))


def spoilt(x: Tensor, uniform, rng: torch.Generator) -> Tensor:  # type: ignore[no-untyped-def]
    """Other light and colours, grey, few pixels, noise."""
    out = x * uniform(0.6, 1.3, 1, 1, 1) * uniform(0.93, 1.07, 3, 1, 1) + uniform(
        -20, 20, 1, 1, 1
    )
    out = torch.where(
        uniform(0, 1, 1, 1, 1) < 0.2, out.mean(1, keepdim=True).expand_as(out), out
    )
    small = F.interpolate(
        F.avg_pool2d(out, 2), scale_factor=2.0, mode="bilinear", align_corners=False
    )
    out = torch.where(uniform(0, 1, 1, 1, 1) < 0.2, small, out)
    out = out + torch.randn(out.shape, generator=rng) * uniform(0, 6, 1, 1, 1)
    return out.clamp_(0, 255).contiguous(memory_format=torch.channels_last)


def loss_of(seen: Tensor, true: Tensor) -> Tensor:
    """Squares: so the answer is as long as it is likely to be right, and nothing where no face is."""
    return (seen - true).square().sum(1).mean()


def learn(net: Angle, looks: Looks, out: Path, args: argparse.Namespace) -> Angle:
    """The moving average of the weights after all steps; continues what is there."""

    def loss(
        net: Angle, rng: np.random.Generator, torch_rng: torch.Generator
    ) -> Tensor:
        x, true = vary(*looks.batch(rng, args.batch), torch_rng)
        return loss_of(net(x), true)

    return fit(net, loss, out / "angle", args, save_every=500)


@torch.inference_mode()
def report(net: Angle, looks: Looks, seed: int) -> str:
    """How far off it is on faces held out, and how sure of what is no face."""
    rng, torch_rng = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    parts = [vary(*looks.batch(rng, 256), torch_rng) for _ in range(24)]
    true = torch.cat([part for _, part in parts])
    seen = torch.cat([net(x) for x, _ in parts])
    face, sure = true.norm(dim=1) > 0.5, seen.norm(dim=1)
    away = torch.rad2deg(torch.arccos((F.normalize(seen) * true).sum(1).clamp(-1, 1)))[
        face
    ]
    lines = [f"{int(face.sum())} faces, {int((~face).sum())} others"]
    for least in (0.0, 0.5, 0.7):
        kept = sure[face] >= least
        lines.append(
            f"sure {least}: {kept.float().mean():.3f} of faces, {(sure[~face] >= least).float().mean():.3f} of others; "
            f"within 15 degrees {(away[kept] <= 15).float().mean():.3f}, 30 {(away[kept] <= 30).float().mean():.3f}"
        )
    return "\n".join(lines)


def export(net: Angle, target: Path) -> None:
    """As ONNX: `crops` (N,48,48,3) uint8 BGR -> `up` (N,2)."""
    crops = torch.zeros((2, CROP, CROP, 3), dtype=torch.uint8)
    axes = {name: {0: "batch"} for name in ("crops", "up")}
    torch.onnx.export(
        Export(net.eval()).eval(), (crops,), str(target), dynamo=False, opset_version=17, input_names=["crops"],
        output_names=["up"], dynamic_axes=axes,
    )  # fmt: skip
    onnx.checker.check_model(str(target))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--looks", type=Path, required=True, help="the folder that gather.py filled"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--report-only",
        action="store_true",
        help="of the average as it stands, and export it",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    net = Angle().to(memory_format=torch.channels_last).train()
    if args.report_only:
        net.load_state_dict(
            torch.load(args.out / "angle.pt", weights_only=True)["average"]
        )
    else:
        net = learn(net, Looks.read(args.looks, held_out=False), args.out, args)
    print(report(net.eval(), Looks.read(args.looks, held_out=True), args.seed + 1))
    export(net, args.out / "angle.onnx")


if __name__ == "__main__":
    main()
