"""The page in a real browser with a camera that plays a clip; screenshots are kept in `$MIEN_SCREENSHOTS`,
or `build/screenshots`."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from background import free_port
from mien.gallery import Photo
from mien.media import images
from mien.models.detectors.base import load_detector
from mien.pipeline import Analyzer
from mien.server import KeyFile, ServerSettings
from mien.types import U8
from server.harness import (
    EVERYWHERE,
    Listening,
    encoded,
    takes,
    with_gallery,
    write_clip,
    write_head,
)

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)

CHROMIUM = (
    shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
PATIENCE_MS = 40_000
SCREENSHOTS = Path(
    os.environ.get(
        "MIEN_SCREENSHOTS", Path(__file__).parents[2] / "build" / "screenshots"
    )
)
WIDER = """() => [...document.querySelectorAll('main *')]
    .filter((e) => e.checkVisibility() && !e.closest('.strip') && e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => e.className || e.tagName)"""


@pytest.fixture(scope="module")
def camera_clip(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of the astronaut moving a little, as a fake camera plays them."""
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    canvas = np.full((480, 640, 3), 90, np.uint8)
    small = cv2.resize(astronaut, (480, 480), interpolation=cv2.INTER_AREA)
    with path.open("wb") as file:
        for i in range(60):
            frame = canvas.copy()
            left = 80 + round(20 * np.sin(i / 60 * 2 * np.pi))
            frame[:, left : left + 480] = small
            file.write(encoded(frame))
    return path


@pytest.fixture(scope="module")
def browser(camera_clip: Path) -> Iterator[object]:
    with playwright.sync_playwright() as play:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera_clip}"]
        found = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


@pytest.fixture
def service(models: Analyzer, tmp_path: Path) -> Iterator[Listening]:
    settings = ServerSettings(data=tmp_path, port=free_port(), models_dir=tmp_path)
    listening = Listening(settings, with_gallery(models, tmp_path / "people.db"))
    yield listening.start()
    listening.stop()


class Page:
    """A page that fails a test on any error in it."""

    def __init__(self, browser, service: Listening, **options) -> None:
        self.context = browser.new_context(
            viewport={"width": 1360, "height": 860}, **options
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda said: (
                self.errors.append(said.text) if said.type == "error" else None
            ),
        )
        self.base = service.base

    def go(self, view: str) -> None:
        self.page.goto(f"{self.base}/#/{view}")
        self.page.wait_for_selector(f"#{view}:not([hidden])")

    def give_key(self, secret: str) -> None:
        self.page.fill("dialog input[name=key]", secret)
        self.page.click("#dialog-ok")

    def shot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def close(self) -> None:
        self.context.close()
        assert self.errors == []


@pytest.fixture
def page(browser: object, service: Listening) -> Iterator[Page]:
    opened = Page(browser, service)
    yield opened
    opened.close()


