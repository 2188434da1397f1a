"""The detector's network: depthwise-separable stages, a top-down neck, one head per stride."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
OUTPUTS = 15  # score, 4 box, 10 landmarks per cell


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network; the defaults are the shipped detector."""

    stem: tuple[int, int] = (16, 32)
    stages: tuple[int, int, int] = (64, 96, 128)
    depths: tuple[int, int, int] = (3, 4, 3)
    kernels: tuple[int, int, int] = (3, 5, 5)
    neck: int = 64
    head_kernel: int = 3


def conv(
    inputs: int,
    outputs: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: bool = True,
) -> nn.Sequential:
    """Convolution without bias, batch norm and, unless told otherwise, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(outputs),
    ]
    return (
        nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)
    )


class Separable(nn.Module):
    """Depthwise then pointwise convolution, one norm for both, with a skip where the shape allows it."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.skip = inputs == outputs and stride == 1
        self.body = nn.Sequential(
            nn.Conv2d(
                inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False
            ),
            conv(inputs, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.skip else y


def stage(inputs: int, outputs: int, *, depth: int, kernel: int) -> nn.Sequential:
    """``depth`` separable blocks, the first of which halves the picture."""
    first = Separable(inputs, outputs, kernel=3, stride=2)
    return nn.Sequential(
        first, *(Separable(outputs, outputs, kernel=kernel) for _ in range(depth - 1))
    )


class Network(nn.Module):
    """Raw per-cell outputs of a (N,3,H,W) picture in 0..255, BGR."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        s = shape or Shape()
        self.stem = nn.Sequential(
            conv(3, s.stem[0], kernel=3, stride=2),
            Separable(s.stem[0], s.stem[1], stride=2),
        )
        widths = (s.stem[1], *s.stages)
        self.stages = nn.ModuleList(
            stage(widths[i], widths[i + 1], depth=s.depths[i], kernel=s.kernels[i])
            for i in range(3)
        )
        self.lateral = nn.ModuleList(conv(w, s.neck, act=False) for w in s.stages)
        self.smooth = nn.ModuleList(
            Separable(s.neck, s.neck, kernel=s.head_kernel) for _ in s.stages
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    s.neck,
                    s.neck,
                    s.head_kernel,
                    1,
                    s.head_kernel // 2,
                    groups=s.neck,
                    bias=False,
                ),
                nn.Conv2d(s.neck, OUTPUTS, 1),
            )
            for _ in s.stages
        )
        for head in self.heads:
            nn.init.constant_(head[-1].bias, 0.0)
            nn.init.constant_(head[-1].bias[:1], -4.6)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem((x - 127.5) * (1 / 64))
        feats = []
        for block in self.stages:
            x = block(x)
            feats.append(x)
        top: Tensor | None = None
        outs: list[Tensor] = []
        for i in (2, 1, 0):
            y = self.lateral[i](feats[i])
            if top is not None:
                y = y + F.interpolate(top, scale_factor=2.0, mode="nearest")
            top = self.smooth[i](F.relu(y))
            outs.insert(0, self.heads[i](top))
        return outs


class Export(nn.Module):
    """The network as shipped: uint8 pictures in, what every cell sees (N,15,A) out, the finest stride first."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        maps = self.net(image.permute(0, 3, 1, 2).to(torch.float32))
        return torch.cat([cells.flatten(2) for cells in maps], 2)
