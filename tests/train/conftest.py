"""Small folders of real faces (FER+, from the shared data) and what is learnt from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

MOODS = {"Happy": "happiness", "Sad": "sadness", "Angry": "anger", "Calm": "neutral"}
Lay = Callable[..., Path]


@pytest.fixture(scope="session")
def lay(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Lay:
    """Lays FER+ pictures out in folders: so many a class, of these classes, `skip` pictures further on."""
    with np.load(shared / "data" / "ferplus.npz", allow_pickle=False) as npz:
        jpeg, offsets, votes, split = npz["jpeg"].tobytes(), npz["offsets"], npz["votes"], npz["split"]
        names = [str(name) for name in npz["vote_names"]]
    pictures = [jpeg[a:b] for a, b in itertools.pairwise(offsets)]
    order = np.random.default_rng(7).permutation(np.flatnonzero(split == "train"))

    def folders(per_class: int, classes: tuple[str, ...] = tuple(MOODS), skip: int = 0) -> Path:
        root = tmp_path_factory.mktemp("moods")
        for mood in classes:
            rows = order[votes[order].argmax(axis=1) == names.index(MOODS[mood])][skip : skip + per_class]
            (root / mood).mkdir()
            for i in rows:
                (root / mood / f"{i}.jpg").write_bytes(pictures[i])
        return root

    return folders


@pytest.fixture(scope="session")
def small(lay: Lay) -> Path:
    """Twenty pictures each of two moods."""
    return lay(20, ("Happy", "Angry"))
