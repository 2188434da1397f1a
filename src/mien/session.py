"""One stream: when to detect, when to follow, whom to look at, within a budget of network passes per frame."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from mien import geometry
from mien.errors import MienError
from mien.gallery.search import told_in
from mien.models.detectors.base import (
    Detector,
    FindsAnyAngle,
    HasReliableSize,
    HasThreshold,
    LooksAgain,
    scaled_back,
)
from mien.models.parts import given_by
from mien.pool import Once, worker_threads
from mien.quality import quality
from mien.space import EmbeddingSpace
from mien.tracking import Tracker, TrackerOptions, flow
from mien.tracking.person import Observation
from mien.tracking.tracker import Track
from mien.types import F32, I64, U8, Faces, Frame, FrameResult, Matches
from mien.zoo import DLIB

# Of the way from the detector's threshold to 1: a false alarm once an hour is one too many in a stream. Among 563
# photos without a face two have a detection that is sure, none one that is certain.
_SURER, _CERTAIN = 0.35, 0.75
_FRAME_S = 1 / 30  # what `passes` are counted in
_MOST_PASSES = 4  # per frame, times `passes`, however late a frame comes
_QUICK_S = 0.1  # frames come faster than that where each has little time
_LATE = 2.0  # periods: looks that are less late than that wait for the next such frame
# Faces glanced at in one pass, each at two thirds of what it costs alone: who is due by so much of its period, too.
_TOGETHER, _SOON = 3, 0.75
_AHEAD = 2  # frames that are made ready before their turn


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Faces are looked for every `detect_s`, half as often while they hardly move, on pictures of `detect_side` pixels
    if `min_face` allows that: while all is calm where they are, every `whole_s` in the whole picture, every `moving_s`
    if something moves elsewhere;
    `passes` of the face network per thirtieth of a second; frames more than `apart_s` apart are judged like photos;
    `keep_score` is the part of the detector's threshold that keeps a face already tracked; `any_angle` also finds faces
    that lie or stand on their heads, which takes time; `space` is that of the embeddings."""

    detect_s: float = 0.06
    whole_s: float = 0.5
    moving_s: float = 0.25
    detect_side: int = 640
    passes: int = 1
    apart_s: float = 0.5
    keep_score: float = 0.6
    any_angle: bool = False
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    space: EmbeddingSpace = DLIB


@dataclass(frozen=True, slots=True)
class _View:
    """A frame, and what is made of its picture alone: whatever of it is asked for, once, by whichever thread."""

    frame: Frame
    scene: Once[flow.Scene]
    small: Once[tuple[U8, float]]  # what the detector sees, and its scale
    whole: Once[Faces]  # what it finds there

    def within(self) -> tuple[int, int]:
        """The width and height of the picture."""
        height, width = self.frame.image.shape[:2]
        return width, height


@dataclass(frozen=True, slots=True)
class _Way:
    """From the frame before: the seconds, and how faces moved; None where nobody can say, as after a cut."""

    passed_s: float
    shift: flow.Shift | None = None
    cut: bool = False


