"""Which face is which from frame to frame, by motion first and by observations where motion cannot tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from mien import geometry
from mien.attribute import Attribute, Estimate, Scores
from mien.combinatorics import assignment
from mien.tracking.flow import Shift
from mien.tracking.person import Observation, TrackedPerson
from mien.types import AGAIN, F32, I64, Faces, Mask, Matches
from mien.zoo import DLIB

# Parts of `same`: an observation this far from a doubtful track's own person is suspect; one this near to somebody
# else is that person, if it leads by so much.
_DOUBT, _LIKE, _LEAD = 0.8, 0.9, 0.25
_MEET = 0.1  # overlap (IoU) of two faces from which either may be taken for the other
_JUMP = 0.25  # of the logarithm of a face's size, from one detection to the next: it may be another face
_HURRIES, _SLOW = 2.0, 0.5  # sizes per second
_STEADY = 0.5  # distance of observations from their mean, above which the face was covered, blurred or turned in some
_SAME = 0.7  # part of `same`: means of descriptors this near are one person


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """`new_track_score` a detection needs to begin a track. It is shown at once from `certain_score` on; from
    `sure_score` on when it was found twice, or the last detection is `confirm_s` or longer ago (somebody who
    was here before is shown as soon as an observation says so). A lost person is remembered for
    `lost_buffer_s`, found again by motion within `max_age_s`; `same` is the distance of two descriptors below
    which they may be one person; an observation is due after `sure_s` or `unsure_s`; for somebody sure a glance
    does, unless the last observation is `known_s` or longer ago (half of that if it hurries). Who looks like somebody
    else for `strike_s` is somebody else. Distances are Euclidean, whatever the space of the descriptors."""

    new_track_score: float = 0.6
    sure_score: float = 0.6
    certain_score: float = 0.95
    confirm_s: float = 0.12
    strike_s: float = 0.06
    lost_buffer_s: float = 10.0
    max_age_s: float = 0.5
    same: float = DLIB.tolerance
    tolerance: float = DLIB.tolerance
    sure_s: float = 0.3
    unsure_s: float = 0.05
    known_s: float = 1.4


@dataclass(slots=True)
class Track:
    """One face's place. `person` is None until it was seen often enough to be shown."""

    box: F32  # (4,) xyxy
    landmarks: F32  # (5, 2)
    score: float
    seen_s: float
    best: float = 0.0  # score
    hits: int = 1
    velocity: F32 | None = None  # (2,) pixels per second
    found_at: F32 | None = None  # (2,) the centre at the last detection
    person: TrackedPerson | None = None
    doubtful: bool = False  # it met another face: who it is has to be looked at again
    meeting: bool = False  # it overlaps another face just now
    alone: bool = False  # only observations can tell who it is: it began after a cut, or long after the picture before
    struck_s: float | None = None  # since when observations have shown somebody else
    predictable: bool = (
        True  # while lost: whether it may be found again by where it would be
    )

    @property
    def size(self) -> float:
        left, top, right, bottom = self.box.tolist()
        return math.sqrt(max(1.0, (right - left) * (bottom - top)))

    @property
    def centre(self) -> F32:
        return np.asarray((self.box[:2] + self.box[2:]) / 2)

    @property
    def hurries(self) -> bool:
        """Whether it moves so fast that it may soon be beside another face."""
        return self.velocity is not None and self._speed > _HURRIES

    @property
    def slow(self) -> bool:
        """Whether it hardly moves, so that flow alone knows for a while where it is."""
        return self.velocity is not None and self._speed < _SLOW

    @property
    def _speed(self) -> float:
        """Sizes per second."""
        x, y = (0.0, 0.0) if self.velocity is None else self.velocity.tolist()
        return math.hypot(x, y) / self.size

    def move(self, by: F32) -> None:
        self.box = (self.box.reshape(2, 2) + by).reshape(4)
        self.landmarks = self.landmarks + by

    def predicted(self, time_s: float) -> Track:
        """Where a lost face would be if it had gone on as before."""
        moved = replace(self)
        if self.velocity is not None:
            moved.move((self.velocity * (time_s - self.seen_s)).astype(np.float32))
        return moved

    def see(self, found: Faces, row: int, time_s: float, *, max_age_s: float) -> None:
        """Takes in a detection; of one that comes after less than `max_age_s` how fast it moves."""
        passed = time_s - self.seen_s
        before, size = self.found_at, self.size
        self.box, self.landmarks = found.boxes[row], found.landmarks[row]
        self.score = float(found.scores[row])
        self.best = max(self.best, self.score)
        self.hits += 1
        self.alone = False
        self.seen_s, self.predictable = time_s, True
        self.found_at = self.centre
        if before is not None and 0 < passed < max_age_s:
            self.velocity = np.asarray((self.found_at - before) / passed)
        self.doubtful |= abs(np.log(self.size / size)) > _JUMP


