"""Visits added up: how many came when, who, how old, in which mood. It reads them as JSON shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, tzinfo
from math import isfinite
from typing import Any

from mien.attribute import Attribute
from mien.output.charts import Series, crossed, step_of, steps_between

CROSSING_S = 300.0  # between two cameras: who is seen again so soon is still there
_WHO = ("known", "unknown", "unsure", "visits")
_MOST_DAYS = 366

Told = Mapping[str, Any]  # a visit, as `GET /v1/events` and `mien watch` tell it


@dataclass(frozen=True, slots=True)
class Stay:
    """Visits that are one: somebody who crossed from one camera to another within minutes, or one visit alone."""

    begin: datetime
    end: datetime
    visits: tuple[Told, ...]  # in the order of their begin

    @classmethod
    def of(cls, visits: Sequence[Told]) -> Stay:
        """One of all these visits."""
        end = max(_end(visit) for visit in visits)
        return cls(_moment(visits[0]["begin"]), end, tuple(visits))

    @classmethod
    def all_of(cls, visits: Sequence[Told]) -> list[Stay]:
        """Those of somebody's visits, joined where they went on before another camera."""
        parts: list[list[Told]] = [[visits[0]]]
        for visit in visits[1:]:
            last = parts[-1]
            away = (_moment(visit["begin"]) - max(map(_end, last))).total_seconds()
            elsewhere = visit["camera"] != last[-1]["camera"]
            if away <= CROSSING_S and (elsewhere or away <= 0):
                last.append(visit)
            else:
                parts.append([visit])
        return [cls.of(part) for part in parts]

    @property
    def cameras(self) -> tuple[str, ...]:
        """In the order in which they saw them."""
        return tuple(dict.fromkeys(str(one["camera"]) for one in self.visits))

    @property
    def best(self) -> Told:
        """The visit that saw most of them."""
        return max(self.visits, key=lambda one: int(one.get("count") or 0))

    @property
    def person(self) -> str | None:
        return self.visits[0].get("person")


@dataclass(frozen=True, slots=True)
class Guest:
    """A person: how often they came, for how many seconds in all, and when first and last."""

    name: str
    stays: int
    seconds: float
    first: str
    last: str
    cameras: tuple[str, ...]

    @classmethod
    def all_of(cls, stays: Iterable[Stay], zone: tzinfo | None) -> tuple[Guest, ...]:
        """Those whose names are known, who came most often first."""
        theirs: dict[str, list[Stay]] = {}
        for stay in stays:
            if stay.person is not None:
                theirs.setdefault(stay.person, []).append(stay)
        found = [
            cls(
                name,
                len(some),
                round(sum((one.end - one.begin).total_seconds() for one in some), 1),
                some[0].begin.astimezone(zone).isoformat(timespec="seconds"),
                some[-1].begin.astimezone(zone).isoformat(timespec="seconds"),
                tuple(sorted({camera for one in some for camera in one.cameras})),
            )
            for name, some in theirs.items()
        ]
        return tuple(sorted(found, key=lambda guest: (-guest.stays, guest.name)))


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that is counted. Hours and days are those of a time zone; a stay counts where it began.

    `attributes` has a series for each by its plural; `units` the units of numbers.
    """

    visits: int
    stays: int
    crossed: int  # stays that more than one camera saw
    first: str | None
    last: str | None
    people: tuple[Guest, ...]
    by_hour: Series
    by_day: Series
    by_camera: Series
    attributes: Mapping[str, Series]
    units: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def joined(visits: Iterable[Told]) -> list[Stay]:
    """The stays that visits are part of, the first first. Only who is known by name, or as one unknown person, can be
    followed from camera to camera."""
    alone: list[Stay] = []
    followed: dict[str, list[Told]] = {}
    for visit in sorted(visits, key=lambda one: _moment(one["begin"])):
        whose = visit.get("person") or visit.get("group")
        if whose is None:
            alone.append(Stay.of([visit]))
        else:
            followed.setdefault(str(whose), []).append(visit)
    for theirs in followed.values():
        alone.extend(Stay.all_of(theirs))
    return sorted(alone, key=lambda stay: stay.begin)


def count(
    visits: Iterable[Told],
    attributes: Sequence[Attribute],
    zone: tzinfo | None = None,
) -> Counts:
    """Counts visits by the clocks of a time zone; None: this machine's."""
    every = list(visits)
    stays = joined(every)
    begins = [stay.begin.astimezone(zone) for stay in stays]
    who = [str(stay.best.get("who") or "visits") for stay in stays]
    hours = [f"{begin.hour:02}" for begin in begins]
    days = [begin.date().isoformat() for begin in begins]
    cameras = [name for stay in stays for name in stay.cameras]
    best = [stay.best for stay in stays]
    return Counts(
        visits=len(every),
        stays=len(stays),
        crossed=sum(len(stay.cameras) > 1 for stay in stays),
        first=begins[0].isoformat(timespec="seconds") if begins else None,
        last=begins[-1].isoformat(timespec="seconds") if begins else None,
        people=Guest.all_of(stays, zone),
        by_hour=crossed(hours, who, [f"{hour:02}" for hour in range(24)], _WHO),
        by_day=crossed(days, who, _days(days), _WHO),
        by_camera=crossed(cameras, ["visits"] * len(cameras), sorted(set(cameras)), ()),
        attributes={one.plural: _told(best, one, attributes) for one in attributes},
        units={one.plural: one.unit for one in attributes if one.unit},
    )


def _moment(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def _end(visit: Told) -> datetime:
    """When it ended; one that goes on has lasted at least until its begin."""
    return _moment(visit.get("end") or visit["begin"])


def _days(days: Sequence[str]) -> list[str]:
    """Every day from the first to the last, also those on which nobody came; of many only those with somebody."""
    some = sorted(set(days))
    if not some:
        return []
    first, last = date.fromisoformat(some[0]), date.fromisoformat(some[-1])
    if (last - first).days > _MOST_DAYS:
        return some
    all_days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    return [day.isoformat() for day in all_days]


def _told(
    visits: Sequence[Told], one: Attribute, attributes: Sequence[Attribute]
) -> Series:
    """What visits tell of an attribute: numbers by steps, parted by the first label that lasts; labels one by one."""
    values = [visit.get(one.name) for visit in visits]
    if not one.is_number:
        shown = [None if value is None else str(value) for value in values]
        found = {label for label in shown if label is not None}
        rows = [label for label in one.labels if label in found]
        rows += sorted(found.difference(rows))
        return crossed(shown, ["visits"] * len(shown), rows, ())
    steps = [
        step_of(v) if isinstance(v, int | float) and isfinite(v) else None
        for v in values
    ]
    parting = next((a for a in attributes if not a.is_number and not a.momentary), None)
    labels = [None if parting is None else visit.get(parting.name) for visit in visits]
    known = parting.labels if parting is not None and any(labels) else ()
    columns = labels if known else ["visits"] * len(visits)
    rows = steps_between(step for step in steps if step is not None)
    return crossed(steps, columns, rows, known)
