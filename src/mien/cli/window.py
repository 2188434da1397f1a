"""The window of `mien live`: shows the newest analysed frame, takes keys, never waits for the analysis."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import cv2

from mien.cli.playing import AnnotatedFrame, Play, Stats
from mien.errors import InputError, MienError
from mien.media import images
from mien.models.attributes.antispoof import alive
from mien.output import drawing
from mien.output.window import (
    ESCAPE,
    Prompt,
    Window,
    add_bars,
    add_lines,
    nearest_centre,
    strip_height,
)
from mien.text import shown
from mien.types import U8, Frame, FrameResult

log = logging.getLogger(__name__)

_ENROL_MARGIN = 1.0  # of the face, on each side: it is found anew in what is kept

_NOTE_S = 3.0
_KEYS = "q quit   space pause   s save picture   e enrol   f full screen"
_KEY_MODELS = "   m next model"
T = TypeVar("T")


class Slot(Generic[T]):
    """Holds the newest of what one thread hands to another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: T | None = None

    def put(self, new: T) -> None:
        """Replaces what was there."""
        with self._changed:
            self._held = new
            self._changed.notify()

    def take(self, wait_s: float = 0.0) -> T | None:
        """What came since the last call; waits for it as long as told."""
        with self._changed:
            if self._held is None and wait_s:
                self._changed.wait(wait_s)
            held, self._held = self._held, None
            return held


@dataclass(frozen=True)
class Picture:
    """A frame, what was found in it, and both drawn."""

    frame: Frame
    result: FrameResult
    canvas: U8


@dataclass
class Line:
    """What the threads of a window tell each other: results to be drawn, pictures to be shown, how it ended."""

    results: Slot[AnnotatedFrame] = field(default_factory=Slot)
    pictures: Slot[Picture] = field(default_factory=Slot)
    errors: list[BaseException] = field(default_factory=list)
    analysed: threading.Event = field(default_factory=threading.Event)
    drawn: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)

    def rest(self) -> float:
        """Waits while the film is paused; for how many seconds."""
        began = time.monotonic()
        while self.paused.is_set() and not self.stop.is_set():
            self.stop.wait(0.05)
        return time.monotonic() - began

    def analyse(self, play: Play, stats: Stats) -> None:
        """Files are shown in their own time: a frame that is early waits, one that is late is analysed all the same."""
        began = time.monotonic()
        results = play.results(stats)
        try:
            for seen in results:
                self.results.put(seen)
                early = seen.frame.time_s - (time.monotonic() - began)
                if not play.source.live and early > 0:
                    self.stop.wait(early)
                if not play.source.live:
                    began += self.rest()
                if self.stop.is_set():
                    return
        except BaseException as exc:  # told by the window's thread
            self.errors.append(exc)
        finally:
            results.close()
            self.analysed.set()

    def draw(self, annotate: drawing.Annotator) -> None:
        """Draws beside the window's thread, which answers keys at once."""
        try:
            while not self.stop.is_set():
                over = self.analysed.is_set()
                seen = self.results.take(wait_s=0.0 if over else 0.05)
                if seen is not None:
                    faces = seen.result.faces
                    canvas = (
                        annotate(seen.frame.image, faces)
                        if seen.canvas is None
                        else seen.canvas
                    )
                    add_bars(canvas, list(faces))
                    self.pictures.put(Picture(seen.frame, seen.result, canvas))
                elif over:
                    return
        except BaseException as exc:  # told by the window's thread
            self.errors.append(exc)
        finally:
            self.drawn.set()


def show(play: Play, stats: Stats) -> None:
    """Plays until the source ends, the window is closed or q is pressed.

    Raises:
        MienError: What ended the analysis.
    """
    line = Line()
    play.annotate = drawing.Annotator(strip_height)
    with Window(f"mien {shown(play.source.name)}") as window:
        threads = [
            threading.Thread(
                target=line.analyse, args=(play, stats), name="mien analysis"
            ),
            threading.Thread(
                target=line.draw, args=(play.annotate,), name="mien drawing"
            ),
        ]
        for thread in threads:
            thread.start()
        try:
            Screen(play, window, line).run()
        except KeyboardInterrupt:
            play.interrupted = True
        finally:
            line.stop.set()
            if play.source.live:
                play.source.close()
            for thread in threads:
                thread.join()
    if line.errors:
        raise line.errors[0]


