"""The exported student on one picture, for mining and for choosing the threshold."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from teacher import F32, Teacher, to_pixels

from mien.models.detectors.compact import decode
from mien.runtime import ort

Image = NDArray[np.uint8]


class Student:
    """Boxes (n,4) and scores (n,) above a threshold after NMS."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, image: Image, threshold: float) -> tuple[F32, F32]:
        canvas = padded(image)
        (cells,) = self.session.run(None, {"image": canvas[None]})
        size_wh = canvas.shape[1], canvas.shape[0]
        seen = decode(cells[0], size_wh, threshold=threshold)
        return suppress(seen.boxes, seen.scores, threshold)


def teacher_faces(teacher: Teacher, image: Image, threshold: float) -> tuple[F32, F32]:
    """The teacher's boxes and scores above a threshold after NMS."""
    canvas = padded(image)
    rows = teacher(canvas[None])
    return suppress(to_pixels(rows, *canvas.shape[:2])[0][0], rows[0, :, 0], threshold)


def padded(image: Image) -> Image:
    """Black to the right and below, to multiples of 32."""
    return np.asarray(
        cv2.copyMakeBorder(
            image, 0, -image.shape[0] % 32, 0, -image.shape[1] % 32, cv2.BORDER_CONSTANT
        ),
        dtype=np.uint8,
    )


def suppress(boxes: F32, scores: F32, threshold: float) -> tuple[F32, F32]:
    """Non-maximum suppression at IoU 0.3, best first."""
    hits = np.flatnonzero(scores >= threshold)
    order = hits[np.argsort(-scores[hits])]
    kept: list[int] = []
    while len(order):
        kept.append(int(order[0]))
        order = order[1:][overlap(boxes[order[0]], boxes[order[1:]]) <= 0.3]
    return boxes[kept], scores[kept]


def overlap(box: F32, boxes: F32) -> F32:
    """IoU of one box (4,) with boxes (n,4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inter = np.clip(high - low, 0, None).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inter
    return np.asarray(inter / np.maximum(union, 1e-9), dtype=np.float32)
