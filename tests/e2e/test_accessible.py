"""What axe-core finds in the page, in light and dark: nothing. It is fetched with npm when the tests run."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from server.harness import Listening

from .test_page import CHROMIUM, Page, browser, camera_clip, photo_file, service

__all__ = ["browser", "camera_clip", "photo_file", "service"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

_FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target.join(' ')} ${n.html.slice(0, 300)}`).join(', ')}`)"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    npm, place = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("axe-core is fetched with npm, which is not installed")
    command = [npm, "pack", "axe-core@4", "--silent", "--pack-destination", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=90, cwd=place)
    except (subprocess.SubprocessError, OSError) as exc:
        pytest.skip(f"axe-core cannot be fetched with npm: {type(exc).__name__}")
    (packed,) = place.glob("axe-core-*.tgz")
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation(
    browser: object, service: Listening, axe: str, photo_file: Path, scheme: str
) -> None:
    page = Page(browser, service, color_scheme=scheme)
    page.go("photos")
    page.page.evaluate(axe)
    found = {"empty": page.page.evaluate(_FOUND)}
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face")
    for view in ("photos", "live", "people", "videos"):
        page.go(view)
        page.page.wait_for_selector(f"#{view}:not([hidden])")
        found[view] = page.page.evaluate(_FOUND)
    page.go("photos")
    page.page.click("#photos-canvas .face")
    page.page.wait_for_selector("dialog[open]")
    found["dialog"] = page.page.evaluate(_FOUND)
    page.close()
    assert {view: some for view, some in found.items() if some} == {}
