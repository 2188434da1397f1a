"""What a photo costs: the parts of one face, a whole process, and the memory of a large photo.

    python benchmarks/photo.py --output photo.json

Medians; every figure on one thread but the whole process, which takes what there is.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import skimage.data

from mien.media import images
from mien.pipeline import DEFAULT_DETECTOR, Analyzer


def median_ms(run: Callable[[], object], count: int = 30) -> float:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * median(times[2:])


def parts(detector: str) -> dict[str, float]:
    """Milliseconds of detection and of all that comes after it, on the astronaut (512x512, one face)."""
    analyzer = Analyzer(detector=detector, threads=1)
    picture = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    faces = analyzer.detector(picture)
    return {
        "detect_ms": median_ms(lambda: analyzer.detector(picture)),
        "beyond_detection_ms": median_ms(lambda: analyzer.describe(picture, faces)),
    }


def process(photo: Path, detector: str) -> dict[str, float]:
    """Seconds and peak megabytes of `mien analyze PHOTO`, from start to exit, the cache being warm."""
    command = [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        "analyze",
        str(photo),
        "--detector",
        detector,
    ]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return {
        "seconds": median(times),
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def photos(folder: Path) -> dict[str, Path]:
    """The astronaut as it is, and in the middle of twelve megapixels."""
    small = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    large = cv2.resize(
        np.ascontiguousarray(skimage.data.rocket()[..., ::-1]), (4000, 3000)
    )
    large[1000:1512, 1000:1512] = small
    places = {
        "one face, 512x512": folder / "small.jpg",
        "one face, 12 megapixels": folder / "large.jpg",
    }
    for path, picture in zip(places.values(), (small, large), strict=True):
        images.write_image(path, picture)
    return places


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--detector", default=DEFAULT_DETECTOR)
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    arguments = parser.parse_args()
    results: dict[str, dict[str, float]] = {"parts": parts(arguments.detector)}
    with tempfile.TemporaryDirectory() as folder:
        for name, photo in photos(Path(folder)).items():
            results[name] = process(photo, arguments.detector)
    for name, row in results.items():
        print(
            f"{name:26}", "  ".join(f"{key} {value:.2f}" for key, value in row.items())
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
