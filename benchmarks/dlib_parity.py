"""mien's own reading of dlib's models beside dlib itself: are the answers the same, and how long does each take?

    python benchmarks/dlib_parity.py --photos PHOTOS [--side 640] [--output FILE.json]

Every photo is shrunk to ``--side`` pixels. Faces are those of dlib's HOG detector, as they are, turned by 20 degrees,
cut by the right border and enlarged. Timings are medians of calls that take turns in one process, one thread each;
on a shared machine read the ratios. Needs the wheel dlib-bin. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np

from mien import store
from mien.dlib_models import chip, landmarks, mmod, resnet
from mien.runtime import Compute, OnnxModel, ort
from mien.types import U8
from mien.zoo import spec_of

Rows = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Both:
    """The same four models, ours and dlib's."""

    net: OnnxModel
    detector: OnnxModel
    predictors: dict[int, landmarks.ShapePredictor]
    dlib_net: Any
    dlib_detector: Any
    dlib_predictors: dict[int, Any]


@dataclass(frozen=True)
class Face:
    """A photo (H, W, 3) RGB and dlib's box of a face in it."""

    image: U8
    box: Any

    @property
    def sides(self) -> np.ndarray:
        return np.array(
            [[self.box.left(), self.box.top(), self.box.right(), self.box.bottom()]]
        )


def load(folder: Path) -> Both:
    paths = {p.name: p for p in folder.iterdir()}
    face, window = (
        paths["dlib_face_recognition_resnet_model_v1.dat"],
        paths["mmod_human_face_detector.dat"],
    )
    points = {n: paths[f"shape_predictor_{n}_face_landmarks.dat"] for n in (5, 68)}
    one = Compute("cpu", 1)
    return Both(
        OnnxModel(resnet.to_onnx(face.read_bytes()), face.name, one),
        OnnxModel(mmod.to_onnx(window.read_bytes()), window.name, one),
        {
            n: landmarks.read_shape_predictor(p.read_bytes(), p.name)
            for n, p in points.items()
        },
        dlib.face_recognition_model_v1(str(face)),
        dlib.cnn_face_detection_model_v1(str(window)),
        {n: dlib.shape_predictor(str(p)) for n, p in points.items()},
    )


def read_photos(folder: Path, side: int) -> list[U8]:
    images = (
        cv2.imread(str(p))
        for p in sorted(folder.iterdir())
        if p.suffix.lower() in {".jpg", ".png"}
    )
    return [shrink(image[..., ::-1], side) for image in images if image is not None]


def shrink(image: U8, side: int) -> U8:
    scale = min(1.0, side / max(image.shape))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small, dtype=np.uint8)