class Tracker:
    """The tracks of one stream. Call `move` with every frame's flow, `update` with every detection, `learn` with every
    observation; `faces` is what to show. Not safe to share between threads."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self.tracks: list[Track] = []
        self.lost: list[Track] = []
        self._ids = count(1)
        self._updated_s: float | None = None
        self._parted: float | None = (
            None  # the score that is enough in the picture after a cut
        )
        self._attributes: dict[str, Attribute] = {}  # all that an observation ever told

    @property
    def shown(self) -> list[Track]:
        """The tracks that are reported. A doubtful detection is reported only in a picture that stands alone."""
        sure = self.options.sure_score
        return [
            t
            for t in self.tracks
            if t.person is not None and (t.alone or t.best >= sure)
        ]

    def _somebody(self) -> TrackedPerson:
        """A new person."""
        return TrackedPerson(next(self._ids), steady=_STEADY * self.options.same)

    @property
    def restless(self) -> bool:
        """Whether the next frame needs a detection: nobody is there, somebody new, lost or doubtful."""
        return (
            not self.tracks
            or bool(self.lost)
            or any(t.person is None or t.meeting for t in self.tracks)
        )

    def places(self) -> tuple[F32, F32]:
        """Landmarks (N, 5, 2) and sizes (N,) of all tracks, to be followed by optical flow."""
        points = np.array([t.landmarks for t in self.tracks], np.float32).reshape(
            -1, 5, 2
        )
        return points, np.array([t.size for t in self.tracks], np.float32)

    def move(self, shift: Shift, scale: float = 1.0, passed_s: float = 0.0) -> None:
        """Moves every track along the flow of a picture that is `scale` times the original, or on as it went before
        for the time passed, where the flow cannot be trusted."""
        for track, by, steady in zip(self.tracks, shift.by, shift.steady, strict=True):
            if steady:
                track.move(by / scale)
                continue
            track.doubtful = True  # what is seen there has changed
            if track.velocity is not None:
                track.move((track.velocity * passed_s).astype(np.float32))

    def part(self, *, enough: float, forget: bool = False) -> None:
        """Forgets where everybody was, and not who unless told so, as the next picture follows a cut or a long time.

        There a face is shown at once from a score of `enough` on.
        """
        known = [
            t for t in self.tracks if t.person is not None and t.person.observations
        ]
        self.lost = [] if forget else [*self.lost, *known]
        for track in self.lost:
            track.predictable = False
        self.tracks = []
        self._parted = enough

    def update(self, found: Faces, time_s: float) -> None:
        """Gives detections to tracks; what is left over begins new ones, who is missing is lost at once."""
        passed = 0.0 if self._updated_s is None else time_s - self._updated_s
        self._updated_s = time_s
        # Who was in the picture before is remembered, however long ago it is.
        memory = max(self.options.lost_buffer_s, passed)
        self.lost = [t for t in self.lost if 0 <= time_s - t.seen_s <= memory]
        near = [
            t
            for t in self.lost
            if t.predictable and time_s - t.seen_s <= self.options.max_age_s
        ]
        guesses = [t.predicted(time_s) for t in near]
        rows, columns = _assign([*self.tracks, *guesses], found)
        for row, column in zip(rows, columns, strict=True):
            track = (
                self.tracks[row]
                if row < len(self.tracks)
                else near[row - len(self.tracks)]
            )
            track.see(found, int(column), time_s, max_age_s=self.options.max_age_s)
            track.doubtful |= row >= len(self.tracks)
        matched = {id(self.tracks[row]) for row in rows if row < len(self.tracks)}
        back = [near[row - len(self.tracks)] for row in rows if row >= len(self.tracks)]
        self._mark_lost([t for t in self.tracks if id(t) not in matched], time_s)
        self.lost = [t for t in self.lost if all(t is not b for b in back)]
        self.tracks += back + self._begin(found, set(map(int, columns)), time_s)
        self._confirm(late=passed >= self.options.confirm_s)
        self._note_meetings()

    def _confirm(self, *, late: bool) -> None:
        """Begins to show the tracks that were seen clearly, and twice where that costs no time."""
        certain, sure = self.options.certain_score, self.options.sure_score
        for track in self.tracks:
            clear = track.best >= (sure if late or track.hits > 1 else certain)
            if track.person is None and clear and not track.alone:
                track.person = self._somebody()

    def settle(self) -> None:
        """Begins to show what observations have not made known of a picture that stands alone."""
        for track in self.tracks:
            if track.person is None and track.alone:
                track.person = self._somebody()

    def _mark_lost(self, gone: Sequence[Track], time_s: float) -> None:
        for track in gone:
            self.tracks = [t for t in self.tracks if t is not track]
            if track.person is None:
                continue
            self.lost.append(track)
            for (
                other
            ) in self.tracks:  # who is left where somebody vanished may be either
                if geometry.iou(track.box[None], other.box[None])[0, 0] > 0.05:
                    other.doubtful = True

    def _begin(self, found: Faces, taken: set[int], time_s: float) -> list[Track]:
        fresh = [
            i
            for i in range(len(found))
            if i not in taken and found.scores[i] >= self.options.new_track_score
        ]
        tracks = [
            Track(found.boxes[i], found.landmarks[i], float(found.scores[i]), time_s)
            for i in fresh
        ]
        enough, self._parted = self._parted, None
        for track in tracks:
            track.best = track.score
            track.alone = enough is not None and track.score >= enough
        return tracks

    def _note_meetings(self) -> None:
        for track in self.tracks:
            track.meeting = False
        boxes = np.array([track.box for track in self.tracks], np.float32).reshape(
            -1, 4
        )
        for i, j in np.argwhere(np.triu(geometry.iou(boxes, boxes) > _MEET, 1)):
            for track in (self.tracks[i], self.tracks[j]):
                track.meeting = track.doubtful = True

    def due(self, time_s: float, limit: int, *, late: float = 1.0) -> list[Track]:
        """The tracks that need a look most: never seen, then doubtful, unsure, stale ones.

        `limit` holds for all but new faces that may be somebody who was lost, of whom four are looked at. `late` is how
        many of its periods ago a face must have been looked at.
        """
        needs = [(self._need(track, time_s), i) for i, track in enumerate(self.tracks)]
        wanted = [
            self.tracks[i]
            for need, i in sorted(needs, key=lambda n: -n[0])
            if need >= late
        ]
        new = sum(
            t.person is None or not t.person.observations
            for t in wanted
            if self.lost or t.alone
        )
        return wanted[: max(limit, min(new, 4))]

    def _need(self, track: Track, time_s: float) -> float:
        person = track.person
        if person is None and track.alone:
            return 1e6
        if (
            person is None
        ):  # not sure to be a face yet, unless it is one that was here before
            return 1e5 if self.lost else 0.0
        if not person.observations:
            return 1e6
        # Seconds from one look at a person to the next; to a calm face a half-life of what changes.
        period = self.options.sure_s if person.well_seen else self.options.unsure_s
        if person.well_seen and person.calm:
            lives = [a.half_life_s for a in self._attributes.values() if a.half_life_s]
            period = max(period, min(lives, default=0.0))
        need = (time_s - person.glance_s) / period
        return need + 1000 if track.doubtful or track.struck_s is not None else need

    def settled(self, track: Track, time_s: float) -> bool:
        """Whether it is known who a track is, so that a glance at what the face looks like does for now."""
        if (
            track.person is None
            or track.doubtful
            or track.meeting
            or track.struck_s is not None
        ):
            return False
        hasty = track.hurries or not track.person.sure
        known_s = self.options.known_s / (2 if hasty else 1)
        return track.person.well_seen and time_s - track.person.observed_s < known_s

    def glance(
        self, track: Track, told: Mapping[str, Estimate], time_s: float, weight: float
    ) -> None:
        """Takes in what a settled track's face looks like."""
        self._attributes |= {
            name: estimate.attribute for name, estimate in told.items()
        }
        if track.person is not None:
            track.person.glance(told, time_s, weight)

    def mean(self, track: Track, embedding: F32, weight: float) -> F32:
        """The mean descriptor (D,) of a track's observations and this one; of this alone if it may be of another."""
        person = track.person
        if (
            person is None
            or track.doubtful
            or person.apart(embedding) > self.options.same
        ):
            return embedding
        return person.mean(embedding, weight)

    def learn(
        self, track: Track, observation: Observation, *, at_once: bool = False
    ) -> None:
        """Takes in an observation: it may be of somebody else than motion said. `at_once` believes its name."""
        self._attributes |= {
            name: estimate.attribute for name, estimate in observation.told.items()
        }
        person = track.person
        other = (
            self._known(observation)
            if person is None and track.alone
            else self._better(track, observation.embedding)
        )
        if other is not None:
            self._swap(track, other)
        elif person is None and track.alone:
            track.person = self._somebody()
        elif (
            person is not None
            and person.observations
            and person.apart(observation.embedding) > self.options.same
        ):
            self._strike(track, observation)
            return
        track.struck_s = None
        track.doubtful = track.meeting
        if track.person is not None:
            self._reunite(track, track.person, observation)
            track.person.learn(observation, self.options.tolerance, at_once=at_once)
        if track.person is None or track.person.observations <= 2:
            self._doubt_doubles(track, observation)

    def _doubt_doubles(self, track: Track, observation: Observation) -> None:
        """A new face that looks like somebody who is shown elsewhere: the other one may be somebody else by now."""
        for other in self.shown:
            if other is not track and other.person is not None:
                other.doubtful |= (
                    other.person.apart(observation.embedding)
                    < self.options.same * _SAME
                )

    def _reunite(
        self, track: Track, person: TrackedPerson, observation: Observation
    ) -> None:
        """Somebody lost who bears the same name, or looks the same, is the same: the older id goes on."""
        limit = min(self.options.same * _SAME, person.apart(observation.embedding))
        for old in self.lost:
            if old.person is None or old.person.id >= person.id:
                continue
            named = person.name is not None and old.person.name == person.name
            if named or old.person.apart(observation.embedding) < limit:
                if named:
                    old.person.join(person)
                track.person = old.person
                self.lost = [t for t in self.lost if t is not old]
                return

    def _known(self, observation: Observation) -> Track | None:
        """Somebody lost who is the one looked at, by observations alone: very alike, or alike and of one name."""
        near = []
        for i, old in enumerate(self.lost):
            if old.person is None or (
                observation.name and old.person.name not in (None, observation.name)
            ):
                continue
            namesake = (
                observation.name is not None and old.person.name == observation.name
            )
            apart = old.person.apart(observation.embedding)
            if apart < self.options.same * (1.0 if namesake else _SAME):
                near.append((apart, i))
        return self.lost[min(near)[1]] if near else None

    def _better(self, track: Track, embedding: F32 | None) -> Track | None:
        """Another shown or lost track whose person this observation resembles much more than the track's own."""
        person = track.person
        new = person is None or not person.observations
        own = float("inf") if person is None else person.apart(embedding)
        if own < self.options.same * (_DOUBT if track.doubtful else 1.0):
            return None
        others = (
            self.lost
            if new
            else [t for t in [*self.shown, *self.lost] if t is not track]
        )
        near = [
            (t.person.apart(embedding), i)
            for i, t in enumerate(others)
            if t.person is not None
        ]
        limit = min(self.options.same * _LIKE, own - _LEAD * self.options.same)
        return others[min(near)[1]] if near and min(near)[0] < limit else None

    def _swap(self, track: Track, other: Track) -> None:
        fresh = track.person is None or not track.person.observations
        track.person, other.person = other.person, track.person
        if any(other is h for h in self.lost) and fresh:
            self.lost = [h for h in self.lost if h is not other]
        other.doubtful, other.predictable = True, False

    def _strike(self, track: Track, observation: Observation) -> None:
        """An observation that shows nobody known: when that lasts somebody new has taken the track over."""
        track.struck_s = (
            observation.time_s if track.struck_s is None else track.struck_s
        )
        if track.person is not None:
            track.person.observed_s = track.person.glance_s = observation.time_s
        if observation.time_s - track.struck_s < self.options.strike_s or track.meeting:
            return
        self.lost.append(replace(track, predictable=False))
        track.person, track.struck_s, track.doubtful = self._somebody(), None, False
        track.person.learn(observation, self.options.tolerance)

    def faces(self, *, named: bool) -> Faces:
        """The shown tracks with all that is known of them; what is not known yet is NaN. `named` adds `matches`."""
        shown = self.shown
        if not shown:
            return Faces.empty()
        people = [t.person for t in shown if t.person is not None]
        matches = _matches(
            people,
            [t.struck_s is not None for t in shown],
            tolerance=self.options.tolerance,
        )
        landmarks = np.array([t.landmarks for t in shown], np.float32)
        return Faces(
            boxes=np.array([t.box for t in shown], np.float32),
            scores=np.array([t.score for t in shown], np.float32),
            landmarks=landmarks,
            track_ids=np.array([p.id for p in people], np.int64),
            angles=geometry.degrees(landmarks),
            qualities=np.array([p.quality for p in people], np.float32),
            embeddings=_column([p.embedding for p in people]),
            attributes={
                name: Scores(a, np.array([p.row(a) for p in people], np.float32))
                for name, a in self._attributes.items()
            },
            matches=matches if named else None,
        )


