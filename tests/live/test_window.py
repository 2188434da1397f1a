"""The window of `mien live` on a screen of its own (Xvfb), looked at through a screenshot."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ImageGrab

from background import until
from commands import Inside
from live.clips import moving_face, write_clip
from mien.attribute import Estimate
from mien.cli.playing import Play, Record, Stats
from mien.cli.window import Line, Picture, Screen
from mien.errors import InputError
from mien.models.attributes.heads import described
from mien.output.window import (
    BACKSPACE,
    ENTER,
    ESCAPE,
    Prompt,
    Window,
    add_bars,
    nearest_centre,
)
from mien.pipeline import Analyzer
from mien.sources import open_source
from mien.types import U8, Face, Faces, Frame, FrameResult
from mien.zoo import DLIB


def typed(keys: list[int]) -> Prompt:
    prompt = Prompt("name:")
    for key in keys:
        prompt = prompt.typed(key)
    return prompt


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            [*map(ord, "Ada de Byron"), ENTER],
            Prompt("name:", "Ada de Byron", done=True),
        ),
        ([*map(ord, "Ad"), BACKSPACE, ord("x")], Prompt("name:", "Ax")),
        ([ENTER], Prompt("name:")),
        ([ord("A"), ESCAPE], Prompt("name:", "A", given_up=True)),
        ([0xE9, ord("Ж"), 0x07, -1], Prompt("name:", "éЖ")),
        ([BACKSPACE, BACKSPACE], Prompt("name:")),
    ],
    ids=[
        "name",
        "backspace",
        "empty",
        "escape",
        "letters of other alphabets",
        "nothing to delete",
    ],
)
def test_a_name_is_typed(keys: list[int], expected: Prompt) -> None:
    assert typed(keys) == expected


def test_the_face_nearest_the_centre() -> None:
    boxes = np.array([[0, 0, 10, 10], [40, 40, 60, 60], [90, 90, 99, 99]], np.float32)
    faces = Faces(boxes, np.ones(3, np.float32), np.zeros((3, 5, 2), np.float32))
    assert nearest_centre(faces, width=100, height=100) == 1
    assert nearest_centre(Faces.empty(), width=100, height=100) is None


def test_bars_are_as_long_as_the_emotion_is_sure() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    box = np.array([20, 20, 120, 100], np.float32)
    moods = Estimate(
        described("emotion", ("happiness", "fear")), np.array([0.7, 0.3], np.float32)
    )
    add_bars(
        image,
        [Face(box, 0.9, np.zeros((5, 2), np.float32), attributes={"emotion": moods})],
    )
    bright = np.flatnonzero(image[102].max(axis=1) > 100)
    assert (bright.min(), bright.max()) == (20, 90)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty screen, 1000 x 800."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb: apt-get install xvfb")
    reads, writes = (
        os.pipe()
    )  # -noreset: else it begins anew, and drops who just connects, when a screenshot was taken
    command = [
        "Xvfb",
        "-displayfd",
        str(writes),
        "-noreset",
        "-screen",
        "0",
        "1000x800x24",
    ]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, pass_fds=[writes])
    os.close(writes)
    with os.fdopen(reads) as said:  # the number it chose, once it is up
        display = f":{said.readline().strip()}"
    monkeypatch.setenv("DISPLAY", display)
    # Drawn without OpenGL: Mesa's LLVM and that of TensorFlow, which other tests load, end the process together.
    monkeypatch.setenv("SDL_RENDER_DRIVER", "software")
    monkeypatch.setenv("SDL_FRAMEBUFFER_ACCELERATION", "0")
    yield display
    server.terminate()
    server.wait()


def screenshot(display: str) -> U8:
    return np.asarray(ImageGrab.grab(xdisplay=display))


def coloured(picture: U8) -> int:
    """How many pixels have a light, saturated colour, as boxes have."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    return int(((hsv[..., 1] > 90) & (hsv[..., 2] > 200)).sum())


