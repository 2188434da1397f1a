"""What the first network takes for a face in pictures of people, and what it must not: what the last look learns from.

Every picture is looked at in many sizes and at every angle. A candidate is a face where people drew one, where the
teacher is sure, or where the teacher doubts and the landmarker sees one; it is none where nobody sees anything. What
stays in doubt, partly shown faces above all, is left out. Beside what the first network proposes stand boxes laid on
purpose on parts of people: ears, eyes, chins, necks, hair, chests.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from candidates import Known as Found, all_faces
from compose import degrade, log_uniform, random_crop, similarity, warp
from crops import upright
from mesh import Mesh
from numpy.typing import NDArray
from sources import Image, may_learn, photos, read
from student import Student, overlap
from teacher import F32, Teacher

from mien import geometry
from train import sharpen

Rng = np.random.Generator
STORED, KEPT = (
    112,
    40,
)  # pixels of a kept picture, and of the face's longer side in it: room to turn and shift
FLOOR = 0.06  # the first network's score from which a box is kept
FACE, OTHER = (
    0.5,
    0.3,
)  # IoU with a known face from which a box is one, up to which it is none
MATCH = 0.35
DULL = 0.15  # the first network's score below which most of what is no face is left out
SMALL = 24  # pixels: below, the teacher's doubts count as they are
POINTS_FROM = 40  # pixels: the smallest face whose points the landmarker tells
MOST, MOST_ALARMS = 24, 12  # candidates of one picture, with known faces and without
NO_POINTS = np.full((5, 2), np.nan, np.float32)


@dataclass(frozen=True, slots=True)
class Known:
    """The faces of a picture: boxes (N, 4), how sure (N,), five points (N, 5, 2) or NaN, all turned by `angle`."""

    boxes: F32
    scores: F32
    points: F32
    angle: float = 0.0  # radians clockwise

    @classmethod
    def nobody(cls) -> Known:
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, 5, 2), np.float32),
        )

    def moved(self, matrix: F32, *, mirrored: bool = False) -> Known:
        """Where they are after a similarity (2, 3): a head is an ellipse, its box the ellipse's."""
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[
            :, 2
        ]
        turn = matrix[:, :2] / scale
        half = (self.boxes[:, 2:] - self.boxes[:, :2]) / 2 * scale
        half = np.sqrt(half**2 @ (turn**2).T)
        points = self.points @ matrix[:, :2].T + matrix[:, 2]
        if mirrored:
            points = points[:, [1, 0, 2, 4, 3]]
        angle = float(np.arctan2(-turn[0, 1], turn[1, 1]))  # where "down" went
        boxes = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
        return Known(boxes, self.scores, points.astype(np.float32), angle)


Pictures = Iterator[tuple[Image, Known]]


def any_angle(rng: Rng) -> float:
    """Degrees: upright, more or less, half of the time."""
    return (
        float(rng.normal(0, 12))
        if rng.random() < 0.5
        else float(rng.uniform(-180, 180))
    )


def placed(
    rng: Rng, centre: Sequence[float], target: Sequence[float], scale: float
) -> tuple[F32, bool]:
    """A similarity that turns by any angle and mirrors half of the time."""
    flip = bool(rng.random() < 0.5)
    return similarity(
        centre, target, scale=scale, angle_deg=any_angle(rng), flip=flip
    ), flip


