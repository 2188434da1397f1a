"""A stranger's attribute and route in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from background import free_port
from mien.pipeline import Analyzer
from mien.server import ServerSettings
from server.harness import Listening, with_gallery
from test_plugins import installed, site

from .test_page import CHROMIUM, Page, browser, camera_clip, photo_file

__all__ = ["browser", "camera_clip", "installed", "photo_file", "site"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def extended(installed: None, tmp_path: Path) -> Iterator[Listening]:
    """A service with what the package of tests/plugin adds."""
    analyzer = Analyzer(threads=1, only=("glasses",), attributes=("glasses",))
    settings = ServerSettings(data=tmp_path, port=free_port())
    listening = Listening(settings, with_gallery(analyzer, tmp_path / "people.db"))
    yield listening.start()
    listening.stop()


def test_the_page_shows_a_strangers_attribute_and_reaches_its_route(
    browser: object, extended: Listening, photo_file: Path
) -> None:
    page = Page(browser, extended)
    page.go("photos")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face")
    face = page.text("#photos-faces").lower()
    assert "glasses" in face
    assert "yes" in face or "no" in face
    page.shot("photos-plugin")
    said = page.page.evaluate("fetch('/v1/plugin/hello').then((r) => r.json())")
    assert said == {"hello": "faces"}
    page.close()
