"""Draws how right the running mean was on held-out faces while it learnt, into a PNG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw

LINES = {
    "ferplus emotion": (69, 123, 214),
    "affect emotion": (224, 58, 62),
    "affect recall": (250, 130, 49),
}
SIZE, EDGE = (720, 360), 40
LOW, HIGH = 0.4, 0.9  # of the shares shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    history = json.loads((args.work / "history.json").read_text())
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    for tenth in range(4, 10):
        draw.line([place(0, tenth / 10), place(1, tenth / 10)], fill=(220, 220, 220))
        draw.text((4, place(0, tenth / 10)[1] - 6), f"{10 * tenth} %", fill="black")
    for i, (name, colour) in enumerate(LINES.items()):
        points = [
            place(row["step"] / history[-1]["step"], row[name]) for row in history
        ]
        draw.line(points, fill=colour, width=2)
        draw.text((EDGE + 20 + 160 * i, 8), name, fill=colour)
    draw.text(
        (SIZE[0] - 120, SIZE[1] - 18), f"step {history[-1]['step']}", fill="black"
    )
    picture.save(args.output)


def place(along: float, share: float) -> tuple[float, float]:
    width, height = SIZE[0] - 2 * EDGE, SIZE[1] - 2 * EDGE
    return EDGE + along * width, SIZE[1] - EDGE - (share - LOW) / (HIGH - LOW) * height


if __name__ == "__main__":
    main()