class People:
    """Photos of one known face, laid over pictures without any."""

    def __init__(
        self, data: Path, points: Path, teacher: Teacher, faceless: Sequence[Path]
    ) -> None:
        self.data, self.teacher, self.faceless = data, teacher, faceless
        self.seen: dict[Path, F32] = {}
        self.sets: list[tuple[NDArray[np.str_], F32, F32, F32]] = []
        for file in sorted(points.glob("*.npz")):
            kept = np.load(file)
            ours = np.array([may_learn(data / str(name)) for name in kept["names"]])
            names, boxes, five, presence = (
                kept[k][ours] for k in ("names", "boxes", "points", "presence")
            )
            self.sets.append((names, boxes, five, presence))
        counts = np.array([len(rows[0]) for rows in self.sets])
        self.shares = counts / counts.sum()

    def others(self, photo: Path) -> F32:
        """Whatever else the teacher takes for a face in a photo with background."""
        if "cacd_vs" not in photo.parts:
            return np.zeros((0, 4), np.float32)
        if photo not in self.seen:
            self.seen[photo] = all_faces(self.teacher, photo).boxes
        return self.seen[photo]

    def __call__(self, rng: Rng) -> Pictures:
        """Large pictures, for what is proposed beside the face."""
        while True:
            size = int(log_uniform(rng, 160, 800))
            side = log_uniform(rng, 14, 0.95 * size)
            around = (
                [size / 2, size / 2]
                if side > size / 2
                else list(rng.uniform(0.1 * size, 0.9 * size, 2))
            )
            yield self._picture(rng, size, side, around, alone=False)

    def alone(self, rng: Rng) -> Pictures:
        """Small pictures of one face, for the face itself; more pixels than twice the crop's show nothing more."""
        while True:
            side = log_uniform(rng, 9, 90)
            size = int(side * STORED / KEPT) + 8
            yield self._picture(rng, size, side, [size / 2, size / 2], alone=True)

    def _picture(
        self, rng: Rng, size: int, side: float, target: Sequence[float], *, alone: bool
    ) -> tuple[Image, Known]:
        names, boxes, points, presence = self.sets[
            rng.choice(len(self.sets), p=self.shares)
        ]
        row = int(rng.integers(len(names)))
        photo, box = self.data / str(names[row]), boxes[row]
        image = read(photo)
        centre = ((box[:2] + box[2:]) / 2).tolist()
        matrix, flip = placed(
            rng, centre, target, side / float((box[2:] - box[:2]).max())
        )
        inside = np.zeros(image.shape[:2], np.float32)
        inside[3:-3, 3:-3] = 1
        if rng.random() < 0.5:  # no edge to tell a pasted photo by
            inside = cv2.GaussianBlur(inside, (0, 0), float(rng.uniform(1, 5)))
        mask = warp(inside, matrix, size, border=cv2.BORDER_CONSTANT)[..., None]
        front = warp(image, matrix, size, border=cv2.BORDER_REPLICATE)
        picture = (self._canvas(rng, size) * (1 - mask) + front * mask).astype(np.uint8)
        known_points = points[row] if presence[row] > 0.5 else NO_POINTS
        rest = self.others(photo) if not alone else np.zeros((0, 4), np.float32)
        rest = rest[overlap(box, rest) < MATCH] if len(rest) else rest
        more = Known(
            rest,
            np.full(len(rest), 0.15, np.float32),
            np.repeat(NO_POINTS[None], len(rest), 0),
        )
        face = Known(box[None], np.ones(1, np.float32), known_points[None])
        return picture, joined(face, more).moved(matrix, mirrored=flip)

    def _canvas(self, rng: Rng, size: int) -> Image:
        if rng.random() < 0.4:
            return np.full((size, size, 3), rng.integers(0, 256, 3), np.uint8)
        image = read(self.faceless[rng.integers(len(self.faceless))])
        return random_crop(rng, image, size, side=(80.0, float(max(image.shape))))


def joined(a: Known, b: Known) -> Known:
    columns = [
        np.concatenate([getattr(a, k), getattr(b, k)]).astype(np.float32)
        for k in ("boxes", "scores", "points")
    ]
    return Known(*columns, a.angle)


def scenes(rng: Rng, data: Path, teacher: Teacher, mesh: Mesh) -> Pictures:
    """Photos of many people at sizes from 240 to 1300 px, at any angle."""
    paths = [
        p
        for group in ("crowd", "crowd", "scenes")
        for p in photos(data / group)
        if may_learn(p)
    ]
    cached: dict[Path, Known] = {}
    while True:
        photo = paths[rng.integers(len(paths))]
        image = read(photo)
        if photo not in cached:
            cached[photo] = with_points(image, all_faces(teacher, photo), mesh)
        yield turned(rng, image, cached[photo], (240, 1300))


def with_points(image: Image, faces: Found, mesh: Mesh) -> Known:
    """The faces of a photo with the landmarker's points where they are large enough, which settles doubts."""
    boxes, scores = faces.boxes, faces.scores.copy()
    points = np.repeat(NO_POINTS[None], len(boxes), 0)
    for i, box in enumerate(boxes):
        side = float((box[2:] - box[:2]).max())
        if side < POINTS_FROM or scores[i] < 0.2:
            continue
        seen = mesh(image, (box[:2] + box[2:]) / 2, side)
        fits = np.linalg.norm(seen.five.mean(0) - (box[:2] + box[2:]) / 2) < side / 3
        if seen.presence > 0.5 and fits:
            points[i] = seen.five
            scores[i] = max(scores[i], 0.7)
    return Known(boxes, scores, points)


