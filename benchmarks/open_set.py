"""How sure a name is: error rates by distance, and strangers and enrolled people at galleries of several sizes.

    python benchmarks/open_set.py --output open_set.json

Every photo of CACD-VS (celebrities, up to ten years apart) is described as a photo is. Folds 0 to 4 give the table of
`ErrorRates` in the zoo: pairs of strangers are all pairs of photos of two folds, pairs of one person the 1,000 that the
set names. Folds 5 to 9 are reported: of each of their 1,000 pairs of one person, one photo is enrolled for half of
the people, the other is looked for; the other half are strangers. Per size of the gallery: how many strangers got a
name, how many of those enrolled got none or somebody else's, at the default tolerance and with `false_names`; and how
often a name was right among those whose probability lies in a tenth. A gallery of 10,000 is filled up with made-up
descriptors of the mean and covariance of the real ones, and is marked so.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pairs import Describe, central, unpacked

from mien.gallery.search import match, told_in
from mien.media import images
from mien.pipeline import Analyzer
from mien.space import ErrorRates
from mien.types import F32, Matches
from mien.zoo import DLIB

DISTANCES = (
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.55,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    1.0,
)
SIZES = (10, 100, 500, 10_000)
SEED = 16


@dataclass(frozen=True)
class Photos:
    """All photos that show a face: descriptors (M, D), folds (M,), and the pairs of one person as rows (P, 2)."""

    rows: F32
    folds: np.ndarray
    pairs: np.ndarray


def read(root: Path, describe: Describe) -> Photos:
    with (root / "pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    fold_of = {
        pair[key]: int(pair["fold"]) for pair in pairs for key in ("file_a", "file_b")
    }
    described = {
        file: describe(images.read_image(root / file)) for file in sorted(fold_of)
    }
    there = {file: row for file, row in described.items() if row is not None}
    number = {file: i for i, file in enumerate(there)}
    named = [(pair["file_a"], pair["file_b"]) for pair in pairs if pair["same"] == "1"]
    kept = [(number[a], number[b]) for a, b in named if a in number and b in number]
    return Photos(
        np.array(list(there.values())),
        np.array([fold_of[file] for file in there]),
        np.array(kept),
    )


def error_rates(photos: Photos) -> list[tuple[float, float, float]]:
    """Distance, false match rate, false non-match rate; folds 0 to 4."""
    early = photos.folds < 5
    rows, folds = photos.rows[early], photos.folds[early]
    squares = (rows**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    strangers = apart[folds[:, None] < folds]
    of_one = pair_distances(photos, early[photos.pairs[:, 0]])
    return [
        (d, float((strangers <= d).mean()), float((of_one > d).mean()))
        for d in DISTANCES
    ]


def pair_distances(photos: Photos, chosen: np.ndarray) -> F32:
    first, second = photos.pairs[chosen].T
    return np.linalg.norm(photos.rows[first] - photos.rows[second], axis=1)


def look_for(
    photos: Photos, people: int, rng: np.random.Generator, *, tolerance: float
) -> tuple[Matches, np.ndarray]:
    """The matches of people of folds 5 to 9, as many enrolled as not, and who each is; -1: a stranger."""
    late = photos.pairs[photos.folds[photos.pairs[:, 0]] >= 5]
    late = late[rng.permutation(len(late))]
    enrolled, strangers = late[: min(people, len(late) // 2)], late[len(late) // 2 :]
    known = photos.rows[enrolled[:, 0]]
    if people > len(enrolled):
        known = np.concatenate([known, made_up(photos, people - len(enrolled), rng)])
    probes = photos.rows[np.concatenate([enrolled[:, 1], strangers[:, 1]])]
    truth = np.concatenate([np.arange(len(enrolled)), np.full(len(strangers), -1)])
    names = [str(i) for i in range(len(known))]
    found = [
        told_in(DLIB, match(probe[None], names, known, tolerance=tolerance))
        for probe in probes
    ]
    joined = Matches(
        tuple(one.names[0] for one in found),
        np.array([one.distances[0] for one in found], np.float32),
        len(known),
        np.array([one.probabilities[0] for one in found], np.float32),
    )
    return joined, truth


def made_up(photos: Photos, count: int, rng: np.random.Generator) -> F32:
    rows = photos.rows[photos.folds >= 5]
    return rng.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), count).astype(
        np.float32
    )


def counted(matches: Matches, truth: np.ndarray) -> dict[str, float]:
    said = np.array([-1 if name is None else int(name) for name in matches.names])
    stranger = truth < 0
    return {
        "strangers": int(stranger.sum()),
        "false_names": int((said[stranger] >= 0).sum()),
        "enrolled": int((~stranger).sum()),
        "missed": int((said[~stranger] < 0).sum()),
        "mistaken": int(((said[~stranger] >= 0) & (said != truth)[~stranger]).sum()),
    }


def reliability(matches: Matches, truth: np.ndarray) -> list[dict[str, float]]:
    """How often names were right by how likely they were said to be, strangers and enrolled counting the same."""
    said = np.array([-1 if name is None else int(name) for name in matches.names])
    weights = np.where(
        truth < 0, 1 / max(1, (truth < 0).sum()), 1 / max(1, (truth >= 0).sum())
    )
    rows = []
    for low, high in ((0, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 1.01)):
        chosen = (
            (said >= 0)
            & (matches.probabilities >= low)
            & (matches.probabilities < high)
        )
        if chosen.any():
            right = np.average((said == truth)[chosen], weights=weights[chosen])
            told = np.average(matches.probabilities[chosen], weights=weights[chosen])
            rows.append(
                {"names": int(chosen.sum()), "said": float(told), "right": float(right)}
            )
    return rows


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
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    arguments = parser.parse_args()
    analyzer = Analyzer(only=["identity"])

    def describe(image):
        faces = analyzer.detector(image)
        return (
            analyzer.backbone(image, faces[central(faces.boxes, image)]).embeddings[0]
            if len(faces)
            else None
        )

    photos = read(unpacked(arguments.data), describe)
    table = error_rates(photos)
    print("folds 0 to 4: distance, false match rate, false non-match rate")
    for row in table:
        print(f"  {row[0]:.2f}  {row[1]:.2e}  {row[2]:.3f}")
    results = {"error_rates": table, "open_set": by_size(photos, DLIB.rates)}
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


def by_size(photos: Photos, rates: ErrorRates) -> list[dict[str, object]]:
    rows = []
    for people in SIZES:
        for way in ("default", 0.01, 0.001):
            tolerance = (
                DLIB.tolerance if way == "default" else rates.tolerance(way, people)
            )
            matches, truth = look_for(
                photos, people, np.random.default_rng(SEED), tolerance=tolerance
            )
            row = {
                "people": people,
                "made_up": people > 500,
                "way": way,
                "tolerance": tolerance,
            }
            row |= counted(matches, truth)
            print(row)
            if way == "default":
                row["reliability"] = reliability(matches, truth)
                print("  probability said and right:", row["reliability"])
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
