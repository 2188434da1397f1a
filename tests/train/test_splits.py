"""What belongs together stays on one side; classes are spread evenly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mien.train.splits import groups_of, learnable, stratified_folds


def test_files_persons_and_near_duplicates_are_one_group() -> None:
    descriptors = np.arange(7, dtype=np.float32)[:, None] * np.ones(
        (1, 128), np.float32
    )
    descriptors[6] = descriptors[2] + 0.01  # 0.11 away
    digests = ["a", "b", "c", "a", "d", "e", "f"]
    persons = ["", "", "", "", "ada", "ada", ""]
    groups = groups_of(digests, descriptors, persons)
    assert groups[0] == groups[3]
    assert groups[4] == groups[5]
    assert groups[2] == groups[6]
    assert len(set(groups.tolist())) == 4


@pytest.mark.parametrize(("near", "groups"), [(0.25, 3), (0.45, 2)])
def test_how_near_is_one_person_can_be_said(near: float, groups: int) -> None:
    descriptors = np.zeros((3, 128), np.float32)
    descriptors[1, 0], descriptors[2, 0] = 0.4, 3
    assert (
        len(set(groups_of(["a", "b", "c"], descriptors, [""] * 3, near=near).tolist()))
        == groups
    )


def test_what_is_linked_through_others_is_one_group() -> None:
    far = np.eye(4, 128, dtype=np.float32)
    groups = groups_of(["a", "a", "b", "c"], far, ["", "ada", "ada", ""])
    assert groups[0] == groups[1] == groups[2] != groups[3]


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 25), st.integers(0, 3)), min_size=20, max_size=120
    ),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_groups_stay_whole_and_every_picture_has_a_fold(
    rows: list[tuple[int, int]], folds: int, seed: int
) -> None:
    _, groups = np.unique([group for group, _ in rows], return_inverse=True)
    classes = np.array([k for _, k in rows])
    got = stratified_folds(groups, classes, folds=folds, seed=seed)
    assert got.shape == groups.shape
    assert ((got >= 0) & (got < folds)).all()
    for group in np.unique(groups):
        assert len(set(got[groups == group].tolist())) == 1
    again = stratified_folds(groups, classes, folds=folds, seed=seed)
    assert (got == again).all()


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_spread_evenly(seed: int) -> None:
    classes = np.repeat([0, 1, 2], [60, 30, 10])
    folds = stratified_folds(np.arange(100), classes, folds=5, seed=seed)
    counts = np.array(
        [np.bincount(classes[folds == fold], minlength=3) for fold in range(5)]
    )
    assert np.ptp(counts, axis=0).max() <= 1


def test_another_seed_is_another_split() -> None:
    classes = np.repeat([0, 1], 50)
    one, other = (
        stratified_folds(np.arange(100), classes, folds=5, seed=seed) for seed in (0, 1)
    )
    assert (one != other).any()


def test_a_class_in_one_group_cannot_be_learnt_and_measured() -> None:
    classes = np.array([0, 0, 1, 1])
    assert not learnable(classes, np.array([0, 1]))
    assert learnable(classes, np.array([0, 2]))
