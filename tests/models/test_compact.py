"""Our own detector finds real faces and nothing where there is nothing; decoding is pure."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien import geometry
from mien.models.detectors.base import load_detector
from mien.models.detectors.compact import Compact, decode, vote
from mien.models.detectors.verifier import Verifier
from mien.types import F32, U8, Faces

SIZE_WH = (96, 64)  # 8 x 12, 4 x 6 and 2 x 3 cells


def cells_of(logits: dict[int, float]) -> F32:
    """Cells (15, 126) of which those in a dictionary have these logits."""
    cells = np.zeros((15, 126), np.float32)
    cells[0] = -20
    for index, logit in logits.items():
        cells[0, index] = logit
    return cells


def test_decodes_nothing_to_empty_columns() -> None:
    faces = decode(cells_of({}), SIZE_WH, threshold=0.5)
    assert faces.boxes.shape == (0, 4)
    assert faces.scores.shape == (0,)
    assert faces.landmarks.shape == (0, 5, 2)
    assert (
        faces.boxes.dtype == faces.scores.dtype == faces.landmarks.dtype == np.float32
    )


@pytest.mark.parametrize(
    ("threshold", "kept"), [(0.05, 3), (0.4, 2), (0.6, 1), (0.99, 0)]
)
def test_decode_keeps_cells_from_the_threshold_on(threshold: float, kept: int) -> None:
    faces = decode(cells_of({3: -2, 50: 0, 80: 2}), SIZE_WH, threshold=threshold)
    logistic = 1 / (1 + np.exp([2.0, 0.0, -2.0]))
    np.testing.assert_allclose(faces.scores, logistic[3 - kept :], rtol=1e-6)


@pytest.mark.parametrize(
    ("index", "stride", "column", "row"),
    [(14, 8, 2, 1), (95, 8, 11, 7), (96, 16, 0, 0), (103, 16, 1, 1), (124, 32, 1, 1)],
)
def test_decode_knows_where_each_cell_lies(
    index: int, stride: int, column: int, row: int
) -> None:
    cells = cells_of({index: 3})
    cells[1:5, index] = 0.5, -0.25, np.log(2), np.log(3)
    cells[5:, index] = np.arange(10) / 10
    faces = decode(cells, SIZE_WH, threshold=0.5)
    x, y = (column + 0.5) * stride, (row - 0.25) * stride
    box = x - stride, y - 1.5 * stride, x + stride, y + 1.5 * stride
    np.testing.assert_allclose(faces.boxes, [box], rtol=1e-5)
    points = (np.arange(10).reshape(5, 2) / 10 + (column, row)) * stride
    np.testing.assert_allclose(faces.landmarks[0], points, rtol=1e-5)


def test_only_cells_nearly_as_sure_as_the_best_say_where_a_face_is() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [2, 0, 12, 10]], np.float32)
    faces = vote(
        Faces(
            boxes,
            np.array([0.8, 0.4, 0.39], np.float32),
            np.zeros((3, 5, 2), np.float32),
        ),
        nms=0.3,
        least=0.2,
    )
    np.testing.assert_allclose(faces.boxes, [[1 / 3, 0, 10 + 1 / 3, 10]], atol=1e-5)
    assert faces.scores.tolist() == pytest.approx([0.8])


def test_of_many_cells_those_vote_that_overlap_enough_wherever_they_lie() -> None:
    """As all pairs compared would have it, in a picture with more cells than that can be done for."""
    random = np.random.default_rng(5)
    corners = random.uniform(0, 400, (600, 2))
    boxes = np.hstack([corners, corners + random.uniform(20, 60, (600, 2))])
    cells = Faces(
        boxes.astype(np.float32),
        random.uniform(0.1, 1, 600).astype(np.float32),
        random.uniform(0, 400, (600, 5, 2)).astype(np.float32),
    )
    faces = vote(cells, nms=0.3, least=0.4)
    kept = geometry.nms(cells.boxes, cells.scores, threshold=0.3)
    best = cells[kept[cells.scores[kept] >= 0.4]]
    votes = geometry.iou(best.boxes, cells.boxes) >= 0.6
    votes &= cells.scores >= 0.5 * best.scores[:, None]
    weights = np.where(votes, cells.scores, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    assert votes.sum(axis=1).max() > 1
    np.testing.assert_allclose(faces.boxes, weights @ cells.boxes, rtol=1e-4)
    places = np.einsum("kn,npd->kpd", weights, cells.landmarks)
    np.testing.assert_allclose(faces.landmarks, places, rtol=1e-4)
    few = vote(cells, nms=0.3, least=0.4, most=2)
    np.testing.assert_array_equal(few.boxes, faces.boxes[:2])


def test_what_is_clear_is_not_looked_at_again(
    astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = load_detector("compact")
    monkeypatch.setattr(
        Verifier,
        "__call__",
        lambda _self, _image, boxes: np.zeros(len(boxes), np.float32),
    )
    assert len(detector(astronaut)) == 1


def test_finds_the_astronaut_with_landmarks_in_place(
    compact: Compact, astronaut: U8
) -> None:
    faces = compact(astronaut)
    assert len(faces) == 1
    left, top, right, bottom = faces.boxes[0]
    assert 150 < left < 200 < right < 280
    assert 50 < top < 100 < bottom < 200
    left_eye, right_eye, nose, left_mouth, right_mouth = faces.landmarks[0]
    assert left < left_eye[0] < nose[0] < right_eye[0] < right
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_finds_nobody_in_a_cup_of_coffee(compact: Compact, face_free: U8) -> None:
    assert len(compact(face_free)) == 0


def test_mirrored_picture_gives_mirrored_faces(compact: Compact, astronaut: U8) -> None:
    straight, mirrored = (
        compact(astronaut),
        compact(np.ascontiguousarray(astronaut[:, ::-1])),
    )
    assert len(straight) == len(mirrored) == 1
    back = astronaut.shape[1] - mirrored.landmarks[0][[1, 0, 2, 4, 3], 0]
    np.testing.assert_allclose(back, straight.landmarks[0][:, 0], atol=5)


@pytest.mark.parametrize("size_wh", [(1, 1), (31, 500), (641, 479)], ids=str)
def test_takes_any_size(compact: Compact, size_wh: tuple[int, int]) -> None:
    assert len(compact(np.zeros((size_wh[1], size_wh[0], 3), np.uint8))) == 0


def test_large_picture_is_also_looked_at_as_a_whole(astronaut: U8) -> None:
    close = np.asarray(
        cv2.resize(astronaut[40:240, 120:320], (2400, 2400)), dtype=np.uint8
    )
    faces = load_detector("compact")(close)
    assert len(faces) == 1
    assert faces.boxes[0, 2] - faces.boxes[0, 0] > 700


@pytest.mark.slow
def test_a_large_picture_is_searched_in_tiles_and_each_face_found_once(
    astronaut: U8,
) -> None:
    face = astronaut[:300, 80:380]
    scene = np.full((2300, 4200, 3), 128, np.uint8)
    corners = [
        (20, 20),
        (1900, 900),
        (1650, 1850),
        (3450, 1900),
    ]  # some across the borders of tiles
    for x, y in corners:
        scene[y : y + 300, x : x + 300] = face
    found = load_detector("compact", min_face=16)(scene)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    expected = np.array([(x + 145, y + 117) for x, y in corners])
    assert len(found) == len(corners)
    assert np.abs(middles[None] - expected[:, None]).max(axis=2).min(axis=1).max() < 25


@pytest.mark.parametrize(
    "shape", [(1, 3_000_000, 3), (3_000_000, 1, 3)], ids=["row", "column"]
)
def test_a_line_of_pixels_holds_no_face(shape: tuple[int, int, int]) -> None:
    assert len(load_detector("compact")(np.zeros(shape, np.uint8))) == 0


def test_what_fills_a_picture_of_nobody_else_may_be_less_sure(astronaut: U8) -> None:
    strict = load_detector("compact", min_face=16)
    assert isinstance(strict, Compact)
    strict.threshold = 0.9999
    assert len(strict(astronaut)) == 0
    tight = astronaut[40:200, 144:304]
    # As it is, and only in the mean of four sizes.
    for strict.filling, strict.filling_on_average in ((0.54, 4.0), (1.0, 0.46)):
        (face,) = strict(tight)
        assert face.score < strict.threshold
        box = np.float32([[36, 21, 124, 133]])
        assert geometry.iou(face.box[None], box)[0, 0] > 0.7
    strict.filling_on_average = 1.0
    assert len(strict(tight)) == 0
    strict.filling = 0.5
    strict.any_angle = False  # as in streams
    assert len(strict(tight)) == 0


def test_the_first_network_sees_a_small_picture_once(
    face_free: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = geometry.shrink(face_free, 256 / max(face_free.shape[:2]))
    detector = load_detector("compact", min_face=16)
    assert isinstance(detector, Compact)
    assert max(small.shape[:2]) <= detector.cut_out
    seen = []
    cells = detector._cells
    monkeypatch.setattr(detector, "_cells", lambda x: seen.append(x.shape) or cells(x))
    assert len(detector(small)) == 0
    assert seen.count(small.shape) == 1


def test_a_box_without_a_side_is_still_a_place() -> None:
    """No cell overlaps it, not even its own: what is no number would go on into every cut of a picture."""
    cells = Faces(
        np.array([[10, 10, 10, 10], [50, 50, 90, 90]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.ones((2, 5, 2), np.float32),
    )
    faces = vote(cells, nms=0.3, least=0.4)
    assert len(faces) == 2
    assert np.isfinite(faces.boxes).all()
    assert np.isfinite(faces.landmarks).all()
