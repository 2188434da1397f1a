"""A window on the screen through SDL2, and what the user types into it."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from PIL import Image

from mien import geometry
from mien.errors import InputError
from mien.output.lettering import draw_text
from mien.types import U8, Face, Faces

_WAIT_MS = 8
ENTER, ESCAPE, BACKSPACE, DELETE = 13, 27, 8, 127
_KEYPAD_ENTER = 0x40000058  # SDL's
_HINTS = {
    "SDL_NO_SIGNAL_HANDLERS": "1",  # Ctrl-C stays Python's
    "SDL_RENDER_SCALE_QUALITY": "linear",
    "SDL_VIDEO_ALLOW_SCREENSAVER": "1",
    "SDL_WINDOWS_DPI_AWARENESS": "permonitorv2",
}
_NAMES = (
    "SDL_VIDEO_X11_WMCLASS",
    "SDL_VIDEO_WAYLAND_WMCLASS",
)  # what a desktop calls the program, else python3


class Window:
    """One resizable window; a context manager. All calls must come from the thread that made it.

    SDL2 comes in a wheel and opens X11, Wayland, macOS' or Windows' screens by what is there: no system packages.

    Raises:
        InputError: There is no screen to show it on.
    """

    def __init__(self, title: str, *, size_wh: tuple[int, int] = (1280, 720)) -> None:
        _check_screen()
        self._sdl = _load_sdl()
        self.title = title
        self.closed = False  # by the user
        self._typed: deque[int] = deque()
        self._texture: Any = None
        self._texture_wh = (0, 0)
        sdl = self._sdl
        if sdl.SDL_InitSubSystem(sdl.SDL_INIT_VIDEO):
            raise _no_screen(sdl)
        width, height = self._fitting(size_wh)
        centre = sdl.SDL_WINDOWPOS_CENTERED
        flags = sdl.SDL_WINDOW_RESIZABLE | sdl.SDL_WINDOW_ALLOW_HIGHDPI
        self._window = sdl.SDL_CreateWindow(
            self.title.encode(), centre, centre, width, height, flags
        )
        self._renderer = (
            sdl.SDL_CreateRenderer(self._window, -1, 0) if self._window else None
        )
        if not self._renderer:
            raise _no_screen(sdl)
        sdl.SDL_StartTextInput()

    def _fitting(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """The size, or the largest of its shape that the screen has room for."""
        room = self._sdl.SDL_Rect()
        if self._sdl.SDL_GetDisplayUsableBounds(0, ctypes.byref(room)) or not (
            room.w and room.h
        ):
            return size_wh
        scale = min(1.0, room.w / size_wh[0], room.h / size_wh[1])
        return int(size_wh[0] * scale), int(size_wh[1] * scale)

    def show(self, image: U8) -> None:
        """Shows a BGR picture from now on."""
        # The picture, no larger than the graphics card takes.
        about = self._sdl.SDL_RendererInfo()
        self._sdl.SDL_GetRendererInfo(self._renderer, ctypes.byref(about))
        most = min(about.max_texture_width, about.max_texture_height)
        largest = max(image.shape[:2])
        image = np.ascontiguousarray(
            geometry.shrink(image, most / largest) if 0 < most < largest else image
        )
        size_wh = (image.shape[1], image.shape[0])
        if size_wh != self._texture_wh:
            self._forget_texture()
            kind, streams = (
                self._sdl.SDL_PIXELFORMAT_BGR24,
                self._sdl.SDL_TEXTUREACCESS_STREAMING,
            )
            self._texture = self._sdl.SDL_CreateTexture(
                self._renderer, kind, streams, *size_wh
            )
            self._texture_wh = size_wh
        pixels = image.ctypes.data_as(ctypes.c_void_p)
        self._sdl.SDL_UpdateTexture(self._texture, None, pixels, image.strides[0])
        self._draw()

    def _forget_texture(self) -> None:
        if self._texture is not None:
            self._sdl.SDL_DestroyTexture(self._texture)
        self._texture, self._texture_wh = None, (0, 0)

    def _draw(self) -> None:
        """The picture as large as the window, in its own shape, in the middle."""
        self._sdl.SDL_RenderClear(self._renderer)
        if self._texture is not None:
            width, height = ctypes.c_int(), ctypes.c_int()
            self._sdl.SDL_GetRendererOutputSize(
                self._renderer, ctypes.byref(width), ctypes.byref(height)
            )
            scale = min(
                width.value / self._texture_wh[0], height.value / self._texture_wh[1]
            )
            w, h = (max(1, round(side * scale)) for side in self._texture_wh)
            place = self._sdl.SDL_Rect(
                (width.value - w) // 2, (height.value - h) // 2, w, h
            )
            self._sdl.SDL_RenderCopy(
                self._renderer, self._texture, None, ctypes.byref(place)
            )
        self._sdl.SDL_RenderPresent(self._renderer)

    def key(self) -> int:
        """The next key typed, after a few milliseconds: the character's number, or one of `ENTER`, `ESCAPE`,
        `BACKSPACE`, `DELETE`; -1 for none. None is lost, however long the last call was ago."""
        event = self._sdl.SDL_Event()
        there = self._sdl.SDL_WaitEventTimeout(
            ctypes.byref(event), 0 if self._typed else _WAIT_MS
        )
        while there:
            self._take(event)
            there = self._sdl.SDL_PollEvent(ctypes.byref(event))
        return self._typed.popleft() if self._typed else -1

    def _take(self, event: Any) -> None:
        sdl = self._sdl
        if event.type == sdl.SDL_TEXTINPUT:
            self._typed.extend(map(ord, event.text.text.decode(errors="ignore")))
        elif event.type == sdl.SDL_KEYDOWN:
            symbol = (
                ENTER if event.key.keysym.sym == _KEYPAD_ENTER else event.key.keysym.sym
            )
            if symbol in {ENTER, ESCAPE, BACKSPACE, DELETE}:
                self._typed.append(symbol)
        elif (
            event.type == sdl.SDL_WINDOWEVENT
            and event.window.event == sdl.SDL_WINDOWEVENT_CLOSE
        ):
            self.closed = True
        elif event.type == sdl.SDL_WINDOWEVENT and event.window.event in (
            sdl.SDL_WINDOWEVENT_EXPOSED,
            sdl.SDL_WINDOWEVENT_SIZE_CHANGED,
        ):
            self._draw()
        elif event.type == sdl.SDL_RENDER_DEVICE_RESET:
            self._forget_texture()
        elif event.type == sdl.SDL_QUIT:
            self.closed = True

    def toggle_full_screen(self) -> None:
        """Fills the screen, or goes back."""
        full = self._sdl.SDL_WINDOW_FULLSCREEN_DESKTOP
        now = self._sdl.SDL_GetWindowFlags(self._window) & full == full
        self._sdl.SDL_SetWindowFullscreen(self._window, 0 if now else full)

    def close(self) -> None:
        """Takes the window off the screen."""
        if self._window is None:
            return
        self._forget_texture()
        self._sdl.SDL_DestroyRenderer(self._renderer)
        self._sdl.SDL_DestroyWindow(self._window)
        self._window = None
        self._sdl.SDL_QuitSubSystem(self._sdl.SDL_INIT_VIDEO)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _load_sdl() -> Any:
    """SDL2, which is loaded where a window is wanted and nowhere else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says which library it found
            import sdl2
    except (ImportError, OSError, RuntimeError) as exc:
        raise InputError(
            "the window needs SDL2, which does not load here; run 'pip install --force-reinstall PySDL2 pysdl2-dll', "
            f"or use --no-window ({exc})"
        ) from exc
    # Which screens are tried: on Linux those that are there, elsewhere the system's own
    known = (
        {"DISPLAY": "x11", "WAYLAND_DISPLAY": "wayland"}
        if sys.platform == "linux"
        else {}
    )
    for name, value in {
        **_HINTS,
        "SDL_VIDEODRIVER": ",".join(
            driver for name, driver in known.items() if os.environ.get(name)
        ),
    }.items():  # what the environment says comes first
        sdl2.SDL_SetHint(name.encode(), value.encode())
    for name in _NAMES:
        sdl2.SDL_setenv(name.encode(), b"mien", 0)
    return sdl2


