"""Films made of photos, with the truth about who is where: faces that move, grow, blur, hide and cross."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mien.types import F32, U8, Frame

WIDTH, HEIGHT, RATE = 1280, 720, 30


@dataclass(frozen=True)
class Pose:
    """Where an actor's face is: its centre and width in pixels, blur in pixels, and whether it is on stage."""

    x: float
    y: float
    width: float
    blur: float = 0.0
    on: bool = True


@dataclass(frozen=True)
class Actor:
    """Somebody in a film: a name (None: a stranger), a cut-out with its face in the middle half, and a part to play."""

    name: str | None
    cutout: U8
    part: Callable[[float], Pose]


@dataclass(frozen=True)
class Truth:
    """Who is where in a frame: the face box (4,) xyxy, whether most of it can be seen, and whether clearly."""

    name: str | None
    box: F32
    visible: bool


def cutout(image: U8, box: F32) -> U8:
    """A square twice as wide as a face box, the face in its middle."""
    centre, side = (box[:2] + box[2:]) / 2, float(max(box[2:] - box[:2])) * 2
    scale = 400 / side
    matrix = np.array(
        [[scale, 0, 200 - centre[0] * scale], [0, scale, 200 - centre[1] * scale]]
    )
    shrunk = (
        cv2.GaussianBlur(image, (0, 0), max(0.01, 0.4 / scale))
        if scale < 0.7
        else image
    )
    return cv2.warpAffine(
        shrunk,
        matrix,
        (400, 400),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def film(
    actors: list[Actor], *, seconds: float, rate: float = RATE
) -> Iterator[tuple[Frame, list[Truth]]]:
    """The frames of a film and what is true of each; later actors stand in front of earlier ones."""
    stage = _stage()
    for index in range(round(seconds * rate)):
        time_s = index / rate
        picture, truths = stage.copy(), []
        for actor in actors:
            pose = actor.part(time_s)
            if pose.on:
                _place(picture, actor.cutout, pose)
            truths.append(Truth(actor.name, _box(pose), pose.on and _inside(pose)))
        yield Frame(picture, index, time_s, "film"), _uncovered(truths)


def _stage() -> U8:
    rng = np.random.default_rng(5)
    rough = rng.integers(70, 150, (18, 32, 3)).astype(np.uint8)
    return cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _place(picture: U8, face: U8, pose: Pose) -> None:
    side = pose.width * 2
    scale = side / len(face)
    matrix = np.array([[scale, 0, pose.x - side / 2], [0, scale, pose.y - side / 2]])
    mask = np.zeros(face.shape[:2], np.float32)
    cv2.ellipse(mask, (200, 195), (135, 175), 0, 0, 360, 1.0, -1)
    moved = cv2.warpAffine(
        cv2.GaussianBlur(face, (0, 0), 0.45 / scale), matrix, (WIDTH, HEIGHT)
    )
    alpha = cv2.GaussianBlur(cv2.warpAffine(mask, matrix, (WIDTH, HEIGHT)), (0, 0), 2)[
        ..., None
    ]
    if pose.blur:
        moved = cv2.GaussianBlur(moved, (0, 0), pose.blur)
    np.copyto(picture, (picture * (1 - alpha) + moved * alpha).astype(np.uint8))


def _box(pose: Pose) -> F32:
    half = pose.width / 2
    return np.array(
        [pose.x - half, pose.y - half, pose.x + half, pose.y + half], np.float32
    )


def _inside(pose: Pose) -> bool:
    half = pose.width / 2
    return half <= pose.x <= WIDTH - half and half <= pose.y <= HEIGHT - half


def _uncovered(truths: list[Truth]) -> list[Truth]:
    """Visible is who has most of the face uncovered by the cut-outs in front, which are wider than their faces."""
    shown = []
    for i, truth in enumerate(truths):
        covered = max(
            (
                _covered(truth.box, other.box)
                for other in truths[i + 1 :]
                if other.visible
            ),
            default=0.0,
        )
        shown.append(Truth(truth.name, truth.box, truth.visible and covered < 0.3))
    return shown


def _covered(box: F32, other: F32) -> float:
    grown = other + np.array([-0.18, -0.38, 0.18, 0.38], np.float32) * (
        other[2] - other[0]
    )
    low, high = np.maximum(box[:2], grown[:2]), np.minimum(box[2:], grown[2:])
    return float(np.clip(high - low, 0, None).prod() / (box[2] - box[0]) ** 2)


def sway(
    start: Pose, *, x: float, y: float = 20.0, period_s: float = 8.0, phase: float = 0.0
) -> Callable[[float], Pose]:
    """To and fro around a place, growing and shrinking by a fifth."""

    def part(time_s: float) -> Pose:
        turn = 2 * math.pi * time_s / period_s + phase
        width = start.width * (1 + 0.2 * math.sin(turn * 0.7))
        return Pose(
            start.x + x * math.sin(turn), start.y + y * math.sin(turn * 1.7), width
        )

    return part


def with_absences(
    part: Callable[[float], Pose], *spans: tuple[float, float]
) -> Callable[[float], Pose]:
    """The same part, off stage during some spans of seconds."""

    def played(time_s: float) -> Pose:
        pose = part(time_s)
        gone = any(start <= time_s < end for start, end in spans)
        return Pose(pose.x, pose.y, pose.width, pose.blur, on=not gone)

    return played


def with_blur(
    part: Callable[[float], Pose], *spans: tuple[float, float, float]
) -> Callable[[float], Pose]:
    """The same part, out of focus by so many pixels during some spans of seconds."""

    def played(time_s: float) -> Pose:
        pose = part(time_s)
        blur = max((b for start, end, b in spans if start <= time_s < end), default=0.0)
        return Pose(pose.x, pose.y, pose.width, blur, pose.on)

    return played
