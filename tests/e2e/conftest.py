"""The fixtures of the service's tests, for the page too."""

from __future__ import annotations

import pytest

from mien.pipeline import Analyzer
from mien.types import U8
from server.harness import PARTS_HERE, encoded, fast_detector


@pytest.fixture(scope="session")
def models() -> Analyzer:
    """The networks, loaded once."""
    detector = fast_detector()
    return Analyzer(
        threads=1, only=PARTS_HERE, **({"detector": detector} if detector else {})
    )


@pytest.fixture(scope="session")
def photo(astronaut: U8) -> bytes:
    """A JPEG with one face."""
    return encoded(astronaut)
