"""Step 3: what dlib's face ResNet makes of three views of the faces whose age is known."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from views import WHOLE, disturbed

from mien.models.backbone import load_resnet
from mien.runtime import Compute, OnnxModel

AGED = ("portraits", "aaf", "utkface")
SHAPES = {"embedding": (128,), "map_128": (128, 8, 8), "map_256": (256, 4, 4)}
EVERY = {
    "utkface": 3
}  # the older heads, from which the new ones begin, have learnt all of it
VIEWS = (
    0,
    1,
    2,
)  # plain, mirrored and disturbed, mirrored: two teach, the first and the last are a photo's
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--views", type=int, nargs="+", default=VIEWS)
    args = parser.parse_args()
    backbone = load_resnet(Compute("cpu", 1))
    for view in args.views:
        for name in AGED:
            if not (args.work / f"{name}-v{view}.done").exists():
                see(args.work, name, view, backbone)
                (args.work / f"{name}-v{view}.done").touch()
                print(name, view, flush=True)


def see(work: Path, name: str, view: int, backbone: OnnxModel) -> None:
    """Row i of what is kept belongs to chip `EVERY` times i."""
    chips = np.load(work / f"{name}.npy", mmap_mode="r")
    rows = np.arange(0, len(chips), EVERY.get(name, 1))
    maps = {
        key: np.lib.format.open_memmap(
            work / f"{name}-v{view}-{key}.npy", "w+", np.float16, (len(rows), *shape)
        )
        for key, shape in SHAPES.items()
    }
    rng = np.random.default_rng((view, len(chips)))
    for start in range(0, len(rows), BATCH):
        batch = chips[rows[start : start + BATCH]]
        if view == 2:
            batch = np.ascontiguousarray(batch[:, :, ::-1])
        if view == 1:
            batch = np.stack(
                [
                    disturbed(chip, rng, mirrored=True, crop=WHOLE, side=150)
                    for chip in batch
                ]
            )
        for key, values in zip(
            SHAPES, backbone(batch, outputs=tuple(SHAPES)), strict=True
        ):
            maps[key][start : start + len(batch)] = values


if __name__ == "__main__":
    main()
