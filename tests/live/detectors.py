"""Which detector the tests of films use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien import store
from mien.zoo import ZOO

_SHARED = Path(
    os.environ.get("MIEN_SHARED", Path(__file__).parents[2].parent / "shared")
)


def fast_detector() -> str:
    """Our own fast detector where it is bundled; else YuNet from the shared data, or the test is skipped."""
    ours = ZOO.get("compact")
    if ours is not None and ours.bundled and store.path_of(ours).is_file():
        return ours.name
    weights = _SHARED / "weights" / "face_detection_yunet_2023mar.onnx"
    if not weights.is_file():
        pytest.skip("no fast detector is bundled, and YuNet is not here")
    return store.import_file(weights).name