@pytest.fixture
def photo_file(photo: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "astronaut.jpg"
    path.write_bytes(photo)
    return path


def names(service: Listening) -> list[str]:
    return [
        person["name"]
        for person in service.http.get(service.base + "/v1/people").json()["people"]
    ]


def test_photo_name_the_unknown_rename_delete_with_undo(
    page: Page, service: Listening, photo_file: Path
) -> None:
    page.go("photos")
    page.shot("photos-empty")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face.unknown")
    assert page.text("#photos-faces .who") == "Unknown"
    page.page.click("#photos-canvas .face")
    page.page.fill("dialog input[name=name]", "Ada Lovelace")
    page.shot("photos-name")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#photos-canvas .face:not(.unknown)")
    assert page.text("#photos-canvas .face b") == "Ada Lovelace"
    assert "Ada Lovelace" in page.page.locator(
        "#photos-canvas .face"
    ).first.get_attribute("aria-label")
    page.shot("photos-named")
    assert names(service) == ["Ada Lovelace"]

    page.go("people")
    page.page.click("button[aria-label='Rename Ada Lovelace']")
    page.page.fill("dialog input[name=name]", "Ada King")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("h2:text-is('Ada King')")
    page.page.click("button[aria-label='Delete Ada King']")
    page.page.wait_for_selector("#people-blank:not([hidden])")
    page.shot("people-undo")
    page.page.click(".toast button:text-is('Undo')")
    page.page.wait_for_selector("h2:text-is('Ada King')")
    assert names(service) == ["Ada King"]
    page.page.click("button[aria-label='Delete Ada King']")
    page.page.wait_for_function(
        "() => !document.querySelector('.toast')", timeout=PATIENCE_MS
    )
    page.page.wait_for_timeout(500)
    assert names(service) == []
    page.go("photos")
    page.page.wait_for_selector("#photos-canvas .face.unknown")


def test_a_blurred_copy_is_taken_away(
    page: Page, photo_file: Path, tmp_path: Path
) -> None:
    page.go("photos")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face")
    with page.page.expect_download() as download:
        page.page.click("#photos-blur")
    assert download.value.suggested_filename == "astronaut-blurred.jpg"
    download.value.save_as(tmp_path / "copy.jpg")
    before, after = (
        images.read_image(path) for path in (photo_file, tmp_path / "copy.jpg")
    )
    assert before.shape == after.shape
    assert not len(load_detector("compact", min_face=40)(after))


def test_what_was_found_is_taken_away(
    page: Page, service: Listening, photo_file: Path, tmp_path: Path
) -> None:
    """As a picture, JSON and a table, whose text no spreadsheet takes for a formula."""
    named = tmp_path / "=1+1, a.jpg"
    named.write_bytes(photo_file.read_bytes())
    page.go("photos")
    page.page.set_input_files("#photos-input", [photo_file, named])
    page.page.wait_for_selector("#photos-strip button:nth-child(2) .count")
    assert "distance" in page.text("#photos-faces li") or not names(service)
    taken = {}
    for form in ("picture", "json", "csv"):
        page.page.click("#photos-take")
        page.page.check(f"dialog input[value={form}]")
        with page.page.expect_download() as download:
            page.page.click("#dialog-ok")
        taken[form] = tmp_path / download.value.suggested_filename
        download.value.save_as(taken[form])
        page.page.wait_for_selector("dialog[open]", state="detached")
    assert [path.name for path in taken.values()] == [
        "astronaut-faces.jpg",
        "astronaut.json",
        "faces.csv",
    ]
    assert images.read_image(taken["picture"]).shape == (512, 512, 3)
    (face,) = json.loads(taken["json"].read_text())["faces"]
    rows = list(csv.DictReader(taken["csv"].open(newline="")))
    assert [row["picture"] for row in rows] == ["astronaut.jpg", "'=1+1, a.jpg"]
    assert rows[0]["x1"] == str(round(face["box"][0]))
    assert float(rows[0]["age"]) == face["age"]


def test_photos_of_a_person_are_seen_and_removed(
    page: Page, service: Listening, photo: bytes, astronaut: U8
) -> None:
    made = {"name": (None, "Ada Lovelace"), "file": ("ada.jpg", photo)}
    home = f"{service.base}/v1/people/{service.http.post(service.base + '/v1/people', files=made).json()['id']}"
    service.http.post(
        f"{home}/photos",
        files={"file": ("mirror.jpg", encoded(astronaut[:, ::-1].copy()))},
    )
    page.go("people")
    page.page.wait_for_function(
        "() => document.querySelector('.avatar img')?.naturalWidth > 40"
    )
    page.page.click("button[aria-label='Photos of Ada Lovelace']")
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('dialog .mug')].filter((i) => i.naturalWidth > 40).length === 2"
    )
    assert "good, quality " in page.text("dialog .mugs")
    page.shot("person-photos")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#dialog-error:not([hidden])")
    page.page.check("dialog input[aria-label^='mirror.jpg']")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#people-list p:text-is('1 photo')")
    page.page.wait_for_function(
        "() => document.querySelector('.avatar img')?.naturalWidth > 40"
    )
    assert [
        one["source"] for one in service.http.get(f"{home}/photos").json()["photos"]
    ] == ["ada.jpg"]


