"""Boxes and labels on pictures: readable at any size, inside the picture, beside each other and not over faces."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mien.geometry import area
from mien.lettering import LINE_HEIGHT, Colour, draw_text, text_size
from mien.text import ESCAPE
from mien.types import F32, U8, Face, Faces

_UNKNOWN: Colour = (222, 226, 230)  # RGB
_INK: Colour = (16, 18, 22)
_STAY = 0.5  # of its own area, that a label in a stream may cover more of its face than another place would


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels that follow from the picture's size."""

    line: int
    text: int
    pad: int

    @classmethod
    def for_size(cls, width: int, height: int) -> Style:
        side = max(width, height)
        text = max(13 if side >= 240 else 10, round(side / 55))
        return cls(line=max(2 if side >= 240 else 1, round(side / 360)), text=text, pad=max(2, text // 4))


class Annotator:
    """`annotate` for the pictures of one stream: a label stays on its side of a face while it covers little there.

    `below(height)` are the pixels at the lower edge of a picture of that height that labels leave free.
    """

    def __init__(self, below: Callable[[int], int] = lambda height: 0) -> None:
        self._below = below
        self._sides: dict[int, int] = {}

    def __call__(self, image: U8, faces: Faces) -> U8:
        present = set() if faces.track_ids is None else set(faces.track_ids.tolist())
        self._sides = {track: side for track, side in self._sides.items() if track in present}
        return annotate(image, faces, sides=self._sides, below=self._below(image.shape[0]))


def annotate(image: U8, faces: Faces, *, sides: dict[int, int] | None = None, below: int = 0) -> U8:
    """A copy of a BGR picture with a box and a label for each face; a person has one colour in all pictures.

    `sides` of the faces of tracks their labels were on, which is brought up to date; no label lies in the lowest
    pixels `below`.
    """
    height, width = image.shape[:2]
    style = Style.for_size(width, height)
    canvas = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    draw = ImageDraw.Draw(canvas, "RGBA")
    rows = list(faces)
    for face in rows:
        _draw_box(draw, face, style)
    for face, place, lines in _placed_labels(faces, rows, style, (width, height - below), sides):
        _draw_label(canvas, lines, place, colour_of(face), style)
    return np.asarray(cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def label_lines(face: Face) -> list[str]:
    """What the label of a face says: the name, then its attributes in their order."""
    told = sorted(face.attributes.values(), key=lambda estimate: estimate.attribute.order)
    about = ", ".join(estimate.text for estimate in told if estimate.text)
    name = face.name if face.name is not None else ("unknown" if face.distance is not None else None)
    return [line for line in (name, about) if line] or [f"{face.score:.2f}"]


def colour_of(face: Face) -> Colour:
    """RGB: a person's own colour, a track's for people without a name, grey else."""
    key = face.name or (f"#{face.track_id}" if face.track_id is not None else None)
    return _UNKNOWN if key is None else colour_for(key)


@lru_cache(maxsize=512)
def colour_for(key: str) -> Colour:
    """The same light, saturated colour (RGB) for the same text, always."""
    hue = int.from_bytes(hashlib.sha256(key.encode(errors=ESCAPE)).digest()[:4], "big") / 2**32
    red, green, blue = colorsys.hls_to_rgb(hue, 0.66, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_box(draw: ImageDraw.ImageDraw, face: Face, style: Style) -> None:
    box = [float(v) for v in face.box]
    radius = min(box[2] - box[0], box[3] - box[1]) * 0.08
    draw.rounded_rectangle(box, radius, outline=(*_INK, 160), width=style.line + 2)
    draw.rounded_rectangle(box, radius, outline=colour_of(face), width=style.line)


def _placed_labels(
    faces: Faces,
    rows: Sequence[Face],
    style: Style,
    size_wh: tuple[int, int],
    sides: dict[int, int] | None = None,
) -> Iterator[tuple[Face, F32, list[str]]]:
    sides = {} if sides is None else sides
    taken: list[F32] = []
    for i in np.argsort(-area(faces.boxes), kind="stable"):
        lines = _fitting(rows[i], style, size_wh)
        obstacles = np.concatenate([np.delete(faces.boxes, i, 0), np.array(taken, np.float32).reshape(-1, 4)])
        track = rows[i].track_id
        room = _Room(size_wh, None if track is None else sides.get(track))
        place, lines, side = _best_label(faces.boxes[i], lines, obstacles, style, room)
        if track is not None:
            sides[track] = side
        taken.append(place)
        yield rows[i], place, lines


@dataclass(frozen=True, slots=True)
class _Room:
    """Where a label may be: in a picture of this size, best on the side of the face it has been on."""

    picture_wh: tuple[int, int]
    side: int | None = None


def _fitting(face: Face, style: Style, picture_wh: tuple[int, int]) -> list[str]:
    """The label's lines as a picture can hold them: broken or cut where wider, no more than a third of its height."""
    width = picture_wh[0] - 2 * style.pad
    parts: list[str] = []
    for line in label_lines(face):
        parts.extend([line] if line == face.name or _text_width(line, style) <= width else line.split(", "))
    most = max(1, int((picture_wh[1] / 3 - 2 * style.pad) / (style.text * LINE_HEIGHT)))
    return [_cut(part, style, width) for part in parts[:most]]


def _cut(text: str, style: Style, width: float) -> str:
    if _text_width(text, style) <= width:
        return text
    kept = next((n for n in range(len(text) - 1, 0, -1) if _text_width(text[:n] + "…", style) <= width), 0)
    return text[:kept].rstrip() + "…" if kept else ""


def _text_width(text: str, style: Style) -> int:
    return text_size(text, style.text)[0]


def _best_label(box: F32, lines: list[str], obstacles: F32, style: Style, room: _Room) -> tuple[F32, list[str], int]:
    """The whole label where it covers nothing, else its first line alone if that covers less; and on which side."""
    place, covered, side = _best_place(box, _label_size(lines, style), obstacles, room)
    if not covered or len(lines) < 2:
        return place, lines, side
    short, covered_by_short, short_side = _best_place(box, _label_size(lines[:1], style), obstacles, room)
    return (short, lines[:1], short_side) if covered_by_short < covered else (place, lines, side)


def _label_size(lines: Sequence[str], style: Style) -> tuple[float, float]:
    width = max(_text_width(line, style) for line in lines)
    return width + 2 * style.pad, len(lines) * style.text * LINE_HEIGHT + 2 * style.pad


def _best_place(box: F32, size_wh: tuple[float, float], obstacles: F32, room: _Room) -> tuple[F32, float, int]:
    """Of the places above, below, beside and inside the box, the one that covers the least of others, how much (of
    others, and of the box itself beyond a quarter), and which it is."""
    (w, h), (x1, y1, x2, y2) = size_wh, box
    middle = (x1 + x2 - w) / 2
    above_and_below = [(x, y) for x in (x1, x2 - w, middle) for y in (y1 - h, y2)]
    corners = [*above_and_below, (x2, y1), (x1 - w, y1), (x2, y2 - h), (x1 - w, y2 - h), (x1, y2 - h), (x1, y1)]
    places = np.array([_inside(x, y, size_wh, room.picture_wh) for x, y in corners], dtype=np.float32)
    covered = _overlap(places, obstacles).sum(axis=1)
    own = _overlap(places, box[None]).sum(axis=1)
    cost = covered * 4 + own + np.arange(len(places)) * 1e-3
    if room.side is not None:
        cost[room.side] -= _STAY * w * h
        covered[room.side] = max(0.0, covered[room.side] - _STAY / 4 * w * h)
    best = int(cost.argmin())
    return places[best], float(covered[best] + max(0.0, own[best] - (x2 - x1) * (y2 - y1) / 4)), best


def _inside(x: float, y: float, size_wh: tuple[float, float], picture_wh: tuple[int, int]) -> list[float]:
    left = min(max(0.0, float(x)), max(0.0, picture_wh[0] - size_wh[0]))
    top = min(max(0.0, float(y)), max(0.0, picture_wh[1] - size_wh[1]))
    return [left, top, left + size_wh[0], top + size_wh[1]]


def _overlap(a: F32, b: F32) -> F32:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), dtype=np.float32)


def _draw_label(canvas: Image.Image, lines: Sequence[str], place: F32, colour: Colour, style: Style) -> None:
    x1, y1, x2, y2 = (float(v) for v in place)
    ImageDraw.Draw(canvas, "RGBA").rounded_rectangle([x1, y1, x2, y2], style.pad, fill=(*_INK, 200))
    for row, line in enumerate(lines):
        at = (round(x1 + style.pad), round(y1 + style.pad + row * style.text * LINE_HEIGHT))
        draw_text(canvas, at, line, style.text, colour if row == 0 else _UNKNOWN)
