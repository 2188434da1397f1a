"""Cameras through OpenCV: V4L2, AVFoundation, DirectShow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.errors import SourceError
from mien.sources.live import Grab, grab_of

_SIZE_WH = (1280, 720)  # asked for; a camera gives the nearest it has


def camera(index: int) -> Iterator[Grab]:
    """The pictures of a camera.

    Raises:
        SourceError: There is none of this number, another program holds it, or it was unplugged.
    """
    capture = _open(index)
    try:
        while True:
            good, image = capture.read()
            if not good:
                raise SourceError(
                    f"camera {index} gives no more pictures; is it still plugged in?"
                )
            yield grab_of(np.asarray(image, dtype=np.uint8))
    finally:
        capture.release()


def _open(index: int) -> Any:
    if sys.platform == "linux" and not Path(f"/dev/video{index}").exists():
        raise SourceError(_no_camera(index))
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(index)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise SourceError(_no_camera(index))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, _SIZE_WH[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, _SIZE_WH[1])
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _no_camera(index: int) -> str:
    device = Path(f"/dev/video{index}")
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        return f"may not use {device}; add this user to the group {device.group()}"
    others = sorted(
        int(p.name[5:]) for p in Path("/dev").glob("video*") if p.name[5:].isdigit()
    )
    there = (
        f"there are {', '.join(map(str, others))}" if others else "none is plugged in"
    )
    return f"no camera {index} ({there}); give another number, a video file or a URL: mien live clip.mp4"
