"""Pictures to learn from: a hundred real faces that come with scikit-image, dressed up so that there are classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from mien.types import U8

_SIDE = 75  # pixels, as large as the smallest network takes them


@cache
def people() -> list[U8]:
    """A hundred people of LFW, (75, 75) uint8 grey, one picture each."""
    subset = np.load(Path(skimage.data.__file__).with_name("lfw_subset.npy"))[:100]
    grey = (subset * 255).astype(np.uint8)
    return [
        np.asarray(
            cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), np.uint8
        )
        for face in grey
    ]


def take(face: U8, number: int) -> U8:
    """One of many photos of a person: mirrored or not, nearer or farther, lighter or darker."""
    chance = np.random.default_rng(number)
    cut = int(chance.integers(0, 6))
    seen = face[cut : _SIDE - cut, cut : _SIDE - cut]
    seen = seen[:, ::-1] if number % 2 else seen
    seen = cv2.resize(
        np.ascontiguousarray(seen), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(np.clip(seen * chance.uniform(0.75, 1.1), 0, 255), np.uint8)


def scowling(face: U8) -> U8:
    """Thick brows drawn down to the nose, and the corners of the mouth."""
    drawn = face.copy()
    for side in (-1, 1):
        cv2.line(drawn, (37 + side * 4, 30), (37 + side * 20, 20), 0, 4)
    cv2.ellipse(drawn, (37, 60), (11, 7), 0, 180, 360, 0, 3)
    return drawn


def in_half_light(face: U8) -> U8:
    """Lit from the left alone."""
    light = np.linspace(1.2, 0.05, _SIDE)[None]
    return np.asarray(np.clip(face * light, 0, 255), np.uint8)


def behind_glasses(face: U8) -> U8:
    """Dark glasses."""
    drawn = face.copy()
    for side in (-1, 1):
        cv2.ellipse(drawn, (37 + side * 13, 30), (10, 7), 0, 0, 360, 10, -1)
    cv2.line(drawn, (24, 28), (50, 28), 10, 3)
    return drawn


DRESSED = {
    "Happy": np.copy,
    "Angry": scowling,
    "Sad": in_half_light,
    "Calm": behind_glasses,
}


def picture(mood: str, number: int) -> bytes:
    """The JPEG of a class's picture by number: a hundred people take turns, each time in another take."""
    kind = list(DRESSED).index(mood)
    face = people()[(number * 7 + 25 * kind) % 100]
    dressed = DRESSED[mood](take(face, 4 * number + kind))
    return bytes(cv2.imencode(".jpg", dressed)[1].tobytes())
