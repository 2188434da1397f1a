"""Draws the learning curves of both bodies (held-out part, after every pass) into a PNG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
from network import TASKS

mpl.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    histories = {name: json.loads((args.work / f"{name}.json").read_text())["history"] for name in TASKS}
    panels = [(name, key) for name, history in histories.items() for key in history[0]]
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3))
    for ax, (name, key) in zip(axes, panels, strict=True):
        values = [row[key] for row in histories[name]]
        ax.plot(range(1, len(values) + 1), values, marker="o", markersize=3)
        ax.set(title=f"{name}: {key}", xlabel="pass")
        ax.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(args.output, dpi=80)


if __name__ == "__main__":
    main()
