"""Faces after `mien blur`: whether detectors still find them, whether descriptors still tell whose they are, and speed.

    python benchmarks/blur.py --data FOLDER --films FOLDER --deface ENVIRONMENT/bin/deface --output blur.json

FOLDER of --data holds the extracted sets crowd and cacd_vs. A face is what YuNet, MMOD or our detector finds at its
shipped threshold before, from 16 pixels on (of crowd also what people boxed); it is found afterwards where a box of any
of them overlaps it by IoU 0.3. Films are blurred as a whole and looked at every --step frames.

Descriptors: of so many people of CACD-VS one photo is enrolled and another one blurred. "named" is how many of the
blurred ones are nearest to their own person, "same attack" the same where the enrolled photos are blurred as well, as
somebody would do who has a list of suspects; chance is one by the number of people. "before" is without blurring.

Speed: films through `mien blur` and `deface` (PyPI; CenterFace by ONNX Runtime) in turns, frames a second and processor
time a frame, each with its own defaults. `films, deface` is what is found again after deface.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from detection import boxes_of, files

from mien import geometry, store
from mien.blur.cover import STYLES, CoverStyle
from mien.blur.film import blur_film
from mien.blur.photo import covered
from mien.blur.whom import FaceFinder, Whom
from mien.media import images
from mien.models.detectors.base import Detector, load_detector
from mien.pipeline import Analyzer
from mien.sources.video import VideoFile
from mien.types import F32, U8

LEAST = 16  # pixels
MEETS = 0.3  # IoU


class Judges:
    """The detectors that look for what is left."""

    def __init__(self, names: Sequence[str]) -> None:
        self.detectors: dict[str, Detector] = {
            name: load_detector(name, min_face=40 if name == "mmod" else LEAST)
            for name in names
        }

    def faces(self, image: U8, known: F32) -> F32:
        """The boxes (N, 4) of what is a face to one of them, and of what is known to be one."""
        found = [
            known,
            *(detector(image).boxes for detector in self.detectors.values()),
        ]
        boxes = np.concatenate(found)
        boxes = boxes[np.sqrt(geometry.area(boxes)) >= LEAST]
        ranks = np.arange(len(boxes), 0, -1).astype(np.float32)
        return boxes[geometry.nms(boxes, ranks, threshold=MEETS)]

    def left(self, image: U8, faces: F32) -> dict[str, int]:
        """How many of the faces each of them still finds; "any" is how many one of them does."""
        hits = {
            name: geometry.iou(faces, detector(image).boxes).max(axis=1, initial=0)
            >= MEETS
            for name, detector in self.detectors.items()
        }
        any_of = np.any(list(hits.values()), axis=0)
        return {name: int(hit.sum()) for name, hit in {**hits, "any": any_of}.items()}


def added(rows: dict[str, float], more: dict[str, int], faces: int) -> None:
    for name, count in more.items():
        rows[name] = rows.get(name, 0) + count
    rows["faces"] = rows.get("faces", 0) + faces


Blur = Callable[[Path, Path], object]  # makes the second file of the first


def on_films(
    judges: Judges, blur: Blur, films: Sequence[Path], step: int
) -> dict[str, float]:
    """What is found of the faces of films that were blurred."""
    rows: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for film in films:
            copy = Path(folder) / "copy.mp4"
            blur(film, copy)
            with VideoFile(str(film)) as before, VideoFile(str(copy)) as after:
                pairs = zip(before, after, strict=True)
                for given, made in islice(pairs, 0, None, step):
                    faces = judges.faces(given.image, np.zeros((0, 4), np.float32))
                    added(rows, judges.left(made.image, faces), len(faces))
    return rows


def crowd(data: Path, every: int) -> Iterator[tuple[U8, F32]]:
    table = next(data.rglob("crowd/**/boxes.csv"))
    boxes: dict[str, list[tuple[str, list[float]]]] = {}
    with table.open() as handle:
        for row in csv.DictReader(handle):
            box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
            boxes.setdefault(Path(row["file"]).name, []).append(("face", box))
    for path in files(table.parent)[::every]:
        if path.name in boxes:
            yield images.read_image(path), boxes_of(boxes[path.name], "face")


def on_crowd(
    judges: Judges, finder: FaceFinder, data: Path, style: CoverStyle, every: int
) -> dict[str, float]:
    """What is found of the faces of crowds that were blurred."""
    rows: dict[str, float] = {}
    for image, known in crowd(data, every):
        faces = judges.faces(image, known)
        seen = finder.covered(image)
        hidden = covered(image, seen, style)
        added(rows, judges.left(hidden, faces), len(faces))
        misses = geometry.iou(faces, seen.boxes).max(axis=1, initial=0) < MEETS
        added(rows, {"not covered": int(misses.sum())}, 0)
    return rows


def pairs(data: Path, people: int) -> list[tuple[Path, Path]]:
    """Two photos of each of so many people."""
    table = next(data.rglob("cacd_vs/**/pairs.csv"))
    with table.open() as handle:
        same = [row for row in csv.DictReader(handle) if row["same"] == "1"]
    folder = {path.name: path for path in files(table.parent)}
    chosen = same[:: max(1, len(same) // people)][:people]
    return [
        (folder[Path(row["file_a"]).name], folder[Path(row["file_b"]).name])
        for row in chosen
    ]


def descriptors(
    analyzer: Analyzer, finder: FaceFinder, path: Path, style: CoverStyle | None
) -> F32 | None:
    """The descriptor of a photo's largest face at its place, after blurring where there is a style."""
    image = images.read_image(path)
    faces = analyzer.detector(image)
    if not len(faces):
        return None
    i = int(geometry.area(faces.boxes).argmax())
    if style is not None:
        image = covered(image, finder.covered(image), style)
    return analyzer.embed(image, faces[i : i + 1]).embeddings


