"""One camera's pictures, looked after in a thread of its own: opened, lost, opened again; the newest one waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from mien import heap
from mien.errors import MienError, SourceError
from mien.sources import Source, Timeouts, open_source
from mien.sources.base import Glimpse, HasGlimpses, Need, glimpses_of
from mien.text import shown
from mien.types import Frame
from mien.watch.cameras import Camera, within
from mien.watch.clips import Clips
from mien.watch.lookout import Lookout
from mien.watch.motion import Motion
from mien.watch.view import View

log = logging.getLogger(__name__)

_QUIET_S, _BUSY_S = 0.2, 0.08  # between two pictures that are looked at for motion
_ALERT_S = 0.6  # all pictures come, after one that may show motion
_WATCHED_S = 3.0  # the same, after somebody wanted to see one
_STALL_S = 4.5  # without a picture: lost
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_FRESH_S = 0.03  # by which a picture is newer that is worth to be taken instead
_ANYWAY_S = 10.0  # without motion, a picture is looked at all the same
_AFTER_MOTION_S = 2.0

State = Literal["starting", "up", "down", "off", "ended"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """How a camera does: its state since when, pictures a second, the seconds from picture to what is told of it, the
    last picture's time, and why it is down. Times are seconds since 1970."""

    name: str
    state: State = "starting"
    since: float = 0.0
    fps: float = 0.0
    delay_s: float | None = None
    last_picture: float | None = None
    looked_at: int = 0
    why: str = ""


Opener = Callable[[int | str, Timeouts], Source]


def open_camera(uri: int | str, timeouts: Timeouts) -> Source:
    """A camera, stream or film as the operator wrote it down.

    Raises:
        SourceError: It cannot be opened, or is a file at an address.
    """
    source = open_source(uri, timeouts=timeouts)
    if not source.live and "://" in str(uri):
        source.close()
        raise SourceError(f"{shown(str(uri))} is a file to download, no camera")
    return source


