"""What visits add up to, for the page and the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mien.models.attributes.heads import BUILT_IN
from mien.watch.counts import count, joined

ATTRIBUTES = tuple(BUILT_IN.values())
NOON = datetime(2027, 3, 27, 12, tzinfo=UTC)


def visit(
    camera: str = "door", minute: float = 0.0, seconds: float = 30.0, **told: Any
) -> dict[str, Any]:
    begin = NOON + timedelta(minutes=minute)
    end = begin + timedelta(seconds=seconds)
    return {
        "camera": camera,
        "begin": begin.isoformat(),
        "end": end.isoformat(),
        **told,
    }


def named(person: str | None, **more: Any) -> dict[str, Any]:
    return visit(who="known" if person else "unknown", person=person, **more)


def test_nobody_is_nothing() -> None:
    nothing = count([], ATTRIBUTES, UTC)
    assert (nothing.visits, nothing.stays, nothing.people) == (0, 0, ())
    assert nothing.by_hour.rows == nothing.by_day.rows == ()


def test_who_crosses_from_camera_to_camera_came_once() -> None:
    visits = [
        named("Ada", camera="door", count=10),
        named("Ada", camera="hall", minute=2, count=90, age=41.0),
        named("Ada", camera="door", minute=30),
        named("Ben", camera="hall", minute=1),
    ]
    stays = joined(reversed(visits))
    assert [(stay.person, stay.cameras) for stay in stays] == [
        ("Ada", ("door", "hall")),
        ("Ben", ("hall",)),
        ("Ada", ("door",)),
    ]
    assert stays[0].best["age"] == 41.0
    counts = count(visits, ATTRIBUTES, UTC)
    assert (counts.visits, counts.stays, counts.crossed) == (4, 3, 1)
    ada = counts.people[0]
    assert (ada.name, ada.stays, ada.seconds) == ("Ada", 2, 150.0 + 30.0)
    assert ada.cameras == ("door", "hall")


def test_who_comes_again_to_the_same_camera_came_twice() -> None:
    again = [named("Ada"), named("Ada", minute=2)]
    assert len(joined(again)) == 2


def test_strangers_are_not_taken_for_one_another() -> None:
    strangers = [named(None, camera="door"), named(None, camera="hall", minute=1)]
    assert len(joined(strangers)) == 2
    same = [{**one, "group": "g1"} for one in strangers]
    assert [stay.cameras for stay in joined(same)] == [("door", "hall")]


def test_hours_and_days_are_those_of_a_time_zone() -> None:
    """Over the night in which the clocks of Berlin are set."""
    visits = [named("Ada"), named(None, minute=60 * 13), named(None, minute=60 * 60)]
    counts = count(visits, ATTRIBUTES, ZoneInfo("Europe/Berlin"))
    hours = dict(zip(counts.by_hour.rows, counts.by_hour.counts, strict=True))
    assert counts.by_hour.labels == ("known", "unknown")
    assert hours["13"] == (1, 0)
    assert hours["02"] == hours["03"] == (0, 1), "one o'clock and midnight of UTC"
    assert counts.by_day.rows == (
        "2027-03-27",
        "2027-03-28",
        "2027-03-29",
        "2027-03-30",
    )


def test_an_audience_is_counted_without_anybody_s_identity() -> None:
    visits = [
        visit(age=23.4, gender="female", emotion="happiness"),
        visit(minute=1, age=47.0, gender="male", emotion="neutral"),
        visit(minute=2, age=None, gender=None, emotion=None),
    ]
    counts = count(visits, ATTRIBUTES, UTC)
    assert counts.by_hour.labels == ("visits",)
    ages = counts.attributes["ages"]
    assert ages.rows == ("20-29", "30-39", "40-49")
    assert ages.labels == ("female", "male")
    assert ages.counts == ((1, 0), (0, 0), (0, 1))
    assert counts.attributes["emotions"].rows == ("neutral", "happiness")
    assert counts.units["ages"] == "years"
    assert counts.people == ()