def turned(
    rng: Rng, image: Image, known: Known, longest: tuple[float, float]
) -> tuple[Image, Known]:
    """The picture at another size and angle, all of it inside."""
    height, width = image.shape[:2]
    scale = log_uniform(rng, *longest) / max(height, width)
    matrix, flip = placed(rng, (width / 2, height / 2), (0, 0), scale)
    size = np.ceil(np.abs(matrix[:, :2]) @ [width, height]).astype(int)
    size = np.maximum(size, 64)
    matrix[:, 2] += size / 2
    border = int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE]))
    if scale < 0.6:
        shrunk = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        ratio = np.array([width / shrunk.shape[1], height / shrunk.shape[0], 1.0])
        drawn = cv2.warpAffine(shrunk, matrix * ratio, size.tolist(), borderMode=border)
    else:
        drawn = cv2.warpAffine(image, matrix, size.tolist(), borderMode=border)
    return np.asarray(drawn, np.uint8), known.moved(matrix, mirrored=flip)


def faceless(rng: Rng, data: Path, paths: Sequence[Path]) -> Pictures:
    """Photos without a face, half of them with a few hands laid over them."""
    hands = [p for p in photos(data / "hands") if may_learn(p)]
    while True:
        image, _ = turned(
            rng, read(paths[rng.integers(len(paths))]), Known.nobody(), (160, 1200)
        )
        for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.5 else 0):
            lay_hand(rng, image, read(hands[rng.integers(len(hands))]))
        yield image, Known.nobody()


