"""Cuts out faces whose five points are exactly known: what the network of the points learns from.

Of portraits `mesh.py` found the points; of photos of many people the landmarker is asked here. Every face is kept
upright at one size, with room to turn and shift it, in a set's `.crops.npy`; how large it was in the photo and where
its points are stand in `.rows.npy`. What may not be learnt from is kept aside, to measure by.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from mesh import POINTS, Mesh, around, padding
from sources import Image, may_learn, photos, read
from teacher import F32, Teacher, to_pixels

from mien import geometry

SIDE, EYES = 128, 27.5  # pixels: of what is kept, and between the eyes in it
FRAME = (
    (geometry.CHIP_LANDMARKS - (73.5, 70.0)) * (EYES / 53.2) + (SIDE - 1) / 2
).astype(np.float32)
MANY = ("scenes", "crowd")
SMALLEST = 44  # pixels: of a face's longer side, from which the landmarker is exact
SURE = 0.9  # of the landmarker, from which its points count
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT)


def found(teacher: Teacher, image: Image) -> list[tuple[F32, F32]]:
    """Boxes (4,) and landmarks (5, 2) of all faces that are large enough."""
    height, width = (-(-side // 32) * 32 for side in image.shape[:2])
    canvas = np.zeros((1, height, width, 3), np.uint8)
    canvas[0, : image.shape[0], : image.shape[1]] = image
    rows = teacher(canvas)
    boxes, points = to_pixels(rows, height, width)
    scores = rows[0, :, 0]
    clear = np.flatnonzero(scores >= 0.7)
    best = clear[geometry.nms(boxes[0, clear], scores[clear], threshold=0.3)]
    return [
        (boxes[0, i], points[0, i])
        for i in best
        if (boxes[0, i, 2:] - boxes[0, i, :2]).max() >= SMALLEST
    ]


def exact(mesh: Mesh, image: Image, box: F32, landmarks: F32) -> tuple[F32, float]:
    """The landmarker's 478 points of a face, pixels, and how sure it is that there is one."""
    along = landmarks[1] - landmarks[0]
    side = float((box[2:] - box[:2]).max())
    first = mesh(
        image,
        (box[:2] + box[2:]) / 2,
        side,
        float(np.arctan2(along[1], along[0])),
        rounds=2,
    )
    centre, reach, angle = around(first.points)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    last = image.shape[1] - 1
    other = mesh.look(
        mirrored, np.array([last - centre[0], centre[1]], np.float32), reach, -angle
    )
    back = other.points * (-1, 1) + (last, 0)
    five = (first.five + five_of_mirrored(back)) / 2
    return five.astype(np.float32), min(first.presence, other.presence)


def five_of_mirrored(points: F32) -> F32:
    """The five points (5, 2) of points that were found in the mirrored picture: left is right."""
    five = np.stack([points[list(group)].mean(axis=0) for group in POINTS])
    return five[[1, 0, 2, 4, 3]]


def cut_out(image: Image, points: F32) -> tuple[Image, F32]:
    """A face upright and at one size; how large it was, and its points there, in a row."""
    to_frame = geometry.similarity(points[None], FRAME)
    size = geometry.face_sizes(points[None])
    kept = geometry.transform(points[None], to_frame)
    row = np.concatenate([size, kept.ravel()]).astype(np.float32)
    return geometry.cut(image, to_frame[0], size=SIDE), row


def bordered(photo: Path) -> tuple[Image, int]:
    """A photo with room around it, and how much; black, or what goes on at its border."""
    image = read(photo)
    pad = padding(image)
    way = BORDERS[zlib.crc32(photo.name.encode()) % len(BORDERS)]
    wide = cv2.copyMakeBorder(image, pad, pad, pad, pad, way)
    return np.asarray(wide, np.uint8), pad


def of_portraits(
    data: Path, table: Path, *, learn: bool
) -> Iterator[tuple[Image, F32]]:
    """The faces whose points `mesh.py` found."""
    kept = np.load(table)
    rows = zip(kept["names"], kept["points"], kept["presence"], strict=True)
    for name, points, presence in rows:
        photo = data / str(name)
        if presence >= SURE and may_learn(photo) == learn:
            image, pad = bordered(photo)
            yield cut_out(image, points + pad)


def of_many(
    teacher: Teacher, mesh: Mesh, paths: list[Path]
) -> Iterator[tuple[Image, F32]]:
    """The faces of photos of many people that are large enough for the landmarker."""
    for photo in paths:
        image, _ = bordered(photo)
        for box, landmarks in found(teacher, image):
            points, presence = exact(mesh, image, box, landmarks)
            if presence >= SURE:
                yield cut_out(image, points)


def keep(faces: Iterable[tuple[Image, F32]], target: Path) -> int:
    """How many faces were kept under this name."""
    crops, rows = zip(*faces, strict=True)
    np.save(target.with_suffix(".crops.npy"), np.stack(crops))
    np.save(target.with_suffix(".rows.npy"), np.stack(rows))
    return len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--mesh", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--points", type=Path, required=True, help="what mesh.py found")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher, mesh = Teacher(args.teacher), Mesh(args.mesh)
    for learn, part in ((False, "kept"), (True, "learn")):
        for table in sorted(args.points.glob("*.npz")):
            target = args.out / f"{table.stem}-{part}"
            if not target.with_suffix(".rows.npy").exists():
                faces = of_portraits(args.data, table, learn=learn)
                print(target.name, keep(faces, target), flush=True)
        for group in MANY:
            target = args.out / f"{group}-{part}"
            if not target.with_suffix(".rows.npy").exists():
                paths = [p for p in photos(args.data / group) if may_learn(p) == learn]
                faces = of_many(teacher, mesh, paths)
                print(target.name, keep(faces, target), flush=True)


if __name__ == "__main__":
    main()