def variants(image: U8, box: Any) -> Iterator[tuple[str, Face]]:
    middle, width = box.center(), box.width()
    yield "as it is", Face(image, box)
    turn = cv2.getRotationMatrix2D((middle.x, middle.y), 20, 1)
    yield (
        "turned 20 degrees",
        Face(
            np.asarray(cv2.warpAffine(image, turn, image.shape[1::-1]), dtype=np.uint8),
            box,
        ),
    )
    yield (
        "cut by the border",
        Face(np.ascontiguousarray(image[:, : middle.x + width // 5]), box),
    )
    sides = (3 * s for s in (box.left(), box.top(), box.right(), box.bottom()))
    yield (
        "enlarged 3 times",
        Face(
            np.asarray(cv2.resize(image, None, fx=3, fy=3), dtype=np.uint8),
            dlib.rectangle(*sides),
        ),
    )


def compare_face(both: Both, face: Face) -> dict[str, float]:
    """Points that differ, chip difference and descriptor distance for one face."""
    row: dict[str, float] = {}
    bgr = np.ascontiguousarray(face.image[..., ::-1])
    for count in (5, 68):
        shape = both.dlib_predictors[count](face.image, face.box)
        theirs = np.array([[p.x, p.y] for p in shape.parts()], dtype=np.float32)
        ours = landmarks.predict(both.predictors[count], bgr, face.sides)
        row[f"{count} points off"] = float((ours[0] != theirs).any(axis=1).sum())
        cut = chip.cut_chips(bgr, ours)
        difference = np.abs(
            dlib.get_face_chip(face.image, shape, 150, 0.25)[..., ::-1].astype(int)
            - cut[0]
        )
        descriptor = np.array(both.dlib_net.compute_face_descriptor(face.image, shape))
        row[f"chip {count}, grey levels"] = float(difference.max())
        row[f"descriptor {count}, L2"] = float(
            np.linalg.norm(both.net(cut, outputs=["embedding"])[0][0] - descriptor)
        )
    return row


def compare_boxes(both: Both, image: U8, ups: int) -> dict[str, float]:
    hits = list(both.dlib_detector(image, ups))
    theirs = np.array(
        [[h.rect.left(), h.rect.top(), h.rect.right(), h.rect.bottom()] for h in hits]
    ).reshape(-1, 4)
    ours, scores = mmod.detect(
        runner(both), np.ascontiguousarray(image[..., ::-1]), min_face=80 >> ups
    )
    if len(ours) != len(theirs):
        return {
            "boxes": len(theirs),
            "boxes missed or new": abs(len(ours) - len(theirs)),
            "box, px": np.inf,
        }
    confidence = np.array([h.confidence for h in hits])
    return {
        "boxes": len(theirs),
        "boxes missed or new": 0,
        "box, px": float(np.abs(ours - theirs).max(initial=0)),
        "score": float(np.abs(scores - confidence).max(initial=0)),
    }


def runner(both: Both) -> mmod.Run:
    return lambda canvas: both.detector(canvas)[0]


def accuracy(both: Both, photos: list[U8]) -> Rows:
    """Counts are summed, differences are maxima."""
    hog, rows = dlib.get_frontal_face_detector(), {}
    for image in photos:
        for box in hog(image, 0):
            for kind, face in variants(image, box):
                row = compare_face(both, face)
                merge(rows.setdefault(f"faces {kind}", {}), {"faces": 1, **row})
        for ups, limit in ((0, 10_000), (1, 320)):
            merge(
                rows.setdefault(f"MMOD upsampled {ups} times", {}),
                compare_boxes(both, shrink(image, limit), ups),
            )
    return rows


SUMMED = ("faces", "boxes", "boxes missed or new", "5 points off", "68 points off")


def merge(total: dict[str, float], row: dict[str, float]) -> None:
    for key, value in row.items():
        total[key] = (
            total.get(key, 0) + value
            if key in SUMMED
            else max(total.get(key, 0), value)
        )


def speed(both: Both, image: U8, repeats: int) -> Rows:
    """Median milliseconds of ours and dlib's calls, taking turns."""
    box = dlib.get_frontal_face_detector()(image, 0)[0]
    face, bgr = Face(image, box), np.ascontiguousarray(image[..., ::-1])
    shape = both.dlib_predictors[5](image, box)
    points = np.array([[[p.x, p.y] for p in shape.parts()]], dtype=np.float32)
    cut, theirs = (
        chip.cut_chips(bgr, points),
        dlib.get_face_chip(image, shape, 150, 0.25),
    )
    vga = np.ascontiguousarray(cv2.resize(image, (640, 480)), dtype=np.uint8)
    window = np.ascontiguousarray(vga[..., ::-1])
    run = runner(both)
    sixteen = np.repeat(cut, 16, axis=0)
    calls: dict[str, tuple[Callable[[], object], Callable[[], object], int, int]] = {
        "descriptor, batch 1": (
            lambda: both.net(cut, outputs=["embedding"]),
            lambda: both.dlib_net.compute_face_descriptor(theirs),
            repeats,
            1,
        ),
        "descriptor, batch 16, per face": (
            lambda: both.net(sixteen, outputs=["embedding"]),
            lambda: both.dlib_net.compute_face_descriptor([theirs] * 16),
            max(3, repeats // 8),
            16,
        ),
        "5 landmarks": (
            lambda: landmarks.predict(both.predictors[5], bgr, face.sides),
            lambda: both.dlib_predictors[5](image, box),
            10 * repeats,
            1,
        ),
        "68 landmarks": (
            lambda: landmarks.predict(both.predictors[68], bgr, face.sides),
            lambda: both.dlib_predictors[68](image, box),
            10 * repeats,
            1,
        ),
        "chip": (
            lambda: chip.cut_chips(bgr, points),
            lambda: dlib.get_face_chip(image, shape, 150, 0.25),
            10 * repeats,
            1,
        ),
        "MMOD 640x480": (
            lambda: mmod.detect(run, window, min_face=80),
            lambda: both.dlib_detector(vga, 0),
            max(3, repeats // 4),
            1,
        ),
        "MMOD 640x480, upsampled once": (
            lambda: mmod.detect(run, window, min_face=40),
            lambda: both.dlib_detector(vga, 1),
            3,
            1,
        ),
    }
    return {name: side_by_side(*call) for name, call in calls.items()}


def side_by_side(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int, items: int
) -> dict[str, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, column in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            call()
            column.append(time.perf_counter() - start)
    mine, other = (
        1000 * float(np.median(column[len(column) > 3 :])) / items for column in times
    )
    return {"mien, ms": mine, "dlib, ms": other, "times as fast": other / mine}


def table(rows: Rows) -> str:
    lines = []
    for columns in dict.fromkeys(tuple(row) for row in rows.values()):
        lines += [
            "",
            "| | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
        ]
        chosen = {name: row for name, row in rows.items() if tuple(row) == columns}
        lines += [
            f"| {name} | " + " | ".join(f"{v:.3g}" for v in row.values()) + " |"
            for name, row in chosen.items()
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder of photos with faces"
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=store.path_of(spec_of("mmod")).parent,
        help="folder of dlib's four .dat files",
    )
    parser.add_argument(
        "--side", type=int, default=640, help="longer side the photos are shrunk to"
    )
    parser.add_argument("--repeats", type=int, default=24)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    both, photos = load(args.models), read_photos(args.photos, args.side)
    right = accuracy(both, photos)
    print(table(right))
    quick = speed(
        both,
        next(p for p in photos if dlib.get_frontal_face_detector()(p, 0)),
        args.repeats,
    )
    print(table(quick))
    versions = {
        "dlib": dlib.__version__,
        "onnxruntime": ort.__version__,
        "opencv": cv2.__version__,
    }
    if args.output:
        args.output.write_text(
            json.dumps(
                {"versions": versions, "accuracy": right, "speed": quick}, indent=2
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
