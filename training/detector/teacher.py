"""The teacher: yunet_n through ONNX Runtime, its per-cell outputs in the student's own form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.runtime import ort

F32 = NDArray[np.float32]
STRIDES = (8, 16, 32)
MIRRORED_POINTS = (1, 0, 2, 4, 3)


class Teacher:
    """Dense outputs of a YuNet-like network for a batch of same-sized pictures."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: NDArray[np.uint8]) -> F32:
        """(N,H,W,3) BGR -> (N,A,15): score 0..1, box centre and log size, landmarks, in strides from the cell."""
        return np.concatenate(
            [self._one(image) for image in images]
        )  # one by one: stays in the core's cache

    def _one(self, image: NDArray[np.uint8]) -> F32:
        blob = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)[None]
        names = [o.name for o in self.session.get_outputs()]
        outs = dict(
            zip(
                names,
                self.session.run(None, {self.session.get_inputs()[0].name: blob}),
                strict=True,
            )
        )
        rows = [self._level(outs, stride) for stride in STRIDES]
        return np.concatenate(rows, 1)

    @staticmethod
    def _level(outs: dict[str, F32], stride: int) -> F32:
        quality = np.clip(outs[f"cls_{stride}"], 0, 1) * np.clip(
            outs[f"obj_{stride}"], 0, 1
        )
        return np.concatenate(
            [np.sqrt(quality), outs[f"bbox_{stride}"], outs[f"kps_{stride}"]], 2
        )


def cells(height: int, width: int) -> tuple[F32, F32]:
    """Corner (A,2) in pixels and stride (A,1) of every cell of a picture."""
    corners, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[0 : height // stride, 0 : width // stride]
        corners.append(np.stack([x, y], -1).reshape(-1, 2) * stride)
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(
        np.float32
    )


def to_pixels(rows: F32, height: int, width: int) -> tuple[F32, F32]:
    """(..., A, 15) dense rows -> boxes (..., A, 4) xyxy and points (..., A, 5, 2), pixels."""
    corner, stride = cells(height, width)
    centre = rows[..., 1:3] * stride + corner
    half = np.exp(np.clip(rows[..., 3:5], -10, 10)) * stride / 2
    points = (
        rows[..., 5:].reshape(*rows.shape[:-1], 5, 2) * stride[:, None]
        + corner[:, None]
    )
    return np.concatenate([centre - half, centre + half], -1), points


def mirror_rows(rows: F32, height: int, width: int) -> F32:
    """Dense rows of the mirrored picture -> rows of the picture itself (cell by cell)."""
    parts, start = [], 0
    for stride in STRIDES:
        h, w = height // stride, width // stride
        level = rows[:, start : start + h * w].reshape(-1, h, w, 15)[:, :, ::-1].copy()
        level[..., 1] = (
            1.0 - level[..., 1]
        )  # offsets count from the left corner, mirrored ones from the right
        points = level[..., 5:].reshape(-1, h, w, 5, 2)[..., list(MIRRORED_POINTS), :]
        points[..., 0] = 1.0 - points[..., 0]
        level[..., 5:] = points.reshape(-1, h, w, 10)
        parts.append(level.reshape(-1, h * w, 15))
        start += h * w
    return np.concatenate(parts, 1)


def best_face(
    teacher: Teacher, image: NDArray[np.uint8], threshold: float = 0.7
) -> tuple[F32, F32] | None:
    """Box (4,) and landmarks (5,2) of the clearest face of a picture, or None."""
    height, width = (-(-side // 32) * 32 for side in image.shape[:2])
    canvas = np.zeros((1, height, width, 3), np.uint8)
    canvas[0, : image.shape[0], : image.shape[1]] = image
    rows = teacher(canvas)
    boxes, points = to_pixels(rows, height, width)
    best = int(rows[0, :, 0].argmax())
    return (boxes[0, best], points[0, best]) if rows[0, best, 0] >= threshold else None
