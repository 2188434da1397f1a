"""What "this is not X" mends and what it costs: names given to strangers anew, and right names lost.

    python benchmarks/not_them.py --output not_them.json

Of CACD-VS's pairs of one person, half are enrolled by one photo in a gallery of 500, the other half are strangers. The
first photo of each stranger is looked for; of every name that it gets, it becomes a counter-example. Then the second
photos are looked for, often years apart. Of the strangers who get that name again without counter-examples: how many
get it with them. Of the people with counter-examples whose second photo was named rightly: how many are not any more.
Folds 0 to 4 chose the rule (`--same`, `--nearer`: others), 5 to 9 are reported.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from open_set import Photos, read
from pairs import central, unpacked

from mien.gallery import counter
from mien.gallery.search import match
from mien.pipeline import Analyzer
from mien.types import F32
from mien.zoo import DLIB

PEOPLE = 500
ROUNDS = 6  # each with others enrolled


def mended(photos: Photos, *, late: bool) -> dict[str, int]:
    """The counts of some rounds over half of the folds."""
    total: dict[str, int] = {}
    for seed in range(ROUNDS):
        for key, count in one_round(photos, late, np.random.default_rng(seed)).items():
            total[key] = total.get(key, 0) + count
    return total


def one_round(photos: Photos, late: bool, rng: np.random.Generator) -> dict[str, int]:
    pairs = photos.pairs[(photos.folds[photos.pairs[:, 0]] >= 5) == late]
    pairs = pairs[rng.permutation(len(pairs))]
    enrolled, strangers = pairs[:PEOPLE], pairs[len(pairs) // 2 :]
    gallery = photos.rows[enrolled[:, 0]]
    nothing = counter.CounterRows([], np.zeros((0, DLIB.size), np.float32))
    first = named(gallery, photos.rows[strangers[:, 0]], nothing)
    denied = np.flatnonzero(first >= 0)
    said = counter.CounterRows(
        [str(first[i]) for i in denied], photos.rows[strangers[denied, 0]]
    )
    seconds = photos.rows[strangers[:, 1]], photos.rows[enrolled[:, 1]]
    again = (named(gallery, seconds[0], nothing) == first) & (first >= 0)
    still = again & (named(gallery, seconds[0], said) == first)
    truth = np.arange(len(enrolled))
    right = named(gallery, seconds[1], nothing) == truth
    right &= np.isin(truth, first[denied])
    kept = right & (named(gallery, seconds[1], said) == truth)
    return {
        "counter_examples": len(denied),
        "named_so_again": int(again.sum()),
        "of_those_repaired": int(again.sum() - still.sum()),
        "named_rightly": int(right.sum()),
        "of_those_lost": int(right.sum() - kept.sum()),
    }


def named(gallery: F32, probes: F32, said: counter.CounterRows) -> np.ndarray:
    """Whom each of many pictures of one face is taken for (N,); -1: nobody."""
    names = [str(i) for i in range(len(gallery))]
    limit = np.array([DLIB.tolerance], np.float32)
    found = []
    for probe in probes[:, None]:
        stricter = said.stricter(probe, limit, DLIB)
        matches = match(probe, names, gallery, tolerance=limit, stricter=stricter)
        found.append(-1 if matches.names[0] is None else int(matches.names[0]))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared"))
    data = shared / "data" / "cacd_vs.tar"
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--same", type=float, default=counter.SAME)
    parser.add_argument("--nearer", type=float, default=counter.NEARER)
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    arguments = parser.parse_args()
    counter.SAME, counter.NEARER = arguments.same, arguments.nearer
    analyzer = Analyzer(only=["identity"])

    def describe(image):
        faces = analyzer.detector(image)
        if not len(faces):
            return None
        return analyzer.backbone(image, faces[central(faces.boxes, image)]).embeddings[
            0
        ]

    photos = read(unpacked(arguments.data), describe)
    results = {
        "folds 0 to 4": mended(photos, late=False),
        "folds 5 to 9": mended(photos, late=True),
    }
    print(json.dumps(results, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