def lay_hand(rng: Rng, canvas: Image, hand: Image) -> None:
    """A hand of 30 to 500 px anywhere, in place, with a soft edge."""
    height, width = canvas.shape[:2]
    side = log_uniform(rng, 30, min(500, height, width))
    target = (rng.uniform(0, width), rng.uniform(0, height))
    matrix, _ = placed(
        rng, (hand.shape[1] / 2, hand.shape[0] / 2), target, side / max(hand.shape[:2])
    )
    edge = np.zeros(hand.shape[:2], np.float32)
    edge[4:-4, 4:-4] = 1
    mask = cv2.warpAffine(cv2.GaussianBlur(edge, (0, 0), 3), matrix, (width, height))[
        ..., None
    ]
    drawn = cv2.warpAffine(
        hand, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    canvas[:] = (canvas * (1 - mask) + drawn * mask).astype(np.uint8)


def parts(rng: Rng, known: Known, count: int) -> F32:
    """Boxes (K, 4) on parts of people: near the surest face, from a ninth to four times its size, beside every face."""
    if not len(known.boxes) or not count:
        return np.zeros((0, 4), np.float32)
    box = known.boxes[known.scores.argmax()]
    side, centre = float((box[2:] - box[:2]).max()), (box[:2] + box[2:]) / 2
    made = []
    for _ in range(4 * count):
        size = side * log_uniform(rng, 0.11, 4.0)
        middle = centre + rng.uniform(-1, 1, 2) * (side * 0.6 + size * 0.8)
        half = size / 2 * np.array([rng.uniform(0.75, 1.0), 1.0])
        laid = np.concatenate([middle - half, middle + half]).astype(np.float32)
        if size > 10 and overlap(laid, known.boxes).max() < 0.22:
            made.append(laid)
    return np.reshape(made[:count], (-1, 4)).astype(np.float32)


class Collector:
    """Looks at pictures with the first network and keeps what it finds, with the truth beside."""

    def __init__(self, student: Student, mesh: Mesh) -> None:
        self.student, self.mesh = student, mesh
        self.crops: list[Image] = []
        self.rows: list[
            F32
        ] = []  # target, first score, side in pixels, angle, five points in the crop

    def take(self, rng: Rng, clean: Image, known: Known) -> None:
        """The face of a picture of one, in a box somewhat off."""
        face = known.boxes[0]
        box = face + np.tile(face[2:] - face[:2], 2) * rng.normal(0, 0.05, 4)
        self._keep(rng, clean, degrade(rng, clean), box, 1.0, known)

    def look(self, rng: Rng, clean: Image, known: Known, *, laid: int) -> None:
        """What the first network proposes, faces it misses, and boxes laid on parts of people."""
        image = degrade(rng, clean)
        boxes, scores = self.student(image, FLOOR)
        most = MOST if len(known.boxes) else MOST_ALARMS
        for box, score in zip(boxes[:most], scores[:most], strict=True):
            self._keep(rng, clean, image, box, float(score), known)
        for face in known.boxes[known.scores >= 0.6][:MOST]:
            if not len(boxes) or overlap(face, boxes).max() < MATCH:
                size = np.tile(face[2:] - face[:2], 2)
                self._keep(
                    rng,
                    clean,
                    image,
                    face + size * rng.normal(0, 0.06, 4),
                    FLOOR,
                    known,
                )
        for box in parts(rng, known, laid):
            self._keep(rng, clean, image, box, 0.0, known)

    def _keep(
        self, rng: Rng, clean: Image, image: Image, box: F32, score: float, known: Known
    ) -> None:
        side, centre = float((box[2:] - box[:2]).max()), (box[:2] + box[2:]) / 2
        fits = (
            overlap(box, known.boxes) if len(known.boxes) else np.zeros(1, np.float32)
        )
        best = int(fits.argmax())
        if side < 6 or OTHER < fits[best] < FACE:
            return
        points = NO_POINTS
        if fits[best] >= FACE:
            target = truth(float(known.scores[best]), side, known.points[best])
            points = known.points[best]
        else:
            if 0 < score < DULL and rng.random() < 0.6:
                return  # there are plenty
            target = 0.0
            hard = score >= 0.25 and side >= POINTS_FROM and len(known.boxes) > 0
            if hard and self.mesh(clean, centre, side).presence > 0.5:
                return  # a face that nobody knew of
        if target is None:
            return
        inside = (points - centre) * (KEPT / side) + (STORED - 1) / 2
        self.crops.append(
            geometry.cut(image, upright(box, crop=STORED, side=KEPT), size=STORED)
        )
        row = np.concatenate([[target, score, side, known.angle], inside.ravel()])
        self.rows.append(row.astype(np.float32))


def truth(score: float, side: float, points: F32) -> float | None:
    """Whether a known face is one; None where that stays in doubt."""
    if score >= 0.6 or np.isfinite(points).all():
        return 1.0
    if side < SMALL:
        return float(sharpen(np.float32(score)))
    return None


def main() -> None:
    kinds = ("people", "scenes", "faceless", "alone")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the extracted sets"
    )
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--mesh", type=Path, required=True)
    parser.add_argument(
        "--points", type=Path, required=True, help="the folder that mesh.py filled"
    )
    parser.add_argument(
        "--student", type=Path, required=True, help="the first network, exported .onnx"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=kinds)
    parser.add_argument("--count", type=int, default=4000, help="candidates of a file")
    parser.add_argument(
        "--files",
        type=int,
        nargs=2,
        default=(0, 5),
        help="first and last + 1 of each kind",
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher, mesh = Teacher(args.teacher), Mesh(args.mesh)
    empty = [
        p
        for g in ("noface", "packages", "things")
        for p in photos(args.data / g)
        if may_learn(p)
    ]
    one = People(args.data, args.points, teacher, empty)
    for number in range(*args.files):
        for kind in args.kinds:
            target, rng = (
                args.out / f"{kind}_{number}",
                np.random.default_rng([number, kinds.index(kind), 77]),
            )
            if target.with_suffix(".rows.npy").exists():
                continue
            drawn: dict[str, Pictures] = {
                "people": one(rng),
                "alone": one.alone(rng),
                "scenes": scenes(rng, args.data, teacher, mesh),
                "faceless": faceless(rng, args.data, empty),
            }
            laid = {"people": 3, "scenes": 2}.get(kind, 0)
            collect(
                drawn[kind],
                rng,
                Collector(Student(args.student), mesh),
                args.count,
                target,
                laid=laid,
            )
            print(target.name, flush=True)


def collect(
    source: Pictures,
    rng: Rng,
    collector: Collector,
    count: int,
    target: Path,
    *,
    laid: int,
) -> None:
    """Looks at pictures until there are `count` candidates; the rows appear last, when all is there."""
    while len(collector.rows) < count:
        if target.name.startswith("alone"):
            collector.take(rng, *next(source))
        else:
            collector.look(rng, *next(source), laid=laid)
    np.save(target.with_suffix(".crops.npy"), np.stack(collector.crops))
    np.save(target.with_suffix(".rows.npy"), np.stack(collector.rows))


if __name__ == "__main__":
    main()
