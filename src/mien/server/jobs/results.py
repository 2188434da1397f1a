"""What a job leaves: one JSON line per frame, and who was seen when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mien.attribute import Attribute
from mien.result_files import lines
from mien.tally import Tally

_GAP_S = (
    1.0  # a person away for longer begins a new span, unless frames are further apart
)
_LEAST_S = 0.1  # a nameless track seen for less is left out


@dataclass(slots=True)
class Appearance:
    """One person (or nameless track) of a video: `spans` are [from, to] seconds, `tally` what was told of them."""

    name: str | None
    tracks: set[int] = field(default_factory=set)
    spans: list[list[float]] = field(default_factory=list)
    frames: int = 0
    tally: Tally = field(default_factory=Tally)

    def seen(
        self,
        time_s: float,
        face: Mapping[str, Any],
        attributes: Iterable[Attribute],
        *,
        gap_s: float = _GAP_S,
    ) -> None:
        """Takes a face as it stands in a result file."""
        if self.spans and time_s - self.spans[-1][1] <= gap_s:
            self.spans[-1][1] = time_s
        else:
            self.spans.append([time_s, time_s])
        self.frames += 1
        for attribute in attributes:
            self.tally.count(attribute, face)

    def about(self, attributes: Iterable[Attribute]) -> dict[str, object]:
        """What was told, by attribute: the mean of a number, the likeliest label, or of what changes the share of
        each label, the likeliest first."""
        about: dict[str, object] = {}
        for attribute in attributes:
            if attribute.is_number:
                mean = self.tally.mean(attribute)
                about[attribute.name] = None if mean is None else round(mean, 1)
            elif attribute.momentary:
                about[attribute.plural] = dict(
                    sorted(
                        self.tally.shares(attribute).items(), key=lambda one: -one[1]
                    )
                )
            else:
                about[attribute.name] = self.tally.top(attribute)
        return about


def timeline(path: Path, attributes: Sequence[Attribute]) -> list[Appearance]:
    """Who appears when: everybody with a name, then the tracks that never got one; longest seen first."""
    known: dict[str, Appearance] = {}
    nameless: dict[int, Appearance] = {}
    step_s = _step_s(path)
    gap_s = max(_GAP_S, 1.5 * step_s)
    for record in lines(path):
        for face in record["faces"]:
            track = face.get("track_id")
            found = _appearance(face.get("name"), track, known, nameless)
            found.seen(record["time_s"], face, attributes, gap_s=gap_s)
            if track is not None:
                found.tracks.add(track)
    lasting = {
        track: row
        for track, row in nameless.items()
        if not step_s or row.frames * step_s >= _LEAST_S
    }
    rest = [row for track, row in lasting.items() if not _named(track, known)]
    return sorted(known.values(), key=_rank) + sorted(rest, key=_rank)


def _step_s(path: Path) -> float:
    """Seconds from the first record to the second, as far apart as all are; 0 where there is only one."""
    times = [record["time_s"] for record in islice(lines(path), 2)]
    return float(times[1] - times[0]) if len(times) > 1 else 0.0


def _appearance(
    name: str | None,
    track: int | None,
    known: dict[str, Appearance],
    nameless: dict[int, Appearance],
) -> Appearance:
    if name is not None:
        return known.setdefault(name, Appearance(name))
    return nameless.setdefault(-1 if track is None else track, Appearance(None))


def _named(track: int, known: dict[str, Appearance]) -> bool:
    return any(track in row.tracks for row in known.values())


def _rank(row: Appearance) -> tuple[float, float]:
    return -sum(end - start for start, end in row.spans), row.spans[0][0]
