"""The two training sets as pictures and labels, and the split that every later step keeps to.

Parts: "train", "held" (cut from the official train part: early stopping, temperatures, logit shifts) and "test" (the
official val part: looked at for the reported numbers only).
"""

from __future__ import annotations

import csv
import io
import itertools
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

cv2.setNumThreads(1)  # the steps run as several processes

SEED = 20
VIEWS = 3  # per picture, see views.py
HELD = {"utkface": 1_800, "ferplus": 2_500}
UPSCALE = {"utkface": 1, "ferplus": 3}  # 48-pixel faces are enlarged before detection, as any small face would be


@dataclass(frozen=True)
class FaceSet:
    """One data set: JPEG bytes per picture, `part` (N,) str, label columns (N, ...)."""

    name: str
    jpegs: list[bytes]
    part: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.jpegs)

    def picture(self, i: int) -> np.ndarray:
        """Picture i as it is in the set, (H, W, 3) uint8 BGR."""
        return cv2.imdecode(np.frombuffer(self.jpegs[i], np.uint8), cv2.IMREAD_COLOR)


def read_utkface(folder: Path) -> FaceSet:
    """20,321 faces with age (years), gender (0 female, 1 male) and UTKFace's race label (index into `race_names`)."""
    with tarfile.open(folder / "utkface.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    rows = list(csv.DictReader(io.StringIO(files["labels.csv"].decode())))
    names = sorted({r["race"] for r in rows})
    labels = {
        "age": np.array([int(r["age"]) for r in rows]),
        "gender": np.array([int(r["gender"] == "M") for r in rows]),
        "race": np.array([names.index(r["race"]) for r in rows]),
        "race_names": np.array(names),
    }
    part = _parts("utkface", np.array([r["split"] for r in rows]))
    return FaceSet("utkface", [files[r["file"]] for r in rows], part, labels)


def read_ferplus(folder: Path) -> FaceSet:
    """30,235 grey faces with FER+'s ten vote counts (eight emotions, unknown, not a face)."""
    with np.load(folder / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = npz["jpeg"].tobytes(), npz["offsets"], npz["votes"], npz["split"]
    jpegs = [jpeg[a:b] for a, b in itertools.pairwise(offsets)]
    return FaceSet("ferplus", jpegs, _parts("ferplus", split), {"votes": votes})


def _parts(name: str, split: np.ndarray) -> np.ndarray:
    part = np.where(split == "val", "test", "train").astype("<U5")
    train = np.flatnonzero(part == "train")
    part[np.random.default_rng(SEED).choice(train, HELD[name], replace=False)] = "held"
    return part


READERS = {"utkface": read_utkface, "ferplus": read_ferplus}
