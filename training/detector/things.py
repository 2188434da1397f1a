"""Pictures of things out of Debian's packages: no people, nothing the teacher takes for a face, 1600 px at most.

    for p in tuxpaint-stamps-default plasma-workspace-wallpapers gnome-backgrounds mate-backgrounds ukui-wallpapers \\
        lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 extremetuxracer-data gcompris-qt-data
    do apt-get download $p && dpkg-deb -x ${p}_*.deb extracted/$p; done
    python things.py --extracted extracted --teacher yunet_n_dynamic.onnx --out DATA/things
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from candidates import teacher_sees
from sources import Image, photos
from teacher import Teacher

WITH_FACES = (
    "/people",
    "/halloween",
    "/christmas",
    "/players",
    "/cartoon",
    "/dinosaur",
    "/toys",
)  # folders left out
LARGEST = 1600
SMALLEST = 48
FACE = 0.6  # the teacher's score of a picture that is left out


def opaque(image: Image) -> Image:
    """BGR; what is transparent becomes grey."""
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:] / 255
    return np.asarray(image[..., :3] * alpha + 128 * (1 - alpha), np.uint8)


def face_in(teacher: Teacher, image: Image) -> bool:
    fit = min(1.0, 700 / max(image.shape[:2]))
    return any(
        teacher_sees(teacher, image, fit * scale).scores.max(initial=0) >= FACE
        for scale in (0.5, 1.0)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extracted", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(args.teacher)
    for number, path in enumerate(photos(args.extracted)):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None or image.dtype != np.uint8 or min(image.shape[:2]) < SMALLEST:
            continue
        if any(word in str(path) for word in WITH_FACES) or face_in(
            teacher, opaque(np.asarray(image, np.uint8))
        ):
            continue
        fit = min(1.0, LARGEST / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=fit, fy=fit, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(args.out / f"{number:05d}_{path.stem[:30]}.png"), small)


if __name__ == "__main__":
    main()