class Feed:
    """The pictures of one camera in which something moves.

    Args:
        camera: Which.
        tell: Called from the feed's thread when a picture waits or the state changes.
        opener: Opens the source.
        clock: Seconds since 1970.
        clips: Are shown every picture that is tested for motion or looked at; None: none are kept.
    """

    def __init__(
        self,
        camera: Camera,
        tell: Callable[[], None],
        *,
        opener: Opener = open_camera,
        clock: Callable[[], float] = time.time,
        clips: Clips | None = None,
    ) -> None:
        self.camera = camera
        self.clips = clips
        self._opener = opener
        self.view = View(camera)
        self.live = True
        self._tell = tell
        self._clock = clock
        self._began = clock()
        self._motion = Motion(self.view.mask)
        self._state = CameraState(camera.name, since=self._began)
        self._lock = threading.Condition()
        self._converting = threading.Lock()
        self._waiting: Glimpse | None = None
        self._every_s = _BUSY_S
        self._sparing = False
        self._tested_s = float("-inf")
        self._glimpsed: Glimpse | None = None  # the newest picture
        # From the connection's seconds to the feed's, once its first picture has come.
        self._shift_s: float | None = None
        self._taken_s = float("-inf")  # of what was taken in an older one's place
        self._live_source: HasGlimpses | None = None
        self._received = 0
        self._alert_until = 0.0
        self._film_s = 0.0
        self._busy_until = 0.0
        self._anyway_s = 0.0
        self._heard = 0.0  # when the last picture came, by the monotonic clock
        self._counted = (0, 0.0)  # pictures that had come by when
        self._stop = threading.Event()
        self._lookout = (
            Lookout(camera, opener, self._stirs) if camera.idle_source else None
        )
        self._thread = threading.Thread(
            target=self._supervise, name=f"camera {camera.name}", daemon=True
        )

    @property
    def state(self) -> CameraState:
        return self._state

    @property
    def waiting(self) -> bool:
        """Whether a picture is to be looked at."""
        return self._waiting is not None

    def newest(self) -> Frame | None:
        """The newest picture as it is looked at, and all that come in the next seconds, for somebody who watches; None
        where none has come. Raises SourceError where it is damaged."""
        glimpse = self._glimpsed
        self._alert_until = max(self._alert_until, self.now_s + _WATCHED_S)
        return None if glimpse is None else self._viewed(glimpse)

    def _viewed(self, glimpse: Glimpse) -> Frame:
        """As it is looked at. Raises SourceError where it is damaged."""
        with self._converting:
            frame = glimpse.frame()
        return replace(frame, source=self.camera.name)

    def _once(self, glimpse: Glimpse) -> Glimpse:
        """The same as the camera's view shows it, converted at most once, whoever wants it."""
        image = glimpse.image
        return replace(glimpse, image=cache(lambda: self.view.of(image())))

    @property
    def over(self) -> bool:
        """Whether no picture will come any more: a film that is at its end."""
        return self._state.state == "ended" and not self.waiting

    @property
    def now_s(self) -> float:
        """Seconds since the feed was made: by the clock, or, of a film, in the film."""
        return self._clock() - self._began if self.live else self._film_s

    def at(self, time_s: float) -> float:
        """A time of a frame as seconds since 1970."""
        return self._began + time_s

    def start(self) -> None:
        self._thread.start()
        if self._lookout is not None:
            self._lookout.start()

    def stop(self) -> None:
        """Ends the thread; one that waits for a network ends by its time-out."""
        self._stop.set()
        if self._lookout is not None:
            self._lookout.stop()
        with self._lock:
            self._lock.notify_all()

    def join(self) -> None:
        self._thread.join(timeout=2.0)

    def take(self) -> Frame | None:
        """The picture that waits, if one does and is whole. It is converted here: those that nobody takes are not."""
        with self._lock:
            glimpse, self._waiting = self._waiting, None
            if glimpse is not None:
                glimpse = self._fresher(glimpse)
            self._lock.notify_all()
        try:
            return None if glimpse is None else self._viewed(glimpse)
        except SourceError as exc:  # damaged; the next may be whole
            log.warning("%s", exc)
            return None

    def _fresher(self, glimpse: Glimpse) -> Glimpse:
        """The picture that has come since, where that waited for its turn; for clips each is converted already."""
        source, shift_s = self._live_source, self._shift_s
        newest = None if source is None or self.clips else source.newest()
        if newest is None or shift_s is None:
            return glimpse
        time_s = shift_s + newest.time_s
        if time_s < glimpse.time_s + _FRESH_S:
            return glimpse
        self._taken_s = time_s
        self._glimpsed = self._once(replace(newest, time_s=time_s))
        return self._glimpsed

    def looked(
        self,
        frame: Frame,
        *,
        busy_s: float,
        every_s: float = _BUSY_S,
        sparing: bool = False,
    ) -> None:
        """Tells that a picture was looked at; for `busy_s` more seconds one is wanted `every_s`, motion or not, of a
        `sparing` watcher key pictures alone, where one comes every second."""
        self._sparing = sparing
        self._busy_until = max(self._busy_until, frame.time_s + busy_s)
        self._every_s = every_s
        delay = self.now_s - frame.time_s if self.live else None
        state = self._state
        if delay is not None and state.delay_s is not None:
            delay = state.delay_s + 0.1 * (delay - state.delay_s)
        self._state = replace(state, delay_s=delay, looked_at=state.looked_at + 1)

    def _supervise(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stop.is_set():
            before = self._state.last_picture
            try:
                if self._watch_while_on():
                    self._become("ended")
                    return
            except MienError as exc:
                self._become("down", str(exc))
            except Exception as exc:  # one camera must not take the others along
                log.exception("camera %s", self.camera.name)
                self._become("down", f"reading failed: {exc!r}")
            if self._state.last_picture != before:
                heap.give_back()
            if self._state.last_picture != before or self._state.state == "off":
                pause = _FIRST_PAUSE_S
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _watch_while_on(self) -> bool:
        """Reads one connection; true when a film has come to its end.

        Raises:
            MienError: It cannot be opened, or was lost.
        """
        if not self._on():
            self._become("off", "not now, by its hours")
            return False
        try:
            uri = self.camera.uri
        except ValueError as exc:
            raise SourceError(str(exc)) from exc
        timeouts = Timeouts(retry_s=0.0, over=self._given_up, need=self._need)
        self._heard, self._received = time.monotonic(), 0
        with self._opener(uri, timeouts) as source:
            self.live = source.live
            self._shift_s = None
            self._live_source = source if isinstance(source, HasGlimpses) else None
            try:
                self._read(source)
            finally:
                self._live_source = None
        if self._stop.is_set() or not source.live:
            return not source.live
        if self._on():
            raise SourceError("no picture came for 5 seconds")
        return False

    def _on(self) -> bool:
        return within(self.camera.hours, self._clock())

    def _need(self) -> Need:
        """All pictures while something happens, as far as there is time for them."""
        calm = self.now_s > max(self._busy_until, self._alert_until)
        if not calm:
            return Need.SOME if self._sparing else Need.ALL
        watched = self._lookout is not None and self._lookout.awake
        return Need.KEYS if watched else Need.SOME

    def _stirs(self, surely: bool) -> None:
        """Something moves (surely) or may, on the camera's small stream."""
        if surely:
            self._busy_until = max(self._busy_until, self.now_s + _AFTER_MOTION_S)
        self._alert_until = max(self._alert_until, self.now_s + _ALERT_S)

    def _given_up(self) -> bool:
        """Whether nobody waits for this connection any more."""
        if self._live_source is not None:
            self._hear(self._live_source.received)
        opening_s = 0.0 if self._state.state == "up" else Timeouts().open_s
        silent_s = time.monotonic() - self._heard
        stalled = self.live and silent_s > opening_s + _STALL_S
        return self._stop.is_set() or stalled or not self._on()

    def _read(self, source: Source) -> None:
        due, shift_s = float("-inf"), None
        for glimpse in glimpses_of(source):
            if self._stop.is_set():
                return
            live = self._live_source
            self._count(glimpse.index + 1 if live is None else live.received)
            if shift_s is None:  # now: it may come seconds after it was asked for
                shift_s = self.now_s - glimpse.time_s if source.live else 0.0
                self._begin(shift_s)
            time_s = shift_s + glimpse.time_s
            if not source.live:
                self._film_s = time_s
            if time_s < due - 1e-3:
                continue
            try:
                wanted = self._see(replace(glimpse, time_s=time_s))
            except SourceError as exc:  # a damaged picture; the next may be whole
                log.warning("%s", exc)
                continue
            due = time_s + (self._every_s if wanted else _QUIET_S)
            if source.live:  # what comes meanwhile is passed over, and not converted
                pause_s = min(due - self.now_s, due - time_s)  # the clock may jump back
                self._stop.wait(max(0.0, pause_s))

    def _begin(self, shift_s: float) -> None:
        """A connection's first picture has come. The clock may have been set back since the last one: what was taken
        then, and is later by it, says nothing of these pictures."""
        with self._lock:
            self._shift_s, self._taken_s = shift_s, float("-inf")

    def _see(self, glimpse: Glimpse) -> bool:
        """Looks for motion in a picture and offers it where it is worth a look; returns whether it was."""
        time_s = glimpse.time_s
        self._state = replace(self._state, last_picture=self.at(time_s))
        if self._state.state != "up":
            self._become("up")
        glimpse = self._glimpsed = self._once(glimpse)
        if self.clips is not None:
            self.clips.show(self._viewed(glimpse).image, time_s)
        if time_s > self._busy_until or time_s >= self._tested_s + _QUIET_S:
            self._tested_s = time_s
            with self._converting:
                sketch = glimpse.sketch()
            if self._motion.moved(self.view.of(sketch), time_s):
                self._busy_until = max(self._busy_until, time_s + _AFTER_MOTION_S)
            if self._motion.suspected:
                self._alert_until = time_s + _ALERT_S
        if time_s > self._busy_until and time_s < self._anyway_s:
            return False
        self._anyway_s = time_s + _ANYWAY_S
        self._offer(glimpse)
        return True

    def _count(self, received: int) -> None:
        """Notes how many pictures of this connection have come, for the pictures a second."""
        self._hear(received)
        before, since = self._counted
        passed = self._heard - since
        if received < before or passed > 10:
            self._counted = (received, self._heard)
        elif passed >= 1:
            fps = (received - before) / passed
            self._state = replace(self._state, fps=round(fps, 1))
            self._counted = (received, self._heard)

    def _hear(self, received: int) -> None:
        """Notes that a connection lives, also where nobody needs its pictures. In any thread."""
        if received != self._received:
            self._received, self._heard = received, time.monotonic()

    def _offer(self, glimpse: Glimpse) -> None:
        """Lets the picture wait; of a camera the newest one does, of a film each is waited for."""
        with self._lock:
            while not self.live and self._waiting is not None:
                if self._stop.is_set():
                    return
                self._lock.wait(0.5)
            if self.live and glimpse.time_s <= self._taken_s:
                return  # it was taken in the place of an older one
            self._waiting = glimpse
        self._tell()

    def _become(self, state: State, why: str = "") -> None:
        if (state, why) == (self._state.state, self._state.why):
            return
        if state != self._state.state:
            self._state = replace(self._state, since=self._clock())
        self._state = replace(self._state, state=state, why=why)
        say = log.warning if state == "down" else log.info
        say("camera %s is %s%s", self.camera.name, state, f": {why}" if why else "")
        self._tell()
