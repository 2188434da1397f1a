"""What the tests of streams share."""

from __future__ import annotations

import pytest

from live.detectors import fast_detector


@pytest.fixture(scope="session")
def stream_detector(_own_cache: None) -> str:
    """The name of a detector fast enough for films; imports YuNet into the cache where the default is not."""
    return fast_detector()
