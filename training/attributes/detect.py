"""Step 1: where the face is in every picture, by the shipped detector with landmarks, as the aligner's square box."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from data import READERS, FaceSet
from views import enlarge, pad

from mien import geometry
from mien.models.detectors import Yunet, free_input_size
from mien.runtime import Compute, OnnxModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--set", choices=READERS, required=True)
    args = parser.parse_args()
    target = args.work / f"{args.set}-boxes.npz"
    if target.exists():
        return
    args.work.mkdir(parents=True, exist_ok=True)
    detector = Yunet(OnnxModel(free_input_size(args.yunet.read_bytes()), "yunet", Compute("cpu", 1)), threshold=0.5)
    boxes, found = detect_all(detector, READERS[args.set](args.data))
    np.savez(target, boxes=boxes, found=found)
    print(f"{args.set}: {found.mean():.2%} of {len(found)} pictures with a detected face")


def detect_all(detector: Yunet, faces: FaceSet) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) xyxy in the padded pictures and whether they were found; the others get the median box."""
    boxes, found = np.zeros((len(faces), 4), np.float32), np.zeros(len(faces), bool)
    for i in range(len(faces)):
        padded = pad(enlarge(faces.picture(i), faces.name), cv2.BORDER_REPLICATE)
        box = central(detector(padded), padded.shape[0])
        if box is not None:
            boxes[i], found[i] = box, True
    boxes[~found] = np.median(boxes[found], axis=0)
    return boxes, found


def central(faces: object, side: int) -> np.ndarray | None:
    """The square box of the surest face around the middle, or None."""
    if not len(faces):
        return None
    boxes = geometry.square_boxes(faces.landmarks)
    offset = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - side / 2).max(axis=1)
    size = boxes[:, 2] - boxes[:, 0]
    fits = np.flatnonzero((offset < 0.15 * side) & (size > 0.15 * side) & (size < 0.7 * side))
    return boxes[fits[0]] if len(fits) else None


if __name__ == "__main__":
    main()
