"""How right age, gender and emotion are through the whole shipped path: detector, aligner, trunk, heads.

    python benchmarks/attributes.py --data DATA --yunet YUNET.onnx [--condition grey] [--limit 500] [--output FILE.json]

Scores the official val parts of UTKFace (2,255 faces) and FER+ (3,504), which the recipe in training/attributes never
trains or tunes on. Both sets are cut tight, so the picture gets half its side around it first; FER+'s 48-pixel faces
are enlarged three times. Where the detector finds nothing the face is taken from the middle of the picture ("found"
tells how often that was not needed). Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mien import geometry
from mien.models.attributes import AGE_GROUPS, EMOTION, AttributeHeads
from mien.models.detectors import Detector, Yunet, free_input_size, load_detector
from mien.models.trunk import Aligner, FaceTrunk, load_resnet
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces

MIDDLE = {"utkface": (0.323, 0.320, 0.672, 0.668), "ferplus": (0.332, 0.379, 0.656, 0.698)}  # of the padded side
BANDS = ((0, 3), (4, 12), (13, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 120))
BINS = 15


@dataclass(frozen=True)
class Sample:
    """One picture, as it is in its set, and its labels."""

    picture: U8
    labels: dict[str, object]


def utkface(data: Path) -> Iterator[Sample]:
    """The val part, with age, gender ("female", "male") and race label."""
    with tarfile.open(data / "utkface.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    for row in csv.DictReader(io.StringIO(files["labels.csv"].decode())):
        if row["split"] == "val":
            gender = "male" if row["gender"] == "M" else "female"
            yield Sample(decode(files[row["file"]]), {"age": int(row["age"]), "gender": gender, "race": row["race"]})


def ferplus(data: Path) -> Iterator[Sample]:
    """The val part, with its votes."""
    with np.load(data / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = npz["jpeg"].tobytes(), npz["offsets"], npz["votes"], npz["split"]
    for i in np.flatnonzero(split == "val"):
        picture = decode(jpeg[offsets[i] : offsets[i + 1]])
        yield Sample(cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), {"votes": votes[i].tolist()})


def decode(jpeg: bytes) -> U8:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


# --- conditions ------------------------------------------------------------------------------------------------------


def grey(picture: U8) -> U8:
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def webcam(picture: U8) -> U8:
    """Small (48 pixels), a little dark, yellowish, compressed."""
    small = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA)
    dim = np.clip(255 * (small / 255.0) ** 1.3 * (0.8, 0.95, 1.05), 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", dim, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return cv2.resize(decode(code.tobytes()), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


CONDITIONS: dict[str, Callable[[U8], U8]] = {"clean": lambda picture: picture, "grey": grey, "webcam": webcam}


def pad(picture: U8) -> U8:
    """The picture with half its side around it, the made-up part blurred so that no second face appears."""
    h, w = picture.shape[:2]
    padded = cv2.copyMakeBorder(picture, h // 2, h // 2, w // 2, w // 2, cv2.BORDER_REPLICATE)
    blurred = cv2.blur(padded, (w // 12 | 1, h // 12 | 1))
    blurred[h // 2 : h // 2 + h, w // 2 : w // 2 + w] = picture
    return blurred


# --- the path --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Road:
    """The shipped path, and one that takes the middle of the picture for want of a detected face."""

    detector: Detector
    trunk: FaceTrunk
    blind: FaceTrunk

    @classmethod
    def load(cls, detector: Detector, compute: Compute) -> Road:
        heads = AttributeHeads.load(frozenset({"age", "gender", "emotion"}), compute)
        model = load_resnet(compute)
        trunks = (FaceTrunk(model, Aligner.load(anchor), heads) for anchor in (detector.anchor, "box"))
        return cls(detector, *trunks)

    def __call__(self, picture: U8, name: str) -> tuple[Faces, bool]:
        """The described face in the middle, and whether it was found."""
        padded = pad(picture)
        faces = central(self.detector(padded), padded.shape[0])
        if len(faces):
            return self.trunk(padded, faces), True
        box = np.array([MIDDLE[name]], np.float32) * padded.shape[0]
        return self.blind(padded, Faces(box, np.ones(1, np.float32), geometry.mean_landmarks(box))), False


def central(faces: Faces, side: int) -> Faces:
    """The surest face near the middle, or none."""
    offset = np.abs((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - side / 2).max(axis=1)
    near = np.flatnonzero(offset < 0.17 * side)
    return faces[near[:1]]


def run(path: Road, name: str, samples: list[Sample], change: Callable[[U8], U8]) -> dict[str, np.ndarray]:
    """Columns: found, age, gender (probability of female), emotion (N, 8)."""
    rows = [path(change(s.picture), name) for s in samples]
    faces = [f for f, _ in rows]
    return {
        "found": np.array([found for _, found in rows]),
        "age": np.concatenate([f.attributes["age"].numbers for f in faces]),
        "female": np.concatenate([f.attributes["gender"].probs for f in faces])[:, 0],
        "emotion": np.concatenate([f.attributes["emotion"].probs for f in faces]),
    }


# --- scores ----------------------------------------------------------------------------------------------------------


def calibration_error(confidence: F32, right: np.ndarray) -> float:
    """ECE: the mean gap of confidence and accuracy over equally wide bins, weighted by their size."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float(confidence[bins == b].sum() - right[bins == b].sum())) for b in range(BINS)]
    return sum(gaps) / len(right)


