"""Detectors as users load them."""

from __future__ import annotations

import pytest

from mien.models.detectors.base import load_detector
from mien.models.detectors.compact import Compact


@pytest.fixture(scope="session")
def compact() -> Compact:
    detector = load_detector("compact")
    assert isinstance(detector, Compact)
    return detector
