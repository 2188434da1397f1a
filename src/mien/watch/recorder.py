"""What happens, written down in a thread of its own, so that no database holds up the looking."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from mien.errors import MienError
from mien.watch.clips import Clip
from mien.watch.store import Message, Silence, VisitStore
from mien.watch.visits import Event

log = logging.getLogger(__name__)

_MOST_WAITING, _MOST_CLIPS = 10_000, 32
_SWEEP_S = 60.0
_RETRY_S = 1.0
_FAREWELL_S = 10.0  # for what waits at the end

Item = Event | Clip | Mapping[str, float]
Telling = tuple[Sequence[Message], Sequence[Silence]]


class Recorder:
    """Writes events down in their order, again and again until the database takes them; sweeps every minute.

    Args:
        store: Where to.
        keep_days: How long visits are kept; None or 0: only what is to be told is written down.
        messages: What is to be told of an event, and to whom, and what is not told again for a while.
        given_up: Called with a visit whose clip is lost, or not kept.
        written: Called when an event is in the database, unless its visit was deleted meanwhile.
        gone: Called when an event is not, because of that.
        swept: Called every minute.
    """

    def __init__(
        self,
        store: VisitStore,
        *,
        keep_days: float | None,
        messages: Callable[[Event], Telling] = lambda _: ((), ()),
        given_up: Callable[[str], None] = lambda _: None,
        written: Callable[[Event], None] = lambda _: None,
        gone: Callable[[Event], None] = lambda _: None,
        swept: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.keep_days = keep_days
        self.messages = messages
        self.given_up = given_up
        self.written = written
        self.gone = gone
        self.swept = swept
        self._made: tuple[Event, Telling] | None = None
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._failing = False
        self._swept = -_SWEEP_S
        self._thread = threading.Thread(
            target=self._run, name="watch recorder", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def put(self, item: Item) -> None:
        """Takes an event, a clip, or until when visits that go on were seen. Returns at once."""
        with self._changed:
            if isinstance(item, Clip):  # of which each is half a megabyte
                clips = sum(isinstance(one, Clip) for one in self._waiting)
                if clips >= _MOST_CLIPS:
                    self._lose(item)
                    return
            if len(self._waiting) >= _MOST_WAITING:
                self._lose(self._waiting.popleft())
            self._waiting.append(item)
            self._changed.notify()

    def _lose(self, item: Item) -> None:
        log.error("the database is away for too long: %s is lost", _word(item))
        self._give_up(item)

    def _give_up(self, item: Item) -> None:
        if isinstance(item, Clip):
            self.given_up(item.visit)

    def close(self) -> None:
        """Writes down what waits, if the database takes it soon."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(timeout=_FAREWELL_S)

    def _run(self) -> None:
        while not (self._ending and not self._waiting):
            with self._changed:
                if not self._waiting and not self._ending:
                    self._changed.wait(_RETRY_S)
            try:
                self._work()
                self._failing = False
            except MienError as exc:
                if not self._failing:
                    log.warning("%s; trying again", exc)
                self._failing = True
                time.sleep(_RETRY_S)
            except Exception:  # a thread must not die in silence
                log.exception("sweeping what is kept failed")
                time.sleep(_RETRY_S)

    def _work(self) -> None:
        """Writes down all that waits. Raises GalleryError where the database is away."""
        while self._waiting:
            item = self._waiting[0]
            try:
                self._write_down(item)
            except MienError:
                raise
            except Exception:  # what comes after it must not wait for ever
                log.exception("%s could not be written down", _word(item))
                self._give_up(item)
            with self._changed:
                if self._waiting and self._waiting[0] is item:
                    self._waiting.popleft()
        if time.monotonic() - self._swept >= _SWEEP_S:
            self.store.sweep(keep_days=self.keep_days)
            self.swept()
            self._swept = time.monotonic()

    def _write_down(self, item: Item) -> None:
        if isinstance(item, Clip):
            if not self.store.keep_clip(item.visit, item.content):
                self._give_up(item)
        elif isinstance(item, Event):
            if self._made is None or self._made[0] is not item:
                self._made = (item, self.messages(item))  # once, however often it fails
            (messages, silences), keep = self._made[1], bool(self.keep_days)
            if self.store.record(item, messages, silences=silences, keep=keep):
                self.written(item)
            else:
                self.gone(item)
        else:
            self.store.touch(item)


def _word(item: Item) -> str:
    if isinstance(item, Clip):
        return "a clip"
    return "an event" if isinstance(item, Event) else "a note of who is still there"
