"""A window on the screen through OpenCV, and what the user types into it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from PIL import Image

from mien.errors import InputError
from mien.lettering import draw_text
from mien.types import U8, Face, Faces

_WAIT_MS = 8
_ENTER, _ESCAPE, _DELETE = {10, 13, 65421}, 27, {8, 127, 65288}


class Window:
    """One resizable window; a context manager. All calls must come from the thread that made it.

    Raises:
        InputError: There is no screen to show it on.
    """

    def __init__(self, title: str, *, size_wh: tuple[int, int] = (1280, 720)) -> None:
        _check_screen()
        self.title = title
        self._shown = False
        _check_opencv()
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(title, *size_wh)

    def show(self, image: U8) -> None:
        """Shows a BGR picture from now on."""
        cv2.imshow(self.title, image)
        self._shown = True

    def key(self) -> int:
        """The key pressed since the last call, after a few milliseconds; -1 for none."""
        return int(cv2.waitKeyEx(_WAIT_MS))

    @property
    def closed(self) -> bool:
        """Whether the user closed it."""
        return self._shown and cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1

    def toggle_full_screen(self) -> None:
        """Fills the screen, or goes back."""
        full = cv2.getWindowProperty(self.title, cv2.WND_PROP_FULLSCREEN) == cv2.WINDOW_FULLSCREEN
        cv2.setWindowProperty(self.title, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_NORMAL if full else cv2.WINDOW_FULLSCREEN)

    def close(self) -> None:
        """Takes the window off the screen."""
        if not self.closed:
            cv2.destroyWindow(self.title)
        cv2.waitKey(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_opencv() -> None:
    """A headless OpenCV has the functions too, but they do nothing but raise."""
    lines = [line.split() for line in cv2.getBuildInformation().splitlines()]
    if ["GUI:", "NONE"] in lines:
        raise InputError(
            "this OpenCV has no windows; use --no-window, or run 'pip uninstall -y opencv-python-headless && "
            "pip install opencv-python'"
        )


def _check_screen() -> None:
    """Qt ends the whole process where it finds no screen: look before it does."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM") in {"offscreen", "minimal"}:
        return
    display = os.environ.get("DISPLAY", "")
    if not display or not _answers(display):
        where = f"no screen answers at DISPLAY={display}" if display else "there is no screen (DISPLAY is not set)"
        raise InputError(f"{where}; use --no-window, with --record OUT.mp4 to watch it later")


def _answers(display: str) -> bool:
    """Whether an X server listens; displays of other hosts are taken on trust."""
    host, _, number = display.rpartition(":")
    number = number.partition(".")[0]
    if host not in {"", "unix"} or not number.isdigit():
        return True
    for address in (f"/tmp/.X11-unix/X{number}", f"\0/tmp/.X11-unix/X{number}"):  # noqa: S108 - X11's own place
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(address) == 0:
                return True
    return False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A line being typed; `done` when Enter, `given_up` when Escape was pressed."""

    question: str
    text: str = ""
    done: bool = False
    given_up: bool = False

    def typed(self, key: int) -> Prompt:
        """The prompt after a key (as `Window.key` gives it)."""
        if key in _ENTER:
            return replace(self, done=bool(self.text.strip()))
        if key == _ESCAPE:
            return replace(self, given_up=True)
        if key in _DELETE:
            return replace(self, text=self.text[:-1])
        letter = _letter(key)
        if not self.text or self.text[-1] in " -":  # OpenCV's Qt gives every letter as a small one
            letter = letter.upper()
        return replace(self, text=self.text + letter)


def _letter(key: int) -> str:
    """The letter of an X11 key symbol: Latin-1 as it is, Unicode behind 0x1000000; empty for anything else."""
    code = key - 0x1000000 if key > 0x1000000 else key
    letter = chr(code) if 32 <= code <= 255 or (key > 0x1000000 and code < 0x110000) else ""
    return letter if letter.isprintable() else ""


def nearest_centre(faces: Faces, *, width: int, height: int) -> int | None:
    """The row of the face nearest the middle of a picture, or None."""
    if not len(faces):
        return None
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    return int(np.hypot(centres[:, 0] - width / 2, centres[:, 1] - height / 2).argmin())


def add_bars(image: U8, faces: Sequence[Face]) -> None:
    """Draws on a picture, under each box, how strong the likeliest label of what changes fastest is (an emotion)."""
    thick = max(4, image.shape[0] // 140)
    for face in faces:
        told = [estimate for estimate in face.attributes.values() if estimate.attribute.momentary and estimate.label]
        if not told:
            continue
        likeliest, label = told[0].attribute, told[0].label or ""
        x1, _, x2, y2 = (int(v) for v in face.box)
        y = min(y2, image.shape[0] - thick - 1)
        full = round(x1 + (x2 - x1) * told[0].probs[label])
        colour = likeliest.colours.get(label, (190, 190, 190))[::-1]
        cv2.rectangle(image, (x1, y), (x2, y + thick), (40, 40, 40), -1)
        cv2.rectangle(image, (x1, y), (full, y + thick), colour, -1)


def add_lines(image: U8, lines: Sequence[str]) -> None:
    """Writes lines on a dark strip at the lower edge of a picture."""
    size = _line_size(image.shape[0])
    height = strip_height(image.shape[0], len(lines))
    strip = Image.fromarray((image[-height:, :, ::-1] * 0.35).astype(np.uint8))
    for row, line in enumerate(lines):
        draw_text(strip, (size // 2, size // 4 + row * round(size * 1.4)), line, size, (240, 240, 240))
    image[-height:] = np.asarray(strip)[..., ::-1]


def strip_height(height: int, lines: int = 1) -> int:
    """How much of a picture's height such a strip takes."""
    return lines * round(_line_size(height) * 1.4) + _line_size(height) // 2


def _line_size(height: int) -> int:
    return max(14, height // 36)
