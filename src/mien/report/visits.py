"""Visits of cameras, read from where they are kept, and what they add up to as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from mien.errors import InputError, SourceError
from mien.output import charts
from mien.output.charts import Series
from mien.output.pages import cards, page, section, table
from mien.sources.base import split_address
from mien.sources.http import Client, with_headers
from mien.sources.wire import Wait
from mien.text import from_json, shown, why
from mien.watch.counts import Counts, Guest, Told
from mien.watch.store import open_place

_ROUTE = "/v1/events"
_PAGE, _PAGE_BYTES, _PAGE_S = 1000, 50_000_000, 60.0
_MOST_PAGES, _LONGEST_NEXT = 10_000, 40
_LAST_YEAR = 9998  # a day after it is still a day
_LINES = (".jsonl", ".ndjson", ".json")


class _Visit(BaseModel):
    """What is counted of a visit, whatever else it tells."""

    model_config = ConfigDict(extra="allow")

    id: str
    camera: str
    begin: AwareDatetime
    end: AwareDatetime | None = None
    count: int | None = None
    person: str | None = None
    group: str | int | None = None

    @model_validator(mode="after")
    def _is_in_time(self) -> Self:
        if max(self.begin.year, (self.end or self.begin).year) > _LAST_YEAR:
            raise ValueError("it is of no time that clocks show")
        return self


def is_of_visits(source: str) -> bool:
    """Whether visits are kept there: a service's address, a database, or lines that `mien watch` printed."""
    kinds = ("http://", "https://", "postgresql://", "postgresql+psycopg://")
    return source.startswith(kinds) or Path(source).suffix in {".db", *_LINES}


def read_visits(source: str, *, key: str = "") -> list[Told]:
    """All visits that are kept at a place; `key` opens a service's.

    Raises:
        MienError: There is no such place, or it cannot be read.
    """
    if source.startswith(("http://", "https://")):
        return list(_of_service(source, key))
    if Path(source).suffix in _LINES:
        return _of_lines(Path(source))
    store = open_place(source)
    try:
        return [visit.to_dict() for visit in store.every()]
    finally:
        store.close()


def _of_service(address: str, key: str) -> Iterator[Told]:
    """The visits that a service tells, page by page; filters stand in the address."""
    parts = split_address(address)
    said = dict(parse_qsl(parts.query)) | {"limit": str(_PAGE)}
    path = parts.path if parts.path.rstrip("/") else _ROUTE
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    client = Client(with_headers(headers), redirects=0)
    asked: set[str] = set()
    while True:
        url = parts._replace(path=path, query=urlencode(said)).geturl()
        told = _asked(client, url)
        yield from told["events"]
        if told.get("next") is None:
            return
        after = str(told["next"])
        again = after in asked or len(after) > _LONGEST_NEXT
        if not told["events"] or again or len(asked) == _MOST_PAGES:
            raise InputError(
                f"{shown(url)} does not come to an end of its visits; ask for some days: ?since=…&until=…"
            )
        asked.add(after)
        said["before"] = after


def _asked(client: Client, url: str) -> dict[str, Any]:
    place = shown(url)
    try:
        with client.get(url, Wait(_PAGE_S, lambda: False)) as answer:
            told: dict[str, Any] = from_json(answer.read_all(limit=_PAGE_BYTES))
        told["events"] = [_checked(one) for one in told["events"]]
    except SourceError as exc:
        cure = "; set MIEN_KEY to a key of the service" if " 401 " in str(exc) else ""
        raise SourceError(f"{str(exc).split(';')[0]}{cure}") from exc
    except (ValueError, LookupError, TypeError) as exc:
        raise InputError(f"{place} does not answer with visits; give {_ROUTE}") from exc
    return told


def _checked(visit: Any) -> Told:
    """A visit as it can be counted. Raises ValueError."""
    return _Visit.model_validate(visit).model_dump(exclude_unset=True)


def _of_lines(file: Path) -> list[Told]:
    """What `mien watch` printed (the last line of each visit counts), or what the service answered."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read {file}: {why(exc)}") from exc
    lines = [text] if file.suffix == ".json" else text.splitlines()
    visits: dict[str, Told] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            told = from_json(line)
            for visit in told.get("events", [told]):
                visits[visit["id"]] = _checked(visit)
        except (ValueError, LookupError, TypeError, AttributeError) as exc:
            what = "this is no visit as 'mien watch' prints them"
            raise InputError(f"{file}, line {number}: {what}") from exc
    return [visit for visit in visits.values() if visit.get("event") != "joined"]


def to_html(counts: Counts, title: str) -> str:
    """The whole page."""
    period = f"{counts.first} to {counts.last}. " if counts.first else ""
    joined = (
        "Who crosses from one camera to another within minutes counts as one visit."
    )
    totals = {
        "visits": counts.stays,
        "people by name": len(counts.people),
        "seen by several cameras": counts.crossed,
    }
    sections = [
        cards(period + joined, totals),
        _people(counts.people),
        section("Visits per hour of the day", counts.by_hour, charts.columns),
        section("Visits per day", counts.by_day, charts.columns),
        section("Visits per camera", counts.by_camera, charts.bars),
    ]
    for name, series in counts.attributes.items():
        unit = counts.units.get(name)
        note = f"One per visit, in {unit}." if unit else "One per visit."
        sections.append(section(name.capitalize(), series, charts.bars, note))
    return page(title, "\n".join(filter(None, sections)))


def _people(people: Sequence[Guest]) -> str:
    if not people:
        return ""
    names = tuple(guest.name for guest in people[:30])
    counted = tuple((guest.stays,) for guest in people[:30])
    picture = charts.bars(Series(names, ("visits",), counted), "Who came")
    head = ("name", "visits", "minutes", "first", "last", "cameras")
    rows = [
        (
            guest.name,
            guest.stays,
            f"{guest.seconds / 60:.1f}",
            guest.first,
            guest.last,
            ", ".join(guest.cameras),
        )
        for guest in people
    ]
    return f"<h2>Who came</h2>{picture}{table(head, rows)}"
