"""Draws what the running mean reached on the held-out parts while it learnt, into a PNG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

PANELS = {"age: years off": "mae", "gender: right": "gender", "emotion: right": "emotion", "emotion: recall": "recall"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    history = json.loads((args.work / "history.json").read_text())
    figure, axes = plt.subplots(1, len(PANELS), figsize=(3.6 * len(PANELS), 3))
    for ax, (title, ending) in zip(axes, PANELS.items(), strict=True):
        for key in (key for key in history[-1] if key.endswith(" " + ending)):
            ax.plot([row["step"] for row in history], [row[key] for row in history], label=key.split()[0])
        ax.set(title=title, xlabel="step")
        ax.legend(fontsize=7)
        ax.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(args.output, dpi=80)


if __name__ == "__main__":
    main()
