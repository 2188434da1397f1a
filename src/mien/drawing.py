"""Boxes and labels on pictures: readable at any size, inside the picture, beside each other and not over faces."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mien.geometry import area
from mien.types import F32, U8, Face, Faces

Colour = tuple[int, int, int]

_UNKNOWN: Colour = (222, 226, 230)  # RGB
_INK: Colour = (16, 18, 22)


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels that follow from the picture's size."""

    line: int
    text: int
    pad: int

    @classmethod
    def for_size(cls, width: int, height: int) -> Style:
        side = max(width, height)
        text = max(11, round(side / 55))
        return cls(line=max(1, round(side / 450)), text=text, pad=max(2, text // 4))


def annotate(image: U8, faces: Faces) -> U8:
    """A copy of a BGR picture with a box and a label for each face; a person has one colour in all pictures."""
    height, width = image.shape[:2]
    style = Style.for_size(width, height)
    canvas = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    draw = ImageDraw.Draw(canvas, "RGBA")
    rows = list(faces)
    for face in rows:
        _draw_box(draw, face, style)
    for face, place, lines in _placed_labels(faces, rows, style, (width, height)):
        _draw_label(draw, lines, place, colour_of(face), style)
    return np.asarray(cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def label_lines(face: Face) -> list[str]:
    """What the label of a face says: the name, then gender, age and emotion."""
    known = [face.gender, None if face.age is None else f"{face.age:.0f}", face.emotion]
    about = ", ".join(part for part in known if part)
    name = face.name if face.name is not None else ("unknown" if face.distance is not None else None)
    return [line for line in (name, about) if line] or [f"{face.score:.2f}"]


def colour_of(face: Face) -> Colour:
    """RGB: a person's own colour, a track's for people without a name, grey else."""
    key = face.name or (f"#{face.track_id}" if face.track_id is not None else None)
    return _UNKNOWN if key is None else colour_for(key)


@lru_cache(maxsize=512)
def colour_for(key: str) -> Colour:
    """The same light, saturated colour (RGB) for the same text, always."""
    hue = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32
    red, green, blue = colorsys.hls_to_rgb(hue, 0.66, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_box(draw: ImageDraw.ImageDraw, face: Face, style: Style) -> None:
    box = [float(v) for v in face.box]
    radius = min(box[2] - box[0], box[3] - box[1]) * 0.08
    draw.rounded_rectangle(box, radius, outline=(*_INK, 160), width=style.line + 2)
    draw.rounded_rectangle(box, radius, outline=colour_of(face), width=style.line)


def _placed_labels(
    faces: Faces, rows: Sequence[Face], style: Style, size_wh: tuple[int, int]
) -> Iterator[tuple[Face, F32, list[str]]]:
    taken: list[F32] = []
    for i in np.argsort(-area(faces.boxes), kind="stable"):
        lines = label_lines(rows[i])
        place = _best_place(faces.boxes[i], _label_size(lines, style), np.delete(faces.boxes, i, 0), taken, size_wh)
        taken.append(place)
        yield rows[i], place, lines


def _label_size(lines: Sequence[str], style: Style) -> tuple[float, float]:
    width = max(_font(style.text).getlength(line) for line in lines)
    return width + 2 * style.pad, len(lines) * style.text * 1.25 + 2 * style.pad


def _best_place(
    box: F32, size_wh: tuple[float, float], others: F32, taken: Sequence[F32], picture_wh: tuple[int, int]
) -> F32:
    """Of the places above, below, beside and inside the box, the one that covers the least of others."""
    (w, h), (x1, y1, x2, y2) = size_wh, box
    corners = [(x1, y1 - h), (x1, y2), (x2, y1), (x1 - w, y1), (x2 - w, y1 - h), (x2 - w, y2), (x1, y2 - h), (x1, y1)]
    places = np.array([_inside(x, y, size_wh, picture_wh) for x, y in corners], dtype=np.float32)
    obstacles = np.concatenate([others, np.array(taken, np.float32).reshape(-1, 4)])
    own = np.array([[x1, y1, x2, y2]], dtype=np.float32)
    cost = _overlap(places, obstacles).sum(axis=1) * 4 + _overlap(places, own).sum(axis=1)
    return np.asarray(places[int((cost + np.arange(len(places)) * 1e-3).argmin())])


def _inside(x: float, y: float, size_wh: tuple[float, float], picture_wh: tuple[int, int]) -> list[float]:
    left = min(max(0.0, float(x)), max(0.0, picture_wh[0] - size_wh[0]))
    top = min(max(0.0, float(y)), max(0.0, picture_wh[1] - size_wh[1]))
    return [left, top, left + size_wh[0], top + size_wh[1]]


def _overlap(a: F32, b: F32) -> F32:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), dtype=np.float32)


def _draw_label(draw: ImageDraw.ImageDraw, lines: Sequence[str], place: F32, colour: Colour, style: Style) -> None:
    x1, y1, x2, y2 = (float(v) for v in place)
    draw.rounded_rectangle([x1, y1, x2, y2], style.pad, fill=(*_INK, 200))
    for row, line in enumerate(lines):
        at = (x1 + style.pad, y1 + style.pad + row * style.text * 1.25)
        draw.text(at, line, fill=colour if row == 0 else _UNKNOWN, font=_font(style.text))


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