def start(*args: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from mien.cli import main; main()", "live", *args]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **env}, **pipes)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_the_window_shows_the_film_and_takes_keys(
    screen: str, stream_detector: str, astronaut: U8, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_face(astronaut, frames=1500))
    gallery = tmp_path / "people.db"
    options = [
        "--only",
        "identity",
        "--detector",
        stream_detector,
        "--gallery",
        str(gallery),
    ]
    with start(str(clip), *options) as mien:
        try:
            until(
                lambda: np.ptp(screenshot(screen)) > 150 or mien.poll() is not None,
                every_s=0.2,
            )
            assert mien.poll() is None, mien.communicate()
            until(  # the lines of a box
                lambda: coloured(screenshot(screen)) > 200, every_s=0.2
            )
            picture = screenshot(screen)
            assert (
                picture.max(axis=2) > 20
            ).mean() > 0.4  # the film fills most of the screen
            if shutil.which("xdotool"):
                enrol(screen)
                until(lambda: gallery_names(gallery) == ["Eileen C"])
                subprocess.run(["xdotool", "key", "q"], check=True)
                assert mien.wait(timeout=30) == 0
        finally:
            mien.kill()


def half_and_half() -> U8:
    """Red above, blue below, twice as wide as high."""
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:50], picture[50:] = (0, 0, 255), (255, 0, 0)
    return picture


def reds(display: str) -> tuple[int, int]:
    """Where the red rows of a window begin and end."""
    picture = screenshot(display).astype(int)
    red = (picture[..., 0] > 200) & (picture[..., 2] < 60)
    rows = np.flatnonzero(red.sum(axis=1) > 100)
    return (int(rows[0]), int(rows[-1])) if len(rows) else (0, 0)


def read_keys(window: Window, count: int) -> list[int]:
    keys: list[int] = []
    ends = time.monotonic() + 20
    while len(keys) < count and time.monotonic() < ends:
        keys.extend(key for key in (window.key(),) if key >= 0)
    return keys


