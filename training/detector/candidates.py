"""What the first network takes for a face, as small pictures with the truth beside: what the second one learns from."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cache import teach
from compose import Composer, degrade, log_uniform, random_angle
from numpy.typing import NDArray
from sources import Bank, for_choice, hand_boxes, load_bank, read, training_scenes
from student import Student, overlap, padded, suppress
from teacher import F32, Teacher, to_pixels

from mien.models.detectors.verifier import cut

Image = NDArray[np.uint8]
Rng = np.random.Generator
Pictures = Iterator[tuple[Image, "Known"]]
STORED = 72  # pixels of a kept picture, at the scale the second network sees
FLOOR = 0.06  # the first network's score from which a box is kept
FACE, OTHER = (
    0.5,
    0.3,
)  # IoU with a known face from which a box is one, up to which it is none
MATCH = 0.35  # IoU from which two boxes show one face
MOST, MOST_ALARMS = 40, 12  # candidates of one picture, with people and without
LARGEST = 1400  # pixels: longest side of a picture that is looked at
SCALES = (0.6, 1.0, 1.7)


@dataclass(frozen=True, slots=True)
class Known:
    """The faces of a picture: boxes (N,4), how sure (N,)."""

    boxes: F32
    scores: F32

    def moved(self, matrix: F32) -> Known:
        """Where they are after an affine map (2,3); boxes keep their shape."""
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        centre = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[
            :, 2
        ]
        half = (self.boxes[:, 2:] - self.boxes[:, :2]) / 2 * scale
        return Known(np.concatenate([centre - half, centre + half], 1), self.scores)


NOBODY = Known(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def teacher_sees(teacher: Teacher, image: Image, scale: float = 1.0) -> Known:
    """The teacher's faces above 0.1 in a picture looked at in this size, in the picture's own pixels."""
    sized = padded(
        np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
            np.uint8,
        )
    )
    rows = teach(teacher, sized[None])[0]
    boxes, scores = suppress(to_pixels(rows, *sized.shape[:2])[0], rows[:, 0], 0.1)
    return Known(boxes / scale, scores)


def all_faces(teacher: Teacher, photo: Path) -> Known:
    """The faces of a photo: what hands drew, and what the teacher sees in one of three sizes."""
    image = read(photo)
    seen = [
        teacher_sees(teacher, image, scale)
        for scale in SCALES
        if max(image.shape[:2]) * scale <= LARGEST
    ]
    boxes, scores = (
        np.concatenate([s.boxes for s in seen]),
        np.concatenate([s.scores for s in seen]),
    )
    drawn = hand_boxes(photo)
    for box in drawn:
        fits = overlap(box, boxes) >= MATCH
        scores[fits] = np.maximum(scores[fits], 0.95)
    lonely = [
        box for box in drawn if not len(boxes) or overlap(box, boxes).max() < MATCH
    ]
    boxes = np.concatenate([boxes, np.reshape(lonely, (-1, 4))]).astype(np.float32)
    scores = np.concatenate([scores, np.full(len(lonely), 0.9)]).astype(np.float32)
    return Known(*suppress(boxes, scores, 0.1))


def turned(rng: Rng, image: Image, *, longest: float) -> tuple[Image, F32]:
    """The picture turned, mirrored and sized to `longest` px, and the map (2,3) that did it."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    source = (
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if scale < 0.7
        else image
    )
    rest = scale * width / source.shape[1]
    turn = cv2.getRotationMatrix2D(
        (source.shape[1] / 2, source.shape[0] / 2), random_angle(rng), rest
    )
    if rng.random() < 0.5:
        turn = turn @ np.array([[-1, 0, source.shape[1]], [0, 1, 0], [0, 0, 1]])
    size = (max(int(width * scale), 64), max(int(height * scale), 64))
    turn[:, 2] += (size[0] - source.shape[1]) / 2, (size[1] - source.shape[0]) / 2
    drawn = cv2.warpAffine(
        source,
        turn,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=int(rng.choice([0, 1, 4])),
    )
    first = source.shape[1] / width
    whole = turn @ np.array([[first, 0, 0], [0, first, 0], [0, 0, 1]])
    return np.asarray(drawn, np.uint8), whole.astype(np.float32)


class Collector:
    """Looks at pictures with the first network and keeps what it finds."""

    def __init__(self, student: Student) -> None:
        self.student = student
        self.crops: list[Image] = []
        self.rows: list[
            tuple[float, float, float]
        ] = []  # target, the first network's score, side in pixels

    def look(self, rng: Rng, clean: Image, known: Known) -> None:
        """Everything the first network sees in the picture, spoilt as by a camera, and the faces it misses."""
        image = degrade(rng, clean)
        boxes, scores = self.student(image, FLOOR)
        most = MOST if len(known.boxes) else MOST_ALARMS
        for box, score in zip(boxes[:most], scores[:most], strict=True):
            self._keep(image, box, float(score), known)
        for face in known.boxes[known.scores >= 0.5][:MOST]:
            if not len(boxes) or overlap(face, boxes).max() < MATCH:
                size = np.tile(face[2:] - face[:2], 2)
                self._keep(image, face + size * rng.normal(0, 0.06, 4), FLOOR, known)

    def _keep(self, image: Image, box: F32, score: float, known: Known) -> None:
        fits = (
            overlap(box, known.boxes) if len(known.boxes) else np.zeros(1, np.float32)
        )
        best = int(fits.argmax())
        side = float((box[2:] - box[:2]).max())
        if side < 5 or OTHER < fits[best] < FACE:
            return
        self.crops.append(cut(image, (box[:2] + box[2:]) / 2, side, crop=STORED))
        self.rows.append(
            (float(known.scores[best]) if fits[best] >= FACE else 0.0, score, side)
        )