def named(probes: list[F32 | None], enrolled: list[F32 | None]) -> float:
    """The part of the probes that are nearest to their own person."""
    there = [
        i
        for i, (a, b) in enumerate(zip(probes, enrolled, strict=True))
        if a is not None and b is not None
    ]
    a, b = (np.concatenate([rows[i] for i in there]) for rows in (probes, enrolled))  # type: ignore[misc]
    nearest = geometry.l2_distances(a, b).argmin(axis=1)
    return float((nearest == np.arange(len(there))).mean())


def on_descriptors(
    finder: FaceFinder, data: Path, people: int, names: Sequence[str]
) -> dict[str, float]:
    """How often a blurred face is recognised."""
    analyzer = Analyzer(only=("identity",))
    chosen = pairs(data, people)
    plain = [descriptors(analyzer, finder, a, None) for a, _ in chosen]
    clear = [descriptors(analyzer, finder, b, None) for _, b in chosen]
    rows = {"chance": 1 / len(chosen), "before": named(clear, plain)}
    for name in names:
        style = STYLES[name]
        hidden = [descriptors(analyzer, finder, b, style) for _, b in chosen]
        attack = [descriptors(analyzer, finder, a, style) for a, _ in chosen]
        rows[f"{name}: named"] = named(hidden, plain)
        rows[f"{name}: same attack"] = named(hidden, attack)
        distances = [
            float(np.linalg.norm(a - b))
            for a, b in zip(hidden, plain, strict=True)
            if a is not None and b is not None
        ]
        rows[f"{name}: within 0.6"] = float((np.array(distances) < 0.6).mean())
    return rows


def by_mien(finder: FaceFinder, style: CoverStyle) -> Blur:
    return lambda film, copy: blur_film(str(film), copy, finder, style)


def by_deface(command: str) -> Blur:
    def blur(film: Path, copy: Path) -> None:
        words = [command, str(film), "-o", str(copy), "-k"]
        subprocess.run(words, check=True, capture_output=True)

    return blur


def speed(
    ways: dict[str, Blur], films: Sequence[Path], rounds: int
) -> dict[str, float]:
    """Frames a second, and processor time a frame, medians over turns; deface's start is in it, ours is not."""
    taken: dict[str, list[tuple[float, float]]] = {}
    frames = 0
    for film in films:
        with VideoFile(str(film)) as one:
            frames += one.frames or 0
    for _ in range(rounds):
        for name, blur in ways.items():
            began, spent = time.perf_counter(), sum(os.times()[:4])
            with tempfile.TemporaryDirectory() as folder:
                for film in films:
                    blur(film, Path(folder) / "copy.mp4")
            took = time.perf_counter() - began, sum(os.times()[:4]) - spent
            taken.setdefault(name, []).append(took)
    rows = {}
    for name, both in taken.items():
        wall, processor = np.median(both, axis=0)
        rows[f"{name}, frames a second"] = frames / float(wall)
        rows[f"{name}, processor ms a frame"] = 1000 * float(processor) / frames
    return rows


def main() -> None:
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared"))
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--data", type=Path, required=True)
    made.add_argument("--films", type=Path, default=shared / "fixtures" / "video")
    made.add_argument(
        "--yunet",
        type=Path,
        default=shared / "weights" / "face_detection_yunet_2023mar.onnx",
    )
    made.add_argument(
        "--judges",
        default="compact,yunet,mmod",
        help="who looks for what is left; MMOD takes seconds a picture",
    )
    made.add_argument("--styles", default="blur,pixels,box")
    made.add_argument(
        "--step", type=int, default=5, help="of films, look at every Nth frame"
    )
    made.add_argument(
        "--every", type=int, default=1, help="of crowd, take every Nth photo"
    )
    made.add_argument("--people", type=int, default=200)
    made.add_argument("--deface", help="the command of that name")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--parts", default="films,crowd,descriptors,speed")
    made.add_argument("--output", type=Path)
    args = made.parse_args()
    cv2.setNumThreads(1)
    store.import_file(args.yunet)
    judges, finder = Judges(args.judges.split(",")), FaceFinder(Whom())
    films = sorted(p for p in args.films.iterdir() if p.suffix in {".mp4", ".mov"})
    names, parts = args.styles.split(","), args.parts.split(",")
    results: dict[str, dict[str, float]] = {}
    for name in names:
        if "films" in parts:
            results[f"films, {name}"] = on_films(
                judges, by_mien(finder, STYLES[name]), films, args.step
            )
        if "crowd" in parts:
            results[f"crowd, {name}"] = on_crowd(
                judges, finder, args.data, STYLES[name], args.every
            )
        print(json.dumps(results, indent=1), flush=True)
    if "descriptors" in parts:
        results["descriptors"] = on_descriptors(finder, args.data, args.people, names)
        print(json.dumps(results, indent=1), flush=True)
    ways = {"mien": by_mien(finder, STYLES["blur"])}
    if args.deface:
        ways["deface"] = by_deface(args.deface)
        if "films" in parts:
            results["films, deface"] = on_films(
                judges, ways["deface"], films, args.step
            )
    if "speed" in parts:
        results["speed"] = speed(ways, films, args.rounds)
        print(json.dumps(results, indent=1), flush=True)
    if args.output:
        args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
