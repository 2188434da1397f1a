"""Five exact points of a face, as MediaPipe's face landmarker (478 points, Apache-2.0) sees it: the points' teacher.

python mesh.py --data DATA --teacher yunet_n_dynamic.onnx --mesh face_landmarker.task --out WORK/points
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sources import Image, may_learn, photos, read
from teacher import F32, Teacher, best_face

from mien.models.attributes.landmarker import converted
from mien.runtime import Compute, OnnxModel

SIDE = 256  # pixels of what the landmarker sees
ROOM = 1.5  # of a face's longer side: how much of the picture it sees
# Corners, lids and iris of the image-left and image-right eye, nose tip, mouth corners.
POINTS = ((33, 133, 159, 145, 468), (362, 263, 386, 374, 473), (1, 4), (61,), (291,))
LEFT, RIGHT = (
    33,
    263,
)  # outer corners of the eyes: the line between them is level in what it sees
SHARES = {"cacd_vs": 1200, "utkface": 1800, "aaf": 900, "affect": 900, "portraits": 500}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the landmarker says of one face: points (478, 2) in the picture's pixels, and whether it is one, 0 to 1."""

    points: F32
    presence: float

    @property
    def five(self) -> F32:
        return np.stack(
            [self.points[list(group)].mean(axis=0) for group in POINTS]
        ).astype(np.float32)


class Mesh:
    """The face landmarker on a face whose place is known about."""

    def __init__(self, path: Path) -> None:
        parts = np.load(io.BytesIO(converted(path.read_bytes(), path.name)))
        self.network = OnnxModel(
            parts["mesh"].tobytes(), path.name, Compute("cpu", threads=1)
        )

    def __call__(
        self,
        image: Image,
        centre: F32,
        side: float,
        angle: float = 0.0,
        *,
        rounds: int = 1,
    ) -> Seen:
        """Looks at the square of this side (pixels), turned by `angle` (radians), then at where the face is in it."""
        seen = self.look(image, centre, side * ROOM, angle)
        for _ in range(rounds - 1):
            seen = self.look(image, *around(seen.points))
        return seen

    def look(self, image: Image, centre: F32, side: float, angle: float) -> Seen:
        scale = SIDE / side
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        matrix = np.column_stack([turn, SIDE / 2 - turn @ centre])
        if scale < 0.5:  # averaged first, or thin lines flicker
            shrunk = cv2.resize(
                image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
            )
            drawn = matrix.copy()
            drawn[:, 0] *= image.shape[1] / shrunk.shape[1]
            drawn[:, 1] *= image.shape[0] / shrunk.shape[0]
            crop = cv2.warpAffine(shrunk, drawn, (SIDE, SIDE))
        else:
            crop = cv2.warpAffine(image, matrix, (SIDE, SIDE))
        blob = crop[None, :, :, ::-1].astype(np.float32) / 255
        flat, presence, *_ = self.network(blob)
        points = flat.reshape(478, 3)[:, :2] - matrix[:, 2]
        back = np.linalg.inv(turn)
        logit = float(presence.reshape(-1)[0])
        return Seen(
            (points @ back.T).astype(np.float32), 1 / (1 + float(np.exp(-logit)))
        )


def around(points: F32) -> tuple[F32, float, float]:
    """Centre, side and angle of the square to look at next."""
    along = points[RIGHT] - points[LEFT]
    angle = float(np.arctan2(along[1], along[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = points @ turn.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    return (
        np.asarray(turn.T @ ((low + high) / 2), np.float32),
        float((high - low).max()) * ROOM,
        angle,
    )


def padding(image: Image) -> int:
    """A tight crop of a face gets half its side around it, a photo an eighth."""
    height = image.shape[0]
    return height // 2 if height < 160 else height // 8


def one_face(
    teacher: Teacher, mesh: Mesh, photo: Path
) -> tuple[F32, F32, float] | None:
    """Box (4,), five points (5, 2) and presence of the clearest face of a photo, in its pixels."""
    image = read(photo)
    pad = padding(image)
    padded = np.asarray(
        cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT), np.uint8
    )
    found = best_face(teacher, padded)
    if found is None:
        return None
    box, points = found
    along = points[1] - points[0]
    seen = mesh(
        padded,
        (box[:2] + box[2:]) / 2,
        float((box[2:] - box[:2]).max()),
        float(np.arctan2(along[1], along[0])),
    )
    return box - pad, seen.five - pad, seen.presence


def chosen(data: Path, group: str, count: int) -> Sequence[Path]:
    """The first `count` photos of a set that may be learnt from, and a twelfth as many that may not, to measure by."""
    rng = np.random.default_rng(0)
    paths = photos(data / group)
    paths = [paths[i] for i in rng.permutation(len(paths))]
    ours, kept = (
        [p for p in paths if may_learn(p)],
        [p for p in paths if not may_learn(p)],
    )
    return ours[:count] + kept[: count // 12]


def save(rows: Sequence[tuple[str, F32, F32, float]], target: Path) -> None:
    names, boxes, points, presence = zip(*rows, strict=True)
    np.savez(
        target,
        names=np.array(names),
        boxes=np.stack(boxes),
        points=np.stack(points),
        presence=presence,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--mesh", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher, mesh = Teacher(args.teacher), Mesh(args.mesh)
    for group, count in SHARES.items():
        target = args.out / f"{group}.npz"
        if target.exists():
            continue
        rows: list[tuple[str, F32, F32, float]] = []
        for photo in chosen(args.data, group, count):
            found = one_face(teacher, mesh, photo)
            if found is not None:
                rows.append((str(photo.relative_to(args.data)), *found))
        save(rows, target)
        print(group, len(rows), flush=True)


if __name__ == "__main__":
    main()
