"""Detectors side by side in one run: recall by face size at equal false alarms, landmarks, speed.

    python benchmarks/detection.py --data FOLDER --output detection.json

FOLDER holds the extracted sets crowd, scenes and noface. What is held out of our detector's training is used, nothing
else: photos of crowd and noface, and sample pictures of scikit-image and scikit-learn, whose hash of "set/name"
divides by three (`held_out`), and the fixture photos, which were never trained on.

Each detector answers with every score it has; its threshold is set where it gives 0.1 false alarms per face-free
photo, and recall is counted there: a labelled face is found when a box overlaps it by IoU 0.35 (crowd), or covers its
nose (fixtures). A face's size is the square root of its box's area. Landmarks are compared with YuNet's on the faces
both find, in parts of the distance between the eyes, and YuNet's with its own on the picture at 0.8 of its size,
which is as near as anything can come. `jitter` says how steady boxes are.

"people" is counted on photos of people (`people.csv`): the fixtures, the astronaut, the held-out part of scenes,
copies left out, and of crowd. Faces are those that hands boxed or that YuNet and its larger sibling agree on in
several sizes; whatever else any of them proposes was settled by eye. Each detector has its shipped threshold, and
once more the one at which it puts as many boxes where no face is as YuNet does. A face half hidden, cut by the
border, blurred or seen from behind is labelled "partly": finding it counts for nothing, neither way. "turned" is the
part of the fixtures' faces still found when the picture is turned, at the shipped threshold. Speeds are processor time
of interleaved calls at 640x480, one thread, picture to faces, as shipped: medians over the fixtures with faces.
`--speeds` measures nothing else.

    python benchmarks/detection.py --data FOLDER --profiles

counts something else: which part of the faces is found, at the shipped thresholds, by how far the head is turned
sideways: labelled faces of 40 px and more among people, and photos of CACD-VS's folds 5 to 9. How far, MediaPipe's face
landmarker says (`mien models get face-landmarker`), and where it sees no face YuNet's five points; faces that neither
sees are counted as "unseen". Both favour what they see: a head turned away further than they know is among these.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import importlib.util
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mien import geometry, store
from mien.geometry import CHIP_LANDMARKS
from mien.media import images
from mien.models.attributes.landmarker import FaceLandmarker
from mien.models.detectors.angle import AngleNet
from mien.models.detectors.base import Detector, load_detector, scaled_back
from mien.models.detectors.compact import Compact
from mien.models.detectors.points import ExactPoints
from mien.models.detectors.verifier import Verifier
from mien.models.detectors.yunet import Yunet
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces
from mien.zoo import spec_of

ALARMS_PER_PHOTO = 0.1
MATCH_IOU = 0.35
PEOPLE_FROM = 16  # pixels: smaller faces among people are neither asked for nor alarms
NEAR = 0.2  # IoU with a face from which a box is a poor box, no false one
TURNS = tuple(range(30, 360, 30))
UPRIGHT = 15  # degrees: a face set upright so near to how it stood
SIZES = ((8, 16), (16, 32), (32, 64), (64, 10_000))
KINDS = {".jpg", ".jpeg", ".png"}
FLOOR = 0.1  # scores below this are not looked at
ONE_THREAD = Compute("cpu", 1)
HAS_FACES = {"astronaut", "camera"}
YAWS = (0, 20, 40, 60, 75, 180)  # degrees, either way
READABLE = 40  # pixels, of a face whose yaw can be told


@dataclass(frozen=True, slots=True)
class Truth:
    """A photo with its labels: boxes (N, 4), or only nose points (N, 2)."""

    image: U8
    boxes: F32 | None = None
    noses: F32 | None = None


@dataclass(frozen=True, slots=True)
class People:
    """A photo of people: all faces that must be found (N, 4), and those that count for nothing (M, 4)."""

    image: U8
    faces: F32
    partly: F32


def held_out(group: str, stem: str) -> bool:
    """Whether a photo was kept from training, as training/detector/sources.py decides."""
    name = f"{group}/{stem.replace('_right', '_left')}"
    return (
        int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 3 == 0
    )


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)


def crowd(data: Path) -> list[Truth]:
    """The held-out third of crowd."""
    table = next(data.rglob("crowd/**/boxes.csv"))
    rows: dict[str, list[list[float]]] = {}
    with table.open() as handle:
        for row in csv.DictReader(handle):
            rows.setdefault(Path(row["file"]).name, []).append(
                [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
            )
    found = [
        path
        for path in files(table.parent)
        if path.name in rows and held_out("crowd", path.stem)
    ]
    return [
        Truth(images.read_image(path), boxes=np.array(rows[path.name], np.float32))
        for path in found
    ]


def fixtures(folder: Path) -> list[Truth]:
    """The fixture photos with the noses of their faces."""
    noses: dict[str, list[list[float]]] = {}
    with (folder / "noses.csv").open() as handle:
        for row in csv.DictReader(handle):
            if row["x"]:
                noses.setdefault(row["file"], []).append(
                    [float(row["x"]), float(row["y"])]
                )
    return [
        Truth(images.read_image(folder / name), noses=np.array(rows, np.float32))
        for name, rows in noses.items()
    ]


def face_free(data: Path, photos: Path) -> list[U8]:
    """Held-out photos without a face: noface, packages' sample pictures, two of the fixtures."""
    paths = [path for path in files(data / "noface") if held_out("noface", path.stem)]
    paths += [path for path in package_pictures() if held_out("packages", path.stem)]
    paths += [photos / "017_0.jpg", photos / "free-mountain-vector-01.jpg"]
    return [bounded(images.read_image(path), 1280) for path in paths]


