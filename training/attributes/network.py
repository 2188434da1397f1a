"""The network in PyTorch: dlib's face ResNet without its last stage, on smaller chips, with heads of its own."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien import store
from mien.dlib_models.reader import Conv, read_resnet
from mien.zoo import spec_of

STAGES = ((32, 3), (64, 4), (128, 3), (256, 3))  # channels, blocks
CONVOLUTIONS = [  # by name, in the order in which dlib and the ONNX file have them
    "first",
    *(
        f"stages.{i}.{j}.{half}"
        for i, (_, blocks) in enumerate(STAGES)
        for j in range(blocks)
        for half in ("first", "second")
    ),
]
TASKS = {"age": 101, "gender": 2, "emotion": 8}


class Block(nn.Module):
    """One of dlib's residual blocks, its normalisation folded; sizes are rounded up where dlib rounds down."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.halves = before != after
        self.first = nn.Conv2d(
            before, after, 3, stride=1 + self.halves, padding=0 if self.halves else 1
        )
        self.second = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = (
            F.pad(x, (0, 1 + x.shape[3] % 2, 0, 1 + x.shape[2] % 2))
            if self.halves
            else x
        )
        y = self.second(torch.relu(self.first(y)))
        if self.halves:
            x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return torch.relu(y + x)


class FaceNet(nn.Module):
    """Chips (N, 3, SIDE, SIDE) BGR in 0 to 255 -> one row of logits per task and the features (N, 384)."""

    def __init__(self, *, hidden: int = 128, dropout: float = 0.25) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 7, stride=2)
        stages, before = [], 32
        for channels, blocks in STAGES:
            stages.append(
                nn.Sequential(
                    *(
                        Block(before if i == 0 else channels, channels)
                        for i in range(blocks)
                    )
                )
            )
            before = channels
        self.stages = nn.ModuleList(stages)
        self.drop = nn.Dropout(dropout)
        self.tasks = nn.ModuleDict(
            {task: Head(hidden, count) for task, count in TASKS.items()}
        )
        self.blendshapes = nn.Linear(384, 52)

    def maps(self, x: Tensor, frozen: int) -> list[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen == 0):
            x = F.max_pool2d(torch.relu(self.first(x)), 3, stride=2)
        ends = []
        for i, stage in enumerate(self.stages):
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= frozen):
                x = stage(x)
            ends.append(x)
        return ends

    def forward(self, x: Tensor, frozen: int = 0) -> dict[str, Tensor]:
        middle, deep = self.maps(x, frozen)[-2:]
        pooled = torch.cat([middle.mean(dim=(2, 3)), deep.mean(dim=(2, 3))], dim=1)
        features = self.drop(
            torch.cat([middle.mean(dim=(2, 3)), deep.flatten(1)], dim=1)
        )
        answers = {task: head(features) for task, head in self.tasks.items()}
        return {**answers, "blendshapes": self.blendshapes(pooled)}


class Head(nn.Module):
    def __init__(self, hidden: int, count: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(128 + 256 * 9, hidden)
        self.out = nn.Linear(hidden, count)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(x)))


def learnt(work: Path) -> dict[str, Tensor]:
    """The weights that count: what mean.py made, or else the running mean of train.py."""
    if (work / "mean.pt").exists():
        return torch.load(work / "mean.pt")
    return torch.load(work / "training.pt", weights_only=False)["mean"]


def pretrained() -> dict[str, Tensor]:
    """dlib's weights by this network's names; its colour order and scale folded into the first convolution."""
    net = read_resnet(store.path_of(spec_of("dlib_resnet")).read_bytes(), "dlib_resnet")
    convs = iter(net.convs)
    first = next(convs)
    weight = torch.from_numpy(first.weight.copy()) / 256
    shift = torch.einsum(
        "oihw,i->o", weight.double(), torch.from_numpy(net.mean_rgb.copy()).double()
    )
    state = {
        "first.weight": weight.flip(1),
        "first.bias": torch.from_numpy(first.bias.copy()) - shift.float(),
    }
    for name in CONVOLUTIONS[1:]:
        state |= _conv(name, next(convs))
    return state


def _conv(name: str, conv: Conv) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.from_numpy(conv.weight.copy()),
        f"{name}.bias": torch.from_numpy(conv.bias.copy()),
    }
