"""Labels stay in the picture and off the faces; a person keeps one colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mien import geometry
from mien.models.attributes.heads import AGE, GENDER
from mien.output import drawing, lettering
from mien.types import Faces, Matches, Scores


def make_faces(boxes: np.ndarray, names: tuple[str | None, ...] | None = None) -> Faces:
    n = len(boxes)
    return Faces(
        boxes=boxes.astype(np.float32),
        scores=np.full(n, 0.9, np.float32),
        landmarks=geometry.mean_landmarks(boxes.astype(np.float32)),
        attributes={
            "age": Scores(AGE, np.tile(np.eye(101, dtype=np.float32)[31], (n, 1))),
            "gender": Scores(GENDER, np.tile(np.float32([0.8, 0.2]), (n, 1))),
        },
        matches=Matches(names or (None,) * n, np.full(n, 0.4, np.float32)),
    )


def places(faces: Faces, size_wh: tuple[int, int]) -> np.ndarray:
    style = drawing.LabelStyle.for_size(*size_wh)
    placed = style.placed(faces, list(faces), size_wh)
    return np.array([label.place for label in placed]).reshape(-1, 4)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(-50, 600), st.integers(-50, 450), st.integers(5, 300)),
        max_size=8,
    )
)
def test_labels_never_leave_the_picture(squares: list[tuple[int, int, int]]) -> None:
    boxes = np.array([[x, y, x + side, y + side] for x, y, side in squares]).reshape(
        -1, 4
    )
    labels = places(make_faces(boxes), (640, 480))
    assert len(labels) <= len(squares)
    assert (labels[:, :2] >= 0).all()
    assert (labels[:, 2] <= 640).all()
    assert (labels[:, 3] <= 480).all()


def test_labels_keep_off_other_faces_and_labels_where_there_is_room() -> None:
    boxes = np.array(
        [
            [100, 200, 160, 270],
            [170, 200, 230, 270],
            [240, 200, 300, 270],
            [110, 90, 170, 160],
        ]
    )
    faces = make_faces(
        boxes, ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Edsger W. Dijkstra")
    )
    labels = places(faces, (640, 480))
    order = np.argsort(-geometry.area(faces.boxes), kind="stable")
    for i, own in enumerate(order):
        others = np.delete(faces.boxes, own, axis=0)
        assert geometry.iou(labels[i : i + 1], others).max() == 0
        assert geometry.iou(labels[i : i + 1], np.delete(labels, i, axis=0)).max() == 0


@pytest.mark.parametrize("size_wh", [(20, 20), (320, 240), (4000, 3000)], ids=str)
def test_any_size_is_drawn_on_a_copy(size_wh: tuple[int, int]) -> None:
    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    side = min(size_wh) / 2
    drawn = drawing.annotate(
        picture, make_faces(np.array([[2, 2, side, side]]), ("Zoë 名前 O'Neil",))
    )
    assert drawn.shape == picture.shape
    assert drawn.any()
    assert not picture.any()


@pytest.mark.parametrize("size_wh", [(40, 60), (100, 80), (300, 200)], ids=str)
def test_long_names_are_cut_to_the_picture(size_wh: tuple[int, int]) -> None:
    faces = make_faces(
        np.array([[5, 5, 30, 35]]), ("Augusta Ada King, Countess of Lovelace " * 3,)
    )
    style = drawing.LabelStyle.for_size(*size_wh)
    (label,) = style.placed(faces, list(faces), size_wh)
    assert label.lines[0].endswith("…")
    assert label.place[2] <= size_wh[0]
    widths = [lettering.text_size(line, label.style.text)[0] for line in label.lines]
    assert max(widths) <= label.place[2] - label.place[0]


def crowd(every: int) -> tuple[Faces, list[drawing.Label]]:
    """Seventy small faces in 640 x 480, every so many of them with a name, and their labels."""
    boxes = np.array(
        [
            [x, y, x + 24 + x % 7, y + 30]
            for y in range(40, 460, 60)
            for x in range(8, 630, 62)
        ]
    )
    names = tuple(
        f"Ada Lovelace {i}" if i % every == 0 else None for i in range(len(boxes))
    )
    faces = make_faces(boxes, names)
    return faces, list(
        drawing.LabelStyle.for_size(640, 480).placed(faces, list(faces), (640, 480))
    )


def test_in_a_crowd_no_label_lies_over_a_face_or_another_label() -> None:
    faces, labels = crowd(every=5)
    places = np.array([label.place for label in labels])
    assert geometry.iou(places, faces.boxes).max() == 0
    among_themselves = geometry.iou(places, places)
    np.fill_diagonal(among_themselves, 0)
    assert among_themselves.max() == 0


def test_in_a_crowd_names_are_written_first_and_small() -> None:
    faces, labels = crowd(every=5)
    named = [label for label in labels if label.face.name]
    assert len(named) == sum(face.name is not None for face in faces)
    assert len(labels) < len(faces)
    assert (
        max(label.style.text for label in labels)
        < drawing.LabelStyle.for_size(640, 480).text
    )


def test_a_label_away_from_its_face_is_joined_to_it_by_a_line_over_no_other_face() -> (
    None
):
    faces, labels = crowd(every=2)
    away = [label for label in labels if label.away]
    assert away
    for label in away:
        others = faces.boxes[(faces.boxes != label.face.box).any(axis=1)]
        start, end = drawing._ends(label.place, label.face.box)
        line = np.linspace(start, end, 50)[:, None]
        inside = (line > others[:, :2] + 2) & (line < others[:, 2:] - 2)
        assert not inside.all(axis=2).any()
    picture = np.full((480, 640, 3), 90, np.uint8)
    middle = (
        np.mean(drawing._ends(away[0].place, away[0].face.box), axis=0)
        .round()
        .astype(int)
    )
    assert (drawing.annotate(picture, faces)[middle[1], middle[0]] != 90).any()


def test_no_faces_leave_the_picture_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(drawing.annotate(picture, Faces.empty()), picture)


def test_a_person_has_one_colour_and_others_have_others() -> None:
    assert drawing.colour_for("Ada") == drawing.colour_for("Ada")
    assert (
        len({drawing.colour_for(name) for name in ("Ada", "Grace", "Alan", "Edsger")})
        == 4
    )


def test_what_a_label_says() -> None:
    known, unknown = make_faces(np.array([[0, 0, 9, 9]] * 2), ("Ada", None))
    assert drawing.label_lines(known) == ["Ada", "female, 31"]
    assert drawing.label_lines(unknown) == ["unknown", "female, 31"]


def moved(x: float, y: float) -> Faces:
    """A named face of a track at a place."""
    box = np.array([[x, y, x + 90, y + 110]], np.float32)
    points = np.zeros((1, 5, 2), np.float32)
    matches = Matches(("Ada",), np.array([0.3], np.float32))
    return Faces(
        box,
        np.ones(1, np.float32),
        points,
        track_ids=np.array([1], np.int64),
        matches=matches,
    )


def test_a_label_stays_on_its_side_while_a_face_trembles() -> None:
    """Near the edge where there is just room above: by itself each picture would choose anew."""
    image = np.full((360, 640, 3), 90, np.uint8)
    annotate = drawing.Annotator()
    sides, alone = [], []
    for y in (30, 20, 12, 20, 14, 26, 18, 12, 30):
        annotate(image, moved(300, y))
        sides.append(annotate._sides[1])
        fresh: dict[int, int] = {}
        drawing.annotate(image, moved(300, y), sides=fresh)
        alone.append(fresh[1])
    assert len(set(alone)) > 1
    assert len(set(sides)) == 1
    annotate(image, moved(300, 0))  # there it would cover the whole face
    assert annotate._sides[1] != sides[0]
    annotate(image, Faces.empty())
    assert annotate._sides == {}


def test_labels_leave_the_strip_below_free() -> None:
    image = np.full((360, 640, 3), 90, np.uint8)
    image_with = drawing.Annotator(lambda height: 40)(image, moved(300, 245))
    beside = np.r_[0:295, 400:640]
    assert (image_with[320:, beside] == 90).all()
    assert (image_with != 90).any()


@pytest.mark.parametrize(
    ("size_wh", "line"), [((1280, 720), 4), ((640, 360), 2), ((160, 120), 1)]
)
def test_lines_are_seen_from_afar(size_wh: tuple[int, int], line: int) -> None:
    assert drawing.LabelStyle.for_size(*size_wh).line == line
