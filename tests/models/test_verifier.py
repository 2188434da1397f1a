"""The second stage tells faces from other things, wherever and however large they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.models.detectors.compact import joined
from mien.models.detectors.verifier import CROP, SIDE, Verifier, cut
from mien.types import U8

FACE = np.array([[167, 62, 276, 193]], np.float32)  # the astronaut's


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


def test_no_box_no_score(verifier: Verifier, astronaut: U8) -> None:
    scores = verifier(astronaut, np.zeros((0, 4), np.float32))
    assert (scores.shape, scores.dtype) == ((0,), np.float32)


def test_knows_a_face_from_what_is_beside_it(verifier: Verifier, astronaut: U8) -> None:
    beside = np.array(
        [[10, 300, 110, 400], [330, 20, 430, 120], [150, 330, 280, 460]], np.float32
    )
    scores = verifier(astronaut, np.concatenate([FACE, beside]))
    assert scores[0] > 0.8
    assert (scores[1:] < 0.2).all()


@pytest.mark.parametrize("scale", [0.2, 0.5, 2.0, 6.0])
def test_size_hardly_matters(scale: float, verifier: Verifier, astronaut: U8) -> None:
    sized = np.asarray(
        cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
        np.uint8,
    )
    assert verifier(sized, FACE * np.float32(scale))[0] > 0.7


def test_six_looks_are_the_mean_of_three_sizes_and_their_mirrors(
    verifier: Verifier, astronaut: U8
) -> None:
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    width = astronaut.shape[1]
    views = []
    for wider in (1.0, 0.7, 1.4):
        half = (FACE[:, 2:] - FACE[:, :2]) / 2 * np.float32(wider)
        middle = (FACE[:, :2] + FACE[:, 2:]) / 2
        box = np.concatenate([middle - half, middle + half], axis=1)
        back = np.stack(
            [width - box[:, 2], box[:, 1], width - box[:, 0], box[:, 3]], axis=1
        )
        views += [verifier(astronaut, box)[0], verifier(mirrored, back)[0]]
    first = verifier(astronaut, FACE)
    assert verifier.steady(astronaut, FACE, first)[0] == pytest.approx(
        np.mean(views), abs=0.02
    )
    assert verifier.steady(astronaut, FACE[:0], first[:0]).shape == (0,)


def test_scores_do_not_depend_on_each_other(verifier: Verifier, astronaut: U8) -> None:
    boxes = FACE + np.arange(40, dtype=np.float32)[:, None]
    together = verifier(astronaut, boxes)
    alone = [verifier(astronaut, box[None])[0] for box in boxes]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    "box", [(-500, -500, -400, -400), (600, 0, 700, 100), (100, 100, 100, 100)]
)
def test_boxes_beside_the_picture_or_of_no_size_are_no_faces(
    box: tuple[int, ...], verifier: Verifier, astronaut: U8
) -> None:
    assert verifier(astronaut, np.array([box], np.float32))[0] < 0.5


@pytest.mark.parametrize("side", [12.0, 30.0, 49.0, 51.0, 300.0])
def test_a_cut_shows_the_box_at_one_size(side: float) -> None:
    """A white square as large as the box is SIDE pixels wide in the middle of the cut."""
    picture = np.zeros((700, 900, 3), np.uint8)
    centre = np.array([412.0, 333.0], np.float32)
    low, high = (
        np.round(centre - side / 2).astype(int),
        np.round(centre + side / 2).astype(int),
    )
    picture[low[1] : high[1], low[0] : high[0]] = 255
    seen = cut(picture, centre, side)[..., 0]
    assert seen.shape == (CROP, CROP)
    for line in (seen[CROP // 2], seen[:, CROP // 2]):
        assert line.sum() / 255 == pytest.approx(SIDE, abs=2.6)
        assert (line * np.arange(CROP)).sum() / line.sum() == pytest.approx(
            CROP / 2, abs=1.5
        )


def test_outside_the_picture_a_cut_is_black() -> None:
    picture = np.full((50, 50, 3), 255, np.uint8)
    seen = cut(picture, np.array([0.0, 25.0], np.float32), 30.0)
    assert (seen[:, : CROP // 2 - 2] == 0).all()
    assert (seen[:, CROP // 2 + 1 :] == 255).all()


def test_the_closer_look_counts_more() -> None:
    scores = joined(
        np.array([0.9, 0.3, 0.5], np.float32), np.array([0.3, 0.9, 0.5], np.float32)
    )
    assert scores[1] > scores[2] > scores[0]
    assert scores.dtype == np.float32
