"""What a photo costs: the parts of one face, a whole process, and the memory of a large photo.

    python benchmarks/photo.py --output photo.json

Medians; every figure on one thread but the whole process, which takes what there is. Milliseconds are processor time.
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
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1000 * median(times[2:])


def parts(detector: str) -> dict[str, float]:
    """Milliseconds of a JPEG of the astronaut (640x480, one face): read, detected, all after that, and the whole."""
    analyzer = Analyzer(detector=detector, threads=1)
    small = cv2.resize(skimage.data.astronaut()[..., ::-1], (640, 480))
    file = cv2.imencode(".jpg", small)[1].tobytes()
    picture = images.read_image(file)
    faces = analyzer.detector(picture)
    return {
        "read_ms": median_ms(lambda: images.read_image(file)),
        "detect_ms": median_ms(lambda: analyzer.detector(picture)),
        "beyond_detection_ms": median_ms(lambda: analyzer.describe(picture, faces)),
        "analyze_ms": median_ms(lambda: analyzer.analyze(file)),
    }


def process(photo: Path, detector: str) -> dict[str, float]:
    """Seconds, by the clock and of processors, and peak megabytes of `mien analyze PHOTO`, from start to exit, the
    cache being warm."""
    command = [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        "analyze",
        str(photo),
        "--detector",
        detector,
    ]
    times, worked = [], []
    for _ in range(5):
        start, before = time.perf_counter(), of_children()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
        worked.append(of_children() - before)
    return {
        "seconds": median(times),
        "processor_s": median(worked),
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def of_children() -> float:
    """Seconds of processor time of all that ran as processes of this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