def _column(rows: Sequence[F32 | None]) -> F32 | None:
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None
    missing = np.full(len(known), np.nan, np.float32)
    return np.array([missing if row is None else row for row in rows], np.float32)


def _matches(
    people: Sequence[TrackedPerson], struck: Sequence[bool], *, tolerance: float
) -> Matches:
    """Who each is: of those who bear one name the one with the most support keeps it, and others who are so near that
    they are the same person once more (a mirror, a screen). Where the last observation showed somebody else it is
    nobody, at no distance known."""
    names: list[str | None] = [None] * len(people)
    distances = np.array([p.distance for p in people], np.float32)
    distances[np.array(struck, np.bool_)] = np.nan
    for i in sorted(range(len(people)), key=lambda i: -people[i].support):
        name = None if struck[i] else people[i].name
        if name not in names or distances[i] <= AGAIN * tolerance:
            names[i] = name
    return Matches(tuple(names), distances)


_GATE = 0.8  # of a face's size: a box further off, or of a very different size, is another face


def _assign(tracks: Sequence[Track], found: Faces) -> tuple[I64, I64]:
    """Rows (tracks) and columns (detections) that belong together: the least total distance, of centres in units of
    size plus that of log sizes."""
    if not tracks or not len(found):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    a, b = np.array([t.box for t in tracks]), found.boxes
    size_a, size_b = np.sqrt(geometry.area(a))[:, None], np.sqrt(geometry.area(b))[None]
    size_a, size_b = np.maximum(size_a, 1.0), np.maximum(size_b, 1.0)
    centres = (a[:, None, :2] + a[:, None, 2:] - b[None, :, :2] - b[None, :, 2:]) / 2
    apart = np.hypot(centres[..., 0], centres[..., 1]) / np.minimum(size_a, size_b)
    cost = np.asarray(apart + np.abs(np.log(size_a / size_b)), dtype=np.float32)
    rows, columns = assignment(np.minimum(cost, _GATE))
    near: Mask = cost[rows, columns] < _GATE
    return rows[near], columns[near]