def people(data: Path, photos: Path) -> list[People]:
    """The labelled photos of people that are there."""
    rows: dict[str, list[tuple[str, list[float]]]] = {}
    with (Path(__file__).parent / "people.csv").open() as handle:
        for row in csv.DictReader(handle):
            boxes = rows.setdefault(row["file"], [])
            if row["x1"]:
                boxes.append(
                    (row["kind"], [float(row[key]) for key in ("x1", "y1", "x2", "y2")])
                )
    return [
        People(
            picture_of(name, data, photos),
            *(boxes_of(boxes, kind) for kind in ("face", "partly")),
        )
        for name, boxes in rows.items()
    ]


def picture_of(name: str, data: Path, photos: Path) -> U8:
    """A labelled photo: of a package, of the fixtures, or of a set."""
    group, _, file = name.partition("/")
    if group == "skimage":
        spec = importlib.util.find_spec("skimage")
        return images.read_image(
            Path((spec.submodule_search_locations or [""])[0] if spec else "")
            / "data"
            / file
        )
    return images.read_image(photos / file if group == "fixtures" else data / name)


def boxes_of(rows: list[tuple[str, list[float]]], kind: str) -> F32:
    return np.array([box for label, box in rows if label == kind], np.float32).reshape(
        -1, 4
    )


def among_people(detector: Detector, photos: list[People]) -> tuple[F32, F32]:
    """The best score of each face's box (-1: not found), and the scores of boxes where no face is."""
    found, false = [], []
    for photo in photos:
        faces = detector(photo.image)
        wanted = photo.faces[np.sqrt(geometry.area(photo.faces)) >= PEOPLE_FROM]
        found.append(hits(Truth(photo.image, boxes=wanted), faces))
        known = np.concatenate([photo.faces, photo.partly])
        near = geometry.iou(faces.boxes, known).max(axis=1, initial=0) >= NEAR
        small = np.sqrt(geometry.area(faces.boxes)) < PEOPLE_FROM
        false.append(faces.scores[~near & ~small])
    return np.concatenate(found), np.concatenate(false)


def people_rows(
    detectors_at: dict[str, Detector], photos: list[People]
) -> dict[str, dict[str, float]]:
    """Recall and false boxes among people, as each one is shipped and at as many false boxes as YuNet's."""
    shipped = {name: among_people(one, photos) for name, one in detectors_at.items()}
    rows: dict[str, dict[str, float]] = {}
    allowed = len(shipped["yunet"][1]) if "yunet" in shipped else 0
    for name, one in detectors_at.items():
        lowered = with_threshold(one, FLOOR)
        same = lowered.threshold == one.threshold
        found, false = shipped[name] if same else among_people(lowered, photos)
        ordered = np.sort(false)[::-1]
        equal = (
            float(np.nextafter(ordered[allowed], np.float32(2)))
            if len(ordered) > allowed
            else 0.0
        )
        rows[name] = {
            "people: photos": len(photos),
            "people: faces": len(found),
            "people: found": float((shipped[name][0] >= 0).mean()),
            "people: false boxes": float(len(shipped[name][1])),
            f"people: found at {allowed} false": float((found >= equal).mean()),
        }
    return rows


