"""The page in another language, in a real browser: in every view no English text is left, and axe finds nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.pipeline import Analyzer
from server.harness import Listening
from server.test_languages import STATIC

from .test_accessible import _FOUND, axe
from .test_cameras import watching
from .test_page import CHROMIUM, Page, browser, camera_clip, photo_file

__all__ = ["axe", "browser", "camera_clip", "photo_file", "watching"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

VIEWS = ("photos", "live", "cameras", "people", "videos")
# All that is read or heard just now, one text a row.
SAID = """() => {
  const seen = (node) => node.checkVisibility({visibilityProperty: true});
  const found = [document.title];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (seen(walk.currentNode.parentElement)) found.push(walk.currentNode.data);
  for (const name of ['aria-label', 'title', 'placeholder', 'alt'])
    for (const node of document.querySelectorAll(`[${name}]`)) if (seen(node)) found.push(node.getAttribute(name));
  return found.map((text) => text.trim()).filter(Boolean);
}"""


def left_in_english(page: Page) -> set[str]:
    strings = json.loads((STATIC / "de.json").read_text("utf-8"))
    told = page.page.evaluate(SAID)
    assert len(told) > 15
    return {
        text
        for text in told
        if strings.get(text, text) != text and text not in strings.values()
    }


@pytest.fixture
def german(browser: object, watching: Listening) -> Iterator[Page]:
    page = Page(browser, watching, locale="de-AT", color_scheme="dark")
    yield page
    page.close()


def test_german_in_every_view(german: Page, axe: str, photo_file: Path) -> None:
    """As the browser asks for it; the photo is of somebody unknown, at the camera somebody came."""
    page, found = german.page, {}
    german.go("photos")
    page.evaluate(axe)
    assert page.evaluate("document.documentElement.lang") == "de"
    page.wait_for_selector("#nav-cameras:not([hidden])")
    page.set_input_files("#photos-input", photo_file)
    page.wait_for_selector("#photos-canvas .face")
    assert german.text("#photos-count").startswith("1 Gesicht")
    for view in VIEWS:
        german.go(view)
        if view == "cameras":
            page.wait_for_selector(".visit button:has-text('Wer ist das?')")
        found[view] = left_in_english(german) | set(page.evaluate(_FOUND))
    german.go("photos")
    page.click("#photos-canvas .face")
    page.wait_for_selector("dialog[open]")
    assert german.text("#dialog-title") == "Wer ist das?"
    found["dialog"] = left_in_english(german) | set(page.evaluate(_FOUND))
    german.shot("german")
    assert {view: some for view, some in found.items() if some} == {}


def test_a_language_is_chosen_and_stays(german: Page) -> None:
    page = german.page
    german.go("people")
    page.wait_for_selector("h1:has-text('Personen')")
    page.select_option("#language", "en")
    page.wait_for_selector("h1:has-text('People')")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    page.wait_for_selector("h1:has-text('People')")
    page.select_option("#language", "de")
    page.wait_for_selector("h1:has-text('Personen')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_at_the_cameras(
    browser: object, watching: Listening, models: Analyzer, axe: str, scheme: str
) -> None:
    page = Page(browser, watching, color_scheme=scheme)
    page.go("cameras")
    page.page.evaluate(axe)
    page.page.wait_for_selector(".visit:not(.here) button:has-text('Who is this?')")
    found = {"cameras": page.page.evaluate(_FOUND)}
    for opener in ("#cameras-add", "#rules-add", ".visit button:has-text('Who is')"):
        page.page.click(opener)
        page.page.wait_for_selector("dialog[open]")
        found[opener] = page.page.evaluate(_FOUND)
        page.page.keyboard.press("Escape")
    page.close()
    assert {view: some for view, some in found.items() if some} == {}
