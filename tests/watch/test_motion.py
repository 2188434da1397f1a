"""What counts as motion: people, and neither noise nor light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.types import U8
from mien.watch.motion import Motion

STEP_S = 0.2
Film = Callable[[int, np.random.Generator], np.ndarray]


def room(i: int, rng: np.random.Generator) -> np.ndarray:
    return np.tile(np.linspace(30, 120, 320), (180, 1))


def noisy(i: int, rng: np.random.Generator) -> np.ndarray:
    return room(i, rng) * 0.2 + rng.normal(0, 14, (180, 320))


def flickering(i: int, rng: np.random.Generator) -> np.ndarray:
    return room(i, rng) + 35 * (i % 3 == 0)


def raining(i: int, rng: np.random.Generator) -> np.ndarray:
    picture = room(i, rng)
    for x, y in zip(rng.integers(0, 320, 20), rng.integers(0, 160, 20), strict=True):
        picture[y : y + 18, x] += 70
    return picture


def waving(i: int, rng: np.random.Generator) -> np.ndarray:
    picture = room(i, rng)
    edge = 200 + round(8 * np.sin(i))
    picture[20:120, edge : edge + 30] = 10
    return picture


def seen(film: Film, motion: Motion, *, person_from: int, pictures: int) -> list[bool]:
    """Whether each picture moved; from some picture on somebody walks through."""
    rng = np.random.default_rng(1)
    moved = []
    for i in range(pictures):
        grey = film(i, rng)
        if i >= person_from:
            x = 20 + 6 * (i - person_from)
            grey[60:110, x : x + 22] += 55
        image: U8 = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
        moved.append(motion.moved(image, i * STEP_S))
    return moved


@pytest.mark.parametrize("film", [room, noisy, flickering, raining, waving])
def test_people_move_and_weather_does_not(film: Film) -> None:
    moved = seen(film, Motion(), person_from=120, pictures=150)
    assert moved[0], "the first picture is always looked at"
    assert np.mean(moved[60:120]) <= 0.1
    assert np.mean(moved[122:150]) >= 0.8


def test_what_lies_outside_the_mask_does_not_count() -> None:
    mask = np.zeros((10, 10), np.bool_)
    mask[:, 8:] = True  # the walker stays left of it
    moved = seen(room, Motion(mask), person_from=20, pictures=50)
    assert sum(moved) == 1


def test_a_picture_of_another_size_begins_anew() -> None:
    motion = Motion()
    for side in (100, 200):
        image = np.zeros((side, 2 * side, 3), np.uint8)
        assert motion.moved(image, 0.0) is (side == 100)
    assert motion.moved(np.zeros((300, 100, 3), np.uint8), 1.0)
