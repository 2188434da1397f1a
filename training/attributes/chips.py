"""Step 1: every face as the shipped path cuts it: detector, dlib's five points, dlib's chip of 150 pixels.

Where the detector finds nothing, the set's median box is taken ("found" remembers). Resumable per set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from data import SETS, pad, picture, read

from mien import geometry
from mien.models.backbone import Aligner
from mien.models.detectors.base import Detector, load_detector
from mien.runtime import Compute
from mien.types import Faces

SIDE = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    detector = load_detector("compact", compute=Compute("cpu", 1))
    for name in args.sets:
        if not (args.work / f"{name}.npz").exists():
            cut_set(args.data, args.work, name, detector)


def cut_set(data: Path, work: Path, name: str, detector: Detector) -> None:
    faces = read(data, name)
    aligner = Aligner.load(detector.aligns_by)
    chips = np.lib.format.open_memmap(
        work / f"{name}.npy", "w+", np.uint8, (len(faces), SIDE, SIDE, 3)
    )
    boxes, found = np.zeros((len(faces), 4), np.float32), np.zeros(len(faces), bool)
    for i, jpeg in enumerate(faces.jpegs):
        padded = pad(picture(jpeg, name))
        seen = central(detector(padded), padded.shape[0])
        if len(seen):
            chips[i] = aligner(padded, seen)[0][0]
            found[i], boxes[i] = (
                True,
                geometry.square_boxes(seen.landmarks)[0] / padded.shape[0],
            )
    middle = np.median(boxes[found], axis=0)
    blind = Aligner(aligner.predictor, aligns_by="box")
    for i in np.flatnonzero(~found):
        padded = pad(picture(faces.jpegs[i], name))
        box = middle[None] * padded.shape[0]
        chips[i] = blind(
            padded, Faces(box, np.ones(1, np.float32), geometry.mean_landmarks(box))
        )[0][0]
    chips.flush()
    np.savez(work / f"{name}.npz", found=found, **faces.labels)
    print(
        f"{name}: {found.mean():.2%} of {len(found)} pictures with a detected face",
        flush=True,
    )


def central(faces: Faces, side: int) -> Faces:
    """The surest face near the middle, or none."""
    offset = np.abs((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - side / 2).max(
        axis=1
    )
    return faces[np.flatnonzero(offset < 0.17 * side)[:1]]


if __name__ == "__main__":
    main()