def test_where_else_is_this_face(
    page: Page, service: Listening, photo: bytes, photo_file: Path
) -> None:
    made = {"name": (None, "Ada Lovelace"), "file": ("ada.jpg", photo)}
    service.http.post(service.base + "/v1/people", files=made)
    page.go("photos")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.click("button[aria-label='Where else is Ada Lovelace?']")
    page.page.wait_for_function(
        "() => document.querySelector('dialog .found .same .mug')?.naturalWidth > 40"
    )
    assert "Ada Lovelace" in page.text("dialog .found")
    assert "Probably the same person: 1 face." in page.text("#dialog-body")
    page.shot("where-else")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("dialog", state="hidden")


def test_this_is_not_her(
    page: Page, service: Listening, photo: bytes, photo_file: Path
) -> None:
    """Said, taken back at once, said again, taken back among the person's photos."""
    gallery = service.app.state.service.people.gallery
    row = service.app.state.service.analyzer.photo(photo).embedding
    step = np.random.default_rng(3).normal(size=128)
    beside = np.asarray(row + 0.45 * step / np.linalg.norm(step), np.float32)
    gallery.enroll("Eve", [Photo(beside, "e" * 64, "eve.jpg")])
    page.go("photos")
    page.page.set_input_files("#photos-input", photo_file)
    named, unnamed = "#photos-faces .who:not(.unknown)", "#photos-faces .who.unknown"
    page.page.wait_for_selector(named)
    page.page.click("button[aria-label='This is not Eve']")
    page.page.wait_for_selector(unnamed)
    page.page.click(".toast button")  # undo
    page.page.wait_for_selector(named)
    page.page.click("button[aria-label='This is not Eve']")
    page.page.wait_for_selector(unnamed)
    page.go("people")
    page.page.click("button[aria-label='Photos of Eve']")
    page.page.wait_for_function(
        "() => document.querySelector('dialog [aria-label=\"Not Eve\"] .mug')"
        "?.naturalWidth > 40"
    )
    page.shot("not-them")
    page.page.click("dialog [aria-label='Not Eve'] label")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("dialog", state="hidden")
    page.go("photos")
    page.page.wait_for_selector(named)


@pytest.fixture
def keeping(models: Analyzer, tmp_path: Path, astronaut: U8) -> Iterator[Listening]:
    """A service that keeps unknown faces and has seen the astronaut on six photos."""
    settings = ServerSettings(data=tmp_path, port=free_port(), keep_unknown_days=30)
    listening = Listening(
        settings, with_gallery(models, tmp_path / "people.db")
    ).start()
    for i, photo in enumerate(takes(astronaut, 6)):
        listening.http.post(
            listening.base + "/v1/analyze", files={"file": (f"party-{i}.jpg", photo)}
        )
    yield listening
    listening.stop()


def test_unknown_people_split_merge_name_undo_delete(
    browser: object, keeping: Listening
) -> None:
    page = Page(browser, keeping)
    page.go("people")
    page.page.wait_for_selector(".unknown-card")
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('.heap img')].every((i) => i.naturalWidth > 40)"
    )
    assert "6 faces" in page.text(".unknown-card p")
    page.shot("unknown")
    page.page.click("button[aria-label='Split unknown person 1']")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#dialog-error:not([hidden])")
    for box in page.page.locator("dialog input[name=face]").all()[:2]:
        box.check()
    page.shot("unknown-split")
    page.page.click("#dialog-ok")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.unknown-card').length === 2"
    )

    page.page.click("button[aria-label='Merge unknown person 2 into another']")
    page.shot("unknown-merge")
    page.page.click("#dialog-ok")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.unknown-card').length === 1"
    )
    page.page.click(".toast:last-child button:text-is('Undo')")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.unknown-card').length === 2"
    )

    page.page.click("button[aria-label='Name unknown person 1']")
    page.page.fill("dialog input[name=name]", "Ada Lovelace")
    page.shot("unknown-name")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#people-list h2:text-is('Ada Lovelace')")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.unknown-card').length === 1"
    )
    assert names(keeping) == ["Ada Lovelace"]
    page.page.wait_for_function(
        "() => document.querySelector('#people-list .avatar img')?.naturalWidth > 40"
    )
    page.shot("unknown-named")
    page.page.click(".toast:has-text('Ada Lovelace') button:text-is('Undo')")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.unknown-card').length === 2"
    )
    assert names(keeping) == []

    page.page.click("button[aria-label='Delete unknown person 1']")
    page.page.wait_for_function(
        "() => document.querySelectorAll('.unknown-card').length === 1"
    )
    page.page.wait_for_timeout(7000)
    left = keeping.http.get(keeping.base + "/v1/unknown").json()["groups"]
    assert [len(group["faces"]) for group in left] == [2]
    page.close()


