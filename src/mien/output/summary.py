"""Who was seen in a video, from when to when, how old, in which mood: collected frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mien.attribute import Attribute
from mien.output.drawing import colour_for
from mien.output.lettering import draw_text
from mien.output.tally import Appearance, Tally, gap_for
from mien.types import U8, Face, FrameResult

_SLICES = 120  # of the emotion curve, at most; neighbours are joined when a video grows longer


@dataclass(slots=True)
class _Track(Appearance):
    shown_s: float = 0.0
    names: dict[str | None, int] = field(default_factory=dict)
    moments: dict[int, Tally] = field(
        default_factory=dict
    )  # of what changes, by slice of time


class VideoSummary:
    """Collects the results of one video. Its size depends on the number of people, not on the length."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.frames = 0
        self._tracks: dict[int, _Track] = {}
        self._told: dict[str, Attribute] = {}
        self._last_s = 0.0
        self._step_s = 0.0
        self._gap_s = gap_for(0.0)
        self._slice_s = 0.25

    def add(self, result: FrameResult) -> None:
        """Takes the next frame."""
        passed_s = max(0.0, result.time_s - self._last_s)
        if self.frames == 1:  # the second frame tells how far apart they are
            self._gap_s = gap_for(passed_s)
        self._step_s = min(self._gap_s, passed_s) if self.frames else 0.0
        self._last_s = result.time_s
        self.frames += 1
        self._told |= {
            name: scores.attribute for name, scores in result.faces.attributes.items()
        }
        while result.time_s / self._slice_s >= _SLICES:
            self._slice_s *= 2
            for seen in self._tracks.values():
                joined: dict[int, Tally] = {}
                for index, moment in seen.moments.items():
                    joined.setdefault(index // 2, Tally()).add(moment)
                seen.moments = joined
        for face in result.faces:
            if face.track_id is not None:
                self._see(
                    self._tracks.setdefault(face.track_id, _Track()),
                    face,
                    result.time_s,
                )

    def _see(self, seen: _Track, face: Face, time_s: float) -> None:
        seen.see(time_s, gap_s=self._gap_s)
        seen.shown_s += self._step_s
        seen.names[face.name] = seen.names.get(face.name, 0) + 1
        moment = seen.moments.setdefault(int(time_s / self._slice_s), Tally())
        for told in face.attributes.values():
            fields = told.fields()
            seen.tell([told.attribute], fields)
            if told.attribute.momentary:
                moment.count(told.attribute, fields)

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values: {"source", "duration_s", "frames", "people": [...]}, in the order of appearance.

        Tracks that bore the same name are one person; a track without a name is a person of its own.
        """
        groups: dict[str, tuple[str | None, dict[int, _Track]]] = {}
        for track, seen in self._tracks.items():
            named = {
                name: count for name, count in seen.names.items() if name is not None
            }
            name = max(named, key=lambda n: named[n]) if named else None
            groups.setdefault(name or f"#{track}", (name, {}))[1][track] = seen
        people = [self._person(name, tracks) for name, tracks in groups.values()]
        people.sort(key=lambda person: person["from_s"])
        return {
            "source": self.source,
            "duration_s": round(self._last_s, 3),
            "frames": self.frames,
            "people": people,
        }

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """All that was told of anybody."""
        return tuple(self._told.values())

    def _person(self, name: str | None, tracks: Mapping[int, _Track]) -> dict[str, Any]:
        spans = sorted(tuple(span) for seen in tracks.values() for span in seen.spans)
        person: dict[str, Any] = {
            "name": name,
            "track_ids": sorted(tracks),
            "from_s": round(spans[0][0], 3),
            "to_s": round(max(end for _, end in spans), 3),
            "seen_s": round(sum(seen.shown_s for seen in tracks.values()), 3),
            "frames": sum(seen.frames for seen in tracks.values()),
            "spans": [[round(start, 3), round(end, 3)] for start, end in spans],
        }
        # All that was told of the person, as a whole and by slice.
        whole, moments = Tally(), dict[int, Tally]()
        for seen in tracks.values():
            whole.add(seen.tally)
            for index, moment in seen.moments.items():
                moments.setdefault(index, Tally()).add(moment)
        for attribute in self._told.values():
            person |= _described(attribute, whole, moments, self._slice_s)
        return person


def _described(
    attribute: Attribute, whole: Tally, moments: Mapping[int, Tally], slice_s: float
) -> dict[str, Any]:
    """What is told of a person by one attribute: a mean, the likeliest label, or its course."""
    mean = whole.mean(attribute)
    if mean is not None:
        return {f"mean_{attribute.name}": round(mean, 1)}
    shares = whole.shares(attribute)
    if not shares:
        return {}
    if not attribute.momentary:
        return {attribute.name: whole.top(attribute)}
    by_slice = (
        (index, moment.shares(attribute)) for index, moment in sorted(moments.items())
    )
    course = [{"from_s": index * slice_s, **its} for index, its in by_slice if its]
    return {attribute.plural: shares, f"{attribute.plural}_over_time": course}


_ROW, _LEFT, _WIDTH, _TOP = 46, 190, 1100, 46  # pixels of the timeline's picture


def timeline(summary: Mapping[str, Any], attributes: Iterable[Attribute] = ()) -> U8:
    """The summary as a picture (H, W, 3) BGR: a row per person, bars where they were seen, below them how what
    changes fastest (the emotion) went."""
    people = summary["people"]
    told = sorted(attributes, key=lambda one: one.order)
    courses = (
        one
        for one in told
        if one.momentary and any(one.plural in person for person in people)
    )
    course = next(courses, None)
    picture = _Timeline(len(people), float(summary["duration_s"]))
    picture.axis()
    for row, person in enumerate(people):
        picture.person(person, told, row)
        if course is not None:
            picture.course(person, course, row)
    if course is not None:
        picture.legend(course)
    return np.asarray(
        cv2.cvtColor(np.asarray(picture.canvas), cv2.COLOR_RGB2BGR), dtype=np.uint8
    )


class _Timeline:
    """A picture with a row for each person, and how many pixels a second has in it."""

    def __init__(self, rows: int, duration_s: float) -> None:
        self.duration_s = duration_s
        self.height = _TOP + _ROW * max(1, rows) + 60
        size_wh = (_LEFT + _WIDTH + 30, self.height)
        self.canvas = Image.new("RGB", size_wh, (250, 250, 252))
        self.draw = ImageDraw.Draw(self.canvas)
        self.scale = _WIDTH / max(0.1, duration_s)

    def axis(self) -> None:
        """Lines at whole steps of time, with what time it is."""
        steps = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
        step = next((s for s in steps if self.duration_s / s <= 12), 7200)
        for i in range(int(self.duration_s / step) + 1):
            x = _LEFT + i * step * self.scale
            self.draw.line([x, _TOP - 8, x, self.height - 44], fill=(226, 228, 233))
            minutes, seconds = divmod(i * step, 60)
            label = (
                f"{int(minutes)}:{seconds:04.1f}"
                if step < 1
                else f"{int(minutes)}:{seconds:02.0f}"
            )
            draw_text(self.canvas, (round(x) + 3, 14), label, 13, (110, 114, 122))

    def person(
        self, person: Mapping[str, Any], told: Sequence[Attribute], row: int
    ) -> None:
        """Who it is, what was told, and a bar wherever they were seen."""
        top = _TOP + row * _ROW
        number = person["track_ids"][0]
        about = [_about(person, attribute) for attribute in told]
        about.append(f"{person['seen_s']:.1f} s")
        name = (person["name"] or f"person {number}")[:24]
        draw_text(self.canvas, (12, top), name, 15, (30, 32, 38))
        text = ", ".join(filter(None, about))
        draw_text(self.canvas, (12, top + 18), text, 12, (110, 114, 122))
        bright = colour_for(person["name"] or f"#{number}")
        colour = tuple(int(c * 0.8) for c in bright)
        for start, end in person["spans"]:
            x1, x2 = _LEFT + start * self.scale, _LEFT + end * self.scale
            bar = [x1, top, max(x1 + 3, x2), top + 16]
            self.draw.rounded_rectangle(bar, 3, fill=colour)

    def course(self, person: Mapping[str, Any], attribute: Attribute, row: int) -> None:
        """Below the bars, the likeliest label of each slice."""
        top = _TOP + row * _ROW + 20
        course = person.get(f"{attribute.plural}_over_time", [])
        steps = (b["from_s"] - a["from_s"] for a, b in pairwise(course))
        length = min(steps, default=1.0)
        for point in course:
            shares = {label: point[label] for label in point if label != "from_s"}
            label = max(shares, key=lambda label: shares[label])
            x1 = _LEFT + max(point["from_s"], person["from_s"]) * self.scale
            x2 = _LEFT + min(point["from_s"] + length, person["to_s"]) * self.scale
            bar = [x1, top, max(x1 + 1, x2), top + 8]
            self.draw.rectangle(bar, fill=_colour(attribute, label))

    def legend(self, attribute: Attribute) -> None:
        """Which colour is which label."""
        for i, label in enumerate(attribute.labels):
            x, y = _LEFT + i * 132, self.height - 30
            box = [x, y, x + 12, y + 12]
            self.draw.rectangle(box, fill=_colour(attribute, label))
            draw_text(self.canvas, (x + 18, y - 3), label, 13, (70, 74, 82))


def _about(person: Mapping[str, Any], attribute: Attribute) -> str:
    """What stands beside a person of an attribute that does not change."""
    value = person.get(f"mean_{attribute.name}", person.get(attribute.name))
    if value is None:
        return ""
    return attribute.show.format(
        name=attribute.name, value=value if isinstance(value, str) else f"{value:.0f}"
    )


def _colour(attribute: Attribute, label: str) -> tuple[int, int, int]:
    return attribute.colours.get(label) or colour_for(label)