def xdotool(*arguments: str) -> str:
    if shutil.which("xdotool") is None:
        pytest.skip("no xdotool: apt-get install xdotool")
    return subprocess.run(
        ["xdotool", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def red_height(display: str) -> int:
    first, last = reds(display)
    return last - first


@pytest.mark.slow
def test_a_window_shows_takes_keys_resizes_and_closes(screen: str) -> None:
    with Window("mien test", size_wh=(800, 400)) as window:
        window.show(half_and_half())
        until(
            lambda: window.key() < 0 and red_height(screen) in range(196, 201),
            every_s=0.1,
        )
        assert reds(screen)[0] == 200  # in the middle of the screen
        xid = xdotool("search", "--class", "^mien$").split()[0]
        xdotool("windowfocus", "--sync", xid)
        xdotool("type", "q Z/")
        xdotool("key", "BackSpace", "KP_Enter", "Escape")
        assert read_keys(window, 7) == [*map(ord, "q Z/"), BACKSPACE, ENTER, ESCAPE]
        xdotool("windowsize", xid, "400", "400")
        until(
            lambda: window.key() < 0 and red_height(screen) in range(96, 101),
            every_s=0.1,
        )  # its shape is kept
        assert not window.closed
        sdl2 = sys.modules["sdl2"]
        closing = (
            sdl2.SDL_Event()
        )  # as the button of its frame does: here no window manager makes one
        closing.type, closing.window.event = (
            sdl2.SDL_WINDOWEVENT,
            sdl2.SDL_WINDOWEVENT_CLOSE,
        )
        sdl2.SDL_PushEvent(closing)
        until(lambda: window.key() < 0 and window.closed)
    until(lambda: reds(screen) == (0, 0))


def test_a_window_is_no_larger_than_the_screen(screen: str) -> None:
    with Window("mien test", size_wh=(2000, 1000)) as window:
        window.show(half_and_half())
        until(
            lambda: window.key() < 0 and red_height(screen) in range(245, 251),
            every_s=0.1,
        )


def test_ctrl_c_stays_pythons(screen: str) -> None:
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    with Window("mien test"), pytest.raises(KeyboardInterrupt):
        interrupted()


@pytest.mark.parametrize(
    ("display", "said"),
    [("", "there is no screen"), (":59321", "no screen answers at DISPLAY")],
)
def test_no_screen(display: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(InputError, match=said):
        Window("mien")


def prompted(picture: U8) -> bool:
    """Whether the dark strip at the lower edge of the film (grey there) has two lines, as prompts do."""
    rows = np.flatnonzero((picture.max(axis=2) > 20).mean(axis=1) > 0.5)
    height = rows[-1] - rows[0] + 1
    upper = picture[
        rows[-1] - int(0.085 * height) : rows[-1] - int(0.065 * height),
        : picture.shape[1] // 2,
    ]
    return bool(np.median(upper) < 60)


def enrol(display: str) -> None:
    """Types a name into the window."""
    xdotool("windowfocus", xdotool("search", "--class", "^mien$").split()[0])
    subprocess.run(["xdotool", "key", "e"], check=True)
    until(lambda: prompted(screenshot(display)))
    subprocess.run(["xdotool", "type", "--delay", "200", "Eileen C"], check=True)
    subprocess.run(["xdotool", "key", "Return"], check=True)


def gallery_names(place: Path) -> list[str]:
    from mien.gallery import SqliteGallery

    gallery = SqliteGallery(place, space=DLIB)
    try:
        return [person.name for person in gallery.people()]
    finally:
        gallery.close()


def test_what_is_recorded_is_drawn_once(
    analyzer: Analyzer, astronaut: U8, tmp_path: Path
) -> None:
    """The window shows the pictures of the film; where that cannot be written, it draws for itself."""
    clip = write_clip(tmp_path / "clip.mp4", moving_face(astronaut, frames=4))
    with open_source(str(clip)) as source:
        play = Play(analyzer, source, Record(tmp_path / "film.mp4"))
        drawn: list[int] = []
        play.annotate = lambda image, faces: drawn.append(len(faces)) or image.copy()  # type: ignore[assignment, func-returns-value]
        seen = list(play.results(Stats()))
    assert len(drawn) == 4
    assert all(one.canvas is not None for one in seen)
    with open_source(str(clip)) as source:
        play = Play(analyzer, source, Record(tmp_path / "no" / "film.mp4"))
        seen = list(play.results(Stats()))
    assert [one.canvas is None for one in seen[1:]] == [True] * 3
    assert len(play.spare.lost) == 1


class Keys:
    """A window that shows nothing, and the keys that are pressed in it."""

    closed = False

    def __init__(self, *keys: int) -> None:
        self.keys = list(keys)
        self.shown = 0

    def key(self) -> int:
        time.sleep(0.01)
        return self.keys.pop(0) if self.keys else ord("q")

    def show(self, image: U8) -> None:
        self.shown += 1


@pytest.mark.parametrize(
    ("key", "waits"), [(ESCAPE, 0), (ord("q"), 0), (ord("Q"), 0), (-1, 1)]
)
def test_escape_ends_it(key: int, waits: int, analyzer: Analyzer) -> None:
    window = Keys(key, ord("q"))
    Screen(_play(analyzer), window, Line()).run()  # type: ignore[arg-type]
    assert len(window.keys) == 1 - waits


def test_space_pauses_and_goes_on(analyzer: Analyzer, astronaut: U8) -> None:
    line = Line()
    picture = Picture(
        Frame(astronaut), FrameResult("", 0, 0.0, 512, 512, Faces.empty()), astronaut
    )
    window = Keys()
    screen = Screen(_play(analyzer), window, line)  # type: ignore[arg-type]
    for key, taken in (
        (-1, True),
        (ord(" "), True),
        (-1, False),
        (-1, False),
        (ord(" "), True),
    ):
        line.pictures.put(picture)
        window.keys = [key]
        screen.last = None
        screen.run()
        assert (screen.last is picture) is taken


def _play(analyzer: Analyzer) -> Play:
    return Play(analyzer, None)  # type: ignore[arg-type]


def test_no_screen_is_said_in_one_line(
    tmp_path: Path,
    astronaut: U8,
    stream_detector: str,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    clip = write_clip(tmp_path / "clip.mp4", moving_face(astronaut, frames=3))
    told = inside(
        "live",
        clip,
        "--only",
        "identity",
        "--detector",
        stream_detector,
        DISPLAY=":59321",
    )
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "--no-window" in told.stderr