def test_unknown_people_dark_on_a_phone_and_only_to_read(
    browser: object, keeping: Listening, tmp_path: Path
) -> None:
    secret = KeyFile(tmp_path / "keys.json").add("page", "read")[1]
    phone = Page(browser, keeping, color_scheme="dark")
    phone.page.set_viewport_size({"width": 390, "height": 844})
    phone.go("people")
    phone.page.wait_for_selector(".unknown-card button")
    phone.page.wait_for_function(
        "() => [...document.querySelectorAll('.heap img')].every((i) => i.naturalWidth > 40)"
    )
    phone.page.locator("#unknown").scroll_into_view_if_needed()
    phone.shot("phone-unknown")
    assert (
        phone.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        <= 0
    )
    phone.page.evaluate("(key) => sessionStorage.setItem('mien.key', key)", secret)
    phone.page.reload()
    phone.page.wait_for_selector(".unknown-card .heap img[src]")
    phone.page.wait_for_selector(".unknown-card button", state="detached")
    phone.go("photos")
    assert "kept for 30 days" in phone.text("#photos-drop")
    phone.close()


def test_enrol_from_the_camera_and_see_the_name_live(
    page: Page, service: Listening
) -> None:
    page.go("people")
    page.page.click("#people-add")
    page.page.fill("dialog input[name=name]", "Ada Lovelace")
    page.page.click("dialog button:has-text('Use the camera')")
    page.page.wait_for_function(
        "() => document.querySelector('dialog video')?.videoWidth > 0"
    )
    page.page.wait_for_timeout(300)
    page.page.click("dialog button:has-text('Take the photo')")
    page.page.wait_for_selector("dialog .picked img")
    page.shot("people-enrol")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("h2:text-is('Ada Lovelace')")
    page.shot("people")

    page.go("live")
    page.page.click("#live-start")
    page.page.wait_for_selector("#live-overlay .face:not(.unknown)")
    assert page.text("#live-overlay .face b") == "Ada Lovelace"
    page.page.wait_for_function(
        "() => Number(document.getElementById('live-fps').textContent) > 0"
    )
    page.shot("live")
    places = ("#live-overlay .face", "#live-overlay", "#live-video", "#live-stage")
    box, overlay, video, stage = (
        page.page.locator(at).first.bounding_box() for at in places
    )
    assert [round(video[side]) for side in video] == [
        round(stage[side]) for side in stage
    ]
    assert overlay["width"] / overlay["height"] == pytest.approx(640 / 480, rel=0.01)
    assert overlay["height"] == pytest.approx(stage["height"], abs=2)
    centre = (box["x"] + box["width"] / 2 - overlay["x"]) / overlay[
        "width"
    ]  # mirrored, and it moves a little
    assert centre == pytest.approx(1 - 0.50, abs=0.08)
    page.page.click("#live-start")
    page.page.wait_for_selector("#live-empty:not([hidden])")


def test_name_an_unknown_in_the_live_picture(page: Page, service: Listening) -> None:
    page.go("live")
    page.page.click("#live-start")
    page.page.wait_for_selector("#live-overlay .face.unknown")
    page.page.click("#live-faces button:has-text('Name')")
    page.page.fill("dialog input[name=name]", "Grace Hopper")
    page.page.click("#dialog-ok")
    page.page.wait_for_selector("#live-overlay .face b:text-is('Grace Hopper')")
    assert names(service) == ["Grace Hopper"]


