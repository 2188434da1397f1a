"""How right age, gender and emotion are through the whole shipped path, beside the weights before them, in one run.

    python benchmarks/attributes.py --data DATA [--before OLDER.onnx] [--limit 500] [--sets affect aaf] [--output FILE]

Scores the official val parts of UTKFace, FER+, affect, All-Age-Faces and the portraits, which the recipe in
training/attributes neither trains nor tunes on. The sets are cut tight, so the picture gets half its side around it
first; FER+'s 48-pixel faces are enlarged three times. The shipped detector looks for the face in the middle; one that
it misses counts as wrong in every share, and is left out of the ages (their table says how many were found).
`--before` is an older attributes.onnx, whose heads read dlib's ResNet. "One view" is what streams and `fast` see, "now"
the mean of the two views of a photo. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mien.models.attributes.heads import (
    AGE_GROUPS,
    EMOTION,
    GENDER,
    EmotionNet,
    TraitHeads,
)
from mien.models.backbone import Aligner, load_resnet
from mien.models.detectors.base import Detector, load_detector
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces

SETS = ("utkface", "ferplus", "affect", "aaf", "portraits")
BANDS = ((0, 3), (4, 12), (13, 19), (20, 39), (40, 59), (60, 69), (70, 120))
MIDDLE = 0.17  # of the padded side: how far from the middle the face may lie
BINS = 15
SIZES = {"age": 101, "gender": 2, "emotion": 8}
READ = ("map_128", "map_256", "embedding")
ONE = "one view"
YEARS = np.arange(101, dtype=np.float32)

Answers = dict[
    str, F32
]  # probabilities (N, K) by what they tell; NaN where no face was found


@dataclass(frozen=True)
class Sample:
    """One picture as it is in its set, and its labels."""

    picture: U8
    labels: dict[str, object]


def samples_of(data: Path, name: str) -> list[Sample]:
    """The val part of a set."""
    return list(ferplus(data) if name == "ferplus" else from_tar(data, name))


def from_tar(data: Path, name: str) -> Iterator[Sample]:
    with tarfile.open(data / f"{name}.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    for row in csv.DictReader(io.StringIO(files["labels.csv"].decode())):
        if row["split"] == "val":
            labels: dict[str, object] = {
                key: row[key] for key in ("race", "emotion", "origin") if key in row
            }
            if "age" in row:
                labels |= {
                    "age": float(row["age"]),
                    "female": row["gender"] in ("F", "female"),
                }
            yield Sample(decode(files[row["file"]]), labels)


def ferplus(data: Path) -> Iterator[Sample]:
    """Those on which the crowd agrees by FER+'s own rule."""
    with np.load(data / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = (
            npz["jpeg"].tobytes(),
            npz["offsets"],
            npz["votes"],
            npz["split"],
        )
    for i in np.flatnonzero((split == "val") & majority(votes.astype(int))):
        picture = decode(jpeg[offsets[i] : offsets[i + 1]])
        large = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        yield Sample(large, {"emotion": EMOTION.labels[int(votes[i, :8].argmax())]})


def majority(votes: np.ndarray) -> np.ndarray:
    """FER+'s rule (Barsoum et al. 2016): single votes dropped, then more than half agree on one of the eight."""
    kept = np.where(votes <= 1, 0, votes)
    return (kept.argmax(axis=1) < 8) & (2 * kept.max(axis=1) > kept.sum(axis=1))


def decode(jpeg: bytes) -> U8:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


# --- changes after which the answer should be the same ---------------------------------------------------------------


def mirror(picture: U8) -> U8:
    return np.ascontiguousarray(picture[:, ::-1])


def half(picture: U8) -> U8:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def grey(picture: U8) -> U8:
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def jpeg_50(picture: U8) -> U8:
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 50])
    return decode(code.tobytes())


CHANGES: dict[str, Callable[[U8], U8]] = {
    "mirror": mirror,
    "half size": half,
    "grey": grey,
    "JPEG 50": jpeg_50,
}


