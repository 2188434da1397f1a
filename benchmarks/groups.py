"""Wrong names by group: how often strangers of one group are taken for one person at the default tolerance.

    python benchmarks/groups.py --output groups.json

CACD-VS says nothing of who looks how, so an estimate does: a linear model on the descriptors, trained here from the
labels of UTKFace (gender, and what its makers call race), never shipped, and no better than these labels and than its
accuracy on UTKFace's val part, which is printed. A photo counts where the estimate is at least 0.8 sure. Strangers are
photos of two folds; the share of a group's pairs within 0.6 is its false match rate. Of pairs of one person, both sure,
the share farther apart is the false non-match rate. For each group also: the tolerance at which it has the false match
rate that everybody has at the default, and the false non-match rate there. Celebrities: some groups are small, and
their numbers rough.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from open_set import Photos, read
from pairs import central, unpacked
from scipy.optimize import minimize  # comes with scikit-image

from mien.media import images
from mien.pipeline import Analyzer
from mien.types import F32
from mien.zoo import DLIB

SURE = 0.8
PENALTY = 1e-5
LEAST = 100  # photos; of fewer no rates are told
SEED = 4


@dataclass(frozen=True)
class Estimate:
    """A linear model: labels (K,) and weights (D + 1, K)."""

    labels: list[str]
    weights: np.ndarray

    def probs(self, rows: F32) -> np.ndarray:
        """How likely each label is for each row: (N, K)."""
        scores = np.column_stack([rows, np.ones(len(rows))]) @ self.weights
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)


def fit(rows: F32, told: list[str]) -> Estimate:
    """The model that is likeliest to tell these labels, all labels counting the same."""
    labels = sorted(set(told))
    truth = np.array([[label == each for each in labels] for label in told], float)
    weights = (truth / truth.sum(axis=0)).sum(axis=1) / len(labels)
    wide = np.column_stack([rows, np.ones(len(rows))])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scores = wide @ flat.reshape(-1, len(labels))
        logs = scores - scores.max(axis=1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        error = (np.exp(logs) - truth) * weights[:, None]
        value = -(logs * truth).sum(axis=1) @ weights + PENALTY * flat @ flat
        return value, (wide.T @ error).ravel() + 2 * PENALTY * flat

    start = np.zeros(wide.shape[1] * len(labels))
    found = minimize(loss, start, jac=True, method="L-BFGS-B")
    return Estimate(labels, found.x.reshape(-1, len(labels)))


def sample(root: Path, split: str, each: int) -> list[dict[str, str]]:
    """So many faces of each label of race, or all there are."""
    by_label: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (root / "labels.csv").open() as file:
        for row in csv.DictReader(file):
            if row["split"] == split and int(row["age"]) >= 16:
                by_label[row["race"]].append(row)
    rng = np.random.default_rng(SEED)
    return [
        rows[i] for rows in by_label.values() for i in rng.permutation(len(rows))[:each]
    ]


def group_rates(
    photos: Photos, group: np.ndarray, everybody: float | None = None
) -> dict[str, float]:
    """The rates of a group (a mask of photos) at the default tolerance, and the tolerance
    at which it has the false match rate of `everybody`."""
    rows, folds = photos.rows[group], photos.folds[group]
    squares = (rows**2).sum(axis=1)
    squares = squares[:, None] + squares - 2 * rows @ rows.T
    strangers = np.sqrt(np.maximum(squares[folds[:, None] < folds], 0))
    rate = float((strangers <= DLIB.tolerance).mean())
    same = float(np.quantile(strangers, rate if everybody is None else everybody))
    first, second = photos.pairs[group[photos.pairs].all(axis=1)].T
    apart = np.linalg.norm(photos.rows[first] - photos.rows[second], axis=1)
    return {
        "photos": int(group.sum()),
        "stranger_pairs": len(strangers),
        "false_match_rate": rate,
        "pairs_of_one": len(apart),
        "false_non_match_rate": float((apart > DLIB.tolerance).mean()),
        "same_rate_at": same,
        "false_non_match_rate_there": float((apart > same).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared"))
    parser.add_argument("--data", type=Path, default=data / "data")
    parser.add_argument("--each", type=int, default=600, help="faces of each label")
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    arguments = parser.parse_args()
    analyzer = Analyzer(only=["identity"])

    def describe(image) -> F32 | None:
        faces = analyzer.detector(image)
        if not len(faces):
            return None
        chosen = faces[central(faces.boxes, image)]
        return analyzer.backbone(image, chosen).embeddings[0]

    utk = unpacked(arguments.data / "utkface.tar")
    known = {}
    for split, each in (("train", arguments.each), ("val", arguments.each // 4)):
        rows = sample(utk, split, each)
        seen = [describe(images.read_image(utk / row["file"])) for row in rows]
        known[split] = [
            (row, one) for row, one in zip(rows, seen, strict=True) if one is not None
        ]
    photos = read(unpacked(arguments.data / "cacd_vs.tar"), describe)
    results = report(known, photos)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


def told_rightly(estimate: Estimate, rows: F32, told: list[str]) -> tuple[float, float]:
    """The share of faces whose label is told rightly: of all, of those that are sure."""
    probs = estimate.probs(rows)
    said = np.array(estimate.labels)[probs.argmax(axis=1)]
    right = said == np.array(told)
    return float(right.mean()), float(right[probs.max(axis=1) >= SURE].mean())


def report(
    known: dict[str, list[tuple[dict[str, str], F32]]], photos: Photos
) -> dict[str, dict[str, object]]:
    """The rates of each group of each label, printed."""
    results: dict[str, dict[str, object]] = {}
    everybody = np.ones(len(photos.rows), np.bool_)
    of_all = group_rates(photos, everybody)
    results["everybody"] = dict(of_all)
    print("everybody", of_all)
    for key in ("gender", "race"):
        told = {split: [row[key] for row, _ in pairs] for split, pairs in known.items()}
        rows = {s: np.stack([one for _, one in pairs]) for s, pairs in known.items()}
        estimate = fit(rows["train"], told["train"])
        right, of_sure = told_rightly(estimate, rows["val"], told["val"])
        print(
            f"{key}: right for {right:.1%} of UTKFace's val part, {of_sure:.1%} where sure"
        )
        results[key] = {"right": right, "right_where_sure": of_sure}
        probs = estimate.probs(photos.rows)
        for i, label in enumerate(estimate.labels):
            group = probs[:, i] >= SURE
            rates = {"photos": int(group.sum())}
            if rates["photos"] >= LEAST:
                rates = group_rates(photos, group, of_all["false_match_rate"])
            results[key][label] = rates
            print(" ", label, rates)
    return results


if __name__ == "__main__":
    main()
