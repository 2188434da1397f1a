"""A gallery of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mien.gallery import Gallery, PostgresGallery


@pytest.fixture(params=["folder", "sqlite", "postgres", "postgres in memory"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Where a new gallery is to be."""
    if request.param.startswith("postgres"):
        first = 0 if request.param.endswith("in memory") else 1_000
        monkeypatch.setattr(PostgresGallery, "ask_first", first)
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / {"folder": "people", "sqlite": "people.db"}[request.param])


@pytest.fixture
def reopen(place: str) -> Iterator[Callable[[], Gallery]]:
    """Opens the same gallery anew each time."""
    from gallery.test_galleries import open_at

    opened: list[Gallery] = []

    def open_it() -> Gallery:
        opened.append(open_at(place))
        return opened[-1]

    yield open_it
    for gallery in opened:
        gallery.close()
