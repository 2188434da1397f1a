"""A second, small stream of a camera, on which motion is looked for while nothing happens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mien import heap
from mien.errors import MienError, SourceError
from mien.sources import Source, Timeouts
from mien.sources.base import glimpses_of
from mien.watch.cameras import Camera
from mien.watch.motion import Motion
from mien.watch.view import View

log = logging.getLogger(__name__)

_EVERY_S = 0.2
_PAUSE_S = 10.0  # after a loss; meanwhile the camera's own stream does it all
_TRUSTED_S = 2.0  # after its last picture


class Lookout:
    """Looks in a thread of its own, again and again where the stream is lost.

    Args:
        camera: Whose; it has an `idle_source`.
        opener: Opens the source.
        tell: Is told of motion (true), and of what may become some (false).
    """

    def __init__(
        self,
        camera: Camera,
        opener: Callable[[int | str, Timeouts], Source],
        tell: Callable[[bool], None],
    ) -> None:
        self.camera = camera
        self._opener = opener
        self._tell = tell
        self._view = View(camera)
        self._seen_s = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"lookout {camera.name}", daemon=True
        )

    @property
    def awake(self) -> bool:
        """Whether it sees what happens."""
        return time.monotonic() - self._seen_s < _TRUSTED_S

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        timeouts = Timeouts(retry_s=0.0, over=self._stop.is_set)
        while not self._stop.is_set():
            try:
                with self._opener(self.camera.idle_uri, timeouts) as source:
                    self._look(source)
            except (MienError, ValueError) as exc:
                log.warning("camera %s: its idle_source: %s", self.camera.name, exc)
            except Exception:  # a thread must not die in silence
                log.exception("camera %s: its idle_source", self.camera.name)
            heap.give_back()
            self._stop.wait(_PAUSE_S)

    def _look(self, source: Source) -> None:
        motion, due = Motion(self._view.mask), 0.0
        for glimpse in glimpses_of(source):
            if self._stop.is_set():
                return
            if glimpse.time_s < due:
                continue
            due = glimpse.time_s + _EVERY_S
            self._seen_s = time.monotonic()
            moved = motion.moved(self._view.of(glimpse.sketch()), glimpse.time_s)
            if moved or motion.suspected:
                self._tell(moved)
        if not self._stop.is_set():
            raise SourceError("it has ended")
