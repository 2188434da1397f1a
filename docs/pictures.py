"""Makes the pictures of the README anew: scikit-image's astronaut (NASA, public domain), live and in the page.

python docs/pictures.py        # needs Chromium, and `pip install '.[dev]'`
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
import skimage.data
from PIL import Image
from playwright.sync_api import sync_playwright

from mien.media import images
from mien.types import U8

HERE = Path(__file__).parent
MIEN = Path(sys.executable).with_name("mien")
NAME = "Eileen Collins"
PORT = 8765


def mien(*words: object) -> None:
    subprocess.run([MIEN, *map(str, words)], check=True)


def views(photo: U8, frames: int = 48) -> list[U8]:
    """A camera that comes nearer and goes back, 640x360."""
    made = []
    for i in range(frames):
        swing = np.sin(i / frames * np.pi) ** 2
        width = 512 - 230 * swing
        height = width * 9 / 16
        left, top = 224 - width / 2 + 20 * swing, 10 * swing
        corners = np.float32([[left, top], [left + width, top], [left, top + height]])
        target = np.float32([[0, 0], [640, 0], [0, 360]])
        warp = cv2.getAffineTransform(corners, target)
        made.append(
            cv2.warpAffine(photo, warp, (640, 360), borderMode=cv2.BORDER_REPLICATE)
        )
    return made


def live(astronaut: Path, people: Path, folder: Path) -> None:
    """What the window of `mien live` shows, as an animation."""
    film, seen = folder / "film.mp4", folder / "seen.mp4"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 16, (640, 360))
    for view in views(images.read_image(astronaut)):
        writer.write(view)
    writer.release()
    mien("live", film, "--no-window", "--gallery", people, "--record", seen)
    reader, frames = cv2.VideoCapture(str(seen)), []
    while (read := reader.read())[0]:
        frames.append(Image.fromarray(read[1][..., ::-1]).resize((480, 270)))
    frames[0].save(
        HERE / "live.webp",
        save_all=True,
        append_images=frames[1:],
        duration=62,
        loop=0,
        quality=60,
    )


def page(astronaut: Path, people: Path, folder: Path) -> None:
    """The page of `mien serve`."""
    words = ["serve", "--port", str(PORT), "--data", folder, "--gallery", people]
    service = subprocess.Popen([MIEN, *map(str, words)])
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path="/usr/bin/chromium")
            opened = browser.new_page(viewport={"width": 1120, "height": 640})
            until_ready()
            opened.goto(f"http://127.0.0.1:{PORT}/#/photos")
            opened.set_input_files("#photos-input", astronaut)
            opened.wait_for_selector("#photos-canvas .face:not(.unknown)")
            opened.screenshot(path=folder / "page.png")
    finally:
        service.terminate()
        service.wait()
    Image.open(folder / "page.png").convert("RGB").save(HERE / "page.webp", quality=80)


def until_ready() -> None:
    for _ in range(300):
        try:
            httpx.get(f"http://127.0.0.1:{PORT}/readyz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the service does not answer")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        astronaut, people = folder / "astronaut.png", folder / "people.db"
        Image.fromarray(skimage.data.astronaut()).save(astronaut)
        mien("enroll", NAME, astronaut, "--gallery", people)
        live(astronaut, people, folder)
        page(astronaut, people, folder)


if __name__ == "__main__":
    main()
