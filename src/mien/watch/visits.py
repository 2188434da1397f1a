"""Visits of one camera: who was there from when to when, put together from what its pictures show."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import numpy as np

from mien.attribute import Attribute, Estimate
from mien.output.tally import Tally
from mien.types import F32, Face, Frame, FrameResult

# A face is a visit once it was seen so often, over so many seconds; one that is not is forgotten.
_SIGHTINGS, _SIGHTED_S = 3, 0.3
_FORGOTTEN_S = 3.0
_NAMED_S, _STRANGER_S = 0.5, 1.5  # how long the same must be said until it is told
_TURNED_S, _TURNED_TIMES = 2.0, 2.0  # until it is corrected: so long, so much oftener
_STEP_S = 1.0  # the longest time that one picture speaks for
_SLICES, _SLICE_S = 60, 1.0  # of the course of what changes
_BEST, _BEST_APART_S = 3, 1.0  # views that are shown
_ALIKE = 0.7  # part of the distance of one person: two visits this near are one

LONGEST_CLIP_S = 20  # before a visit's beginning, and as many after

Who = Literal["unsure", "known", "unknown"]
Kind = Literal["begin", "change", "end", "joined"]


@dataclass(frozen=True, slots=True)
class BestView:
    """A good look at somebody: when, how good (0 to 1), the face's box, and its picture where one is kept."""

    at: float
    quality: float
    box: tuple[float, float, float, float]
    picture: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """What is told of a visit: that it began, that who it is or was has changed, that it ended, or that it is part of
    another one (`into`). `begins`, `ends` (None: it goes on) and `seen` (last) are seconds since 1970; with `clip` its
    beginning is filmed."""

    kind: Kind
    visit: str
    camera: str
    begins: float
    ends: float | None
    seen: float
    told: dict[str, Any]
    best: tuple[BestView, ...] = ()
    into: str = ""
    clip: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        joined = {"into": self.into} if self.into else {}
        clip = {"clip": clip_address(self.visit)} if self.clip else {}
        return {
            "event": self.kind,
            "id": self.visit,
            "camera": self.camera,
            **joined,
            **self.told,
            **clip,
        }


