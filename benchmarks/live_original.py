"""How the original analyses a film, for `live.py`; runs in a Python that has face_recognition and dlib.

Prints one JSON line: {"frames", "seconds", "fps", "faces"}. With a network given (ONNX), every face of every second
frame also costs one pass for its emotion and twelve each for age and gender, as in the original.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np

import face_recognition

PASSES = 1 + 12 + 12


def main() -> None:
    """Plays the first frames of a clip the original's way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--network")
    chosen = parser.parse_args()
    if not Path(face_recognition.__file__).is_relative_to(sys.prefix):
        parser.error(f"{sys.executable} has no face_recognition of its own")
    classify = _classifier(chosen.network) if chosen.network else None
    known = _enrolled(chosen.clip)
    began, faces, count = time.perf_counter(), 0, 0
    for count, picture in enumerate(_pictures(chosen.clip, chosen.frames), 1):
        if count % 2:  # every second frame, at a quarter of its size
            faces += _analyse(picture, known, classify)
    spent = time.perf_counter() - began
    print(
        json.dumps(
            {
                "frames": count,
                "seconds": round(spent, 2),
                "fps": round(count / spent, 3),
                "faces": faces,
            }
        )
    )


def _pictures(clip: str, limit: int):
    with av.open(clip) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == limit:
                return
            yield frame.to_ndarray(format="bgr24")


def _enrolled(clip: str) -> list[np.ndarray]:
    rgb = np.ascontiguousarray(next(_pictures(clip, 1))[..., ::-1])
    return face_recognition.face_encodings(rgb)


def _analyse(picture: np.ndarray, known: list[np.ndarray], classify) -> int:
    small = cv2.resize(picture, (0, 0), fx=0.25, fy=0.25)
    rgb = np.ascontiguousarray(small[..., ::-1])
    boxes = face_recognition.face_locations(rgb)
    for row in face_recognition.face_encodings(rgb, boxes):
        face_recognition.face_distance(known, row)
    for top, right, bottom, left in boxes:
        face = picture[4 * top : 4 * bottom, 4 * left : 4 * right]
        if classify is not None:
            classify(face)
    return len(boxes)


def _classifier(path: str):
    from mien.runtime import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(face: np.ndarray) -> None:
        blob = (
            cv2.resize(face, (299, 299)).transpose(2, 0, 1)[None].astype(np.float32)
            / 255
        )
        for _ in range(PASSES):
            session.run(None, {"image": blob})

    return run


main()