def test_a_video_to_its_end(
    page: Page, service: Listening, photo: bytes, astronaut: U8, tmp_path: Path
) -> None:
    service.http.post(
        service.base + "/v1/people",
        data={"name": "Ada Lovelace"},
        files={"file": photo},
    )
    clip = write_clip(tmp_path / "party.mp4", astronaut, seconds=3)
    page.go("videos")
    page.page.set_input_files("#videos-input", clip)
    page.page.wait_for_selector(".chip.done")
    page.page.wait_for_selector(".line")
    assert page.text(".job h2") == "party.mp4"
    assert page.text(".line .whom span") == "Ada Lovelace"
    assert page.text(".line .whom small").startswith("female, ")
    assert "happiness" in page.text(".line .moods small")
    page.page.wait_for_function(
        "() => document.querySelector('.job video')?.videoWidth > 0"
    )
    page.page.wait_for_timeout(300)
    page.shot("videos")
    page.page.click(".track button")
    page.page.wait_for_function(
        "() => document.querySelector('.job video').currentTime > 0.2"
    )
    page.page.click("button[aria-label='Delete party.mp4']")
    page.page.wait_for_function("() => !document.querySelector('.job')")
    assert service.http.get(service.base + "/v1/jobs").json() == {"jobs": []}


def test_keyboard_alone(page: Page, service: Listening, photo_file: Path) -> None:
    page.go("photos")
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("() => document.activeElement.className") == "skip"
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face")
    page.page.focus("#photos-canvas .face")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("dialog[open]")
    page.page.keyboard.type("Ada Lovelace")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#photos-canvas .face:not(.unknown)")
    assert names(service) == ["Ada Lovelace"]


FOCUSED = "() => document.activeElement.closest('#photos-faces li') !== null"


def test_several_faces_have_buttons_of_their_own_and_focus_stays(
    page: Page, service: Listening, astronaut: U8, tmp_path: Path
) -> None:
    file = tmp_path / "two.jpg"
    file.write_bytes(
        encoded(np.hstack([astronaut, np.ascontiguousarray(astronaut[:, ::-1])]))
    )
    page.go("photos")
    page.page.set_input_files("#photos-input", file)
    page.page.wait_for_selector("button[aria-label='Name face 2']")
    assert page.page.locator("button[aria-label='Name face 1']").count() == 1
    page.page.focus("button[aria-label='Name face 2']")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("dialog[open]")
    page.page.keyboard.type("Ada Lovelace")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#photos-faces .who:text-is('Ada Lovelace')")
    page.page.wait_for_timeout(2000)
    assert page.page.evaluate(FOCUSED)
    page.shot("photos-two-faces")


def test_an_error_is_text_and_the_dot_tells_that_the_service_is_gone(
    browser: object, service: Listening, tmp_path: Path
) -> None:
    page = Page(browser, service)
    (tmp_path / "notes.jpg").write_bytes(b"no picture")
    page.go("photos")
    page.page.set_input_files("#photos-input", tmp_path / "notes.jpg")
    hint = page.page.locator("#photos-faces .hint")
    hint.wait_for()
    size = hint.bounding_box()
    assert size is not None
    assert size["width"] > 200
    assert size["height"] < 90
    page.shot("photos-error")
    assert page.page.locator("#status.good").count() == 1
    service.stop()
    page.page.wait_for_selector("#status.bad", timeout=20_000)
    page.shot("service-gone")
    page.context.close()