def pad(picture: U8) -> U8:
    """The picture with half its side around it, the made-up part blurred so that no second face appears."""
    h, w = picture.shape[:2]
    padded = cv2.copyMakeBorder(
        picture, h // 2, h // 2, w // 2, w // 2, cv2.BORDER_REPLICATE
    )
    blurred = cv2.blur(padded, (w // 12 | 1, h // 12 | 1))
    blurred[h // 2 : h // 2 + h, w // 2 : w // 2 + w] = picture
    return blurred


# --- the two paths ---------------------------------------------------------------------------------------------------


class Finder:
    """Detector and aligner: the two views (2, 150, 150, 3) of the face in the middle of a picture, or None."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.aligner = Aligner.load(detector.aligns_by)

    def __call__(self, picture: U8) -> U8 | None:
        padded = pad(picture)
        faces = central(self.detector(padded), padded.shape[0])
        if not len(faces):
            return None
        chips, faces = self.aligner(padded, faces)
        return np.concatenate([chips, self.aligner.mirrored(padded, faces)])


def central(faces: Faces, side: int) -> Faces:
    """The surest face near the middle, or none."""
    offset = np.abs((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - side / 2).max(
        axis=1
    )
    return faces[np.flatnonzero(offset < MIDDLE * side)[:1]]


class Telling:
    """The networks that are compared, one ResNet for all: what mien ships, and what it shipped before."""

    def __init__(self, before: Path | None, compute: Compute) -> None:
        self.backbone = load_resnet(compute)
        self.traits = TraitHeads.load(compute=compute).model
        self.emotion = EmotionNet.load(compute).model
        self.before = (
            OnnxModel(before.read_bytes(), before.name, compute) if before else None
        )

    @property
    def names(self) -> list[str]:
        return [*(["before"] if self.before else []), ONE, "now"]

    def __call__(self, views: U8) -> dict[str, Answers]:
        maps = self.maps(views)
        each = ask(self.traits, maps) | {"emotion": self.emotion(views)[0]}
        told = {ONE: {key: probs[:1] for key, probs in each.items()}}
        told["now"] = {
            key: probs.mean(axis=0, keepdims=True) for key, probs in each.items()
        }
        if self.before:
            told["before"] = ask(
                self.before, {key: values[:1] for key, values in maps.items()}
            )
        return told

    def maps(self, chips: U8) -> Answers:
        return dict(zip(READ, self.backbone(chips, outputs=READ), strict=True))

    def parts(self, chips: U8) -> dict[str, Callable[[], object]]:
        """What takes time, to be measured."""
        maps = self.maps(chips)
        parts = {
            "dlib's ResNet": lambda: self.backbone(chips, outputs=READ),
            "age and gender, heads": lambda: ask(self.traits, maps),
            "emotion network": lambda: self.emotion(chips),
        }
        if self.before:
            parts["before: heads"] = lambda: ask(self.before, maps)
        return parts


def ask(heads: OnnxModel, maps: Answers) -> Answers:
    """What they tell; NaN for what only others tell."""
    names = [name for name in SIZES if name in heads.outputs]
    told = dict(
        zip(
            names,
            heads(*(maps[name] for name in heads.inputs), outputs=names),
            strict=True,
        )
    )
    rows = len(told[names[0]])
    return {
        key: np.full((rows, size), np.nan, np.float32) for key, size in SIZES.items()
    } | told


def answers_of(tell: Telling, faces: list[U8 | None]) -> dict[str, Answers]:
    """The answers to all faces by who gives them; NaN for those that were missed."""
    rows = [None if views is None else tell(views) for views in faces]
    blank = {key: np.full((1, size), np.nan, np.float32) for key, size in SIZES.items()}
    return {
        which: {
            key: np.concatenate(
                [blank[key] if r is None else r[which][key] for r in rows]
            )
            for key in SIZES
        }
        for which in tell.names
    }


# --- scores ----------------------------------------------------------------------------------------------------------


def people_table(
    answers: Answers, samples: list[Sample]
) -> dict[str, dict[str, float]]:
    ages = np.array([s.labels["age"] for s in samples])
    female = np.array([s.labels["female"] for s in samples])
    race = np.array([s.labels.get("race", "") for s in samples])
    slices = {"all": np.ones(len(ages), bool), "over 15": ages > 15}
    slices |= {f"{a}-{b}": (ages >= a) & (ages <= b) for a, b in BANDS}
    slices |= {"women": female, "men": ~female}
    slices |= {
        f"{name}, over 15": (race == name) & (ages > 15)
        for name in np.unique(race)
        if name
    }
    return {
        name: people_row(answers, ages, female, rows)
        for name, rows in slices.items()
        if rows.any()
    }


def people_row(
    answers: Answers, ages: np.ndarray, female: np.ndarray, rows: np.ndarray
) -> dict[str, float]:
    probs, gender, truth, woman = (
        answers["age"][rows],
        answers["gender"][rows],
        ages[rows],
        female[rows],
    )
    found = ~np.isnan(probs[:, 0])
    off = (probs @ YEARS - truth)[found]
    said = gender[:, 0] > 0.5
    right = (said == woman) & found
    group, said_group = (
        np.searchsorted(AGE_GROUPS.starts, x, side="right")
        for x in (truth, probs @ YEARS)
    )
    apart = np.where(found, np.abs(group - said_group), 99)
    return {
        "n": len(truth),
        "found": float(found.mean()),
        "years off": float(np.abs(off).mean()),
        "bias": float(off.mean()),
        "group": float((apart == 0).mean()),
        "group ± 1": float((apart <= 1).mean()),
        "in the interval": float(within(probs[found], truth[found]).mean()),
        "gender": float(right.mean()),
        "women right": float(right[woman].mean()) if woman.any() else float("nan"),
        "men right": float(right[~woman].mean()) if (~woman).any() else float("nan"),
        "ECE": calibration_error(gender[found].max(axis=1), right[found]),
    }


def within(probs: F32, truth: np.ndarray) -> np.ndarray:
    """Whether the age lies between the tenth and the ninetieth hundredth of its distribution."""
    edges = np.concatenate([[0], np.arange(100) + 0.5, [100]])
    upto = np.concatenate([np.zeros((len(probs), 1)), np.cumsum(probs, axis=1)], axis=1)
    ends = np.array(
        [np.interp((0.1, 0.9), row / row[-1], edges) for row in upto]
    ).reshape(-1, 2)
    return (truth >= np.round(ends[:, 0])) & (truth <= np.round(ends[:, 1]))


def calibration_error(confidence: F32, right: np.ndarray) -> float:
    """ECE: the mean gap of confidence and accuracy over equally wide bins, weighted by their size."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(float(confidence[bins == b].sum() - right[bins == b].sum()))
        for b in range(BINS)
    ]
    return sum(gaps) / max(1, len(right))


def emotion_table(answers: Answers, samples: list[Sample]) -> dict[str, object]:
    truth = np.array([EMOTION.labels.index(s.labels["emotion"]) for s in samples])
    probs = answers["emotion"]
    found = ~np.isnan(probs[:, 0])
    said = np.where(found, np.nan_to_num(probs).argmax(axis=1), 8)
    confusion = np.zeros((8, 9), int)
    np.add.at(confusion, (truth, said), 1)
    there = confusion.sum(axis=1) > 0
    right = said == truth
    return {
        "n": len(truth),
        "found": float(found.mean()),
        "accuracy": float(right.mean()),
        "mean recall": float(
            (confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1))[there].mean()
        ),
        "ECE": calibration_error(probs[found].max(axis=1), right[found]),
        "confusion": confusion.tolist(),
    }


def sure_table(answers: Answers, samples: list[Sample]) -> dict[str, dict[str, float]]:
    """How often something is said without doubt, and how often that is right."""
    truths = {
        "gender": [
            {True: 0, False: 1}.get(s.labels.get("female"), -1) for s in samples
        ],
        "emotion": [
            EMOTION.labels.index(s.labels["emotion"]) if "emotion" in s.labels else -1
            for s in samples
        ],
    }
    table = {}
    for attribute in (GENDER, EMOTION):
        truth, probs = np.array(truths[attribute.name]), answers[attribute.name]
        known = (truth >= 0) & ~np.isnan(probs[:, 0])
        if known.any():
            sure = probs[known].max(axis=1) >= attribute.sure_from
            right = probs[known].argmax(axis=1) == truth[known]
            table[attribute.name] = {
                "said": float(sure.mean()),
                "right of these": float(right[sure].mean()),
            }
    return table


def agreement(one: Answers, other: Answers) -> dict[str, float]:
    """How alike the answers to two pictures of the same faces are, where both are found."""
    both = ~np.isnan(one["age"][:, 0]) & ~np.isnan(other["age"][:, 0])
    told = [key for key in ("gender", "emotion") if not np.isnan(one[key]).all()]
    same = {
        key: one[key][both].argmax(axis=1) == other[key][both].argmax(axis=1)
        for key in told
    }
    apart = np.abs((one["age"][both] - other["age"][both]) @ YEARS)
    return {
        "both found": float(both.mean()),
        **{
            key: float(same[key].mean()) if key in same else float("nan")
            for key in ("gender", "emotion")
        },
        "years": float(apart.mean()),
    }


# --- the run ---------------------------------------------------------------------------------------------------------


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    keys = list(next(iter(rows.values())))
    print(f"\n{title}\n\n| |", " | ".join(keys), "|\n|---|" + "---|" * len(keys))
    for name, row in rows.items():
        print(f"| {name} |", " | ".join(cell(k, row[k]) for k in keys), "|")


def cell(key: str, value: float) -> str:
    if key == "n":
        return str(value)
    if np.isnan(value):
        return ""
    return (
        f"{value:.2f}"
        if key in ("years off", "bias", "years", "ms a face", "ms of 16")
        else f"{value:.1%}"
    )


def show_emotion(title: str, table: dict[str, object]) -> None:
    print(
        f"\n{title}:",
        {
            k: round(v, 4) if isinstance(v, float) else v
            for k, v in table.items()
            if k != "confusion"
        },
    )
    print(
        "\n| label \\ said |",
        " | ".join(EMOTION.labels),
        "| missed | recall |\n|---|" + "---|" * 10,
    )
    for i, (name, row) in enumerate(
        zip(EMOTION.labels, table["confusion"], strict=True)
    ):
        if sum(row):
            print(
                f"| {name} |", " | ".join(map(str, row)), f"| {row[i] / sum(row):.0%} |"
            )


def report(tell: Telling, find: Finder, samples: list[Sample]) -> dict[str, object]:
    reports: dict[str, object] = {}
    for which, answers in answers_of(tell, [find(s.picture) for s in samples]).items():
        if "age" in samples[0].labels:
            reports[f"{which} people"] = people_table(answers, samples)
            show(f"### {which}: age and gender", reports[f"{which} people"])
        if "emotion" in samples[0].labels and not np.isnan(answers["emotion"]).all():
            reports[f"{which} emotion"] = emotion_table(answers, samples)
            show_emotion(f"### {which}: emotion", reports[f"{which} emotion"])
        if which == "now":
            reports["sure"] = sure_table(answers, samples)
            show("### now: said without doubt", reports["sure"])
    return reports


def consistency(
    tell: Telling, find: Finder, samples: list[Sample]
) -> dict[str, dict[str, float]]:
    first = answers_of(tell, [find(s.picture) for s in samples])
    table = {}
    for name, change in CHANGES.items():
        changed = answers_of(tell, [find(change(s.picture)) for s in samples])
        table |= {
            f"{which}, {name}": agreement(first[which], changed[which])
            for which in tell.names
        }
    return table


def timing(tell: Telling, chips: U8) -> dict[str, dict[str, float]]:
    """Milliseconds a face, alone and in a batch: the least of many turns, in turns."""
    runs = {"ms a face": tell.parts(chips[:1]), "ms of 16": tell.parts(chips[:16])}
    best = {part: dict.fromkeys(runs, np.inf) for part in runs["ms a face"]}
    for _ in range(40):
        for column, parts in runs.items():
            for part, run in parts.items():
                start = time.perf_counter()
                run()
                spent = (
                    (time.perf_counter() - start)
                    * 1e3
                    / (1 if column == "ms a face" else len(chips[:16]))
                )
                best[part][column] = min(best[part][column], spent)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--before", type=Path, help="an older attributes.onnx to compare with"
    )
    parser.add_argument("--detector", default="compact")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument(
        "--limit", type=int, help="that many faces of each set, drawn at random, seeded"
    )
    parser.add_argument(
        "--changes",
        type=int,
        default=100,
        help="faces of each set for the changes; 0 leaves them out",
    )
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    compute = Compute("cpu", 1)
    find, tell = (
        Finder(load_detector(args.detector, compute=compute)),
        Telling(args.before, compute),
    )
    reports, some = {}, []
    for name in args.sets:
        samples = draw(samples_of(args.data, name), args.limit)
        print(f"\n## {name}: {len(samples)} faces", flush=True)
        reports[name] = report(tell, find, samples)
        some += draw(samples, args.changes)
    if args.changes:
        reports["changes"] = consistency(tell, find, some)
        show(
            f"## Agreement with the unchanged picture, {len(some)} faces of all sets",
            reports["changes"],
        )
    views = [find(s.picture) for s in samples[:40]]
    reports["time"] = timing(
        tell, np.concatenate([chips[:1] for chips in views if chips is not None][:16])
    )
    show("## Time, one thread", reports["time"])
    if args.output:
        args.output.write_text(json.dumps(reports, indent=1))


def draw(samples: list[Sample], limit: int | None) -> list[Sample]:
    if limit is None or limit >= len(samples):
        return samples
    rows = np.random.default_rng(0).choice(len(samples), limit, replace=False)
    return [samples[i] for i in sorted(rows)]


if __name__ == "__main__":
    main()
