"""Small folders of faces, and what is learnt from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from train.pictures import DRESSED, picture

MOODS = {"Happy": "happiness", "Sad": "sadness", "Angry": "anger", "Calm": "neutral"}
Lay = Callable[..., Path]


@pytest.fixture(scope="session")
def lay(tmp_path_factory: pytest.TempPathFactory) -> Lay:
    """Lays pictures out in folders: so many a class, of these classes, `skip` pictures further on."""

    def folders(
        per_class: int, classes: tuple[str, ...] = tuple(DRESSED), skip: int = 0
    ) -> Path:
        root = tmp_path_factory.mktemp("moods")
        for mood in classes:
            (root / mood).mkdir()
            for number in range(skip, skip + per_class):
                (root / mood / f"{number:03}.jpg").write_bytes(picture(mood, number))
        return root

    return folders


@pytest.fixture(scope="session")
def small(lay: Lay) -> Path:
    """A dozen pictures each of two moods."""
    return lay(12, ("Happy", "Angry"))


@pytest.fixture
def ferplus(shared: Path, tmp_path: Path) -> Path:
    """Sixty pictures each of four moods as people really show them: FER+, of the shared data."""
    with np.load(shared / "data" / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = (
            npz["jpeg"].tobytes(),
            npz["offsets"],
            npz["votes"],
            npz["split"],
        )
        names = [str(name) for name in npz["vote_names"]]
    pictures = [jpeg[a:b] for a, b in itertools.pairwise(offsets)]
    order = np.random.default_rng(7).permutation(np.flatnonzero(split == "train"))
    for mood, name in MOODS.items():
        (tmp_path / "ferplus" / mood).mkdir(parents=True)
        for i in order[votes[order].argmax(axis=1) == names.index(name)][:60]:
            (tmp_path / "ferplus" / mood / f"{i}.jpg").write_bytes(pictures[i])
    return tmp_path / "ferplus"
