"""The window of `mien live`: shows the newest analysed frame, takes keys, never waits for the analysis."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from mien import drawing, images
from mien.errors import InputError, MienError
from mien.sinks.window import Prompt, Window, add_bars, add_lines, nearest_centre
from mien.types import F32, U8, Frame, FrameResult

if TYPE_CHECKING:
    from mien.cli.live import Play, Stats

log = logging.getLogger(__name__)

_NOTE_S = 3.0
_KEYS = "q quit   s save picture   e enrol   f full screen   m next emotion model"


@dataclass
class Newest:
    """What the analysis found last, handed from its thread to the window's."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pair: tuple[Frame, FrameResult] | None = None
    error: BaseException | None = None
    done: bool = False
    stop: bool = False

    def put(self, pair: tuple[Frame, FrameResult]) -> None:
        """Replaces what was there."""
        with self.lock:
            self.pair = pair

    def take(self) -> tuple[Frame, FrameResult] | None:
        """What came since the last call."""
        with self.lock:
            pair, self.pair = self.pair, None
        return pair


def show(play: Play, stats: Stats) -> None:
    """Plays until the source ends, the window is closed or q is pressed.

    Raises:
        MienError: What ended the analysis.
    """
    newest = Newest()
    with Window(f"mien {play.source.name}") as window:
        worker = threading.Thread(target=_analyse, args=(play, stats, newest), name="mien analysis")
        worker.start()
        try:
            Screen(play, window, newest).run()
        except KeyboardInterrupt:
            play.interrupted = True
        finally:
            newest.stop = True
            if play.source.live:
                play.source.close()
            worker.join()
    if newest.error is not None:
        raise newest.error


def _analyse(play: Play, stats: Stats, newest: Newest) -> None:
    """Files are shown in their own time: a frame that is early waits, one that is late is analysed all the same."""
    began = time.monotonic()
    results = play.results(stats)
    try:
        for pair in results:
            newest.put(pair)
            early = pair[0].time_s - (time.monotonic() - began)
            if not play.source.live and early > 0:
                time.sleep(early)
            if newest.stop:
                return
    except BaseException as exc:  # told by the window's thread
        newest.error = exc
    finally:
        results.close()
        newest.done = True


class Screen:
    """What is on the window: the picture, a prompt while a name is typed, a note for a moment."""

    def __init__(self, play: Play, window: Window, newest: Newest) -> None:
        self.play = play
        self.window = window
        self.newest = newest
        self.prompt: Prompt | None = None
        self.enrolling: bytes = b""
        self.note, self.note_until = _KEYS, time.monotonic() + 2 * _NOTE_S
        self.last: tuple[Frame, FrameResult] | None = None
        self.canvas: U8 | None = None
        self._times: deque[float] = deque(maxlen=30)

    def run(self) -> None:
        """Until the end."""
        while not self.window.closed:
            pair = self.newest.take()
            if pair is not None:
                self._draw(pair)
            key = self.window.key()
            if key >= 0 and not self._press(key):
                return
            if self.newest.done and self.newest.pair is None and self.prompt is None:
                return

    def _draw(self, pair: tuple[Frame, FrameResult]) -> None:
        frame, result = self.last = pair
        self._times.append(time.monotonic())
        self.canvas = drawing.annotate(frame.image, result.faces)
        add_bars(self.canvas, list(result.faces))
        self._show()

    def _show(self) -> None:
        if self.canvas is None:
            return
        picture = self.canvas.copy()
        cv2.putText(picture, f"{self._rate():.0f} fps", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
        lines = self._lines()
        if lines:
            add_lines(picture, lines)
        self.window.show(picture)

    def _rate(self) -> float:
        spent = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        return (len(self._times) - 1) / spent if spent else 0.0

    def _lines(self) -> list[str]:
        if self.prompt is not None:
            return [f"{self.prompt.question} {self.prompt.text}_", "Enter enrols, Esc gives up"]
        return [self.note] if time.monotonic() < self.note_until else []

    def _press(self, key: int) -> bool:
        """Acts on a key; false to quit."""
        if self.prompt is not None:
            self._type(self.prompt.typed(key))
            return True
        letter = chr(key & 0xFF)
        if letter == "q":
            return False
        if letter == "f":
            self.window.toggle_full_screen()
        if letter == "s":
            self._save()
        if letter == "e":
            self._ask_name()
        if letter == "m":
            self._next_emotion()
        return True

    def _say(self, note: str) -> None:
        self.note, self.note_until = note, time.monotonic() + _NOTE_S
        self._show()

    def _save(self) -> None:
        if self.last is None or self.canvas is None:
            return None
        path = Path(time.strftime("mien-%Y%m%d-%H%M%S") + f"-{self.last[0].index}.png")
        try:
            images.write_image(path, self.canvas)
        except InputError as exc:
            return self._say(str(exc))
        return self._say(f"saved {path}")

    def _next_emotion(self) -> None:
        try:
            self._say(self.play.next_emotion())
        except MienError as exc:
            self._say(str(exc))

    def _ask_name(self) -> None:
        """Keeps the face nearest the centre as it is now, and asks for its name."""
        if self.play.analyzer.gallery is None:
            return self._say("no gallery to enrol into: start with --gallery FOLDER")
        if self.last is None:
            return self._say("nobody to enrol")
        frame, result = self.last
        row = nearest_centre(result.faces, width=result.width, height=result.height)
        if row is None:
            return self._say("nobody to enrol")
        self.enrolling = _photo_of(frame.image, result.faces.boxes[row])
        self.prompt = Prompt("name:")
        return self._show()

    def _type(self, prompt: Prompt) -> None:
        self.prompt = None if prompt.done or prompt.given_up else prompt
        if prompt.done:
            return self._say(self._enrol(prompt.text.strip()))
        return self._show()

    def _enrol(self, name: str) -> str:
        analyzer = self.play.analyzer
        try:
            photo = analyzer.photo(self.enrolling, source="mien live", largest=True)
            if analyzer.gallery is not None:
                analyzer.gallery.enroll(name, [photo])
        except MienError as exc:
            return str(exc)
        return f"enrolled {name}"


def _photo_of(image: U8, box: F32) -> bytes:
    """The face with as much around it on every side, as PNG."""
    x1, y1, x2, y2 = map(float, box)
    margin = max(x2 - x1, y2 - y1)
    top, left = max(0, int(y1 - margin)), max(0, int(x1 - margin))
    good, png = cv2.imencode(".png", image[top : int(y2 + margin), left : int(x2 + margin)])
    if not good:
        raise InputError("the picture cannot be kept")
    return bytes(png.tobytes())