class _Look:
    """A look at some faces of a frame: `shown` gives them as described, and what each is worth (N,)."""

    def __init__(
        self, image: U8, tracks: list[Track], see: Callable[[U8, Faces], Faces]
    ) -> None:
        self.tracks = tracks
        placed = _bare(tracks)  # where they are in this frame, whenever it is looked at

        def shown() -> tuple[Faces, F32]:
            faces = see(image, placed)
            return faces, quality(image, faces.boxes, faces.landmarks)

        self.shown = Once(shown)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A frame whose faces have their places: what is left is to look at some of them, and to tell."""

    view: _View
    look: _Look | None
    glance: _Look | None = None
    passes: int = 0  # for those whom the look casts doubt on
    at_once: bool = False  # as photos are looked at

    def hand_to(self, pool: ThreadPoolExecutor) -> None:
        """Has other threads look."""
        for look in (self.look, self.glance):
            if look is not None:
                pool.submit(look.shown)


class Session:
    """Analyses the frames of one stream in their order; remembers who is there. Not safe to share between threads.

    Args:
        detector: Finds faces.
        describe: Looks at faces: adds attributes, and embeddings where names are wanted; it is told how often (N,) each
            was looked at before.
        search: Names descriptors (N, D) by the gallery; None leaves names out.
        options: How often to do what.
        glance: Adds attributes alone, faster than `describe`; None: every observation is a whole one.

    Example:
        >>> session = analyzer.session()
        >>> with open_source("clip.mp4") as frames:
        ...     results = [session.step(frame) for frame in frames]
        >>> results[-1].faces[0].track_id
        1
    """

    def __init__(
        self,
        detector: Detector,
        describe: Callable[[U8, Faces, I64], Faces],
        search: Callable[[F32], Matches] | None = None,
        options: SessionOptions | None = None,
        *,
        glance: Callable[[U8, Faces], Faces] | None = None,
    ) -> None:
        self.options = options or SessionOptions()
        self.detector = _eager(
            detector, self.options.keep_score, any_angle=self.options.any_angle
        )
        again = self.detector if isinstance(self.detector, LooksAgain) else None
        self._again = None if again is None else again.again
        self.describe = describe
        self.search = search
        self.space = self.options.space
        least = detector.threshold if isinstance(detector, HasThreshold) else 0.0
        sure, certain = (
            least + part * (1 - least) if least > 0 else 0.0
            for part in (_SURER, _CERTAIN)
        )
        scores = {
            "new_track_score": least,
            "sure_score": sure,
            "certain_score": certain,
        }
        self.tracker = Tracker(replace(self.options.tracker, **scores))
        self.glance = glance
        self.people = 0  # enrolled, when somebody was last searched for
        self.passes = 0  # looks so far
        self.glances = 0
        self.detections = 0  # in whole pictures
        self._scene: flow.Scene | None = None  # the frame before
        self._looked_s = float("-inf")  # for faces, anywhere
        self._detected_s = float("-inf")  # in the whole picture, which was this
        self._detected: U8 | None = None  # its thumbnail
        self._foreseen_s = float("-inf")  # when it was last looked at before its turn
        self._last: tuple[str | None, float] = (
            None,
            0.0,
        )  # source and time of the frame before

    def step(self, frame: Frame) -> FrameResult:
        """The faces of the stream's next frame."""
        view = self._view(frame)
        return self._end(self._begin(view, self._way(view)))[1]

    def stream(
        self, frames: Iterable[Frame], *, ahead: bool
    ) -> Iterator[tuple[Frame, FrameResult]]:
        """Each frame with its faces, as `step` gives them.

        `ahead` is for frames that need not be waited for, as a file's: other threads look at the faces of one while
        those of the next are followed, and make later ones ready. The results are the same.
        """
        if not ahead:
            return ((frame, self.step(frame)) for frame in frames)
        return self._side_by_side(frames)

    def _side_by_side(
        self, frames: Iterable[Frame]
    ) -> Generator[tuple[Frame, FrameResult], None, None]:
        begun: _Begun | None = None
        self._foreseen_s = float("-inf")
        # One thread each: what is foreseen keeps its order, and looks wait for no whole picture.
        with worker_threads(1) as foreseeing, worker_threads(1) as looking:
            try:
                for view in self._views(frames, foreseeing):
                    way = self._way(view)
                    before, begun = begun, None
                    ended = None if before is None else self._end(before)
                    begun = self._begin(view, way)
                    begun.hand_to(looking)
                    if ended is not None:
                        yield ended
            except MienError:  # comes after the frames before it
                if begun is not None:
                    yield self._end(begun)
                raise
            if begun is not None:
                yield self._end(begun)

    def _views(
        self, frames: Iterable[Frame], pool: ThreadPoolExecutor
    ) -> Iterator[_View]:
        """Views of the frames; of the next ones much is made already when one is given."""
        coming: deque[_View] = deque()
        try:
            for frame in frames:
                view = self._view(frame)
                tracker = self.tracker
                pool.submit(self._foresee, view, tracker.boxes(), tracker.restless)
                coming.append(view)
                if len(coming) > _AHEAD:
                    yield coming.popleft()
        except MienError:
            yield from coming
            raise
        yield from coming

    def _view(self, frame: Frame) -> _View:
        small = Once(partial(self._small, frame.image))
        whole = Once(lambda: given_by(self.detector, small()[0]))
        return _View(frame, Once(partial(flow.Scene, frame.image)), small, whole)

    def _foresee(self, view: _View, boxes: F32, restless: bool) -> None:
        """Makes what a later frame needs; looks at its whole picture where it seems that this will be asked for."""
        view.scene()
        source, last_s = self._last
        if source == view.frame.source and view.frame.time_s <= last_s:
            return  # its turn came first
        since_s = max(self._detected_s, self._foreseen_s)
        if restless or self._is_due(view, boxes, since_s):
            self._foreseen_s = view.frame.time_s
            view.whole()

    def _way(self, view: _View) -> _Way:
        """The way from the frame before, of which faces may still be looked at."""
        passed_s = self._passed(view.frame)
        before, now = self._scene, view.scene()
        self._scene = now
        if passed_s > self.options.apart_s or before is None:
            return _Way(passed_s)
        if before.shape != now.shape or flow.is_cut(before.thumb, now.thumb):
            return _Way(passed_s, cut=True)
        return _Way(passed_s, before.follow(now, *self.tracker.places()))

    def _begin(self, view: _View, way: _Way) -> _Begun:
        """Finds where everybody is, and who is to be looked at."""
        like_photo = way.passed_s > self.options.apart_s
        if like_photo:
            enough = self.tracker.options.new_track_score
            self.tracker.part(enough=enough, forget=not np.isfinite(way.passed_s))
        calm = self._follow(way)
        calm &= not self.tracker.restless and way.passed_s > 0  # frames without times
        time_s = view.frame.time_s
        whole = not calm or self._is_due(view, self.tracker.boxes(), self._detected_s)
        due = time_s - self._looked_s >= self._detect_s
        if whole or (due and not self._look_again(view)):
            self._detect(view)
        if like_photo:
            return _Begun(view, self._look(view, self.tracker.tracks), at_once=True)
        return self._choose(view, way.passed_s)

    def _end(self, begun: _Begun) -> tuple[Frame, FrameResult]:
        """Takes in what looks showed; the frame, and what is known of everybody then."""
        self._learn(begun)
        self.tracker.settle()
        frame = begun.view.frame
        width, height = begun.view.within()
        faces = self._faces(width, height)
        return frame, FrameResult(
            frame.source, frame.index, frame.time_s, width, height, faces
        )

    @property
    def _detect_s(self) -> float:
        """Seconds from one look for faces to the next: of those that hardly move flow knows for twice as long."""
        slow = all(track.slow for track in self.tracker.tracks)
        return self.options.detect_s * (2 if slow else 1)

    def _passed(self, frame: Frame) -> float:
        """Seconds since the frame before; infinite where there is none, or it is of another source or a later time."""
        last_source, last_s = self._last
        self._last = (frame.source, frame.time_s)
        passed = frame.time_s - last_s
        if last_source != frame.source or passed < -self.options.apart_s:
            return float("inf")
        return max(0.0, passed)

    def _small(self, image: U8) -> tuple[U8, float]:
        """The picture as small as the options ask for, but not so small that the detector misses its smallest face, and
        its scale."""
        least = self.options.detect_side / max(image.shape[:2])
        if isinstance(self.detector, HasReliableSize):
            least = max(least, self.detector.reliable / self.detector.min_face)
        scale = float(min(1.0, least))
        return geometry.shrink(image, scale), scale

    def _follow(self, way: _Way) -> bool:
        """Moves the tracks along; false where the flow cannot be trusted and a detection has to tell."""
        if way.cut:
            self.tracker.part(enough=self.tracker.options.sure_score)
        if way.shift is None:
            return False
        self.tracker.move(way.shift, passed_s=way.passed_s)
        return bool(way.shift.steady.all())

    def _is_due(self, view: _View, boxes: F32, since_s: float) -> bool:
        """Whether the whole picture was last looked at so long ago that it has to be again, at once if something
        moved beside the boxes."""
        passed_s = view.frame.time_s - since_s
        if self._again is None:
            return passed_s >= self._detect_s
        if passed_s < self.options.moving_s:
            return False
        before, now = self._detected, view.scene().thumb
        moves = before is None or flow.is_moving(before, now, boxes, view.within())
        return moves or passed_s >= self.options.whole_s

    def _look_again(self, view: _View) -> bool:
        """Looks for faces where they were; false where the whole picture has to be looked at."""
        if self._again is None or any(t.hurries for t in self.tracker.tracks):
            return False
        faces = _bare(self.tracker.tracks)
        small, scale = view.small()
        by = np.float32(scale)
        placed = replace(faces, boxes=faces.boxes * by, landmarks=faces.landmarks * by)
        found = self._again(small, placed)
        if (found.scores <= 0).any():
            return False
        self._looked_s = view.frame.time_s
        self.tracker.update(scaled_back(found, scale), self._looked_s)
        return True

    def _detect(self, view: _View) -> None:
        _, scale = view.small()
        found = view.whole()
        time_s = view.frame.time_s
        bare = Faces(found.boxes, found.scores, found.landmarks)
        self.tracker.update(scaled_back(bare, scale), time_s)
        self._looked_s = self._detected_s = time_s
        self._detected = view.scene().thumb
        self.detections += 1

    def _choose(self, view: _View, passed_s: float) -> _Begun:
        """Who needs a look most, and for whom a glance is enough."""
        passes = self.options.passes * round(
            np.clip(passed_s / _FRAME_S, 1, _MOST_PASSES)
        )
        fresh = any(
            (t.person is not None and not t.person.observations) or t.doubtful
            for t in self.tracker.shown
        )
        time_s = view.frame.time_s
        # A look at the whole picture is work enough for one frame: looks that can wait are for the next.
        busy = self._detected_s == time_s and passed_s < _QUICK_S
        due = self.tracker.due(time_s, passes + fresh, late=_LATE if busy else 1.0)
        settled = self._settled(due, time_s)
        look = self._look(view, [t for t in due if all(t is not s for s in settled)])
        if settled:
            soon = self.tracker.due(time_s, passes + _TOGETHER, late=_SOON)
            most = max(_TOGETHER, len(settled))
            settled = self._settled(soon, time_s)[:most]
        glance = None
        if self.glance is not None and settled:
            glance = _Look(view.frame.image, settled, self.glance)
        return _Begun(view, look, glance, passes)

    def _settled(self, tracks: list[Track], time_s: float) -> list[Track]:
        """Those for whom a glance does."""
        if self.glance is None:
            return []
        return [t for t in tracks if self.tracker.settled(t, time_s)]

    def _look(self, view: _View, tracks: list[Track]) -> _Look | None:
        """A whole look at these; at nobody none."""
        if not tracks:
            return None
        times_seen = np.array(
            [0 if t.person is None else t.person.observations for t in tracks], np.int64
        )
        return _Look(
            view.frame.image,
            tracks,
            lambda image, faces: self.describe(image, faces, times_seen),
        )

    def _learn(self, begun: _Begun) -> None:
        """Takes in what looks showed; whoever else is in doubt by that is looked at, too."""
        time_s = begun.view.frame.time_s
        self._learn_glance(begun.glance, time_s)
        seen = self._learn_look(begun.look, time_s, at_once=begun.at_once)
        if not seen or begun.at_once:
            return
        again = [
            t
            for t in self.tracker.shown
            if t.doubtful and not t.meeting and all(t is not s for s in seen)
        ]
        self._learn_look(self._look(begun.view, again[: begun.passes]), time_s)

    def _learn_look(
        self, look: _Look | None, time_s: float, *, at_once: bool = False
    ) -> list[Track]:
        if look is None:
            return []
        faces, weights = look.shown()
        self.passes += len(look.tracks)
        names = self._names(look.tracks, faces, weights)
        for i, (track, (whose, distance)) in enumerate(
            zip(look.tracks, names, strict=True)
        ):
            observation = Observation(
                time_s=time_s,
                weight=float(weights[i]),
                embedding=None if faces.embeddings is None else faces.embeddings[i],
                told={name: scores.row(i) for name, scores in faces.attributes.items()},
                name=whose,
                distance=distance,
            )
            self.tracker.learn(track, observation, at_once=at_once)
        return look.tracks

    def _learn_glance(self, glance: _Look | None, time_s: float) -> None:
        """What faces look like whose names are known: a pass of the emotion network alone."""
        if glance is None:
            return
        faces, weights = glance.shown()
        for i, track in enumerate(glance.tracks):
            told = {name: scores.row(i) for name, scores in faces.attributes.items()}
            self.tracker.glance(track, told, time_s, float(weights[i]))
        self.glances += len(glance.tracks)

    def _names(
        self, tracks: list[Track], faces: Faces, weights: F32
    ) -> list[tuple[str | None, float]]:
        """Each face's name by itself: that no name is borne twice is settled over many frames, not in this one.

        It is the name of all its observations' mean, unless this observation may be of somebody else.
        """
        if self.search is None or faces.embeddings is None:
            return [(None, float("nan"))] * len(faces)
        described = zip(tracks, faces.embeddings, weights, strict=True)
        found = [
            self.search(self.tracker.mean(track, row, float(weight))[None])
            for track, row, weight in described
        ]
        self.people = found[-1].people if found else self.people
        return [
            (matches.names[0], float(self.space.to_euclidean(matches.distances)[0]))
            for matches in found
        ]

    def _faces(self, width: int, height: int) -> Faces:
        faces = self.tracker.faces(named=self.search is not None)
        if not len(faces):
            return faces
        embeddings, matches = faces.embeddings, faces.matches
        return replace(
            faces,
            boxes=geometry.clip_boxes(faces.boxes, width=width, height=height),
            embeddings=None if embeddings is None else self.space.kept(embeddings),
            matches=None
            if matches is None
            else told_in(self.space, replace(matches, people=self.people)),
        )


def _bare(tracks: list[Track]) -> Faces:
    return Faces(
        np.array([t.box for t in tracks], np.float32).reshape(-1, 4),
        np.array([t.score for t in tracks], np.float32),
        np.array([t.landmarks for t in tracks], np.float32).reshape(-1, 5, 2),
    )


def _eager(detector: Detector, part: float, *, any_angle: bool) -> Detector:
    """The detector with a lower threshold, where it has one to lower: weak detections keep tracks, never begin them.

    It finds faces at any angle only if that is asked for.
    """
    if not isinstance(detector, HasThreshold) or detector.threshold <= 0:
        return detector
    eager = copy.copy(detector)
    eager.threshold = detector.threshold * part
    if isinstance(eager, FindsAnyAngle):
        eager.any_angle = any_angle
    return eager
