"""Cameras and visits in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from background import free_port
from mien.pipeline import Analyzer
from mien.server import ServerSettings
from mien.types import U8
from mien.watch.cameras import Camera
from mien.watch.settings import Keeping, WatchFile
from server.harness import Listening, with_gallery
from watch.conftest import MjpegCamera

from .test_page import CHROMIUM, WIDER, Page, browser, camera_clip, names

__all__ = ["browser", "camera_clip"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def door(astronaut: U8) -> Iterator[MjpegCamera]:
    """A camera before which the astronaut stands."""
    moved = [np.roll(astronaut, 4 * i, axis=1) for i in range(8)]
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in moved]
    camera = MjpegCamera([*jpegs, *reversed(jpegs)])
    yield camera
    camera.end()


@pytest.fixture
def watching(models: Analyzer, tmp_path: Path, face_film: Path) -> Iterator[Listening]:
    """A service that watches a film of the astronaut, and may watch loopback."""
    keep = Keeping(keep_days=2, keep_pictures="face", keep_clips=1)
    film = Camera(name="film", source=str(face_film))
    settings = ServerSettings(
        data=tmp_path,
        port=free_port(),
        url_hosts=("127.0.0.1",),
        watch=WatchFile(cameras=(film,), watch=keep),
    )
    listening = Listening(settings, with_gallery(models, tmp_path / "people.db"))
    yield listening.start()
    listening.stop()


def test_a_visit_is_named_and_a_camera_comes_and_goes(
    browser: object, watching: Listening, door: MjpegCamera
) -> None:
    page = Page(browser, watching)
    page.go("cameras")
    page.page.wait_for_selector(".visit:not(.here) button:has-text('Who is this?')")
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('.visit img')].some((i) => i.naturalWidth > 40)"
    )
    assert page.text(".visit h3").startswith("Somebody")
    assert "Visits are kept for 2 days" in page.text("#visits-lead")
    page.page.click(".visit button:has-text('Who is this?')")
    page.page.fill("#dialog input[name=name]", "Eileen")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector(".visit h3:has-text('Eileen')")
    assert names(watching) == ["Eileen"]
    page.page.wait_for_selector(".chart:has-text('Visits per hour of the day') rect")
    assert page.text("#counts-lead").startswith("Somebody came")
    page.page.click("#day-lanes button[aria-label^='Eileen, film']")
    page.page.wait_for_selector(".visit.shown:has-text('Eileen')")
    page.page.click(".visit button[aria-label^='The clip of Eileen']")
    page.page.wait_for_function(
        "() => document.querySelector('dialog video')?.videoWidth > 0"
    )
    page.page.click("#dialog-ok")
    page.page.click("#cameras-add")
    page.page.fill("#dialog input[name=name]", "door")
    page.page.fill("#dialog input[name=source]", door.address)
    page.page.click("#dialog-ok")
    page.page.wait_for_selector(".camera.up:has-text('door') img[src]")
    page.page.wait_for_selector(".visit.here:has-text('Eileen')")
    page.page.keyboard.press("Escape")
    page.page.focus(".enlarge[aria-label='Show door large']")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector(".camera.large:has-text('door')")
    page.shot("cameras")
    assert page.page.evaluate(WIDER) == []
    page.page.select_option("#visits-camera", "film")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.visit').length === 1"
    )
    page.page.click("button[aria-label='Remove door']")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector(".camera:has-text('door')", state="detached")
    page.page.click(".visit button:has-text('Not Eileen')")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector(".visit h3:has-text('Somebody unknown')")
    page.page.click(".visit button[aria-label^='Forget Somebody']")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector(".visit", state="detached")
    page.close()


def test_cameras_dark_on_a_phone(browser: object, watching: Listening) -> None:
    phone = Page(browser, watching, color_scheme="dark")
    phone.page.set_viewport_size({"width": 390, "height": 844})
    phone.go("cameras")
    phone.page.wait_for_selector(".visit h3")
    phone.shot("cameras-phone")
    assert phone.page.evaluate(WIDER) == []
    phone.close()


def test_an_audience_is_counted_and_nobody_described(
    browser: object, tmp_path: Path, face_film: Path
) -> None:
    """`--only age,gender,emotion`: nobody has a name, what is not kept is said with its cure. A rule is added there,
    tried out and removed, on a phone in the dark."""
    counting = Analyzer(only=("age", "gender", "emotion"), threads=1)
    film = Camera(name="hall", source=str(face_film))
    settings = ServerSettings(
        data=tmp_path,
        port=free_port(),
        url_hosts=("127.0.0.1",),
        watch=WatchFile(cameras=(film,), watch=Keeping(keep_days=1)),
    )
    listening = Listening(settings, counting).start()
    page = Page(browser, listening, color_scheme="dark")
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.go("cameras")
    page.page.wait_for_selector(".chart:has-text('Ages') rect")
    assert "this service only counts" in page.text("#counts-lead")
    assert "keep_pictures" in page.text("#visits-lead")
    assert not page.page.is_visible("#visits-person")
    assert page.page.locator(".visit button:has-text('Who is this?')").count() == 0
    page.page.click("#rules-add")
    page.page.fill("#dialog input[name=name]", "guests")
    page.page.fill("#dialog input[name=url]", "https://192.168.0.1/x")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#dialog-error:has-text('private')")
    page.page.fill("#dialog input[name=url]", f"http://127.0.0.1:{free_port()}/x")
    page.page.click("#dialog-ok")
    page.page.click("button[aria-label='Send a test of guests']")
    page.page.wait_for_selector(".toast.bad:has-text('refused')")
    page.page.click("button[aria-label='Change guests']")
    assert page.page.input_value("#dialog input[name=name]") == "guests"
    assert page.page.input_value("#dialog input[name=url]") == "", "it may be a secret"
    page.page.fill("#dialog input[name=hours]", "late")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#dialog-error:has-text('late')")
    page.page.fill("#dialog input[name=hours]", "22:00-6:00")
    page.page.select_option("#dialog select[name=camera]", "hall")
    page.page.fill("#dialog input[name=every]", "10")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector(".rule:has-text('at hall · 22:00-6:00')")
    rules = listening.http.get(f"{listening.base}/v1/rules").json()["rules"]
    (changed,) = rules
    assert (changed["cameras"], changed["every_minutes"]) == (["hall"], 10)
    assert changed["who"] == "anybody"
    page.page.click("button[aria-label='Remove guests']")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#rules-blank:not([hidden])")
    page.shot("audience-phone")
    assert page.page.evaluate(WIDER) == []
    page.errors = [error for error in page.errors if "422" not in error]
    page.close()
    listening.stop()


def test_without_cameras_there_is_no_view_of_them(
    browser: object, models: Analyzer, tmp_path: Path
) -> None:
    settings = ServerSettings(data=tmp_path, port=free_port())
    plain = Listening(settings, with_gallery(models, tmp_path / "people.db")).start()
    page = Page(browser, plain)
    page.go("photos")
    page.page.wait_for_selector("#status.good")
    assert not page.page.is_visible("#nav-cameras")
    page.close()
    plain.stop()