def turned(detector: Detector, photos: list[Truth]) -> dict[str, float]:
    """The part of the faces whose nose lies in a box when the picture is turned clockwise, and of those that are found
    in the picture as it stands too, how many are set upright within 15 degrees of the turn."""
    rows, off = {}, []
    standing = [rolls(detector, sized(photo)) for photo in photos]
    for angle in TURNS:
        found = []
        for photo, before in zip(photos, standing, strict=True):
            image = sized(photo).image
            canvas, matrix = turned_picture(image, angle)
            moved = sized(photo).noses @ matrix[:, :2].T + matrix[:, 2]
            after = rolls(detector, Truth(canvas, noses=moved.astype(np.float32)))
            found.append(np.isfinite(after))
            off.append((after - before - angle + 180) % 360 - 180)
        rows[f"turned by {angle}"] = float(np.concatenate(found).mean())
    gaps = np.abs(np.concatenate(off))
    return {
        **rows,
        "turned, mean": float(np.mean(list(rows.values()))),
        "set upright": float((gaps[np.isfinite(gaps)] <= UPRIGHT).mean()),
    }


def sized(photo: Truth) -> Truth:
    """A photo with noses, its longer side 1,280 pixels at most."""
    image = bounded(photo.image, 1280)
    return Truth(image, noses=photo.noses * (image.shape[1] / photo.image.shape[1]))


def rolls(detector: Detector, photo: Truth) -> F32:
    """How far the face of each nose (N,) leans by its landmarks, degrees clockwise; NaN where none is found."""
    faces = detector(photo.image)
    if not len(faces):
        return np.full(len(photo.noses), np.nan, np.float32)
    fits = fitting(photo, faces)
    angles = np.degrees(geometry.turns(faces.landmarks))[fits.argmax(axis=1)]
    return np.where(fits.max(axis=1) > 0, angles, np.nan).astype(np.float32)


def turned_picture(image: U8, angle: float) -> tuple[U8, np.ndarray]:
    """The whole picture turned clockwise, its border stretched into the corners, and the map (2, 3) that did it."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    size = np.ceil(np.abs(matrix[:, :2]) @ (width, height)).astype(int)
    matrix[:, 2] += size / 2 - (width / 2, height / 2)
    drawn = cv2.warpAffine(
        image, matrix, size.tolist(), borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(drawn, np.uint8), matrix


@dataclass(frozen=True, slots=True)
class Heads:
    """A photo with faces (N, 4), how far each head is turned sideways (N,), NaN: nobody sees it, and the nose offset
    (N,) by YuNet's points: from the middle between the eyes, in parts of half the distance between them."""

    image: U8
    faces: F32
    yaws: F32
    offsets: F32


def heads(image: U8, faces: F32, seen: Faces, landmarker: FaceLandmarker) -> Heads:
    """How heads are turned by the landmarker; `seen` is what YuNet finds in the photo."""
    sides = (faces[:, 2:] - faces[:, :2]).max(axis=1)
    middle = (faces[:, :2] + faces[:, 2:]) / 2
    upright = (CHIP_LANDMARKS - CHIP_LANDMARKS.mean(axis=0)) / np.ptp(CHIP_LANDMARKS)
    guessed = middle[:, None] + upright[None] * sides[:, None, None] * 0.6
    boxed = Faces(faces, np.ones(len(faces), np.float32), guessed.astype(np.float32))
    points = landmarker.points(image, boxed)
    yaws = np.array([landmarker.pose(one)[0] for one in points], np.float32)
    offsets = np.full(len(faces), np.nan, np.float32)
    overlap = geometry.iou(faces, seen.boxes)
    for i in np.flatnonzero(overlap.max(axis=1, initial=0) >= MATCH_IOU):
        right, left, nose = seen.landmarks[overlap[i].argmax()][:3]
        apart = (left - right) / 2
        offsets[i] = (nose - (right + left) / 2) @ apart / max(apart @ apart, 1e-6)
    return Heads(image, faces, yaws, offsets)


