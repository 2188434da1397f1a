"""Step 2: the trunk's answer to every view of every picture, kept on disk. Resumable; two processes may share it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from data import READERS, VIEWS, FaceSet
from views import Cutter

from mien.models.trunk import load_predictor, load_resnet
from mien.runtime import Compute, OnnxModel

SHAPES = {"embedding": (128,), "map_128": (128, 8, 8), "map_256": (256, 4, 4)}
SHARD = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--backwards", action="store_true", help="for a second process, to meet the first half-way")
    parser.add_argument("--sets", nargs="+", default=list(READERS), choices=READERS)
    args = parser.parse_args()
    trunk, predictor = load_resnet(Compute("cpu", 1)), load_predictor("dlib_landmarks_5")
    sets = {name: READERS[name](args.data) for name in args.sets}
    step = -1 if args.backwards else 1
    for view in range(VIEWS)[::step]:
        for name, faces in sets.items():
            boxes = np.load(args.work / f"{name}-boxes.npz")["boxes"]
            maps = open_view(args.work, name, view, len(faces))
            for start in range(0, len(faces), SHARD)[::step]:
                mark = args.work / "marks" / f"{name}-v{view}-{start}"
                if not mark.exists():
                    rows = range(start, min(start + SHARD, len(faces)))
                    write_shard(maps, faces, rows, cut=Cutter(predictor, name, view, boxes), trunk=trunk)
                    mark.parent.mkdir(exist_ok=True)
                    mark.touch()
            print(f"{name} view {view} done", flush=True)


def open_view(work: Path, name: str, view: int, count: int) -> dict[str, np.ndarray]:
    """Memory maps (count, ...) float16 of one view, made where they are missing."""
    maps = {}
    for key, shape in SHAPES.items():
        path = work / f"{name}-v{view}-{key}.npy"
        if not path.exists():
            np.lib.format.open_memmap(path, "w+", np.float16, (count, *shape))
        maps[key] = np.load(path, mmap_mode="r+")
    return maps


def write_shard(maps: dict[str, np.ndarray], faces: FaceSet, rows: range, *, cut: Cutter, trunk: OnnxModel) -> None:
    """Fills these rows of one view."""
    for at in range(0, len(rows), 32):
        batch = rows[at : at + 32]
        chips = np.stack([cut(faces.picture(i), i) for i in batch])
        for key, values in zip(SHAPES, trunk(chips, outputs=tuple(SHAPES)), strict=True):
            maps[key][batch.start : batch.stop] = values


if __name__ == "__main__":
    main()
