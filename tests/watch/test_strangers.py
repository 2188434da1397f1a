"""Strangers whose faces are kept, and the visits that they were seen in: who names one names the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from mien.gallery import SqliteGallery
from mien.gallery.postgres import checked_url
from mien.gallery.unknown import Sighting, UnknownFaces
from mien.watch.store import VisitStore
from mien.zoo import DLIB
from watch.test_store import DAY, NOW, event

Stores = tuple[VisitStore, UnknownFaces]


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[SqliteGallery]:
    opened = SqliteGallery(tmp_path / "people.db", space=DLIB)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Visits a to c: a stranger came twice, somebody else once."""
    places: list[Path | sa.Engine] = [tmp_path / "visits.db", tmp_path / "unknown.db"]
    if request.param == "postgres":
        engine = sa.create_engine(checked_url(request.getfixturevalue("postgres_url")))
        places = [engine, engine]
    visits = VisitStore(places[0], clock=lambda: NOW)
    unknown = UnknownFaces(places[1], space=DLIB, clock=lambda: NOW)
    for visit in "abc":
        visits.record(event(visit=visit))
    unknown.add([seen(visit, who) for visit, who in (("a", 0), ("b", 0), ("c", 1))])
    yield visits, unknown
    visits.close()
    unknown.close()
    if request.param == "postgres":
        engine.dispose()


def seen(visit: str, who: int) -> Sighting:
    row = np.zeros(128, np.float32)
    row[who] = 0.7
    row[2] = 0.01 * ord(visit) / 100
    return Sighting(row, f"photo {visit}", "door", NOW, NOW + DAY, 0.9, b"jpg", visit)


def named(visits: VisitStore) -> dict[str, str | None]:
    return {visit.id: visit.person for visit in visits.visits()}


def test_naming_a_stranger_names_their_visits(
    stores: Stores, gallery: SqliteGallery
) -> None:
    visits, unknown = stores
    groups = unknown.groups_of(["a", "b", "c", "nobody's"])
    assert groups["a"] == groups["b"] != groups["c"]
    unknown.name(groups["a"], "Eve", gallery, visits)
    assert named(visits) == {"a": "Eve", "b": "Eve", "c": None}
    assert unknown.groups_of(["a", "b", "c"]) == {"c": groups["c"]}
    unknown.undo(gallery, visits)
    assert named(visits) == dict.fromkeys("abc")
    assert unknown.groups_of(["a", "b", "c"]) == groups


def test_what_a_camera_still_says_does_not_take_the_name_away(
    stores: Stores, gallery: SqliteGallery
) -> None:
    visits, unknown = stores
    unknown.name(unknown.groups_of(["a"])["a"], "Eve", gallery, visits)
    visits.record(event("end", visit="a"))
    (ended,) = [visit for visit in visits.visits() if visit.id == "a"]
    assert (ended.who, ended.person) == ("known", "Eve")
    assert ended.ends is not None


def test_a_visit_that_had_a_name_keeps_it(
    stores: Stores, gallery: SqliteGallery
) -> None:
    visits, unknown = stores
    visits.record(event("change", visit="b", person="Ada"))
    unknown.name(unknown.groups_of(["a"])["a"], "Eve", gallery, visits)
    assert named(visits) == {"a": "Eve", "b": "Ada", "c": None}
    unknown.undo(gallery, visits)
    assert named(visits) == {"a": None, "b": "Ada", "c": None}


def test_a_joined_visit_leaves_its_faces_to_the_other(stores: Stores) -> None:
    _, unknown = stores
    groups = unknown.groups_of(["a", "c"])
    unknown.join_visits("c", into="d")
    assert unknown.groups_of(["a", "c", "d"]) == {"a": groups["a"], "d": groups["c"]}


def test_who_is_deleted_is_gone_from_the_visits(
    stores: Stores, gallery: SqliteGallery
) -> None:
    visits, unknown = stores
    groups = unknown.groups_of(["a", "c"])
    unknown.forget(groups["c"])
    assert unknown.groups_of(["a", "c"]) == {"a": groups["a"]}
    unknown.name(groups["a"], "Eve", gallery, visits)
    visits.relabel("Eve", None)
    assert named(visits) == {"c": None}, "a person's visits go with them"