@dataclass(slots=True)
class Visit:
    """Somebody's stay before a camera, as far as it is known. Times are seconds of the camera's clock."""

    id: str
    begin_s: float
    last_s: float
    zone: str = ""
    count: int = 0
    score: float = 0.0
    told: bool = False  # that it began
    who: Who | None = "unsure"
    person: str | None = None
    confidence: float | None = None
    distance: float | None = None
    embedding: F32 | None = None  # of all views; never kept
    best: list[BestView] = field(default_factory=list)
    _said: str | None = None
    _said_since: float | None = None
    _said_s: dict[str | None, float] = field(default_factory=lambda: defaultdict(float))
    _attributes: dict[str, Attribute] = field(default_factory=dict)
    _lasting: dict[str, Estimate] = field(default_factory=dict)  # the last of each
    _course: dict[int, Tally] = field(default_factory=dict)
    _slice_s: float = _SLICE_S

    @property
    def sighted(self) -> bool:
        """Whether it was seen often enough to be told."""
        return self.count >= _SIGHTINGS and self.last_s - self.begin_s >= _SIGHTED_S

    @property
    def settled(self) -> bool:
        """Whether it was told, and nothing says that it was somebody else."""
        sure = self.who is None or (self.who != "unsure" and self._said == self.person)
        return self.told and sure

    def see(self, face: Face, time_s: float, *, identity: bool) -> bool:
        """Takes one more sighting; returns whether it changes who this is."""
        passed = min(_STEP_S, max(0.0, time_s - self.last_s))
        self.last_s = time_s
        self.count += 1
        self.score = max(self.score, face.score)
        self._note(face, time_s - self.begin_s)
        if not identity:
            self.who = None
            return False
        if face.embedding is None:
            return False
        self.embedding = face.embedding
        if face.name == self.person and face.name is not None:
            self.confidence, self.distance = face.name_probability, face.distance
        return self._say(face, time_s, passed)

    def _say(self, face: Face, time_s: float, passed: float) -> bool:
        """Takes a say on who this is. What was said for long enough is told; it is corrected when something else was
        said for longer, and said much oftener."""
        name = face.name
        if name != self._said or self._said_since is None:
            self._said, self._said_since = name, time_s
        self._said_s[name] += passed
        lasted = time_s - self._said_since
        if self.who == "unsure":
            due = lasted >= (_STRANGER_S if name is None else _NAMED_S)
        elif name == self.person:
            return False
        else:
            often = self._said_s[name] >= _TURNED_TIMES * self._said_s[self.person]
            due = lasted >= _TURNED_S and often
        if due:
            self.who = "unknown" if name is None else "known"
            self.person = name
            self.confidence, self.distance = face.name_probability, face.distance
        return due

    def _note(self, face: Face, stayed_s: float) -> None:
        at = int(stayed_s / self._slice_s)
        for name, estimate in face.attributes.items():
            self._attributes[name] = estimate.attribute
            if not estimate.known:
                continue
            if estimate.attribute.momentary:
                moment = self._course.setdefault(at, Tally())
                moment.count(estimate.attribute, estimate.fields())
            else:
                self._lasting[name] = estimate  # put into words when it is told
        if len(self._course) > _SLICES:  # bounded: slices become twice as long
            joined: dict[int, Tally] = {}
            for at, moment in self._course.items():
                joined.setdefault(at // 2, Tally()).add(moment)
            self._course, self._slice_s = joined, 2 * self._slice_s

    def show(self, face: Face, at: float, picture: Callable[[], bytes]) -> None:
        """Keeps this view if it is among the best, of those of one moment the best one."""
        quality = face.quality or 0.0
        near = [one for one in self.best if abs(one.at - at) < _BEST_APART_S]
        beaten = near or (self.best[-1:] if len(self.best) == _BEST else [])
        if any(one.quality >= quality for one in beaten):
            return
        x1, y1, x2, y2 = (round(float(v), 1) for v in face.box)
        view = BestView(at, round(quality, 3), (x1, y1, x2, y2), picture())
        kept = [one for one in self.best if all(one is not b for b in beaten)]
        self.best = sorted([*kept, view], key=lambda one: -one.quality)

    def resembles(self, other: Visit, alike: float) -> bool:
        """Whether another is of the same person: by name, else by descriptors that are nearer than `alike`."""
        if self.embedding is None or other.embedding is None:
            return False
        if self.person is not None and self.person == other.person:
            return True
        if self.person is not None and other.person is not None:
            return False
        return float(np.linalg.norm(self.embedding - other.embedding)) < alike

    def join(self, other: Visit) -> None:
        """Takes in a visit that turned out to be a part of this one."""
        self.begin_s = min(self.begin_s, other.begin_s)
        self.last_s = max(self.last_s, other.last_s)
        self.count += other.count
        self.score = max(self.score, other.score)
        best = sorted([*self.best, *other.best], key=lambda one: -one.quality)
        self.best = best[:_BEST]
        for name, seconds in other._said_s.items():
            self._said_s[name] += seconds

    def fields(self) -> dict[str, Any]:
        """What is told of who it is and what they look like."""
        told: dict[str, Any] = {"zone": self.zone or None, "count": self.count}
        if self.who is not None:
            told |= {"who": self.who, "person": self.person}
            told["confidence"] = _rounded(self.confidence, 4)
            told["distance"] = _rounded(self.distance, 4)
        told["score"] = _rounded(self.score, 4)
        for name, attribute in self._attributes.items():
            if attribute.momentary:
                told |= self._course_of(attribute)
            else:
                last = self._lasting.get(name)
                told |= {name: None} if last is None else last.fields()
        return told

    def _course_of(self, attribute: Attribute) -> dict[str, Any]:
        """What changes: how often each label was it, and which it was from when on."""
        whole = Tally()
        course: list[dict[str, object]] = []
        for at, moment in sorted(self._course.items()):
            whole.add(moment)
            label = moment.top(attribute)
            if label and (not course or course[-1][attribute.name] != label):
                course.append({"from_s": at * self._slice_s, attribute.name: label})
        return {
            attribute.name: whole.top(attribute),
            attribute.plural: whole.shares(attribute),
            f"{attribute.plural}_over_time": course,
        }


class Visits:
    """The visits of one camera. Give it every result, and the time when there is none; it yields what is to be told.

    Args:
        camera: Its name.
        absence_s: Who was not seen for so long has gone.
        alike: The Euclidean distance below which two descriptors may be one person.
        identity: Whether who somebody is was asked for.
        at: Turns a frame's time into seconds since 1970.
    """

    def __init__(
        self,
        camera: str,
        *,
        absence_s: float,
        alike: float,
        identity: bool,
        at: Callable[[float], float],
    ) -> None:
        self.camera = camera
        self.absence_s = absence_s
        self.alike = _ALIKE * alike
        self.identity = identity
        self.at = at
        self.settled = False  # all who are in the last picture are told, and surely
        self._open: dict[int, Visit] = {}  # by track; several tracks may be one visit

    @property
    def open(self) -> list[Visit]:
        """Those that have not ended, each once."""
        return list({visit.id: visit for visit in self._open.values()}.values())

    @property
    def by_track(self) -> dict[int, str]:
        """The ids of those that were told, by the tracks that are part of them."""
        return {track: visit.id for track, visit in self._open.items() if visit.told}

    @property
    def unsure(self) -> bool:
        """Whether somebody is there of whom nobody knows yet who it is."""
        return any(visit.who == "unsure" for visit in self._open.values())

    def see(
        self,
        frame: Frame,
        result: FrameResult,
        zones: list[str | None],
        picture: Callable[[Frame, Face], bytes],
    ) -> Iterator[Event]:
        """Takes what a picture shows; `zones` says where each face is, None: it does not count."""
        tracks = result.faces.track_ids
        seen: list[Visit] = []
        for i, face in enumerate(result.faces):
            zone = zones[i]
            if tracks is None or zone is None:
                continue
            visit = self._open.get(int(tracks[i]))
            if visit is None:
                name = uuid.uuid4().hex[:16]
                visit = Visit(name, frame.time_s, frame.time_s)
                self._open[int(tracks[i])] = visit
            visit.zone = zone or visit.zone
            changed = visit.see(face, frame.time_s, identity=self.identity)
            visit.show(face, self.at(frame.time_s), partial(picture, frame, face))
            seen.append(visit)
            if visit.told and changed:
                yield self._event("change", visit)
        yield from self._settle(seen)
        self.settled = bool(seen) and all(visit.settled for visit in seen)
        yield from self.pass_time(frame.time_s)

    def _settle(self, seen: list[Visit]) -> Iterator[Event]:
        """Joins what is one visit, with the first of the same person that is not in this picture, and tells of those
        that are sure to be some."""
        for visit in seen:
            others = [
                one
                for one in self.open
                if one.begin_s < visit.begin_s and all(one is not now for now in seen)
            ]
            same = [one for one in others if one.resembles(visit, self.alike)]
            older = min(same, key=lambda one: one.begin_s, default=None)
            described = not self.identity or visit.embedding is not None
            if older is not None:
                yield from self._join(visit, older)
            elif not visit.told and visit.sighted and described:
                visit.told = True
                yield self._event("begin", visit)

    def _join(self, visit: Visit, older: Visit) -> Iterator[Event]:
        older.join(visit)
        self._open = {
            track: older if one is visit else one for track, one in self._open.items()
        }
        if visit.told:
            yield self._event("joined", visit, into=older.id)
        if visit.who == "known" and older.who != "known":
            older.who, older.person = visit.who, visit.person
            older.confidence, older.distance = visit.confidence, visit.distance
            if older.told:
                yield self._event("change", older)

    def pass_time(self, time_s: float) -> Iterator[Event]:
        """Ends the visits of those who have gone by now."""
        for visit in self.open:
            bound = self.absence_s if visit.told else _FORGOTTEN_S
            if time_s - visit.last_s > bound:
                yield from self._end(visit)

    def close(self) -> Iterator[Event]:
        """Ends all visits."""
        for visit in self.open:
            yield from self._end(visit)

    def _end(self, visit: Visit) -> Iterator[Event]:
        self._open = {
            track: one for track, one in self._open.items() if one is not visit
        }
        if visit.told:
            if visit.who == "unsure":
                visit.who = "unknown"
            yield self._event("end", visit)

    def _event(self, kind: Kind, visit: Visit, *, into: str = "") -> Event:
        begins, seen = self.at(visit.begin_s), self.at(visit.last_s)
        ends = None if kind in {"begin", "change"} else seen
        best = tuple(visit.best)
        told: dict[str, Any] = {
            "begin": iso(begins),
            "end": None if ends is None else iso(ends),
            **visit.fields(),
            "best": [
                {"at": iso(one.at), "quality": one.quality, "box": one.box}
                for one in best
            ],
        }
        return Event(kind, visit.id, self.camera, begins, ends, seen, told, best, into)


def clip_address(visit: str) -> str:
    """Where `mien serve` answers with the clip of a visit."""
    return f"/v1/events/{visit}/clip"


def iso(at: float) -> str:
    """A time (seconds since 1970) as 2026-11-28T21:40:00.123Z."""
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
