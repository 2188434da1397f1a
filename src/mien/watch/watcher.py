"""All cameras at once: their pictures take turns before one analyzer, and visits come out."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mien import heap
from mien.attribute import IDENTITY
from mien.collecting import StreamCollector, UnknownCollector
from mien.errors import InputError, MienError
from mien.media.images import small_jpeg, thumbnail
from mien.models.attributes.antispoof import LIVE, named_if_alive
from mien.models.detectors.base import HasLeastFace
from mien.pipeline import Analyzer
from mien.session import Session
from mien.types import U8, Face, Faces, Frame, FrameResult
from mien.watch.cameras import Camera
from mien.watch.clips import Clips, Cut
from mien.watch.feed import CameraState, Feed, Opener, open_camera
from mien.watch.settings import WatchFile
from mien.watch.visits import Event, Visits

log = logging.getLogger(__name__)

_PRESENCE_S = 3.0  # after somebody was seen, all pictures are looked at
_UNSETTLED_S = 0.08  # between two pictures
_SETTLED_S = 0.2  # once it is sure who is there
_SLOWEST_S = 1.0  # the same where the machine has too little time
_SPARING_S = 1.5  # where it has so little, decoding all pictures would take it all
_SHARE = 0.5  # of its time, for cameras of which it is sure who is there
# Between two pictures, beyond which the next one tells anew who is there.
_APART_S = 1.2
# From one look for faces in the whole picture to the next, while all is calm.
_WHOLE_S = 1.0
_NEWCOMER_TURNS = 2  # ahead is a camera where somebody nobody knows has come
_IDLE_S = 0.25
_NOTE_S = 10.0
_GIVE_BACK_S = 300.0
_SHOWN_S = 1.0  # after that the faces of a picture are not shown any more
_FRAME_SIDE, _FRAME_QUALITY = 1280, 85  # of pictures that are kept whole


@dataclass(slots=True)
class _Post:
    """What belongs to one camera."""

    feed: Feed
    session: Session
    visits: Visits
    collector: StreamCollector | None
    seen: tuple[Frame, FrameResult] | None = None  # the last picture looked at
    served: int = 0  # the turn in which it was looked at last
    present: bool = False  # somebody was in the last picture


class Watcher:
    """Watches cameras until it is told to stop, or all of them are films that have ended.

    Args:
        analyzer: Looks at faces.
        said: Which cameras, and what is kept of them.
        tell: Gets every event, from the thread that `run` is called in.
        going_on: Gets every ten seconds until when (since 1970) each open visit was seen.
        collector: Keeps strangers' faces; None: nobody does.
        cut: Gets what becomes the clip of a visit, and whether its camera is live.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        said: WatchFile,
        tell: Callable[[Event], None],
        *,
        going_on: Callable[[dict[str, float]], None] = lambda _: None,
        collector: UnknownCollector | None = None,
        cut: Callable[[Cut, bool], None] = lambda *_: None,
    ) -> None:
        self.going_on = going_on
        self.cut = cut
        self.endless = False  # goes on without cameras, too: some may be added
        self._noted = time.monotonic()
        self._given_back = float("-inf")  # soon: loading networks leaves much
        self.analyzer = analyzer
        self.said = said
        self.tell = tell
        self.collector = collector
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._turn = 0
        self._look_s = 0.0  # how long a look takes, smoothed
        self._failing: set[str] = set()
        self._filmed: set[str] = set()  # open visits whose clip is or will be there
        self._orders: deque[Callable[[], None]] = deque()  # of other threads
        self._posts = [self._post(c) for c in said.cameras]

    def _post(self, camera: Camera, opener: Opener = open_camera) -> _Post:
        seconds = self.said.watch.keep_clips
        clips = None if seconds is None else Clips(seconds)
        feed = Feed(camera, self._wake.set, opener=opener, clips=clips)
        if feed.camera.require_live and LIVE.name not in self.analyzer.only:
            raise InputError(
                f"camera {feed.camera.name!r}: require_live needs the attribute live; "
                "ask for it: --attributes live, after 'mien models get antispoof'"
            )
        space = self.analyzer.space
        visits = Visits(
            feed.camera.name,
            absence_s=self.said.watch.absence_s,
            alike=space.stranger,
            identity=IDENTITY in self.analyzer.only,
            at=feed.at,
        )
        session = self.analyzer.session()
        session.options = replace(session.options, apart_s=_APART_S, whole_s=_WHOLE_S)
        if feed.camera.least_face and isinstance(session.detector, HasLeastFace):
            session.detector.min_face = feed.camera.least_face  # a copy of its own
        collector = None if self.collector is None else self.collector.stream()
        return _Post(feed, session, visits, collector)

    @property
    def states(self) -> list[CameraState]:
        """How each camera does."""
        return [post.feed.state for post in self._posts]

    def add(self, camera: Camera, opener: Opener = open_camera) -> None:
        """Watches one more camera from now on. May be called from any thread."""
        post = self._post(camera, opener)
        post.feed.start()
        self._orders.append(lambda: self._replace([*self._posts, post]))
        self._wake.set()

    def remove(self, name: str) -> None:
        """Watches a camera no longer: its visits end. May be called from any thread."""
        self._orders.append(lambda: self._let_go(name))
        self._wake.set()

    def _replace(self, posts: list[_Post]) -> None:
        self._posts = posts

    def _let_go(self, name: str) -> None:
        for post in self._posts:
            if post.feed.camera.name == name:
                post.feed.stop()
                self._close(post)
        self._replace([p for p in self._posts if p.feed.camera.name != name])

    def look_at(self, name: str) -> tuple[U8, Faces] | None:
        """A camera's newest picture with the faces that were found last; None where none has come."""
        post = next((p for p in self._posts if p.feed.camera.name == name), None)
        newest = None if post is None else post.feed.newest()
        if post is None or newest is None:
            return None
        seen = post.seen
        if seen is None or newest.time_s - seen[0].time_s > _SHOWN_S:
            return newest.image, Faces.empty()
        return seen[0].image, seen[1].faces

    def give_up_clip(self, visit: str) -> None:
        """A visit has no clip after all: what is told of it from now on names none. May be called from any thread."""
        self._filmed.discard(visit)

    def stop(self) -> None:
        """Makes `run` return soon; may be called from a signal's handler."""
        self._stop.set()
        self._wake.set()

    def run(self) -> None:
        """Watches. At the end all visits are ended and all threads have been told to."""
        for post in self._posts:
            post.feed.start()
        try:
            while not self._stop.is_set():
                if not self.endless and all(post.feed.over for post in self._posts):
                    break
                self._step()
        finally:
            for post in self._posts:
                post.feed.stop()
            for post in self._posts:
                self._close(post)
                post.feed.join()

    def _step(self) -> None:
        """Looks at one picture, if one waits; ends the visits of those who have gone."""
        self._wake.clear()
        while self._orders:
            self._orders.popleft()()
        waiting = [post for post in self._posts if post.feed.waiting]
        if not waiting:
            self._wake.wait(_IDLE_S)
        else:
            post = min(waiting, key=_turn)
            frame = post.feed.take()
            if frame is not None:
                self._look(post, frame)
        for post in self._posts:
            self._pass_time(post)
        if time.monotonic() - self._noted > _NOTE_S:
            self._noted = time.monotonic()
            self._note()

    def _pass_time(self, post: _Post) -> None:
        """Ends the visits of those who have gone; cuts the clips whose seconds have passed."""
        feed = post.feed
        if feed.over:  # a film: nobody comes back
            self._close(post)
            return
        if not feed.waiting:
            self._tell_all(post, post.visits.pass_time(feed.now_s))
        if feed.clips is not None:
            self._cut_all(feed, feed.clips.pass_time(feed.now_s))

    def _close(self, post: _Post) -> None:
        self._tell_all(post, post.visits.close())
        if post.feed.clips is not None:
            self._cut_all(post.feed, post.feed.clips.close())

    def _cut_all(self, feed: Feed, cuts: Iterable[Cut]) -> None:
        for cut in cuts:
            self.cut(cut, feed.live)

    def _note(self) -> None:
        """Tells of the visits that go on; deletes strangers' faces that were kept long enough."""
        if time.monotonic() - self._given_back > _GIVE_BACK_S:
            self._given_back = time.monotonic()
            heap.give_back()
        self.going_on(
            {
                visit.id: post.feed.at(visit.last_s)
                for post in self._posts
                for visit in post.visits.open
                if visit.told
            }
        )
        if self.collector is None:
            return
        try:
            self.collector.sweep()
        except MienError as exc:
            log.warning("%s", exc)

    def _look(self, post: _Post, frame: Frame) -> None:
        began = time.monotonic()
        self._turn += 1
        post.served = self._turn
        name = post.feed.camera.name
        try:
            result = post.session.step(frame)
            if post.feed.camera.require_live:
                result = replace(result, faces=named_if_alive(result.faces))
            self._failing.discard(name)
        except MienError as exc:  # of the gallery: it may be back for the next picture
            if name not in self._failing:
                log.warning("camera %s: %s", name, exc)
            self._failing.add(name)
            return
        faces = result.faces
        post.seen = (frame, result)
        view = post.feed.view
        zones = [view.zone_of(b, result.width, result.height) for b in faces.boxes]
        self._tell_all(post, post.visits.see(frame, result, zones, self._picture))
        if post.collector is not None:
            self._keep(post.collector, frame, result, post.visits.by_track)
        post.present = any(zone is not None for zone in zones)
        took_s = min(_SLOWEST_S, time.monotonic() - began)  # the first loads networks
        self._look_s += 0.1 * (took_s - self._look_s) if self._look_s else took_s
        pace_s = self._pace(post)
        post.feed.looked(
            frame,
            busy_s=_PRESENCE_S if post.present else 0.0,
            every_s=min(_SLOWEST_S, pace_s),
            sparing=pace_s > _SPARING_S,
        )

    def _pace(self, post: _Post) -> float:
        """Seconds from one look at a camera to the next, as the machine has time for. Where that is little, cameras of
        which it is sure who is there wait, so that others need not."""
        if not post.visits.settled:
            return _UNSETTLED_S
        if not post.feed.live:
            return _SETTLED_S
        round_s = self._look_s * sum(_is_busy(one) for one in self._posts)
        return max(_SETTLED_S, round_s / _SHARE)

    def _keep(
        self,
        collector: StreamCollector,
        frame: Frame,
        result: FrameResult,
        visits: dict[int, str],
    ) -> None:
        """Keeps the faces of strangers whose visit was told, and nobody outside the zones."""
        try:
            collector.keep(frame, result, visits)
        except MienError as exc:  # it may be back for the next picture
            log.warning("%s", exc)

    def _picture(self, frame: Frame, face: Face) -> bytes:
        """What is kept of a good look at somebody."""
        kept = self.said.watch.keep_pictures
        if kept == "none":
            return b""
        if kept == "face":
            return thumbnail(frame.image, face.box)
        return small_jpeg(frame.image, side=_FRAME_SIDE, quality=_FRAME_QUALITY)

    def _tell_all(self, post: _Post, events: Iterable[Event]) -> None:
        feed = post.feed
        for event in events:
            if feed.clips is not None and event.kind == "begin":
                self._filmed.add(event.visit)
                begin_s = event.begins - feed.at(0.0)
                feed.clips.begin(event.visit, begin_s, feed.now_s)
            filmed = event.visit in self._filmed and event.kind != "joined"
            self.tell(replace(event, clip=filmed))
            if event.kind in {"end", "joined"}:
                self._filmed.discard(event.visit)
            if event.kind == "joined" and self.collector is not None:
                try:
                    self.collector.unknown.join_visits(event.visit, event.into)
                except MienError as exc:
                    log.warning("%s", exc)


def _is_busy(post: _Post) -> bool:
    """Whether a camera brings pictures of somebody: one that is lost or off brings none, and a film can wait."""
    return post.present and post.feed.live and post.feed.state.state == "up"


def _turn(post: _Post) -> int:
    """Whose turn it is: of the camera that waited longest, earlier where somebody new is there."""
    return post.served - (_NEWCOMER_TURNS if post.visits.unsure else 0)
