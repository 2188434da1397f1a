"""Step 6: whether calm faces are called neutral and smiles happiness in sets that have no emotion labels.

Truth is what the teachers agree about (targets.py) on the val parts: a proof that neutral and happiness were not
learnt as the look of one set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from data import EMOTIONS, SETS
from targets import load

from mien.runtime import Compute, OnnxModel, in_chunks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()
    model = OnnxModel(args.model.read_bytes(), args.model.name, Compute("cpu", 1))
    table = load(args.work)
    told = (
        (table.part == "test")
        & (table.labels["origin"] < 0)
        & (table.weights["emotion"] > 0)
        & table.found
    )
    print(
        "| set | calm | called neutral | smiles | called happiness |\n|---|---|---|---|---|"
    )
    for i, name in enumerate(SETS):
        rows = np.flatnonzero(told & (table.set_of == i))
        if len(rows):
            (probs,) = in_chunks(
                model, table.chips[i][table.row_of[rows]], outputs=["emotion"]
            )
            truth, said = (
                table.targets["emotion"][rows].argmax(axis=1),
                probs.argmax(axis=1),
            )
            calm, smile = (
                truth == EMOTIONS.index(mood) for mood in ("neutral", "happiness")
            )
            rights = [(said[calm] == 0).mean(), (said[smile] == 1).mean()]
            print(
                f"| {name} | {calm.sum()} | {rights[0]:.1%} | {smile.sum()} | {rights[1]:.1%} |"
            )


if __name__ == "__main__":
    main()