class Screen:
    """What is on the window: the picture, a prompt while a name is typed, a note for a moment."""

    def __init__(self, play: Play, window: Window, line: Line) -> None:
        self.play = play
        self.window = window
        self.line = line
        self.prompt: Prompt | None = None
        self.enrolling: bytes = b""
        self.note = _KEYS + (_KEY_MODELS if play.models is not None else "")
        self.note_until = time.monotonic() + 2 * _NOTE_S
        self.last: Picture | None = None
        self._times: deque[float] = deque(maxlen=30)

    def run(self) -> None:
        """Until the end. While a name is typed the picture stands still, so that its face is seen and no key missed."""
        while not self.window.closed:
            over = self.line.drawn.is_set()
            still = self.prompt is not None or self.line.paused.is_set()
            picture = None if still else self.line.pictures.take()
            if picture is not None:
                self.last = picture
                self._times.append(time.monotonic())
                self._show()
            key = self.window.key()
            if key >= 0 and not self._press(key):
                return
            if over and picture is None and not still:
                return

    def _show(self) -> None:
        if self.last is None:
            return
        picture = self.last.canvas.copy()
        spent = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        rate = (len(self._times) - 1) / spent if spent else 0.0
        cv2.putText(
            picture,
            f"{rate:.0f} fps",
            (8, 22),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.6,
            (255, 255, 255),
            2,
        )
        if self.prompt is not None:
            question = f"{self.prompt.question} {self.prompt.text}_"
            add_lines(picture, [question, "Enter enrols, Esc gives up"])
        elif time.monotonic() < self.note_until:
            add_lines(picture, [self.note])
        self.window.show(picture)

    def _press(self, key: int) -> bool:
        """Acts on a key; false to quit."""
        if self.prompt is not None:
            self._type(self.prompt.typed(key))
            return True
        letter = chr(key).lower()
        if letter == "q" or key == ESCAPE:
            return False
        keys: dict[str, Callable[[], None]] = {
            " ": self.pause,
            "f": lambda: self.window.toggle_full_screen(),
            "s": self.save,
            "e": self.ask_name,
            "m": self.take_next_model,
        }
        if letter in keys:
            keys[letter]()
        return True

    def take_next_model(self) -> None:
        """Analyses with the next of the user's models."""
        try:
            self._say(self.play.next_model())
        except MienError as exc:
            self._say(str(exc))

    def pause(self) -> None:
        """The picture stands still until the next time; a film waits, a camera goes on unseen."""
        if self.line.paused.is_set():
            self.line.paused.clear()
            return self._say("goes on")
        self.line.paused.set()
        self.note, self.note_until = "paused: space goes on", float("inf")
        return self._show()

    def _say(self, note: str) -> None:
        self.note, self.note_until = note, time.monotonic() + _NOTE_S
        self._show()

    def save(self) -> None:
        if self.last is None:
            return None
        path = Path(
            time.strftime("mien-%Y%m%d-%H%M%S") + f"-{self.last.frame.index}.png"
        )
        try:
            images.write_image(path, self.last.canvas)
        except InputError as exc:
            return self._say(str(exc))
        return self._say(f"saved {path}")

    def ask_name(self) -> None:
        """Keeps the face nearest the centre as it is now, and asks for its name."""
        if self.play.analyzer.gallery is None:
            return self._say("no gallery to enrol into: start with --gallery FOLDER")
        if self.last is None:
            return self._say("nobody to enrol")
        frame, result = self.last.frame, self.last.result
        row = nearest_centre(result.faces, width=result.width, height=result.height)
        if row is None:
            return self._say("nobody to enrol")
        if self.play.require_live and not alive(result.faces)[row]:
            return self._say(
                "this face seems to be a picture or a screen: not enrolled"
            )
        self.enrolling = images.cut_out(
            frame.image, result.faces.boxes[row], margin=_ENROL_MARGIN
        )
        self.prompt = Prompt("name:")
        return self._show()

    def _type(self, prompt: Prompt) -> None:
        self.prompt = None if prompt.done or prompt.given_up else prompt
        if not prompt.done:
            return self._show()
        analyzer, name = self.play.analyzer, prompt.text.strip()
        try:
            photo = analyzer.photo(self.enrolling, source="mien live", largest=True)
            if analyzer.gallery is not None:
                analyzer.gallery.enroll(name, [photo])
        except MienError as exc:
            return self._say(str(exc))
        return self._say(f"enrolled {name}")
