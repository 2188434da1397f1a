"""Telling others what happened: one thread each, in order, again and again for a day."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from mien.errors import MienError
from mien.watch.store import Message, VisitStore

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_FAREWELL_S = 3.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 1800.0


class NotTold(Exception):  # noqa: N818 - says what happened
    """Somebody could not be told; why stands in it."""


class Target(Protocol):
    """Somebody to be told."""

    name: str

    def tell(self, message: Message) -> None:
        """Tells. Raises NotTold where that failed."""
        ...


class Sender:
    """Tells one target what waits for it in the database, the oldest first; what was told is deleted there.

    One that fails is tried again with growing pauses, and those behind it wait, so that all come in order. After a
    kill the last one may be told once more, with the same id.
    """

    def __init__(
        self,
        store: VisitStore,
        target: Target,
        *,
        pause: Callable[[int], float] = lambda tries: min(
            _LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(tries, 20)
        ),
    ) -> None:
        self.store = store
        self.target = target
        self.pause = pause
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._failing = False
        self._thread = threading.Thread(
            target=self._run, name=f"telling {target.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something new waits, maybe."""
        self._wake.set()

    def close(self) -> None:
        """Stops; what was not told stays in the database."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                told = self._tell_next()
            except MienError as exc:
                log.warning("%s", exc)
                told = False
            except Exception:  # a thread must not die in silence
                log.exception("telling %s failed", self.target.name)
                told = False
            if not told:
                self._wake.wait(_LOOK_S)
        # The farewell: what waits is told, as long as that goes well and takes no time.
        until = time.monotonic() + _FAREWELL_S
        with contextlib.suppress(MienError):  # it stays in the database
            while time.monotonic() < until and self._tell_next():
                pass

    def _tell_next(self) -> bool:
        """Tells the oldest message if it is due; whether it was told. Raises GalleryError."""
        message = self.store.next_due(self.target.name)
        if message is None:
            return False
        try:
            self.target.tell(message)
        except Exception as exc:
            if not self._failing:
                unforeseen = None if isinstance(exc, NotTold) else exc
                log.warning(
                    "cannot tell %s: %s; trying again",
                    self.target.name,
                    exc,
                    exc_info=unforeseen,
                )
            self._failing = True
            due = self.store.clock() + self.pause(message.tries)
            self.store.later(message.number, due)
            return False
        self._failing = False
        self.store.told(message.number)
        return True