def test_labels_for_everything(page: Page) -> None:
    for view in ("photos", "live", "people", "videos"):
        page.go(view)
        nameless = page.page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, a, video, dialog')]
                .filter((e) => !(e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim()
                    || e.labels?.[0]?.textContent.trim() || e.placeholder))
                .map((e) => e.outerHTML.slice(0, 100))"""
        )
        assert nameless == []
        assert page.page.locator("h1:visible").count() == 1


def test_a_deleted_person_leaves_the_videos_shown(
    page: Page, service: Listening, photo: bytes, astronaut: U8, tmp_path: Path
) -> None:
    service.http.post(
        service.base + "/v1/people",
        data={"name": "Ada Lovelace"},
        files={"file": photo},
    )
    page.go("videos")
    page.page.set_input_files(
        "#videos-input", write_clip(tmp_path / "party.mp4", astronaut, seconds=1)
    )
    page.page.wait_for_selector(".job video")
    page.go("people")
    page.page.click("button[aria-label='Delete Ada Lovelace']")
    page.page.click(".toast button:text-is('Undo')")
    page.page.click("button[aria-label='Delete Ada Lovelace']")
    page.go("videos")
    page.page.wait_for_selector(".line.unknown")
    page.page.wait_for_function("() => !document.querySelector('.job video')")
    page.errors = [error for error in page.errors if "410" not in error]


def test_phone_and_dark(
    browser: object, service: Listening, photo_file: Path, astronaut: U8, tmp_path: Path
) -> None:
    phone = Page(browser, service, color_scheme="dark")
    phone.page.set_viewport_size({"width": 390, "height": 844})
    phone.go("photos")
    phone.page.set_input_files("#photos-input", photo_file)
    phone.page.wait_for_selector("#photos-canvas .face")
    phone.shot("phone-photos")
    with write_clip(
        tmp_path / "a rather long name of a video of a party.mp4", astronaut, seconds=1
    ).open("rb") as clip:
        service.http.post(service.base + "/v1/videos?draw=true", files={"file": clip})
    service.http.post(
        service.base + "/v1/people",
        data={"name": "Ada Lovelace"},
        files={"file": photo_file.open("rb")},
    )
    for view in ("live", "people", "videos"):
        phone.go(view)
        if view == "videos":
            phone.page.wait_for_selector(".job .line")
        phone.shot(f"phone-{view}")
        assert phone.page.evaluate(WIDER) == []
    assert phone.page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    phone.page.click("#theme")
    assert (
        phone.page.evaluate("() => document.documentElement.dataset.theme") == "light"
    )
    phone.close()


def test_asks_for_a_key(
    browser: object, models: Analyzer, photo_file: Path, tmp_path: Path
) -> None:
    secret = KeyFile(tmp_path / "keys.json").add("page", "admin")[1]
    settings = ServerSettings(data=tmp_path, port=free_port(), host=EVERYWHERE)
    service = Listening(settings, with_gallery(models, tmp_path / "people.db")).start()
    opened = Page(browser, service)
    opened.go("photos")
    opened.give_key(secret)
    opened.page.wait_for_selector(".status.good")
    opened.page.set_input_files("#photos-input", photo_file)
    opened.page.wait_for_selector("#photos-canvas .face")
    opened.go("live")
    opened.page.click("#live-start")
    opened.page.wait_for_selector("#live-overlay .face")
    opened.errors = [error for error in opened.errors if "401" not in error]
    opened.close()
    service.stop()


def test_a_new_key_takes_up_what_the_old_one_could_not_do(
    browser: object, models: Analyzer, photo_file: Path, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    old, secret = keys.add("old", "admin")
    settings = ServerSettings(data=tmp_path, port=free_port(), host=EVERYWHERE)
    service = Listening(settings, with_gallery(models, tmp_path / "people.db")).start()
    opened = Page(browser, service)
    opened.go("photos")
    opened.give_key(secret)
    opened.page.wait_for_selector(".status.good")
    keys.remove(old.id)
    opened.page.set_input_files("#photos-input", [photo_file, photo_file])
    opened.page.wait_for_selector("dialog input[name=key]")
    opened.give_key(keys.add("new", "admin")[1])
    opened.page.wait_for_selector("#photos-canvas .face")
    opened.page.locator("#photos-strip .count").nth(1).wait_for()
    opened.errors = [error for error in opened.errors if "401" not in error]
    opened.close()
    service.stop()


def test_photos_that_wait_are_sent_once_however_often_it_connects(
    page: Page, photo_file: Path
) -> None:
    asked: list[str] = []
    page.go("photos")
    page.page.route("**/v1/analyze", lambda route: route.fulfill(status=503))
    page.page.set_input_files("#photos-input", [photo_file, photo_file])
    page.page.wait_for_selector("#photos-strip button:not(.working) >> nth=1")
    page.page.unroute("**/v1/analyze")
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.evaluate("""async () => {
        const photos = await import("/static/photos.js");
        await Promise.all([photos.retry(), photos.retry()]);
    }""")
    page.page.locator("#photos-strip .count").nth(1).wait_for()
    assert sum(url.endswith("/v1/analyze") for url in asked) == 2
    page.errors = [error for error in page.errors if "503" not in error]


def test_back_closes_the_dialog_of_the_view_that_is_left(
    page: Page, photo_file: Path
) -> None:
    page.go("people")
    page.go("photos")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.locator("#photos-faces button").first.click()
    page.page.wait_for_selector("dialog[open]")
    page.page.go_back()
    page.page.wait_for_selector("#people:not([hidden])")
    assert page.page.locator("dialog[open]").count() == 0


def test_the_document(page: Page) -> None:
    page.page.goto(f"{page.base}/docs")
    page.page.wait_for_selector("details code:text-is('/v1/analyze')")
    page.page.click("details:has(code:text-is('/v1/analyze')) summary")
    assert "`" not in page.text("main")
    page.shot("docs")


def test_a_route_is_tried_out_in_the_document(page: Page, photo_file: Path) -> None:
    page.page.goto(f"{page.base}/docs")
    page.page.wait_for_selector("details code:text-is('/v1/analyze')")
    route = page.page.locator("details").filter(has_text="/v1/analyze").first
    route.locator("summary").click()
    route.locator("input[name=only]").fill("gender")
    route.locator("input[type=file]").set_input_files(photo_file)
    route.locator("button[type=submit]").click()
    assert "200 application/json" in (route.locator("output p").text_content() or "")
    assert '"gender": "female"' in (route.locator("output pre").text_content() or "")
    route.locator("input[name=only]").fill("height")
    route.locator("button[type=submit]").click()
    route.locator("output [role=alert]").wait_for()
    page.errors = [error for error in page.errors if "422" not in error]


def test_a_model_is_chosen(
    page: Page, service: Listening, photo_file: Path, tmp_path: Path
) -> None:
    write_head(tmp_path / "moods.onnx", ["Calm", "Wild"])
    page.go("photos")
    page.page.select_option("#models select[name=emotion]", "moods")
    page.page.wait_for_selector(".toast")
    page.shot("model-chosen")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face")
    assert "Calm" in page.text("#photos-faces")
    page.page.select_option("#models select[name=emotion]", "")
    page.page.locator(".toast").nth(1).wait_for()
    assert (
        service.http.get(service.base + "/v1/models").json()["serving"]["emotion"]
        is None
    )


class Glasses:
    """An attribute that the page has never heard of."""

    attributes = (
        mien.Attribute("glasses", labels=("no", "round"), order=5, half_life_s=1.0),
    )

    def __call__(self, image: U8, faces: mien.Faces) -> mien.Faces:
        probs = np.tile(np.array([[0.2, 0.8]], np.float32), (len(faces), 1))
        return faces.with_attributes(mien.Scores(self.attributes[0], probs))


def test_an_attribute_of_ones_own_is_shown(
    browser: object, photo_file: Path, tmp_path: Path
) -> None:
    settings = ServerSettings(data=tmp_path, port=free_port())
    service = Listening(
        settings, Analyzer(only=["age", "glasses"], attributes=[Glasses()], threads=1)
    ).start()
    page = Page(browser, service)
    page.go("photos")
    page.page.set_input_files("#photos-input", photo_file)
    page.page.wait_for_selector("#photos-canvas .face")
    assert page.text("#photos-canvas .face small").startswith("glasses round, ")
    assert "Round" in page.text("#photos-faces .bars")
    assert page.text("#photos-faces .about").startswith("About ")
    page.close()
    service.stop()
