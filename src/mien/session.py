"""One stream: when to detect, when to follow, whom to look at, within a budget of network passes per frame."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mien import geometry
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
    moving_s: float = 0.2
    detect_side: int = 640
    passes: int = 1
    apart_s: float = 0.5
    keep_score: float = 0.6
    any_angle: bool = False
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    space: EmbeddingSpace = DLIB


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
        self._shrunk: tuple[U8, U8, float] | None = None  # a frame, small, its scale
        self._looked_s = float("-inf")  # for faces, anywhere
        self._detected_s = float("-inf")  # in the whole picture, which was this
        self._detected: U8 | None = None  # its thumbnail
        self._last: tuple[str | None, float] = (
            None,
            0.0,
        )  # source and time of the frame before

    def step(self, frame: Frame) -> FrameResult:
        """The faces of the stream's next frame."""
        height, width = frame.image.shape[:2]
        passed_s = self._passed(frame)
        like_photo = passed_s > self.options.apart_s
        if like_photo:
            enough = self.tracker.options.new_track_score
            self.tracker.part(enough=enough, forget=not np.isfinite(passed_s))
        calm = self._follow(frame.image, passed_s)
        calm &= not self.tracker.restless and passed_s > 0  # frames without times
        due = frame.time_s - self._looked_s >= self._detect_s
        if not calm or (due and not self._look_again(frame)):
            self._detect(frame)
        if like_photo:
            self._look_at(frame, self.tracker.tracks, at_once=True)
        else:
            self._observe(frame, passed_s)
        self.tracker.settle()
        self._shrunk = None
        return FrameResult(
            frame.source,
            frame.index,
            frame.time_s,
            width,
            height,
            self._faces(width, height),
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
        if self._shrunk is not None and self._shrunk[0] is image:
            return self._shrunk[1:]
        least = self.options.detect_side / max(image.shape[:2])
        if isinstance(self.detector, HasReliableSize):
            least = max(least, self.detector.reliable / self.detector.min_face)
        scale = float(min(1.0, least))
        self._shrunk = image, geometry.shrink(image, scale), scale
        return self._shrunk[1:]

    def _follow(self, image: U8, passed_s: float) -> bool:
        """Moves the tracks along; false where the flow cannot be trusted and a detection has to tell."""
        before, now = self._scene, flow.Scene(image)
        self._scene = now
        if passed_s > self.options.apart_s or before is None:
            return False
        if before.shape != now.shape or flow.is_cut(before.thumb, now.thumb):
            self.tracker.part(enough=self.tracker.options.sure_score)
            return False
        shift = before.follow(now, *self.tracker.places())
        self.tracker.move(shift, passed_s=passed_s)
        return bool(shift.steady.all())

    def _look_again(self, frame: Frame) -> bool:
        """Looks for faces where they were; false where the whole picture has to be looked at."""
        passed_s = frame.time_s - self._detected_s
        if self._again is None or passed_s >= self.options.whole_s:
            return False
        if any(track.hurries for track in self.tracker.tracks):
            return False
        faces = _bare(self.tracker.tracks)
        if passed_s >= self.options.moving_s and self._comes(faces.boxes, frame.image):
            return False
        small, scale = self._small(frame.image)
        by = np.float32(scale)
        placed = replace(faces, boxes=faces.boxes * by, landmarks=faces.landmarks * by)
        found = self._again(small, placed)
        if (found.scores <= 0).any():
            return False
        self.tracker.update(scaled_back(found, scale), frame.time_s)
        self._looked_s = frame.time_s
        return True

    def _comes(self, boxes: F32, image: U8) -> bool:
        """Whether something moved beside the boxes since the last look at the whole picture."""
        before, now = self._detected, self._scene
        if before is None or now is None:
            return True
        height, width = image.shape[:2]
        return flow.is_moving(before, now.thumb, boxes, (width, height))

    def _detect(self, frame: Frame) -> None:
        small, scale = self._small(frame.image)
        found = given_by(self.detector, small)
        self.tracker.update(
            scaled_back(Faces(found.boxes, found.scores, found.landmarks), scale),
            frame.time_s,
        )
        self._looked_s = self._detected_s = frame.time_s
        self._detected = None if self._scene is None else self._scene.thumb
        self.detections += 1

    def _observe(self, frame: Frame, passed_s: float) -> None:
        """Looks at those who need it most; and once more where that casts doubt on somebody else."""
        passes = self.options.passes * round(
            np.clip(passed_s / _FRAME_S, 1, _MOST_PASSES)
        )
        shown = self.tracker.shown
        fresh = any(
            (t.person is not None and not t.person.observations) or t.doubtful
            for t in shown
        )
        # A look at the whole picture is work enough for one frame: looks that can wait are for the next.
        busy = self._detected_s == frame.time_s and passed_s < _QUICK_S
        due = self.tracker.due(
            frame.time_s, passes + fresh, late=_LATE if busy else 1.0
        )
        settled = (
            []
            if self.glance is None
            else [t for t in due if self.tracker.settled(t, frame.time_s)]
        )
        self._glance_at(frame, settled)
        seen = self._look_at(
            frame, [t for t in due if all(t is not s for s in settled)]
        )
        if seen:
            again = [
                t
                for t in self.tracker.shown
                if t.doubtful and not t.meeting and all(t is not s for s in seen)
            ]
            self._look_at(frame, again[:passes])

    def _look_at(
        self, frame: Frame, tracks: list[Track], *, at_once: bool = False
    ) -> list[Track]:
        if not tracks:
            return tracks
        times_seen = np.array(
            [0 if t.person is None else t.person.observations for t in tracks], np.int64
        )
        faces = self.describe(frame.image, _bare(tracks), times_seen)
        self.passes += len(tracks)
        weights = quality(frame.image, faces.boxes, faces.landmarks)
        names = self._names(tracks, faces, weights)
        for i, (track, (whose, distance)) in enumerate(zip(tracks, names, strict=True)):
            observation = Observation(
                time_s=frame.time_s,
                weight=float(weights[i]),
                embedding=None if faces.embeddings is None else faces.embeddings[i],
                told={name: scores.row(i) for name, scores in faces.attributes.items()},
                name=whose,
                distance=distance,
            )
            self.tracker.learn(track, observation, at_once=at_once)
        return tracks

    def _glance_at(self, frame: Frame, tracks: list[Track]) -> None:
        """Sees what faces look like whose names are known: a pass of the emotion network alone."""
        if not tracks or self.glance is None:
            return
        faces = self.glance(frame.image, _bare(tracks))
        weights = quality(frame.image, faces.boxes, faces.landmarks)
        for i, track in enumerate(tracks):
            told = {name: scores.row(i) for name, scores in faces.attributes.items()}
            self.tracker.glance(track, told, frame.time_s, float(weights[i]))
        self.glances += len(tracks)

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
        np.array([t.box for t in tracks], np.float32),
        np.array([t.score for t in tracks], np.float32),
        np.array([t.landmarks for t in tracks], np.float32),
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
