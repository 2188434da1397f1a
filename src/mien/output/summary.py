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
        people = [self._person(name, tracks) for name, tracks in self._grouped()]
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

    def _grouped(self) -> list[tuple[str | None, dict[int, _Track]]]:
        groups: dict[str, tuple[str | None, dict[int, _Track]]] = {}
        for track, seen in self._tracks.items():
            named = {
                name: count for name, count in seen.names.items() if name is not None
            }
            name = max(named, key=lambda n: named[n]) if named else None
            groups.setdefault(name or f"#{track}", (name, {}))[1][track] = seen
        return list(groups.values())

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
        whole, moments = _joined(tracks.values())
        for attribute in self._told.values():
            person |= _described(attribute, whole, moments, self._slice_s)
        return person


def _joined(tracks: Iterable[_Track]) -> tuple[Tally, dict[int, Tally]]:
    """All that was told of a person, as a whole and by slice."""
    whole, moments = Tally(), dict[int, Tally]()
    for seen in tracks:
        whole.add(seen.tally)
        for index, moment in seen.moments.items():
            moments.setdefault(index, Tally()).add(moment)
    return whole, moments


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
    told = list(attributes)
    course = next(
        (
            one
            for one in told
            if one.momentary and any(one.plural in person for person in people)
        ),
        None,
    )
    height = _TOP + _ROW * max(1, len(people)) + 60
    canvas = Image.new("RGB", (_LEFT + _WIDTH + 30, height), (250, 250, 252))
    scale = _WIDTH / max(0.1, float(summary["duration_s"]))
    _draw_axis(canvas, float(summary["duration_s"]), scale, height)
    for row, person in enumerate(people):
        _draw_person(canvas, person, told, _TOP + row * _ROW, scale)
        if course is not None:
            _draw_course(
                ImageDraw.Draw(canvas), person, course, _TOP + row * _ROW + 20, scale
            )
    if course is not None:
        _draw_legend(canvas, course, height)
    return np.asarray(
        cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR), dtype=np.uint8
    )


def _draw_axis(
    canvas: Image.Image, duration_s: float, scale: float, height: int
) -> None:
    draw = ImageDraw.Draw(canvas)
    steps = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((s for s in steps if duration_s / s <= 12), 7200)
    for i in range(int(duration_s / step) + 1):
        x = _LEFT + i * step * scale
        draw.line([x, _TOP - 8, x, height - 44], fill=(226, 228, 233))
        minutes, seconds = divmod(i * step, 60)
        label = (
            f"{int(minutes)}:{seconds:04.1f}"
            if step < 1
            else f"{int(minutes)}:{seconds:02.0f}"
        )
        draw_text(canvas, (round(x) + 3, 14), label, 13, (110, 114, 122))


def _draw_person(
    canvas: Image.Image,
    person: Mapping[str, Any],
    told: Sequence[Attribute],
    top: int,
    scale: float,
) -> None:
    draw = ImageDraw.Draw(canvas)
    label = person["name"] or f"person {person['track_ids'][0]}"
    about = [
        _about(person, attribute)
        for attribute in sorted(told, key=lambda one: one.order)
    ]
    about.append(f"{person['seen_s']:.1f} s")
    draw_text(canvas, (12, top), label[:24], 15, (30, 32, 38))
    draw_text(
        canvas,
        (12, top + 18),
        ", ".join(text for text in about if text),
        12,
        (110, 114, 122),
    )
    colour = tuple(
        int(c * 0.8) for c in colour_for(person["name"] or f"#{person['track_ids'][0]}")
    )
    for start, end in person["spans"]:
        x1, x2 = _LEFT + start * scale, _LEFT + end * scale
        draw.rounded_rectangle([x1, top, max(x1 + 3, x2), top + 16], 3, fill=colour)


def _about(person: Mapping[str, Any], attribute: Attribute) -> str:
    """What stands beside a person of an attribute that does not change."""
    value = person.get(f"mean_{attribute.name}", person.get(attribute.name))
    if value is None:
        return ""
    return attribute.show.format(
        name=attribute.name, value=value if isinstance(value, str) else f"{value:.0f}"
    )


def _draw_course(
    draw: ImageDraw.ImageDraw,
    person: Mapping[str, Any],
    attribute: Attribute,
    top: float,
    scale: float,
) -> None:
    course = person.get(f"{attribute.plural}_over_time", [])
    length = min((b["from_s"] - a["from_s"] for a, b in pairwise(course)), default=1.0)
    for point in course:
        shares = {label: point[label] for label in point if label != "from_s"}
        label = max(shares, key=lambda label: shares[label])
        x1 = _LEFT + max(point["from_s"], person["from_s"]) * scale
        x2 = _LEFT + min(point["from_s"] + length, person["to_s"]) * scale
        draw.rectangle(
            [x1, top, max(x1 + 1, x2), top + 8], fill=_colour(attribute, label)
        )


def _colour(attribute: Attribute, label: str) -> tuple[int, int, int]:
    return attribute.colours.get(label) or colour_for(label)


def _draw_legend(canvas: Image.Image, attribute: Attribute, height: int) -> None:
    draw = ImageDraw.Draw(canvas)
    for i, label in enumerate(attribute.labels):
        x = _LEFT + i * 132
        draw.rectangle(
            [x, height - 30, x + 12, height - 18], fill=_colour(attribute, label)
        )
        draw_text(canvas, (x + 18, height - 33), label, 13, (70, 74, 82))
