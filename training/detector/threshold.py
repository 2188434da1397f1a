"""The threshold at which both networks give a chosen number of false alarms per face-free photo.

Looked at are the photos that were kept from the second network's training for this.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from sources import for_choice, read, training_faceless

from mien import geometry
from mien.models.detectors.angle import AngleNet
from mien.models.detectors.compact import Compact
from mien.models.detectors.points import ExactPoints
from mien.models.detectors.verifier import Verifier
from mien.runtime import Compute, OnnxModel

SCALES = (0.6, 1.0, 1.7)
ONE_THREAD = Compute("cpu", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--networks",
        type=Path,
        nargs=2,
        required=True,
        help="detector.onnx and verifier.onnx",
    )
    parser.add_argument("--alarms", type=float, default=0.1, help="per photo")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    first, second = (
        OnnxModel(path.read_bytes(), path.stem, ONE_THREAD) for path in args.networks
    )
    detector = Compact(
        first,
        Verifier(second),
        AngleNet.load(),
        ExactPoints.load(),
        min_face=16,
        threshold=0.1,
    )
    photos = [read(path) for path in training_faceless(args.data) if for_choice(path)]
    for scale in SCALES:
        sized = [
            geometry.shrink(photo, min(1.0, 900 / max(photo.shape)) * scale)
            for photo in photos
        ]
        scores = np.sort(np.concatenate([detector(photo).scores for photo in sized]))[
            ::-1
        ]
        allowed = int(args.alarms * len(photos))
        value = float(scores[allowed]) if len(scores) > allowed else 0.1
        print(
            f"{len(photos)} photos at {scale}: {args.alarms} alarms per photo above {value:.3f}"
        )


if __name__ == "__main__":
    main()
