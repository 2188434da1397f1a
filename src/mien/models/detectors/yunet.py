"""YuNet of opencv_zoo: a small network for pictures of any size."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mien import geometry, onnx_files, store
from mien.models.detectors.base import (
    MIN_FACE,
    AlignsBy,
    Detector,
    detect_at_scales,
    scales_for,
)
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces
from mien.zoo import ModelSpec, spec_of


class Yunet:
    """YuNet (Wu et al. 2023) of opencv_zoo, on pictures of any size."""

    aligns_by: ClassVar[AlignsBy] = "landmarks"
    reliable = 16  # pixels: the smallest face it finds most of
    nms_threshold = 0.3

    def __init__(
        self, model: OnnxModel, *, min_face: int = MIN_FACE, threshold: float = 0.6
    ) -> None:
        self.model = model
        self.min_face = min_face
        self.threshold = threshold

    @classmethod
    def load(
        cls, spec: ModelSpec, *, min_face: int, compute: Compute | None = None
    ) -> Yunet:
        data = store.derived(spec, free_input_size, version=1)
        model = OnnxModel(data, spec.name, compute)
        return cls(model, min_face=min_face, threshold=spec.threshold or 0.0)

    def __call__(self, image: U8) -> Faces:
        scales = scales_for(image, min_face=self.min_face, reliable=self.reliable)
        return detect_at_scales(
            self._detect_once, image, scales, nms=self.nms_threshold
        )

    def _detect_once(self, image: U8) -> Faces:
        blob = (
            geometry.pad_to_multiple(image, 32)
            .transpose(2, 0, 1)[None]
            .astype(np.float32)
        )
        maps = dict(zip(self.model.outputs, self.model(blob), strict=True))
        return Faces(
            *decode_yunet(maps, blob.shape[3], blob.shape[2], threshold=self.threshold)
        )


def decode_yunet(
    maps: dict[str, F32], width: int, height: int, *, threshold: float
) -> tuple[F32, F32, F32]:
    """Boxes (N, 4) xyxy, scores (N,) and landmarks (N, 5, 2) in pixels from the network's twelve outputs."""
    parts = [
        _decode_stride(maps, s, width // s, height // s, threshold) for s in (8, 16, 32)
    ]
    boxes, scores, landmarks = (
        np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)
    )
    return boxes, scores, landmarks


def _decode_stride(
    maps: dict[str, F32], stride: int, columns: int, rows: int, threshold: float
) -> tuple[F32, F32, F32]:
    scores = np.sqrt(
        np.clip(maps[f"cls_{stride}"], 0, 1) * np.clip(maps[f"obj_{stride}"], 0, 1)
    ).reshape(-1)
    hits = np.flatnonzero(scores[: rows * columns] >= threshold)
    cells = np.stack([hits % columns, hits // columns], axis=1).astype(np.float32)
    box = maps[f"bbox_{stride}"].reshape(-1, 4)[hits]
    centre, half = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
    landmarks = (
        maps[f"kps_{stride}"].reshape(-1, 5, 2)[hits] + cells[:, None]
    ) * stride
    return (
        np.concatenate([centre - half, centre + half], axis=1),
        scores[hits],
        landmarks,
    )


def free_input_size(data: bytes) -> bytes:
    """The same network with its batch, height and width set free."""
    graph_model = onnx_files.read(data)
    for tensor in graph_model.graph.input:
        for axis, label in ((2, "height"), (3, "width")):
            tensor.type.tensor_type.shape.dim[axis].ClearField("dim_value")
            tensor.type.tensor_type.shape.dim[axis].dim_param = label
    for tensor in graph_model.graph.output:
        tensor.type.tensor_type.shape.dim[1].dim_param = (
            "cells_" + tensor.name.rpartition("_")[2]
        )
    del graph_model.graph.value_info[:]
    return bytes(graph_model.SerializeToString())


def load_yunet(*, min_face: int, compute: Compute | None = None) -> Detector:
    return Yunet.load(spec_of("yunet"), min_face=min_face, compute=compute)
