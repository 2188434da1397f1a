from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mien.dlib_models import chip
from mien.types import F32, U8

from .conftest import Face, rectangle, rgb


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("points", [5, 68])
@pytest.mark.parametrize(("size", "padding"), [(150, 0.25), (96, 0.4)])
def test_chips_are_dlibs(
    points: int,
    size: int,
    padding: float,
    oracle: Callable[[int], Any],
    dlib: ModuleType,
    many_faces: list[Face],
) -> None:
    for face in many_faces:
        image = rgb(face.image)
        shape = oracle(points)(image, rectangle(dlib, face.box))
        at = np.array([[p.x, p.y] for p in shape.parts()], dtype=np.float32)
        theirs = dlib.get_face_chip(image, shape, size, padding)
        ours = chip.cut_chips(image, at[None], size=size, padding=padding)[0]
        off = np.abs(theirs.astype(int) - ours)
        assert off.max() <= 1, face.name
        assert (off > 0).mean() < 0.02, face.name


def template(side: float, x: float, y: float) -> F32:
    """Landmarks of an upright face as large as the template."""
    return (chip.TEMPLATE_5 * side + (x, y)).astype(np.float32)


def test_chip_box_of_the_template_is_upright() -> None:
    box = chip.chip_box(template(100, 40, 60))
    assert box.angle == pytest.approx(0, abs=1e-6)
    assert box.side == pytest.approx(150, rel=1e-5)
    assert box.center == pytest.approx((90, 110), abs=1e-3)


@pytest.mark.parametrize(
    "side", [3.0, 60.0, 100.0, 450.0, 1900.0], ids=lambda s: f"face of {s:.0f} px"
)
def test_every_size_gives_a_chip_of_the_face(side: float, astronaut: U8) -> None:
    flat = np.full((700, 700, 3), 90, dtype=np.uint8)
    middle = chip.cut_chips(flat, template(side, 350 - side / 2, 350 - side / 2)[None])[
        0
    ][60:90, 60:90]
    assert (middle == 90).all()


@pytest.mark.parametrize(
    "landmarks",
    [
        template(100, -5000, 0),
        template(100, 0, 1e9),
        np.zeros((5, 2), dtype=np.float32),
        np.full((5, 2), np.nan, dtype=np.float32),
        np.full((5, 2), np.inf, dtype=np.float32),
        template(1e12, 0, 0),
    ],
    ids=["left of it", "far below", "one place", "not numbers", "infinite", "huge"],
)
def test_faces_that_are_not_there_are_black(landmarks: F32, astronaut: U8) -> None:
    assert not chip.cut_chips(astronaut, landmarks[None]).any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (500, 3, 3)])
def test_tiny_photos(shape: tuple[int, ...]) -> None:
    chips = chip.cut_chips(
        np.full(shape, 200, dtype=np.uint8), template(300, -20, -20)[None]
    )
    assert chips.shape == (1, 150, 150, 3)


def test_faces_do_not_depend_on_each_other(astronaut: U8) -> None:
    landmarks = np.stack(
        [template(60, 190, 80), template(300, 100, 50), template(110, 160, 60)]
    )
    together = chip.cut_chips(astronaut, landmarks)
    assert (
        together == [chip.cut_chips(astronaut, one[None])[0] for one in landmarks]
    ).all()
    assert len(np.unique(together)) > 100


def test_no_face(astronaut: U8) -> None:
    assert chip.cut_chips(astronaut, np.zeros((0, 5, 2), dtype=np.float32)).shape == (
        0,
        150,
        150,
        3,
    )


def test_other_numbers_of_landmarks_are_refused(astronaut: U8) -> None:
    with pytest.raises(ValueError, match=r"expected \(5, 2\) or \(68, 2\)"):
        chip.cut_chips(astronaut, np.zeros((1, 6, 2), dtype=np.float32))
