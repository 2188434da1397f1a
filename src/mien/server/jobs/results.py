"""What a job leaves: one JSON line per frame, and who was seen when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mien.attribute import Attribute
from mien.output.result_files import lines
from mien.output.tally import Appearance, gap_for

_LEAST_S = 0.1  # a nameless track seen for less is left out


@dataclass(slots=True)
class InVideo(Appearance):
    """One person (or nameless track) of a video."""

    name: str | None = None
    tracks: set[int] = field(default_factory=set)

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


def timeline(path: Path, attributes: Sequence[Attribute]) -> list[InVideo]:
    """Who appears when: everybody with a name, then the tracks that never got one; longest seen first."""
    known: dict[str, InVideo] = {}
    nameless: dict[int, InVideo] = {}
    # Seconds from the first record to the second, as far apart as all are; 0 where there is only one.
    times = [record["time_s"] for record in islice(lines(path), 2)]
    step_s = float(times[1] - times[0]) if len(times) > 1 else 0.0
    gap_s = gap_for(step_s)
    for record in lines(path):
        for face in record["faces"]:
            track = face.get("track_id")
            if (name := face.get("name")) is not None:
                found = known.setdefault(name, InVideo(name=name))
            else:
                found = nameless.setdefault(-1 if track is None else track, InVideo())
            found.see(record["time_s"], gap_s=gap_s)
            found.tell(attributes, face)
            if track is not None:
                found.tracks.add(track)
    lasting = {
        track: row
        for track, row in nameless.items()
        if not step_s or row.frames * step_s >= _LEAST_S
    }
    named = {track for row in known.values() for track in row.tracks}
    rest = [row for track, row in lasting.items() if track not in named]
    return sorted(known.values(), key=_rank) + sorted(rest, key=_rank)


def _rank(row: InVideo) -> tuple[float, float]:
    return -sum(end - start for start, end in row.spans), row.spans[0][0]
