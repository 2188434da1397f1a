"""The clips of `benchmarks/live.py`: recordings of single faces tiled on a picture, where they sway."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

RATE = 30
# faces: columns, rows, width of a tile in parts of the picture's height
LAYOUTS = {2: (2, 1, 600 / 720), 8: (4, 2, 300 / 720), 30: (6, 5, 210 / 720)}


def make_clip(
    path: Path, clips: list[Path], *, faces: int, height: int, frames: int = 300
) -> None:
    """Writes a film of 16:9, `height` pixels high, in which `faces` tiles, each playing one of the clips to and fro,
    move over a grey picture."""
    columns, rows, width = LAYOUTS[faces]
    tiles = [
        _to_and_fro(clips[i % len(clips)], round(width * height), start=7 * i)
        for i in range(faces)
    ]
    size = (height * 16 // 9, height)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"crf": "21", "preset": "fast"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            canvas = np.full((*size[::-1], 3), 96, np.uint8)
            for i, tile in enumerate(tiles):
                _paste(canvas, next(tile), _centre(i, index, columns, rows, size))
            frame = av.VideoFrame.from_ndarray(canvas, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _to_and_fro(clip: Path, width: int, *, start: int) -> Iterator[np.ndarray]:
    with av.open(str(clip)) as container:
        pictures = [
            _scaled(frame.to_ndarray(format="bgr24"), width)
            for frame in container.decode(video=0)
        ]
    there_and_back = pictures + pictures[-2:0:-1]
    return itertools.islice(itertools.cycle(there_and_back), start, None)


def _scaled(picture: np.ndarray, width: int) -> np.ndarray:
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _centre(
    i: int, index: int, columns: int, rows: int, size: tuple[int, int]
) -> tuple[int, int]:
    sway, bob = math.sin(index / 17 + i) / 40, math.sin(index / 23 + 2 * i) / 51.4
    x = (i % columns + 0.5) / columns * size[0] + sway * size[1]
    return round(x), round(((i // columns + 0.5) / rows + bob) * size[1])


def _paste(canvas: np.ndarray, tile: np.ndarray, centre: tuple[int, int]) -> None:
    height, width = tile.shape[:2]
    x1, y1 = centre[0] - width // 2, centre[1] - height // 2
    left, top = max(0, x1), max(0, y1)
    right, bottom = (
        min(canvas.shape[1], x1 + width),
        min(canvas.shape[0], y1 + height),
    )
    canvas[top:bottom, left:right] = tile[
        top - y1 : bottom - y1, left - x1 : right - x1
    ]