def cacd_heads(
    folder: Path, count: int, yunet: Detector, landmarker: FaceLandmarker
) -> Iterator[Heads]:
    """Photos of folds 5 to 9, whose face is in the middle; its box is that of the points that are seen there."""
    with (folder / "pairs.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if int(row["fold"]) >= 5]
    names = sorted({row[key] for row in rows for key in ("file_a", "file_b")})
    for name in names[:: max(1, len(names) // count)]:
        image = images.read_image(folder / name)
        height, width = image.shape[:2]
        central = np.array([[width, height, 3 * width, 3 * height]], np.float32) / 4
        found = yunet(image)
        yield heads(image, central, found, landmarker)


def by_yaw(
    made: dict[str, Detector], photos: list[Heads]
) -> dict[str, dict[str, float]]:
    """The part of the faces that each detector finds, by how far heads are turned."""
    yaws, offsets = (
        np.concatenate([getattr(photo, column) for photo in photos])
        for column in ("yaws", "offsets")
    )
    both = np.isfinite(yaws) & np.isfinite(offsets) & (np.abs(yaws) > 15)
    tangents = np.tan(np.deg2rad(np.clip(yaws[both], -80, 80)))
    slope = float(np.median(tangents / offsets[both])) if both.any() else 1.0
    guessed = np.rad2deg(np.arctan(slope * offsets))
    turned_by = np.abs(np.where(np.isnan(yaws), guessed, yaws))
    rows: dict[str, dict[str, float]] = {}
    for name, detector in made.items():
        found = np.concatenate(
            [
                hits(Truth(p.image, boxes=p.faces), detector(p.image)) >= 0
                for p in photos
            ]
        )
        parts = {
            f"yaw {low}-{high}": (turned_by >= low) & (turned_by < high)
            for low, high in itertools.pairwise(YAWS)
        }
        rows[name] = {}
        for part, inside in {**parts, "unseen": np.isnan(turned_by)}.items():
            rows[name][f"{part}, faces"] = float(inside.sum())
            if inside.any():
                rows[name][f"{part}, found"] = float(found[inside].mean())
    return rows


def profiles(
    made: dict[str, Detector], data: Path, photos: Path, count: int
) -> dict[str, dict[str, float]]:
    landmarker = FaceLandmarker.load(ONE_THREAD)
    yunet = with_threshold(load_detector("yunet", min_face=16, compute=ONE_THREAD), 0.3)
    among = []
    for photo in people(data, photos):
        large = np.sqrt(geometry.area(photo.faces)) >= READABLE
        if large.any():
            image, faces = photo.image, photo.faces[large]
            among.append(heads(image, faces, yunet(image), landmarker))
    alone = list(cacd_heads(data / "cacd_vs", count, yunet, landmarker))
    results: dict[str, dict[str, float]] = {}
    for name, rows in by_yaw(made, among).items():
        results[f"{name}, people"] = rows
    for name, rows in by_yaw(made, alone).items():
        results[f"{name}, CACD"] = rows
    return results


def package_pictures() -> Iterator[Path]:
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            yield from (
                p
                for p in files(Path(root) / folder)
                if p.stem not in HAS_FACES and p.stat().st_size > 20_000
            )


def bounded(image: U8, side: int) -> U8:
    return geometry.shrink(image, min(1.0, side / max(image.shape[:2])))


def detectors(names: list[str], weights: list[Path]) -> dict[str, Detector]:
    """Each with its floor as threshold, so that the benchmark can choose; `weights` stand in for ours."""
    made: dict[str, Detector] = {}
    for name in names:
        if name == "compact" and weights:
            first, second = (
                OnnxModel(path.read_bytes(), path.stem, ONE_THREAD) for path in weights
            )
            made[name] = Compact(
                first,
                Verifier(second),
                AngleNet.load(ONE_THREAD),
                ExactPoints.load(ONE_THREAD),
                min_face=16,
                threshold=spec_of("compact").threshold or 0.0,
            )
        else:
            made[name] = load_detector(
                name,
                min_face=16 if name in {"compact", "yunet"} else 40,
                compute=ONE_THREAD,
            )
    return made


def with_threshold(detector: Detector, threshold: float) -> Detector:
    """The same detector at another threshold; dlib's keep their own scale, which starts at 0."""
    changed = copy.copy(detector)
    changed.threshold = threshold if isinstance(detector, Compact | Yunet) else 0.0
    return changed


def threshold_for(alarm_scores: F32, photos: int) -> float:
    """The lowest threshold with at most `ALARMS_PER_PHOTO` false alarms per photo."""
    allowed = int(ALARMS_PER_PHOTO * photos)
    ordered = np.sort(alarm_scores)[::-1]
    return (
        float(np.nextafter(ordered[allowed], np.float32(2)))
        if len(ordered) > allowed
        else 0.0
    )


def hits(truth: Truth, faces: Faces) -> np.ndarray:
    """The best score (N,) of a box that finds each labelled face, -1 where none does; a box finds one face at most."""
    scores = np.full(len(truth.boxes if truth.boxes is not None else truth.noses), -1.0)
    fits = fitting(truth, faces)
    for column in np.argsort(-faces.scores):
        rows = np.flatnonzero((fits[:, column] > 0) & (scores < 0))
        if len(rows):
            scores[rows[fits[rows, column].argmax()]] = faces.scores[column]
    return scores


def fitting(truth: Truth, faces: Faces) -> F32:
    """(N, M): how well each box fits each labelled face, 0 where it does not."""
    if truth.boxes is not None:
        overlap = geometry.iou(truth.boxes, faces.boxes)
        return np.where(overlap >= MATCH_IOU, overlap, 0).astype(np.float32)
    noses = truth.noses[:, None]
    inside = (
        (noses > faces.boxes[None, :, :2]) & (noses < faces.boxes[None, :, 2:])
    ).all(axis=2)
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    away = (
        np.linalg.norm(noses - centre[None], axis=2)
        / np.sqrt(geometry.area(faces.boxes))[None]
    )
    return np.where(inside, 1 / (1 + away), 0).astype(np.float32)


def recall(
    detector: Detector, crowd_photos: list[Truth], noses: list[Truth], threshold: float
) -> dict[str, float]:
    """Recall over crowd by size, over 16 px, and over the fixtures, at the threshold."""
    found = [hits(photo, detector(photo.image)) >= threshold for photo in crowd_photos]
    ok = np.concatenate(found)
    sides = np.concatenate(
        [np.sqrt(geometry.area(photo.boxes)) for photo in crowd_photos]
    )
    rows = {
        f"{low}-{high if high < 10_000 else ''}": ok[(sides >= low) & (sides < high)]
        for low, high in SIZES
    }
    rows["over 16"] = ok[sides >= 16]
    rows["fixtures"] = np.concatenate(
        [hits(photo, detector(photo.image)) >= threshold for photo in noses]
    )
    return {name: float(row.mean()) for name, row in rows.items()} | {
        f"n {k}": len(v) for k, v in rows.items()
    }


def landmark_gap(
    ours: Callable[[U8], Faces], theirs: Detector, photos: list[Truth]
) -> float:
    """Mean distance of landmarks from the other detector's, in eye distances, on faces of 24 px and more."""
    gaps = []
    for photo in photos:
        a, b = ours(photo.image), theirs(photo.image)
        if not len(a) or not len(b):
            continue
        overlap = geometry.iou(a.boxes, b.boxes)
        pairs = [
            (i, j) for i, j in enumerate(overlap.argmax(axis=1)) if overlap[i, j] > 0.5
        ]
        for i, j in pairs:
            if b.boxes[j, 2] - b.boxes[j, 0] >= 24:
                eyes = np.linalg.norm(b.landmarks[j, 0] - b.landmarks[j, 1])
                gaps.append(
                    np.linalg.norm(a.landmarks[i] - b.landmarks[j], axis=1).mean()
                    / max(eyes, 4.0)
                )
    return float(np.mean(gaps))


def smaller(detector: Detector, scale: float = 0.8) -> Callable[[U8], Faces]:
    """The same detector, shown the picture a little smaller: how far its landmarks are from themselves."""
    return lambda image: scaled_back(detector(geometry.shrink(image, scale)), scale)


def jitter(detector: Detector, photos: list[Truth]) -> float:
    """How much the edges of a face's box move, in face widths, when the picture moves by 1 to 7 pixels under noise.

    The standard deviation over nine moved pictures, boxes moved back; mean over photos with one face.
    """
    rng, moved = np.random.default_rng(0), []
    for photo in (p for p in photos if len(p.noses) == 1):
        image, boxes = bounded(photo.image, 640), []
        for step in range(9):
            shift = np.array([step % 3, step // 3]) * 3 + (step > 0)
            canvas = cv2.copyMakeBorder(
                image, int(shift[1]), 0, int(shift[0]), 0, cv2.BORDER_REPLICATE
            )
            noisy = np.clip(canvas + rng.normal(0, 2, canvas.shape), 0, 255).astype(
                np.uint8
            )
            faces = detector(noisy)
            if len(faces):
                boxes.append(faces.boxes[0] - np.tile(shift, 2))
        if len(boxes) == 9:
            moved.append(np.std(boxes, axis=0).mean() / (boxes[0][2] - boxes[0][0]))
    return float(np.mean(moved))


def speeds(
    made: dict[str, Detector], photos: list[Truth], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of processor time of a call at 640x480: the median over photos of the medians of interleaved rounds,
    and how many times YuNet's that is."""
    taken: dict[str, list[float]] = {name: [] for name in made}
    for photo in photos:
        image = cv2.resize(photo.image, (640, 480))
        times: dict[str, list[float]] = {name: [] for name in made}
        for turn in range(rounds):
            for name, detector in made.items():
                if turn % 5 and name in {"mmod", "hog"}:
                    continue
                start = time.thread_time()
                detector(image)
                times[name].append(1000 * (time.thread_time() - start))
        for name, of_photo in times.items():
            taken[name].append(float(np.median(of_photo[1:] or of_photo)))
    rows = {name: {"ms at 640x480": float(np.median(taken[name]))} for name in made}
    for name in made if "yunet" in made else ():
        ratios = np.divide(taken[name], taken["yunet"])
        rows[name]["times YuNet's"] = float(np.median(ratios))
    return rows


def measure(
    made: dict[str, Detector], data: Path, photos: Path, rounds: int
) -> dict[str, dict[str, float]]:
    faces, noses, empty = crowd(data), fixtures(photos), face_free(data, photos)
    open_to_all = {
        name: with_threshold(detector, FLOOR) for name, detector in made.items()
    }
    results: dict[str, dict[str, float]] = {}
    thresholds: dict[str, float] = {}
    for name, detector in open_to_all.items():
        alarms = np.concatenate([detector(image).scores for image in empty])
        thresholds[name] = max(
            threshold_for(alarms, len(empty)),
            FLOOR if name in {"compact", "yunet"} else 0.0,
        )
        alarms_left = float((alarms >= thresholds[name]).sum() / len(empty))
        results[name] = {"threshold": thresholds[name], "alarms per photo": alarms_left}
        results[name] |= recall(detector, faces, noses, thresholds[name])
    for name, rows in people_rows(made, people(data, photos)).items():
        results[name] |= rows
        if name in {"compact", "yunet"}:
            results[name] |= turned(made[name], noses)
    tuned = {
        name: with_threshold(detector, thresholds[name])
        for name, detector in made.items()
    }
    for name, rows in speeds(made, noses, rounds).items():
        results[name] |= rows
    for name in {"compact", "yunet"} & made.keys():
        results[name]["jitter"] = jitter(tuned[name], noses)
    if {"compact", "yunet"} <= made.keys():
        for name, photos_of in (("crowd", faces), ("fixtures", noses)):
            gap = landmark_gap(tuned["compact"], tuned["yunet"], photos_of)
            own = landmark_gap(smaller(tuned["yunet"]), tuned["yunet"], photos_of)
            (
                results["compact"][f"landmarks, {name}"],
                results["yunet"][f"landmarks, {name}"],
            ) = gap, own
    return results


def table(results: dict[str, dict[str, float]]) -> Iterator[str]:
    """The numbers as lines, one detector a column."""
    yield " " * 24 + "".join(f"{name:>12}" for name in results)
    for key in dict.fromkeys(key for row in results.values() for key in row):
        cells = (
            f"{row[key]:12.3f}" if key in row else " " * 12 for row in results.values()
        )
        yield f"{key:24}" + "".join(cells)


def parser() -> argparse.ArgumentParser:
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared"))
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--data",
        type=Path,
        required=True,
        help="the extracted sets, one folder each: crowd, noface",
    )
    made.add_argument("--fixtures", type=Path, default=shared / "fixtures" / "photos")
    made.add_argument(
        "--yunet",
        type=Path,
        default=shared / "weights" / "face_detection_yunet_2023mar.onnx",
    )
    made.add_argument("--detectors", default="compact,yunet,mmod,hog")
    made.add_argument(
        "--weights",
        type=Path,
        nargs=2,
        default=[],
        help="measure these two networks as ours",
    )
    made.add_argument("--rounds", type=int, default=30)
    made.add_argument("--profiles", action="store_true", help="recall by yaw only")
    made.add_argument("--speeds", action="store_true", help="speeds only")
    made.add_argument("--count", type=int, default=1000, help="photos of CACD-VS")
    made.add_argument("--output", type=Path, help="write the numbers here as JSON")
    return made


def main() -> None:
    args = parser().parse_args()
    cv2.setNumThreads(1)
    if args.yunet.exists():
        store.import_file(args.yunet)
    made = detectors(args.detectors.split(","), args.weights)
    if args.profiles:
        results = profiles(made, args.data, args.fixtures, args.count)
    elif args.speeds:
        results = speeds(made, fixtures(args.fixtures), args.rounds)
    else:
        results = measure(made, args.data, args.fixtures, args.rounds)
    print("\n".join(table(results)))
    if args.output:
        args.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
