"""The curves of a run as a PNG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot(log: Path, target: Path) -> None:
    """Score, box and landmark losses over steps; a resumed run's log goes on in the same file."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    for axis, name in zip(axes, ("score", "box", "points"), strict=True):
        for size in sorted({row["size"] for row in rows}):
            part = [row for row in rows if row["size"] == size]
            axis.plot(
                [r["step"] for r in part],
                [r[name] for r in part],
                linewidth=1,
                label=f"{size} px",
            )
        axis.set(title=name, xlabel="step", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(target, dpi=110)


def plot_verifier(log: Path, target: Path) -> None:
    """The loss of the second network over steps."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axis = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
    axis.plot([r["step"] for r in rows], [r["loss"] for r in rows], linewidth=1)
    axis.set(title="verifier", xlabel="step", yscale="log")
    axis.grid(alpha=0.3)
    figure.savefig(target, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--verifier", type=Path, help="the second network's folder")
    args = parser.parse_args()
    plot(args.run / "curve.jsonl", args.run / "curve.png")
    if args.verifier:
        plot_verifier(args.verifier / "verify.jsonl", args.verifier / "curve.png")


if __name__ == "__main__":
    main()
