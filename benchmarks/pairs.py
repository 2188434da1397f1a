"""Who-is-who accuracy of whole paths, photo to decision, on the 4,000 pairs of CACD-VS (large age gaps).

    python benchmarks/pairs.py --detectors compact,yunet --output pairs.json

For each path: 10-fold accuracy (the threshold is chosen on nine folds, scored on the tenth), the threshold, the
accuracy at the default tolerance, and photos without a face (a pair with such a photo counts as decided "different").
Beside ours runs dlib's own path in the same run: its HOG detector (upsampled once), five points, chip and network, from
the dlib-bin wheel.
The pairs were not used to train or choose anything that decides who is who.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mien import images, zoo
from mien.models.trunk import load_resnet
from mien.pipeline import Analyzer
from mien.types import F32, U8

Describe = Callable[[U8], "F32 | None"]
TOLERANCE = 0.6


def mien_path(detector: str) -> Describe:
    analyzer = Analyzer(detector=detector, only=["identity"], threads=1)

    def describe(image: U8) -> F32 | None:
        faces = analyzer.detector(image)
        if not len(faces):
            return None
        return analyzer.trunk(image, faces[central(faces.boxes, image)]).embeddings[0]

    return describe


def dlib_path() -> Describe:
    import dlib

    from mien import store

    files = [str(store.path_of(zoo.spec_of(name))) for name in ("dlib_landmarks_5", "dlib_resnet")]
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(files[0])
    network = dlib.face_recognition_model_v1(files[1])

    def describe(image: U8) -> F32 | None:
        rgb = np.ascontiguousarray(image[..., ::-1])
        found = detector(rgb, 1)
        if not found:
            return None
        boxes = np.array([[r.left(), r.top(), r.right(), r.bottom()] for r in found], np.float32)
        rectangle = found[int(central(boxes, image)[0])]
        return np.array(network.compute_face_descriptor(rgb, predictor(rgb, rectangle)), np.float32)

    return describe


def central(boxes: F32, image: U8) -> np.ndarray:
    """The index of the box nearest the picture's centre: the person the photo is of."""
    centre = np.array([image.shape[1], image.shape[0]]) / 2
    return np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - centre).sum(axis=1).argmin(keepdims=True)


def folds_accuracy(distances: F32, same: np.ndarray, folds: np.ndarray) -> tuple[float, float, float]:
    """10-fold accuracy, its standard deviation over folds, and the mean of the chosen thresholds."""
    candidates = np.arange(0.3, 0.9, 0.002)
    right = (distances[:, None] <= candidates) == same[:, None]
    scores, chosen = [], []
    for fold in np.unique(folds):
        best = right[folds != fold].mean(axis=0).argmax()
        scores.append(right[folds == fold, best].mean())
        chosen.append(candidates[best])
    return float(np.mean(scores)), float(np.std(scores)), float(np.mean(chosen))


def measure(describe: Describe, root: Path, pairs: list[dict[str, str]]) -> dict[str, float]:
    files = sorted({pair[key] for pair in pairs for key in ("file_a", "file_b")})
    start = time.perf_counter()
    rows = {file: describe(images.read_image(root / file)) for file in files}
    seconds = time.perf_counter() - start
    found = [(rows[pair["file_a"]], rows[pair["file_b"]]) for pair in pairs]
    distances = np.array([2.0 if a is None or b is None else np.linalg.norm(a - b) for a, b in found], np.float32)
    same = np.array([pair["same"] == "1" for pair in pairs])
    accuracy, deviation, threshold = folds_accuracy(distances, same, np.array([pair["fold"] for pair in pairs]))
    return {
        "accuracy": accuracy,
        "deviation": deviation,
        "threshold": threshold,
        "accuracy_at_0.6": float(((distances <= TOLERANCE) == same).mean()),
        "without_face": sum(row is None for row in rows.values()),
        "ms_per_photo": 1000 * seconds / len(files),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[2] / "shared"))
    parser.add_argument("--data", type=Path, default=shared / "data" / "cacd_vs.tar", help="cacd_vs.tar, or its folder")
    parser.add_argument("--detectors", default="compact,mmod", help="our paths, by detector")
    parser.add_argument("--no-dlib", action="store_true", help="leave dlib's own path out")
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    arguments = parser.parse_args()
    root = unpacked(arguments.data)
    with (root / "pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    load_resnet()
    paths = {f"mien, {name}": mien_path(name) for name in arguments.detectors.split(",")}
    if not arguments.no_dlib:
        paths["dlib (HOG, dlib-bin)"] = dlib_path()
    results = {name: measure(describe, root, pairs) for name, describe in paths.items()}
    for name, row in results.items():
        print(
            f"{name:24} {row['accuracy']:.4f} ± {row['deviation']:.4f} at {row['threshold']:.3f}; "
            f"at 0.6 {row['accuracy_at_0.6']:.4f}; no face in {row['without_face']}; {row['ms_per_photo']:.0f} ms each"
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


def unpacked(data: Path) -> Path:
    if data.is_dir():
        return data
    import tarfile
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="cacd_vs-"))
    with tarfile.open(data) as archive:
        archive.extractall(folder, filter="data")
    return folder


if __name__ == "__main__":
    main()
