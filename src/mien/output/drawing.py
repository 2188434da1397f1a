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
from mien.output.lettering import LINE_HEIGHT, Colour, draw_text, text_size
from mien.text import ESCAPE
from mien.types import F32, U8, Face, Faces

_UNKNOWN: Colour = (222, 226, 230)  # RGB
_INK: Colour = (16, 18, 22)
_PART = 0.3  # of a face's height that the text of its label is high
_LEAST = 10  # pixels of text that can be read
_LARGE = 0.5  # of the picture's height: a face so large may bear its label on itself
_CLEAR = (
    2.0  # pixels kept between a label and others' boxes, so that it is nobody else's
)
_AWAY = (
    0.5,
    1.0,
    2.0,
    3.5,
    5.0,
    7.0,
    10.0,
)  # of its height, that a label may be away at the end of a line
_AROUND = 16  # directions in which it may be there
_STAY = 0.5  # of its own area, that a label in a stream may cover more of its face than another place would


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """Sizes in pixels that follow from the picture's size."""

    line: int
    text: int
    pad: int

    @classmethod
    def for_size(cls, width: int, height: int) -> LabelStyle:
        side = max(width, height)
        text = max(13 if side >= 240 else 10, round(side / 55))
        return cls(
            line=max(2 if side >= 240 else 1, round(side / 360)),
            text=text,
            pad=max(2, text // 4),
        )

    def for_face(self, box: F32) -> LabelStyle:
        """The sizes for the face in a box (4,): no larger than this, smaller for a small face."""
        text = min(self.text, max(_LEAST, round(float(box[3] - box[1]) * _PART)))
        return LabelStyle(line=self.line, text=text, pad=max(2, text // 4))

    def shortened(self, text: str, width: float) -> str:
        """As much of a text as fits into a width."""
        if _text_width(text, self) <= width:
            return text
        kept = next(
            (
                n
                for n in range(len(text) - 1, 0, -1)
                if _text_width(text[:n] + "…", self) <= width
            ),
            0,
        )
        return text[:kept].rstrip() + "…" if kept else ""

    def placed(
        self,
        faces: Faces,
        rows: Sequence[Face],
        size_wh: tuple[int, int],
        sides: dict[int, int] | None = None,
    ) -> Iterator[Label]:
        """The labels that have a place: names first, then of large faces before small ones. None lies over another, nor
        over a face; where it is crowded, nameless faces have less to say, or nothing."""
        sides = {} if sides is None else sides
        taken: list[F32] = []
        nameless = np.array([face.name is None for face in rows], np.bool_)
        for i in np.lexsort((-area(faces.boxes), nameless)):
            others = np.concatenate(
                [
                    np.delete(faces.boxes, i, 0),
                    np.array(taken, np.float32).reshape(-1, 4),
                ]
            )
            track = rows[i].track_id
            room = _Room(size_wh, None if track is None else sides.get(track))
            found = room.label(rows[i], self, others)
            if found is None:
                continue
            label, side = found
            if track is not None and side is not None:
                sides[track] = side
            taken.append(label.place)
            yield label


@dataclass(frozen=True, slots=True)
class Label:
    """What is written about a face: its `lines` in the box `place` (4,); from one `away` a line leads to the face."""

    face: Face
    place: F32
    lines: list[str]
    style: LabelStyle
    away: bool = False

    def draw_leader(self, draw: ImageDraw.ImageDraw) -> None:
        """The line to a face that is not beside it."""
        if not self.away:
            return
        ends = [tuple(map(float, end)) for end in _ends(self.place, self.face.box)]
        draw.line(ends, fill=(*_INK, 160), width=self.style.line + 2)
        draw.line(ends, fill=colour_of(self.face), width=self.style.line)

    def draw(self, canvas: Image.Image) -> None:
        """Its lines on their ground."""
        style, (x1, y1, x2, y2) = self.style, (float(v) for v in self.place)
        ImageDraw.Draw(canvas, "RGBA").rounded_rectangle(
            [x1, y1, x2, y2], style.pad, fill=(*_INK, 200)
        )
        for row, line in enumerate(self.lines):
            at = (
                round(x1 + style.pad),
                round(y1 + style.pad + row * style.text * LINE_HEIGHT),
            )
            draw_text(
                canvas,
                at,
                line,
                style.text,
                colour_of(self.face) if row == 0 else _UNKNOWN,
            )


class Annotator:
    """`annotate` for the pictures of one stream: a label stays on its side of a face while it covers little there.

    `below(height)` are the pixels at the lower edge of a picture of that height that labels leave free.
    """

    def __init__(self, below: Callable[[int], int] = lambda height: 0) -> None:
        self._below = below
        self._sides: dict[int, int] = {}

    def __call__(self, image: U8, faces: Faces) -> U8:
        present = set() if faces.track_ids is None else set(faces.track_ids.tolist())
        self._sides = {
            track: side for track, side in self._sides.items() if track in present
        }
        return annotate(
            image, faces, sides=self._sides, below=self._below(image.shape[0])
        )


def annotate(
    image: U8, faces: Faces, *, sides: dict[int, int] | None = None, below: int = 0
) -> U8:
    """A copy of a BGR picture with a box and a label for each face; a person has one colour in all pictures.

    `sides` of the faces of tracks their labels were on, which is brought up to date; no label lies in the lowest
    pixels `below`.
    """
    height, width = image.shape[:2]
    style = LabelStyle.for_size(width, height)
    canvas = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    draw = ImageDraw.Draw(canvas, "RGBA")
    rows = list(faces)
    for face in rows:
        box = [float(v) for v in face.box]
        radius = min(box[2] - box[0], box[3] - box[1]) * 0.08
        draw.rounded_rectangle(box, radius, outline=(*_INK, 160), width=style.line + 2)
        draw.rounded_rectangle(box, radius, outline=colour_of(face), width=style.line)
    labels = list(style.placed(faces, rows, (width, height - below), sides))
    for label in labels:
        label.draw_leader(draw)
    for label in labels:
        label.draw(canvas)
    return np.asarray(
        cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR), dtype=np.uint8
    )


def label_lines(face: Face) -> list[str]:
    """What the label of a face says: the name, then its attributes in their order."""
    told = sorted(
        face.attributes.values(), key=lambda estimate: estimate.attribute.order
    )
    about = ", ".join(estimate.text for estimate in told if estimate.text)
    name = (
        face.name
        if face.name is not None
        else ("unknown" if face.distance is not None else None)
    )
    return [line for line in (name, about) if line] or [f"{face.score:.2f}"]


def colour_of(face: Face) -> Colour:
    """RGB: a person's own colour, a track's for people without a name, grey else."""
    key = face.name or (f"#{face.track_id}" if face.track_id is not None else None)
    return _UNKNOWN if key is None else colour_for(key)


@lru_cache(maxsize=512)
def colour_for(key: str) -> Colour:
    """The same light, saturated colour (RGB) for the same text, always."""
    hue = (
        int.from_bytes(hashlib.sha256(key.encode(errors=ESCAPE)).digest()[:4], "big")
        / 2**32
    )
    red, green, blue = colorsys.hls_to_rgb(hue, 0.66, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ends(place: F32, box: F32) -> tuple[F32, F32]:
    """Where the line between a label and a face begins and ends: at the nearest points of both."""
    end = np.asarray(np.clip((place[:2] + place[2:]) / 2, box[:2], box[2:]), np.float32)
    return np.asarray(np.clip(end, place[:2], place[2:]), np.float32), end


@dataclass(frozen=True, slots=True)
class _Room:
    """Where a label may be: in a picture of this size, best on the side of the face it has been on."""

    picture_wh: tuple[int, int]
    side: int | None = None

    def best_place(
        self, box: F32, size_wh: tuple[float, float], obstacles: F32
    ) -> tuple[F32, float, int]:
        """Of the places above, below, beside and inside the box, the one that covers the least of others, how much (of
        others, and of the box itself; of a large one beyond a quarter), and which it is."""
        (w, h), (x1, y1, x2, y2) = size_wh, box
        middle = (x1 + x2 - w) / 2
        above_and_below = [(x, y) for x in (x1, x2 - w, middle) for y in (y1 - h, y2)]
        corners = [
            *above_and_below,
            (x2, y1),
            (x1 - w, y1),
            (x2, y2 - h),
            (x1 - w, y2 - h),
            (x1, y2 - h),
            (x1, y1),
        ]
        places = np.array(
            [_inside(x, y, size_wh, self.picture_wh) for x, y in corners],
            dtype=np.float32,
        )
        around = np.array([-_CLEAR, -_CLEAR, _CLEAR, _CLEAR], np.float32)
        covered = _overlap(places, obstacles + around).sum(axis=1)
        own = _overlap(places, box[None]).sum(axis=1)
        spare = (
            (x2 - x1) * (y2 - y1) / 4 if y2 - y1 > _LARGE * self.picture_wh[1] else 0.0
        )
        cost = covered * 4 + own + np.arange(len(places)) * 1e-3
        if self.side is not None:
            cost[self.side] -= _STAY * w * h
            covered[self.side] = max(0.0, covered[self.side] - _STAY / 4 * w * h)
        best = int(cost.argmin())
        return places[best], float(covered[best] + max(0.0, own[best] - spare)), best

    def place_away(
        self, box: F32, size_wh: tuple[float, float], others: F32
    ) -> F32 | None:
        """The nearest place that covers nothing and from which a line leads to the box without crossing a face."""
        (w, h), centre = size_wh, (box[:2] + box[2:]) / 2
        turns = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
        for away in _AWAY:
            reach = (box[2:] - box[:2]) / 2 + np.array([w, h]) / 2 + away * h
            corners = (
                centre
                + np.stack([np.sin(turns), -np.cos(turns)], axis=1) * reach
                - np.array([w, h]) / 2
            )
            places = np.array(
                [_inside(x, y, size_wh, self.picture_wh) for x, y in corners],
                dtype=np.float32,
            )
            covered = _overlap(places, np.concatenate([others, box[None]])).sum(axis=1)
            free: list[F32] = list(places[covered == 0])
            for place in free:
                # Small boxes along the line that leads from a label to its face.
                start, end = _ends(place, box)
                middles = start + np.linspace(0, 1, 12)[:, None] * (end - start)
                dots = np.concatenate([middles - 1, middles + 1], axis=1)
                if not _overlap(dots.astype(np.float32), others).any():
                    return place
        return None

    def label(
        self, face: Face, style: LabelStyle, others: F32
    ) -> tuple[Label, int | None] | None:
        """A face's label beside it, as long as there is room for, and on which side; else its name away from it."""
        own = style.for_face(face.box)
        lines = _fitting(face, own, self.picture_wh)
        shorter = lines[:1] if face.name is not None else lines[1:]
        beside = [
            (self.best_place(face.box, _label_size(some, own), others), some)
            for some in (lines, shorter)
            if some
        ]
        for (place, covered, side), some in (
            beside if len(others) else sorted(beside, key=lambda found: found[0][1])
        ):
            if not covered or not len(others):
                return Label(face, place, some, own), side
        if face.name is None:
            return None
        for style in dict.fromkeys(
            (own, LabelStyle(own.line, min(own.text, _LEAST), 2))
        ):
            name = _fitting(face, style, self.picture_wh)[:1]
            far = self.place_away(face.box, _label_size(name, style), others)
            if far is not None:
                return Label(face, far, name, style, away=True), None
        return None


def _fitting(face: Face, style: LabelStyle, picture_wh: tuple[int, int]) -> list[str]:
    """The label's lines as a picture can hold them: broken or cut where wider, no more than a third of its height."""
    width = picture_wh[0] - 2 * style.pad
    parts: list[str] = []
    for line in label_lines(face):
        parts.extend(
            [line]
            if line == face.name or _text_width(line, style) <= width
            else line.split(", ")
        )
    most = max(1, int((picture_wh[1] / 3 - 2 * style.pad) / (style.text * LINE_HEIGHT)))
    return [style.shortened(part, width) for part in parts[:most]]


def _text_width(text: str, style: LabelStyle) -> int:
    return text_size(text, style.text)[0]


def _label_size(lines: Sequence[str], style: LabelStyle) -> tuple[float, float]:
    width = max(_text_width(line, style) for line in lines)
    return width + 2 * style.pad, len(lines) * style.text * LINE_HEIGHT + 2 * style.pad


def _inside(
    x: float, y: float, size_wh: tuple[float, float], picture_wh: tuple[int, int]
) -> list[float]:
    left = min(max(0.0, float(x)), max(0.0, picture_wh[0] - size_wh[0]))
    top = min(max(0.0, float(y)), max(0.0, picture_wh[1] - size_wh[1]))
    return [left, top, left + size_wh[0], top + size_wh[1]]


def _overlap(a: F32, b: F32) -> F32:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), dtype=np.float32)
