"""Hard negatives: crops around what the student calls a face and the teacher, at two sizes, does not."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from sources import Image, group, read, training_faceless, training_scenes
from student import Student, overlap, teacher_faces
from teacher import F32, Teacher

ALARM = 0.25  # the student's score that counts as an alarm
DOUBT = 0.2  # the teacher's score that clears the student
SCALES = (0.5, 1.0, 1.6, 2.5)


def alarms(image: Image, student: Student, teacher: Teacher) -> F32:
    """The student's boxes (n,4) of a picture that overlap none of the teacher's at this size and 1.5 times it."""
    boxes, _ = student(image, ALARM)
    if not len(boxes):
        return boxes
    larger = cv2.resize(image, None, fx=1.5, fy=1.5)
    known = np.concatenate(
        [
            teacher_faces(teacher, image, DOUBT)[0],
            teacher_faces(teacher, larger, DOUBT)[0] / 1.5,
        ]
    )
    rejected = [not len(known) or overlap(box, known).max() < 0.1 for box in boxes]
    return boxes[rejected]


def around(image: Image, box: F32) -> Image:
    """The square of three box sizes about a box, at least 64 px."""
    side = max(3 * float((box[2:] - box[:2]).max()), 64.0)
    centre = (box[:2] + box[2:]) / 2
    low = np.clip(centre - side / 2, 0, None).astype(int)
    high = (centre + side / 2).astype(int)
    return image[low[1] : high[1], low[0] : high[0]]


def crops(path: Path, student: Student, teacher: Teacher) -> Iterator[Image]:
    """Hard crops of one photo at several sizes, without a face in them."""
    photo = read(path)
    for scale in SCALES:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(
            cv2.resize(photo, None, fx=scale, fy=scale, interpolation=way),
            dtype=np.uint8,
        )
        if max(image.shape) > 1400:
            continue
        for box in alarms(image, student, teacher)[:6]:
            crop = around(image, box)
            if min(crop.shape[:2]) >= 48 and not len(
                teacher_faces(teacher, crop, 0.45)[0]
            ):
                yield crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--student", type=Path, required=True, help="exported .onnx")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the cache folder; crops go to its folder 'hard'",
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    student, teacher = Student(args.student), Teacher(args.teacher)
    for kind, paths in (
        ("faceless", training_faceless(args.data)),
        ("people", sorted(set(training_scenes(args.data)))[::2]),
    ):
        folder = args.out / "hard" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            for number, crop in enumerate(crops(path, student, teacher)):
                cv2.imwrite(
                    str(
                        folder
                        / f"{args.student.stem}_{group(path)}_{path.stem}_{number}.png"
                    ),
                    crop,
                )


if __name__ == "__main__":
    main()
