"""The training sets as pictures and labels, and the split that every later step keeps to.

Parts: "train", "held" (a twentieth of the official train part, chosen by hash: early choices, calibration) and "test"
(the official val part: looked at for the reported numbers only). What a set does not label is -1 (NaN for ages).
"""

from __future__ import annotations

import csv
import io
import itertools
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

cv2.setNumThreads(1)  # the steps run as several processes

EMOTIONS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)
GENDERS = ("female", "male")
RACES = ("Asian", "Black", "Indian", "Other", "White")
SETS = ("utkface", "ferplus", "affect", "aaf", "portraits")
NETWORKS = ("attributes", "emotion")  # the files that the recipe makes
UPSCALE = {
    "ferplus": 3
}  # 48-pixel faces are enlarged before detection, as any small face would be


@dataclass(frozen=True)
class FaceSet:
    """One data set: JPEG bytes per picture and label columns (N,) or (N, 8)."""

    jpegs: list[bytes]
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.jpegs)


def read(folder: Path, name: str) -> FaceSet:
    """A set by its name, with the columns part, age, age_pm, gender, race, votes (N, 8), origin."""
    return read_ferplus(folder) if name == "ferplus" else read_tar(folder, name)


def read_tar(folder: Path, name: str) -> FaceSet:
    with tarfile.open(folder / f"{name}.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    rows = list(csv.DictReader(io.StringIO(files["labels.csv"].decode())))
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    keys = [f"{name}/{file}" for file in columns["file"]]
    labels = _unknown(len(rows)) | {"part": _parts(keys, columns["split"])}
    if "age" in columns:
        labels["age"] = np.array(columns["age"], np.float32)
        labels["age_pm"] = np.array(columns.get("age_pm", [0] * len(rows)), np.float32)
        labels["gender"] = np.array(
            [int(g in ("M", "male")) for g in columns["gender"]]
        )
    if "race" in columns:
        labels["race"] = np.array([RACES.index(r) for r in columns["race"]])
    if "emotion" in columns:
        labels["votes"] = np.eye(8, dtype=np.float32)[
            [EMOTIONS.index(e) for e in columns["emotion"]]
        ]
        labels["origin"] = np.array([1 + (o == "FFHQ") for o in columns["origin"]])
    return FaceSet([files[file] for file in columns["file"]], labels)


def read_ferplus(folder: Path) -> FaceSet:
    """Grey faces with FER+'s votes over the eight emotions; "unknown" and "not a face" are left out of the sum."""
    with np.load(folder / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = (
            npz["jpeg"].tobytes(),
            npz["offsets"],
            npz["votes"],
            npz["split"],
        )
    jpegs = [jpeg[a:b] for a, b in itertools.pairwise(offsets)]
    keys = [f"ferplus/{i}" for i in range(len(jpegs))]
    labels = _unknown(len(jpegs)) | {
        "part": _parts(keys, split),
        "votes": votes[:, :8].astype(np.float32),
    }
    labels["doubtful"] = votes[:, 8:].astype(np.float32).sum(axis=1)
    labels["origin"] = np.zeros(len(jpegs), int)
    return FaceSet(jpegs, labels)


def _unknown(count: int) -> dict[str, np.ndarray]:
    return {
        "age": np.full(count, np.nan, np.float32),
        "age_pm": np.zeros(count, np.float32),
        "gender": np.full(count, -1),
        "race": np.full(count, -1),
        "votes": np.zeros((count, 8), np.float32),
        "doubtful": np.zeros(count, np.float32),
        "origin": np.full(count, -1),
    }


def _parts(keys: list[str], split: list[str] | np.ndarray) -> np.ndarray:
    held = [zlib.crc32(key.encode()) % 20 == 0 for key in keys]
    return np.array(
        [
            "test" if s == "val" else "held" if h else "train"
            for s, h in zip(split, held, strict=True)
        ]
    )


def picture(jpeg: bytes, name: str) -> np.ndarray:
    """A picture of a set (H, W, 3) uint8 BGR, small ones enlarged."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    factor = UPSCALE.get(name, 1)
    return (
        image
        if factor == 1
        else cv2.resize(
            image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC
        )
    )


def pad(image: np.ndarray) -> np.ndarray:
    """The picture with half its side around it, the made-up part blurred so that no second face appears."""
    h, w = image.shape[:2]
    padded = cv2.copyMakeBorder(
        image, h // 2, h // 2, w // 2, w // 2, cv2.BORDER_REPLICATE
    )
    blurred = cv2.blur(padded, (w // 12 | 1, h // 12 | 1))
    blurred[h // 2 : h // 2 + h, w // 2 : w // 2 + w] = image
    return blurred
