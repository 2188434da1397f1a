"""How well unknown faces are grouped: pairwise precision and recall on CACD-VS and on the fixtures' persons.

    python benchmarks/unknown.py --output unknown.json

CACD-VS gives 2,000 pairs of photos of one person each (large age gaps) in ten folds of different persons, so that the
truth is: the two photos of a pair are one person, all others are strangers (the few persons who are in two pairs count
against us). The reach was chosen on folds 0 to 4 (the first table); folds 5 to 9 are the report:

- all pairs: precision and recall over every two photos of the part (2 million);
- labelled pairs: over the 2,000 pairs of the part that CACD-VS labels, same or different;
- shown groups: each photo is joined by its mirror image, so that a person has four faces, and only what a user is shown
  counts, groups of at least three faces; over all pairs of different photos.

Then the faces go into a database one by one, in a random order, and the result is compared with grouping all at once
(adjusted Rand index; 1 is the same).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pairs import central, unpacked

from mien.gallery.unknown import LEAST_FACES, KeptFaces, Sighting, UnknownFaces, group
from mien.media import images
from mien.pipeline import Analyzer
from mien.types import F32, I64
from mien.zoo import DLIB

REACHES = (0.46, 0.48, 0.50, 0.51, 0.52, 0.53, 0.54, 0.56)


@dataclass(frozen=True)
class Photos:
    """One face per photo: its descriptor and that of its mirror image, whose it is, and the fold."""

    files: list[str]
    plain: F32
    mirrored: F32
    persons: I64
    folds: I64

    def __getitem__(self, chosen: np.ndarray) -> Photos:
        files = [file for file, take in zip(self.files, chosen, strict=True) if take]
        return Photos(
            files,
            self.plain[chosen],
            self.mirrored[chosen],
            self.persons[chosen],
            self.folds[chosen],
        )


def describe(files: list[Path]) -> tuple[list[int], F32, F32]:
    """Which files show a face, and the descriptors of the face nearest the centre and of its mirror image."""
    analyzer = Analyzer(only=["identity"], threads=1)
    rows = []
    for i, file in enumerate(files):
        both = []
        image = images.read_image(file)
        for picture in (image, np.ascontiguousarray(image[:, ::-1])):
            faces = analyzer.detector(picture)
            if len(faces):
                chosen = faces[central(faces.boxes, picture)]
                both.append(analyzer.backbone(picture, chosen).embeddings[0])
        if len(both) == 2:
            rows.append((i, *both))
    return (
        [i for i, _, _ in rows],
        np.stack([a for _, a, _ in rows]),
        np.stack([b for _, _, b in rows]),
    )


def cacd(root: Path, pairs: list[dict[str, str]]) -> Photos:
    same = [pair for pair in pairs if pair["same"] == "1"]
    owner: dict[str, tuple[int, int]] = {}
    for person, pair in enumerate(same):
        for key in ("file_a", "file_b"):
            owner.setdefault(pair[key], (person, int(pair["fold"])))
    files = sorted(owner)
    there, plain, mirrored = describe([root / file for file in files])
    files = [files[i] for i in there]
    truth = np.array([owner[file] for file in files], np.int64)
    return Photos(files, plain, mirrored, truth[:, 0], truth[:, 1])


def fixtures(folder: Path) -> Photos:
    files = sorted(
        path for path in folder.iterdir() if re.search(r"_[A-Z]$", path.stem)
    )
    there, plain, mirrored = describe(files)
    files = [files[i] for i in there]
    persons = np.array([ord(file.stem[-1]) for file in files], np.int64)
    return Photos(
        [file.name for file in files],
        plain,
        mirrored,
        persons,
        np.zeros(len(files), np.int64),
    )


def grouped(embeddings: F32, photos: list[str], reach: float) -> I64:
    blank = [""] * len(photos)
    return group(KeptFaces(embeddings, photos, blank, blank), reach=reach)


def over_all(
    labels: I64, persons: I64, counts: np.ndarray | None = None
) -> tuple[float, float]:
    """Pairwise precision and recall over every two faces, or those that `counts` (N, N) marks."""
    together, same = labels[:, None] == labels[None], persons[:, None] == persons[None]
    among = np.triu(np.ones_like(same), 1) if counts is None else np.triu(counts, 1)
    right = (together & same & among).sum()
    return float(right / max(1, (together & among).sum())), float(
        right / max(1, (same & among).sum())
    )


def over_labelled(
    labels: I64, photos: Photos, pairs: list[dict[str, str]]
) -> tuple[float, float]:
    at = dict(zip(photos.files, labels, strict=True))
    known = [pair for pair in pairs if pair["file_a"] in at and pair["file_b"] in at]
    together = np.array([at[pair["file_a"]] == at[pair["file_b"]] for pair in known])
    same = np.array([pair["same"] == "1" for pair in known])
    return float((together & same).sum() / max(1, together.sum())), float(
        (together & same).sum() / max(1, same.sum())
    )


def over_shown(photos: Photos, reach: float) -> tuple[float, float]:
    """With mirror images, counting groups that are shown only."""
    files = [*photos.files, *(f"mirrored {file}" for file in photos.files)]
    labels = grouped(np.concatenate([photos.plain, photos.mirrored]), files, reach)
    small = np.bincount(labels)[labels] < LEAST_FACES
    labels[small] = labels.max() + 1 + np.arange(small.sum())
    number = np.tile(np.arange(len(photos.files)), 2)
    return over_all(labels, np.tile(photos.persons, 2), number[:, None] != number[None])


def rand_index(a: I64, b: I64) -> float:
    """The adjusted Rand index of two groupings."""

    def two(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    _, ia = np.unique(a, return_inverse=True)
    _, ib = np.unique(b, return_inverse=True)
    both = two(np.unique(ia * (ib.max() + 1) + ib, return_counts=True)[1])
    alone_a, alone_b, everything = (
        two(np.bincount(ia)),
        two(np.bincount(ib)),
        len(a) * (len(a) - 1) / 2,
    )
    expected, most = alone_a * alone_b / everything, (alone_a + alone_b) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def one_by_one(photos: Photos) -> tuple[float, float]:
    """The adjusted Rand index of faces kept one by one with all at once, and milliseconds per face."""
    order = np.random.default_rng(0).permutation(len(photos.files))
    with tempfile.TemporaryDirectory() as folder:
        unknown = UnknownFaces(
            Path(folder) / "unknown.db", space=replace(DLIB, name="benchmark")
        )
        now = unknown.clock()
        start = time.perf_counter()
        for i in order:
            unknown.add(
                [
                    Sighting(
                        photos.plain[i],
                        photos.files[i],
                        photos.files[i],
                        now,
                        now + 86_400,
                    )
                ]
            )
        took = time.perf_counter() - start
        groups = {
            face.source: number
            for number, g in enumerate(unknown.groups(least=1))
            for face in g.faces
        }
        unknown.close()
    labels = np.array([groups[file] for file in photos.files])
    return rand_index(
        labels, grouped(photos.plain, photos.files, DLIB.linkage)
    ), 1000 * took / len(order)


def report(name: str, precision: float, recall: float) -> dict[str, float]:
    print(f"{name:42} precision {precision:.4f}  recall {recall:.4f}")
    return {"precision": precision, "recall": recall}


def measure(
    photos: Photos, pairs: list[dict[str, str]], persons: Photos
) -> dict[str, object]:
    choosing, reporting = photos[photos.folds < 5], photos[photos.folds >= 5]
    found: dict[str, object] = {"reach": DLIB.linkage, "photos": len(reporting.files)}
    print(f"folds 0-4, {len(choosing.files)} photos, all pairs:")
    found["choosing"] = {
        reach: report(
            f"  reach {reach}",
            *over_all(grouped(choosing.plain, choosing.files, reach), choosing.persons),
        )
        for reach in REACHES
    }
    print(
        f"folds 5-9, {len(reporting.files)} photos, at the default of {DLIB.linkage}:"
    )
    labels = grouped(reporting.plain, reporting.files, DLIB.linkage)
    found["all pairs"] = report("  all pairs", *over_all(labels, reporting.persons))
    found["labelled pairs"] = report(
        "  labelled pairs", *over_labelled(labels, reporting, pairs)
    )
    found["shown groups"] = report(
        "  shown groups (with mirror images)", *over_shown(reporting, DLIB.linkage)
    )
    labels = grouped(persons.plain, persons.files, DLIB.linkage)
    found["fixtures"] = report(
        f"fixtures, {len(persons.files)} photos, all pairs",
        *over_all(labels, persons.persons),
    )
    rand, took = one_by_one(reporting)
    print(
        f"one by one against all at once: adjusted Rand {rand:.4f}; {took:.1f} ms per face kept"
    )
    return {**found, "adjusted_rand": rand, "ms_per_face": took}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared"))
    parser.add_argument(
        "--data",
        type=Path,
        default=shared / "data" / "cacd_vs.tar",
        help="cacd_vs.tar, or its folder",
    )
    parser.add_argument("--fixtures", type=Path, default=shared / "fixtures" / "photos")
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        help="take every Nth pair only, for a quick look",
    )
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    arguments = parser.parse_args()
    root = unpacked(arguments.data)
    with (root / "pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))[:: arguments.every]
    results = measure(cacd(root, pairs), pairs, fixtures(arguments.fixtures))
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
