"""The threshold at which the student gives a chosen number of false alarms per face-free photo of the training part."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from sources import read, training_faceless
from student import Student
from teacher import F32

SCALES = (0.6, 1.0, 1.7)


def alarm_scores(student: Student, photos: list[Path], scale: float) -> F32:
    """Scores of all alarms above 0.1 on the photos at this scale."""
    found = []
    for path in photos:
        image = read(path)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        fit = min(1.0, 900 / max(image.shape)) * scale
        found.append(student(np.asarray(cv2.resize(image, None, fx=fit, fy=fit, interpolation=way), np.uint8), 0.1)[1])
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--alarms", type=float, default=0.1, help="per photo")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    student, photos = Student(args.student), training_faceless(args.data)
    for scale in SCALES:
        scores = np.sort(alarm_scores(student, photos, scale))[::-1]
        allowed = int(args.alarms * len(photos))
        value = float(scores[allowed]) if len(scores) > allowed else 0.1
        print(f"{len(photos)} photos at {scale}: {args.alarms} alarms per photo above {value:.3f}")


if __name__ == "__main__":
    main()