def people_row(columns: dict[str, np.ndarray], truth: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    error = np.abs(columns["age"] - truth["age"])[rows]
    right = (columns["female"] > 0.5)[rows] == truth["female"][rows]
    female = truth["female"][rows]
    confidence = np.maximum(columns["female"], 1 - columns["female"])[rows]
    return {
        "n": int(rows.sum()),
        "age MAE": float(error.mean()),
        "age bias": float((columns["age"] - truth["age"])[rows].mean()),
        "within 5 y": float((error <= 5).mean()),
        "gender": float(right.mean()),
        "women right": float(right[female].mean()) if female.any() else float("nan"),
        "men right": float(right[~female].mean()) if (~female).any() else float("nan"),
        "mean confidence": float(confidence.mean()),
        "ECE": calibration_error(confidence, right),
    }


def people_report(columns: dict[str, np.ndarray], samples: list[Sample]) -> dict[str, dict[str, float]]:
    truth = {
        "age": np.array([s.labels["age"] for s in samples]),
        "female": np.array([s.labels["gender"] == "female" for s in samples]),
        "race": np.array([s.labels["race"] for s in samples]),
    }
    slices = {"all": np.ones(len(samples), bool), "over 15": truth["age"] > 15}
    slices |= {f"{a}-{b}": (truth["age"] >= a) & (truth["age"] <= b) for a, b in BANDS}
    slices |= {"women": truth["female"], "men": ~truth["female"]}
    slices |= {str(race): truth["race"] == race for race in np.unique(truth["race"])}
    report = {name: people_row(columns, truth, rows) for name, rows in slices.items() if rows.any()}
    groups = [np.searchsorted(AGE_GROUPS.starts, x, side="right") for x in (truth["age"], columns["age"])]
    report["all"] |= {"age group": float((groups[0] == groups[1]).mean())}
    report["all"] |= {"age group ± 1": float((np.abs(groups[0] - groups[1]) <= 1).mean())}
    return report


def majority(votes: np.ndarray) -> np.ndarray:
    """FER+'s own rule (Barsoum et al. 2016): single votes dropped, then more than half agree on one of the eight."""
    kept = np.where(votes <= 1, 0, votes)
    return (kept.argmax(axis=1) < 8) & (2 * kept.max(axis=1) > kept.sum(axis=1))


def emotion_report(columns: dict[str, np.ndarray], samples: list[Sample]) -> dict[str, object]:
    votes = np.array([s.labels["votes"] for s in samples], dtype=int)
    truth, top = votes[:, :8].argmax(axis=1), columns["emotion"].argmax(axis=1)
    clear, right = majority(votes), top == truth
    loose = votes.argmax(axis=1) < 8
    confusion = np.zeros((8, 8), int)
    np.add.at(confusion, (truth[clear], top[clear]), 1)
    recall = confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)
    precision = confusion.diagonal() / np.maximum(confusion.sum(axis=0), 1)
    return {
        "n": int(clear.sum()),
        "accuracy": float(right[clear].mean()),
        "mean recall": float(recall[confusion.sum(axis=1) > 0].mean()),
        "mean F1": float(np.mean(2 * recall * precision / np.maximum(recall + precision, 1e-9))),
        "ECE": calibration_error(columns["emotion"].max(axis=1)[clear], right[clear]),
        "accuracy, detected faces only": float(right[clear & columns["found"]].mean()),
        "n, any emotion ahead": int(loose.sum()),
        "accuracy, any emotion ahead": float(right[loose].mean()),
        "confusion": confusion.tolist(),
    }


def show_people(report: dict[str, dict[str, float]]) -> None:
    keys = [k for k in report["all"] if not k.startswith("age group")]
    print("| |", " | ".join(keys), "|\n|---|" + "---|" * len(keys))
    for name, row in report.items():
        cells = [f"{row[k]}" if k == "n" else f"{row[k]:.2f}" if k.startswith("age") else f"{row[k]:.1%}" for k in keys]
        print(f"| {name} |", " | ".join(cells), "|")
    extra = {k: round(v, 4) for k, v in report["all"].items() if k.startswith("age group")}
    print(f"\nAge groups ({', '.join(AGE_GROUPS.labels)}): {extra}")


def show_emotion(report: dict[str, object]) -> None:
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in report.items() if k != "confusion"})
    print("\n| votes \\ said |", " | ".join(EMOTION.labels), "| recall |\n|---|" + "---|" * 9)
    for name, row in zip(EMOTION.labels, report["confusion"], strict=True):
        print(f"| {name} |", " | ".join(map(str, row)), f"| {row[EMOTION.labels.index(name)] / max(1, sum(row)):.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, help="the detector's file; without it --detector is loaded from the zoo")
    parser.add_argument("--detector", default="mmod")
    parser.add_argument("--condition", choices=CONDITIONS, default="clean")
    parser.add_argument("--limit", type=int, help="that many faces of each set, drawn at random, seeded")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    compute = Compute("cpu", 1)
    if args.yunet:
        detector: Detector = Yunet(OnnxModel(free_input_size(args.yunet.read_bytes()), "yunet", compute))
    else:
        detector = load_detector(args.detector, compute=compute)
    path, reports = Road.load(detector, compute), {}
    for name, read in {"utkface": utkface, "ferplus": ferplus}.items():
        samples = draw(list(read(args.data)), args.limit)
        columns = run(path, name, samples, CONDITIONS[args.condition])
        print(f"\n## {name}, {args.condition}: {len(samples)} faces, {columns['found'].mean():.1%} found\n")
        reports[name] = (people_report if name == "utkface" else emotion_report)(columns, samples)
        (show_people if name == "utkface" else show_emotion)(reports[name])
    if args.output:
        args.output.write_text(json.dumps(reports, indent=1))


def draw(samples: list[Sample], limit: int | None) -> list[Sample]:
    if limit is None or limit >= len(samples):
        return samples
    rows = np.random.default_rng(0).choice(len(samples), limit, replace=False)
    return [samples[i] for i in sorted(rows)]


if __name__ == "__main__":
    main()
