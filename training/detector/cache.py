"""Shards of finished training pictures with the teacher's dense answers, on disk."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from compose import CLOSE, GRID, NEGATIVE, PASTE, Composer, Image, degrade
from numpy.typing import NDArray
from sources import load_bank, photos
from teacher import Teacher, mirror_rows

F32 = NDArray[np.float32]
Pictures = NDArray[np.uint8]  # (N, size, size, 3)
COVERED = (PASTE, GRID, CLOSE)  # kinds whose faces may wear something
SHARD = 2048
BATCH = 16


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures before bad light and compression: with bare faces, and with what covers them."""

    bare: Pictures
    clean: Pictures


def teach(teacher: Teacher, images: NDArray[np.uint8]) -> F32:
    """The teacher's rows, the score averaged with that of the mirrored picture."""
    rows = teacher(images)
    mirrored = mirror_rows(
        teacher(np.ascontiguousarray(images[:, :, ::-1])), *images.shape[1:3]
    )
    rows[..., 0] = (rows[..., 0] + mirrored[..., 0]) / 2
    return rows


def targets(teacher: Teacher, drawn: Drawn, bad: Pictures, kinds: Sequence[int]) -> F32:
    """What the student shall answer on the degraded pictures: (N,A,15).

    Boxes and landmarks come from the bare, clean picture, and the score leans to what is seen there: the student then
    outdoes its teacher behind masks and in bad light. What only the spoilt picture shows is a false alarm. Face-free
    pictures are face-free, unless the teacher is quite sure.
    """
    rows = teach(teacher, drawn.bare)
    covered = (drawn.bare != drawn.clean).any((1, 2, 3))
    score = rows[..., 0]
    if covered.any():
        score[covered] = lean(
            score[covered], teacher(drawn.clean[covered])[..., 0], 0.6
        )
    rows[..., 0] = lean(score, teacher(bad)[..., 0], 0.65)
    empty = (np.asarray(kinds) == NEGATIVE) & (score.max(1) < 0.6)
    rows[empty, :, 0] = 0
    return np.clip(rows, -6e4, 6e4)


def lean(known: F32, seen: F32, trust: float) -> F32:
    """A score between what is known and the less that is seen."""
    return np.where(seen < known, trust * known + (1 - trust) * seen, known).astype(
        np.float32
    )


def draw(composer: Composer, rng: np.random.Generator) -> tuple[Image, Image, int]:
    """A finished picture, the same with bare faces, and its kind."""
    again = copy.deepcopy(rng)
    clean, kind = composer(rng)
    return clean, composer.bare()(again)[0] if kind in COVERED else clean, kind


def build_shard(
    folder: Path, number: int, composer: Composer, teacher: Teacher
) -> None:
    """Write shard ``number`` (seeded by it) unless it exists; a half-written one never bears the final name."""
    final = folder / f"{number:04d}.done"
    if final.exists():
        return
    size, rng = composer.size, np.random.default_rng([number, composer.size])
    amount = sum((size // s) ** 2 for s in (8, 16, 32))
    pictures = np.lib.format.open_memmap(
        folder / f"{number:04d}.images.npy", "w+", np.uint8, (SHARD, size, size, 3)
    )
    answers = np.lib.format.open_memmap(
        folder / f"{number:04d}.rows.npy", "w+", np.float16, (SHARD, amount, 15)
    )
    kinds = np.zeros(SHARD, np.uint8)
    for start in range(0, SHARD, BATCH):
        clean, bare, batch_kinds = zip(
            *(draw(composer, rng) for _ in range(BATCH)), strict=True
        )
        bad: Pictures = np.stack([degrade(rng, image) for image in clean])
        part = slice(start, start + BATCH)
        kinds[part] = batch_kinds
        pictures[part], answers[part] = (
            bad,
            targets(teacher, Drawn(np.stack(bare), np.stack(clean)), bad, batch_kinds),
        )
    pictures.flush(), answers.flush()
    np.save(folder / f"{number:04d}.kinds.npy", kinds)
    final.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the extracted sets"
    )
    parser.add_argument(
        "--teacher", type=Path, required=True, help="yunet_n_dynamic.onnx"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--name", help="the shards' folder; default: shards and the size"
    )
    parser.add_argument(
        "--shards", type=int, nargs=2, default=(0, 16), help="first, one after the last"
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    folder = args.out / (args.name or f"shards{args.size}")
    folder.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(args.teacher)
    bank = load_bank(args.data, args.out / "portraits.npz", teacher)
    hard = photos(args.out / "hard" / "faceless"), photos(args.out / "hard" / "people")
    composer = Composer(bank, size=args.size, hard=hard)
    for number in range(*args.shards):
        build_shard(folder, number, composer, teacher)


if __name__ == "__main__":
    main()
