"""Who was seen in a video, from when to when, how old, in which mood: collected frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mien.drawing import colour_for
from mien.lettering import draw_text
from mien.types import U8, Face, FrameResult

_GAP_S = 1.0  # absences shorter than this do not end an appearance, unless frames are further apart
_SLICES = 120  # of the emotion curve, at most; neighbours are joined when a video grows longer


@dataclass(slots=True)
class _Seen:
    spans: list[list[float]] = field(default_factory=list)
    shown_s: float = 0.0
    frames: int = 0
    ages: list[float] = field(default_factory=lambda: [0.0, 0.0])  # sum, count
    names: dict[str | None, int] = field(default_factory=dict)
    genders: dict[str, float] = field(default_factory=dict)
    moods: dict[int, dict[str, float]] = field(default_factory=dict)  # slice -> emotion -> sum of probabilities


class Summary:
    """Collects the results of one video. Its size depends on the number of people, not on the length."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.frames = 0
        self._tracks: dict[int, _Seen] = {}
        self._last_s = 0.0
        self._step_s = 0.0
        self._gap_s = _GAP_S
        self._slice_s = 0.25

    def add(self, result: FrameResult) -> None:
        """Takes the next frame."""
        passed_s = max(0.0, result.time_s - self._last_s)
        if self.frames == 1:  # the second frame tells how far apart they are
            self._gap_s = max(_GAP_S, 1.5 * passed_s)
        self._step_s = min(self._gap_s, passed_s) if self.frames else 0.0
        self._last_s = result.time_s
        self.frames += 1
        while result.time_s / self._slice_s >= _SLICES:
            self._widen()
        for face in result.faces:
            if face.track_id is not None:
                self._see(self._tracks.setdefault(face.track_id, _Seen()), face, result.time_s)

    def _see(self, seen: _Seen, face: Face, time_s: float) -> None:
        if seen.spans and time_s - seen.spans[-1][1] <= self._gap_s:
            seen.spans[-1][1] = time_s
        else:
            seen.spans.append([time_s, time_s])
        seen.shown_s += self._step_s
        seen.frames += 1
        seen.names[face.name] = seen.names.get(face.name, 0) + 1
        if face.age is not None:
            seen.ages = [seen.ages[0] + face.age, seen.ages[1] + 1]
        _pile(seen.genders, face.probs.get("gender", {}))
        _pile(seen.moods.setdefault(int(time_s / self._slice_s), {}), face.probs.get("emotion", {}))

    def _widen(self) -> None:
        """Doubles the length of a slice."""
        self._slice_s *= 2
        for seen in self._tracks.values():
            joined: dict[int, dict[str, float]] = {}
            for index, mood in seen.moods.items():
                _pile(joined.setdefault(index // 2, {}), mood)
            seen.moods = joined

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values: {"source", "duration_s", "frames", "people": [...]}, in the order of appearance.

        Tracks that bore the same name are one person; a track without a name is a person of its own.
        """
        people = [self._person(name, tracks) for name, tracks in self._grouped()]
        people.sort(key=lambda person: person["from_s"])
        return {"source": self.source, "duration_s": round(self._last_s, 3), "frames": self.frames, "people": people}

    def _grouped(self) -> list[tuple[str | None, dict[int, _Seen]]]:
        groups: dict[str, tuple[str | None, dict[int, _Seen]]] = {}
        for track, seen in self._tracks.items():
            named = {name: count for name, count in seen.names.items() if name is not None}
            name = max(named, key=lambda n: named[n]) if named else None
            groups.setdefault(name or f"#{track}", (name, {}))[1][track] = seen
        return list(groups.values())

    def _person(self, name: str | None, tracks: Mapping[int, _Seen]) -> dict[str, Any]:
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
        return person | _described(list(tracks.values()), self._slice_s)


def _described(tracks: list[_Seen], slice_s: float) -> dict[str, Any]:
    about: dict[str, Any] = {}
    ages = sum(seen.ages[1] for seen in tracks)
    if ages:
        about["mean_age"] = round(sum(seen.ages[0] for seen in tracks) / ages, 1)
    genders: dict[str, float] = {}
    moods: dict[int, dict[str, float]] = {}
    for seen in tracks:
        _pile(genders, seen.genders)
        for index, mood in seen.moods.items():
            _pile(moods.setdefault(index, {}), mood)
    if genders:
        about["gender"] = max(genders, key=lambda label: genders[label])
    curve = [{"from_s": i * slice_s, **_shares(mood)} for i, mood in sorted(moods.items()) if mood]
    if curve:
        whole: dict[str, float] = {}
        for mood in moods.values():
            _pile(whole, mood)
        about |= {"emotions": _shares(whole), "emotions_over_time": curve}
    return about


def _pile(onto: dict[str, float], more: Mapping[str, float]) -> None:
    for label, value in more.items():
        onto[label] = onto.get(label, 0.0) + value


def _shares(sums: Mapping[str, float]) -> dict[str, float]:
    total = sum(sums.values())
    return {label: round(value / total, 4) for label, value in sums.items()}


_ROW, _LEFT, _WIDTH, _TOP = 46, 190, 1100, 46  # pixels of the timeline's picture
_MOODS = {
    "neutral": (150, 156, 164),
    "happiness": (255, 200, 61),
    "surprise": (250, 130, 49),
    "sadness": (69, 123, 214),
    "anger": (224, 58, 62),
    "disgust": (106, 153, 78),
    "fear": (139, 92, 214),
    "contempt": (176, 120, 100),
}


def timeline(summary: Mapping[str, Any]) -> U8:
    """The summary as a picture (H, W, 3) BGR: a row per person, bars where they were seen, their mood below."""
    people = summary["people"]
    height = _TOP + _ROW * max(1, len(people)) + 60
    canvas = Image.new("RGB", (_LEFT + _WIDTH + 30, height), (250, 250, 252))
    scale = _WIDTH / max(0.1, float(summary["duration_s"]))
    _draw_axis(canvas, float(summary["duration_s"]), scale, height)
    for row, person in enumerate(people):
        _draw_person(canvas, person, _TOP + row * _ROW, scale)
    _draw_legend(canvas, people, height)
    return np.asarray(cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _draw_axis(canvas: Image.Image, duration_s: float, scale: float, height: int) -> None:
    draw = ImageDraw.Draw(canvas)
    steps = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((s for s in steps if duration_s / s <= 12), 7200)
    for i in range(int(duration_s / step) + 1):
        x = _LEFT + i * step * scale
        draw.line([x, _TOP - 8, x, height - 44], fill=(226, 228, 233))
        minutes, seconds = divmod(i * step, 60)
        label = f"{int(minutes)}:{seconds:04.1f}" if step < 1 else f"{int(minutes)}:{seconds:02.0f}"
        draw_text(canvas, (round(x) + 3, 14), label, 13, (110, 114, 122))


def _draw_person(canvas: Image.Image, person: Mapping[str, Any], top: int, scale: float) -> None:
    draw = ImageDraw.Draw(canvas)
    label = person["name"] or f"person {person['track_ids'][0]}"
    about = [
        person.get("gender"),
        f"{person['mean_age']:.0f}" if "mean_age" in person else None,
        f"{person['seen_s']:.1f} s",
    ]
    draw_text(canvas, (12, top), label[:24], 15, (30, 32, 38))
    draw_text(canvas, (12, top + 18), ", ".join(a for a in about if a), 12, (110, 114, 122))
    colour = tuple(int(c * 0.8) for c in colour_for(person["name"] or f"#{person['track_ids'][0]}"))
    for start, end in person["spans"]:
        x1, x2 = _LEFT + start * scale, _LEFT + end * scale
        draw.rounded_rectangle([x1, top, max(x1 + 3, x2), top + 16], 3, fill=colour)
    _draw_moods(draw, person, top + 20, scale)


def _draw_moods(draw: ImageDraw.ImageDraw, person: Mapping[str, Any], top: float, scale: float) -> None:
    curve = person.get("emotions_over_time", [])
    length = min((b["from_s"] - a["from_s"] for a, b in pairwise(curve)), default=1.0)
    for point in curve:
        shares = {label: point[label] for label in point if label != "from_s"}
        mood = max(shares, key=lambda label: shares[label])
        x1 = _LEFT + max(point["from_s"], person["from_s"]) * scale
        x2 = _LEFT + min(point["from_s"] + length, person["to_s"]) * scale
        draw.rectangle([x1, top, max(x1 + 1, x2), top + 8], fill=_MOODS.get(mood, (120, 120, 120)))


def _draw_legend(canvas: Image.Image, people: list[Mapping[str, Any]], height: int) -> None:
    if not any("emotions" in person for person in people):
        return
    draw = ImageDraw.Draw(canvas)
    for i, (label, colour) in enumerate(_MOODS.items()):
        x = _LEFT + i * 132
        draw.rectangle([x, height - 30, x + 12, height - 18], fill=colour)
        draw_text(canvas, (x + 18, height - 33), label, 13, (70, 74, 82))
