"""The columns keep their shapes and dtypes, also with no rows."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from mien.attribute import Attribute
from mien.models.attributes.heads import AGE, GENDER
from mien.types import F32, Face, Faces, Matches, Scores


def years(*ages: float) -> F32:
    """Certain ages, as distributions."""
    return np.eye(101, dtype=np.float32)[list(ages)]  # type: ignore[call-overload,no-any-return]


def make_faces(n: int) -> Faces:
    return Faces(
        boxes=np.arange(4 * n, dtype=np.float32).reshape(n, 4),
        scores=np.linspace(1, 0.5, n, dtype=np.float32),
        landmarks=np.zeros((n, 5, 2), np.float32),
        embeddings=np.ones((n, 128), np.float32),
        attributes={
            "age": Scores(AGE, years(*range(n))),
            "gender": Scores(GENDER, np.tile(np.float32([0.9, 0.1]), (n, 1))),
        },
        matches=Matches(tuple(f"P{i}" for i in range(n)), np.full(n, 0.3, np.float32)),
    )


def test_no_faces_have_every_column_and_dtype() -> None:
    empty = Faces.empty()
    assert len(empty) == 0
    assert empty.boxes.shape == (0, 4)
    assert empty.landmarks.shape == (0, 5, 2)
    assert (
        empty.boxes.dtype == empty.scores.dtype == empty.landmarks.dtype == np.float32
    )
    assert list(empty) == []
    assert len(empty[empty.scores > 0.5]) == 0


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (np.array([True, False, True]), ("P0", "P2")),
        (np.array([2, 0]), ("P2", "P0")),
        (slice(1, None), ("P1", "P2")),
        (np.zeros(3, bool), ()),
    ],
    ids=["mask", "indices", "slice", "none"],
)
def test_indexing_takes_the_same_rows_of_every_column(
    rows: object, names: tuple[str, ...]
) -> None:
    chosen = make_faces(3)[rows]  # type: ignore[index]
    assert chosen.matches is not None
    assert chosen.matches.names == names
    assert len(chosen.attributes["gender"]) == len(names)
    assert [f"P{face.age:.0f}" for face in chosen] == list(names)


@pytest.mark.parametrize(
    ("i", "name"), [(0, "P0"), (2, "P2"), (-1, "P2"), (-3, "P0"), (np.int64(1), "P1")]
)
def test_a_whole_number_gives_a_face(i: int, name: str) -> None:
    face = make_faces(3)[i]
    assert isinstance(face, Face)
    assert face.name == name


@pytest.mark.parametrize("i", [3, -4])
def test_beyond_the_last_there_is_no_face(i: int) -> None:
    with pytest.raises(IndexError, match=f"no face {i}: 3"):
        make_faces(3)[i]
    with pytest.raises(IndexError):
        Faces.empty()[0]


def test_a_row_says_what_its_columns_say() -> None:
    face = make_faces(2).face(1)
    assert (face.name, face.age, face.gender, face.emotion) == (
        "P1",
        1.0,
        "female",
        None,
    )
    assert face.distance == pytest.approx(0.3)
    assert face.probs["gender"] == pytest.approx({"female": 0.9, "male": 0.1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores": np.zeros(3, np.float32)},
        {"landmarks": np.zeros((2, 4, 2), np.float32)},
        {"embeddings": np.zeros((1, 128), np.float32)},
        {
            "attributes": {
                "x": Scores(Attribute("x", ("a",)), np.ones((1, 1), np.float32))
            }
        },
    ],
    ids=["scores", "landmarks", "embeddings", "attributes"],
)
def test_columns_of_unequal_length_are_refused(wrong: dict[str, object]) -> None:
    columns = {
        "boxes": np.zeros((2, 4), np.float32),
        "scores": np.zeros(2, np.float32),
        "landmarks": np.zeros((2, 5, 2), np.float32),
    }
    with pytest.raises(ValueError, match="expected"):
        Faces(**{**columns, **wrong})  # type: ignore[arg-type]


def test_scores_refuse_a_wrong_number_of_labels() -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
        Scores(Attribute("x", ("a", "b", "c")), np.zeros((2, 2), np.float32))


def test_results_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        make_faces(1).face(0).score = 0.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        _ = Face(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)).emocion  # type: ignore[attr-defined]


def test_what_is_told_of_some_faces_stands_at_their_places() -> None:
    faces = Faces(
        np.zeros((3, 4), np.float32),
        np.ones(3, np.float32),
        np.zeros((3, 5, 2), np.float32),
    )
    told = np.array([True, False, True])
    matches = Matches(
        ("Ada", None),
        np.array([0.3, 0.7], np.float32),
        2,
        np.array([0.9, 0.1], np.float32),
    )
    part = replace(
        faces[told], matches=matches, embeddings=np.ones((2, 128), np.float32)
    )
    first, second, third = faces.told_by(part, told)
    assert (first.name, second.name, third.name) == ("Ada", None, None)
    assert (second.distance, second.embedding, second.angle) == (None, None, None)
    assert third.distance == pytest.approx(0.7)
    assert third.embedding is not None