def people(rng: Rng, bank: Bank, teacher: Teacher) -> Pictures:
    """Photos of many people, at sizes from 240 to 1300 px."""
    photos, cached = (
        [p for p in training_scenes(bank.root) if not for_choice(p)],
        dict[Path, Known](),
    )
    while True:
        photo = photos[rng.integers(len(photos))]
        if photo not in cached:
            cached[photo] = all_faces(teacher, photo)
        drawn, matrix = turned(rng, read(photo), longest=log_uniform(rng, 240, 1300))
        yield drawn, cached[photo].moved(matrix)


def pasted(rng: Rng, bank: Bank, teacher: Teacher) -> Pictures:
    """The composer's pictures with faces; where they are is asked of the same picture with bare faces."""
    composer = Composer(bank, size=320)
    while True:
        name = str(rng.choice(["paste", "grid", "close"], p=[0.4, 0.2, 0.4]))
        again = copy.deepcopy(rng)
        clean = getattr(composer, name)(rng)
        yield clean, teacher_sees(teacher, getattr(composer.bare(), name)(again))


def faceless(rng: Rng, photos: Sequence[Path]) -> Pictures:
    """Whole pictures without a face, at sizes from 160 to 1400 px, some lying on their side."""
    while True:
        image = read(photos[rng.integers(len(photos))])
        image = (
            np.ascontiguousarray(np.rot90(image, int(rng.integers(4))))
            if rng.random() < 0.3
            else image
        )
        yield turned(rng, image, longest=log_uniform(rng, 160, 1400))[0], NOBODY


def objects(rng: Rng, photos: Sequence[Path], things: Sequence[Path]) -> Pictures:
    """One to four things, in their shapes where they have one, over a face-free photo."""
    while True:
        canvas = np.asarray(
            cv2.resize(read(photos[rng.integers(len(photos))]), (640, 480)), np.uint8
        )
        for _ in range(int(rng.integers(1, 5))):
            lay(
                rng,
                canvas,
                cv2.imread(
                    str(things[rng.integers(len(things))]), cv2.IMREAD_UNCHANGED
                ),
            )
        yield turned(rng, canvas, longest=log_uniform(rng, 320, 1000))[0], NOBODY


def lay(rng: Rng, canvas: Image, thing: Image) -> None:
    """Puts a thing of 24 to 400 px anywhere, in place."""
    scale = log_uniform(rng, 24, 400) / max(thing.shape[:2])
    height, width = (max(1, round(scale * side)) for side in thing.shape[:2])
    thing = np.asarray(
        cv2.resize(thing, (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )
    x, y = int(rng.integers(-(width // 3), 600)), int(rng.integers(-(height // 3), 440))
    part = canvas[max(y, 0) : y + height, max(x, 0) : x + width]
    over = thing[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]]
    alpha = over[..., 3:] / 255 if thing.shape[2] == 4 else 1.0
    part[:] = part * (1 - alpha) + over[..., :3] * alpha


def main() -> None:
    kinds = ("people", "pasted", "faceless", "objects")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the extracted sets"
    )
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument(
        "--student", type=Path, required=True, help="the first network, exported .onnx"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", required=True, choices=kinds)
    parser.add_argument(
        "--count", type=int, default=10_000, help="candidates of a file"
    )
    parser.add_argument("--files", type=int, default=15)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(args.teacher)
    bank = load_bank(args.data, args.out / "portraits.npz", teacher)
    empty, things = (
        [p for p in part if not for_choice(p)] for part in (bank.faceless, bank.things)
    )
    drawn: dict[str, Callable[[Rng], Pictures]] = {
        "people": lambda rng: people(rng, bank, teacher),
        "pasted": lambda rng: pasted(rng, bank, teacher),
        "faceless": lambda rng: faceless(rng, empty),
        "objects": lambda rng: objects(rng, empty, things),
    }
    for number in range(args.files):
        target, rng = (
            args.out / f"{args.kind}_{number}.npz",
            np.random.default_rng([number, kinds.index(args.kind)]),
        )
        if not target.exists():
            collect(
                drawn[args.kind](rng),
                rng,
                Collector(Student(args.student)),
                args.count,
                target,
            )


def collect(
    source: Pictures, rng: Rng, collector: Collector, count: int, target: Path
) -> None:
    """Looks at pictures until there are `count` candidates; the file appears whole."""
    while len(collector.rows) < count:
        collector.look(rng, *next(source))
    part = target.with_suffix(".part.npz")
    np.savez(
        part, crops=np.stack(collector.crops), rows=np.array(collector.rows, np.float32)
    )
    part.replace(target)


if __name__ == "__main__":
    main()