def _check_screen() -> None:
    """Without a screen SDL2 would take the console's, if it may: `mien live` over a network must not."""
    known = {"DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"}
    if sys.platform == "linux" and not any(os.environ.get(name) for name in known):
        raise InputError(
            "there is no screen (DISPLAY is not set); use --no-window, with --record OUT.mp4 to watch it later"
        )


def _no_screen(sdl: Any) -> InputError:
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or ""
    reason = sdl.SDL_GetError().decode(errors="replace")
    return InputError(
        f"no screen answers at DISPLAY={display} ({reason}); use --no-window, with --record OUT.mp4 to watch it later"
    )


@dataclass(frozen=True, slots=True)
class Prompt:
    """A line being typed; `done` when Enter, `given_up` when Escape was pressed."""

    question: str
    text: str = ""
    done: bool = False
    given_up: bool = False

    def typed(self, key: int) -> Prompt:
        """The prompt after a key (as `Window.key` gives it)."""
        if key == ENTER:
            return replace(self, done=bool(self.text.strip()))
        if key == ESCAPE:
            return replace(self, given_up=True)
        if key in {BACKSPACE, DELETE}:
            return replace(self, text=self.text[:-1])
        letter = chr(key) if key > 0 else ""
        return replace(self, text=self.text + letter) if letter.isprintable() else self


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
        told = [
            estimate
            for estimate in face.attributes.values()
            if estimate.attribute.momentary and estimate.label
        ]
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
        draw_text(
            strip,
            (size // 2, size // 4 + row * round(size * 1.4)),
            line,
            size,
            (240, 240, 240),
        )
    image[-height:] = np.asarray(strip)[..., ::-1]


def strip_height(height: int, lines: int = 1) -> int:
    """How much of a picture's height such a strip takes."""
    return lines * round(_line_size(height) * 1.4) + _line_size(height) // 2


def _line_size(height: int) -> int:
    return max(14, height // 36)
