"""Takes the values of dlib's frontal face detector into src/mien/weights/hog.npz. Run once; needs the dlib-bin wheel.

    python training/hog/take_filters.py src/mien/weights/hog.npz

`get_frontal_face_detector().save()` writes a bare object_detector: the scanner's settings, then five weight vectors of
31 x 10 x 10 filter values plus the threshold. Every setting is compared with what mien.dlib_models.hog builds in.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import dlib
import numpy as np

EXPECTED = {
    "cell": 8,
    "padding": 0,
    "window": (80, 80),
    "levels": 1000,
    "min_layer": (64, 64),
    "dims": 3100,
}


class Stream:
    """dlib's serialization of numbers: a control byte, then little-endian magnitude bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        self.place += count
        if self.place > len(self.data):
            raise SystemExit("the file ends too early")
        return self.data[self.place - count : self.place]

    def integer(self) -> int:
        control = self.take(1)[0]
        value = int.from_bytes(self.take(control & 15), "little")
        return -value if control & 128 else value

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        return float(mantissa) * 2.0**exponent

    def vector(self) -> np.ndarray:
        rows, columns = -self.integer(), -self.integer()
        return np.array([self.real() for _ in range(rows * columns)])


def read(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    stream = Stream(data)
    if stream.integer() != 2 or stream.integer() != 1:
        raise SystemExit("another version of object_detector or scanner")
    stream.integer(), stream.integer()  # an empty array of features
    found = {
        "cell": stream.integer(),
        "padding": stream.integer(),
        "window": (stream.integer(), stream.integer()),
    }
    found |= {
        "levels": stream.integer(),
        "min_layer": (stream.integer(), stream.integer()),
    }
    stream.real()  # regularisation, for training only
    found["dims"] = stream.integer()
    if found != EXPECTED:
        raise SystemExit(f"settings are {found}, expected {EXPECTED}")
    print("overlap", stream.real(), stream.real())
    vectors = np.stack([stream.vector() for _ in range(stream.integer())])
    if stream.place != len(data):
        raise SystemExit(f"{len(data) - stream.place} bytes too many")
    return vectors[:, :-1].reshape(-1, 31, 10, 10), vectors[:, -1]


def main() -> None:
    parser = argparse.ArgumentParser(description="take the HOG filter values from dlib")
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hog.svm"
        dlib.get_frontal_face_detector().save(str(path))
        data = path.read_bytes()
    weights, thresholds = read(data)
    np.savez(
        output,
        weights=weights.astype(np.float32),
        thresholds=thresholds.astype(np.float32),
    )
    print(
        dlib.__version__,
        hashlib.sha256(data).hexdigest(),
        "->",
        output,
        hashlib.sha256(output.read_bytes()).hexdigest(),
    )


if __name__ == "__main__":
    main()
