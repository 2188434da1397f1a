"""What `mien train` makes of FER+ laid out in four folders: accuracy with its spread, and how long it takes.

    python benchmarks/train.py --data SHARED/data --per-class 60 600 --folds 5
    python benchmarks/train.py --data SHARED/data --per-class 60 --architecture inception_v3 --weights none --epochs 5

Happy, Sad, Angry and Calm (neutral) are the majority of the crowd's votes in FER+'s train part; pictures are drawn at
random by a seed. A run begins without anything kept in the cache of features. Each line of the output is one training
as JSON: accuracy on the parts held back (mean and standard deviation over the folds), seconds in all, and accuracy on
`--unseen` more pictures a class through the written file, the way `mien analyze` goes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mien import store
from mien.train import fit
from mien.train.dataset import read_dataset
from mien.train.evaluate import evaluate_file
from mien.train.features import Describer
from mien.train.fit import Options
from mien.train.learners import NetworkOptions

MOODS = {"Happy": "happiness", "Sad": "sadness", "Angry": "anger", "Calm": "neutral"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that holds ferplus.npz"
    )
    parser.add_argument("--per-class", type=int, nargs="+", default=[60, 600])
    parser.add_argument(
        "--unseen", type=int, default=200, help="pictures a class to test the file with"
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--architecture", default="face")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    for per_class in args.per_class:
        print(json.dumps(measure(args, per_class)), flush=True)


def measure(args: argparse.Namespace, per_class: int) -> dict[str, object]:
    """One training and what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay_out(args.data, root, per_class, args.unseen, args.seed)
        network = NetworkOptions(
            weights=args.weights, epochs=args.epochs, size=args.size
        )
        options = Options(
            architecture=args.architecture,
            folds=args.folds,
            seed=args.seed,
            network=network,
        )
        store.clear("bottlenecks")
        began = time.perf_counter()
        trained = fit.train(root / "learn", root / "moods.onnx", options)
        took = time.perf_counter() - began
        unseen = evaluate_file(
            trained.file, read_dataset(root / "unseen"), Describer.load()
        ).measured
        return {
            "architecture": args.architecture,
            "pictures_per_class": per_class,
            "seconds": round(took, 1),
            "processors": len(os.sched_getaffinity(0)),
            "folds": trained.measured.summary(),
            "unseen": unseen.summary(),
            "file_bytes": trained.file.stat().st_size,
        }


def lay_out(data: Path, root: Path, per_class: int, unseen: int, seed: int) -> None:
    """Folders `learn` and `unseen`, with a sub-folder per mood; no picture stands in both."""
    for mood, pictures in moods(data, per_class + unseen, seed):
        for name, some in (
            ("learn", pictures[:per_class]),
            ("unseen", pictures[per_class:]),
        ):
            folder = root / name / mood
            folder.mkdir(parents=True)
            for i, jpeg in enumerate(some):
                (folder / f"{i}.jpg").write_bytes(jpeg)


def moods(data: Path, count: int, seed: int) -> Iterator[tuple[str, list[bytes]]]:
    """So many pictures of each mood, drawn at random from FER+'s train part, no picture twice."""
    with np.load(data / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = (
            npz["jpeg"].tobytes(),
            npz["offsets"],
            npz["votes"],
            npz["split"],
        )
        names = [str(name) for name in npz["vote_names"]]
    pictures = [jpeg[a:b] for a, b in itertools.pairwise(offsets)]
    rng = np.random.default_rng(seed)
    for mood, name in MOODS.items():
        rows = np.flatnonzero(
            (votes.argmax(axis=1) == names.index(name)) & (split == "train")
        )
        chosen = dict.fromkeys(pictures[i] for i in rng.permutation(rows))
        yield mood, list(chosen)[:count]


if __name__ == "__main__":
    main()
