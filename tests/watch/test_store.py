"""What is kept of visits, in SQLite and PostgreSQL; what was deleted is gone."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from background import until
from commands import Inside
from mien.errors import GalleryError, VisitNotFound
from mien.gallery import Photo, SqliteGallery
from mien.pipeline import Analyzer
from mien.watch.clips import Clip
from mien.watch.recorder import Recorder
from mien.watch.settings import Keeping, WatchFile
from mien.watch.store import (
    ABANDONED_S,
    Message,
    Silence,
    VisitStore,
    Wanted,
    open_visits,
)
from mien.watch.telling import Watch
from mien.watch.visits import BestView, Event
from mien.zoo import DLIB

NOW = 1_800_000_000.0
DAY = 86_400.0
WHOLE, FACE = (
    cv2.imencode(".jpg", np.zeros((side, side, 3), np.uint8))[1].tobytes()
    for side in (300, 200)
)


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> Iterator[VisitStore]:
    place: Path | sa.Engine = tmp_path / "visits.db"
    if request.param == "postgres":
        place = request.getfixturevalue("postgres_server")
    kept = VisitStore(place, clock=clock)
    yield kept
    for visit in kept.visits(limit=1000):
        kept.forget(visit.id)
    clock.now += 1000 * DAY
    kept.sweep(keep_days=None)  # what outlives the visits for a while, too
    kept.close()


def event(
    kind: str = "begin",
    visit: str = "v1",
    *,
    at: float = NOW,
    person: str | None = None,
    camera: str = "door",
    picture: bytes = b"",
) -> Event:
    who = "unknown" if person is None else "known"
    best = (BestView(at, 0.9, (0.0, 0.0, 9.0, 9.0), picture),) if picture else ()
    told: dict[str, Any] = {"zone": "gate", "who": who, "person": person, "age": 30.5}
    ends = at + 5 if kind == "end" else None
    return Event(kind, visit, camera, at, ends, at + 5, told, best)  # type: ignore[arg-type]


def message(person: str | None = None, visit: str = "v1") -> Message:
    return Message(0, "house", visit, "{}", NOW + DAY, 0, person)


def test_a_visit_is_kept_from_its_begin_to_its_end(store: VisitStore) -> None:
    assert store.record(event())
    (begun,) = store.visits()
    assert (begun.ends, begun.who, begun.person) == (None, "unknown", None)
    store.record(event("change", person="Ada"))
    store.record(event("end", person="Ada"))
    (ended,) = store.visits()
    assert ended.number > begun.number
    assert ended.to_dict() == {
        "id": "v1",
        "number": ended.number,
        "camera": "door",
        "zone": "gate",
        "begin": "2027-01-15T08:00:00.000Z",
        "end": "2027-01-15T08:00:05.000Z",
        "who": "known",
        "person": "Ada",
        "age": 30.5,
        "pictures": [],
    }


def test_what_is_asked_for_is_found(store: VisitStore) -> None:
    store.record(event(visit="a", person="Ada"))
    store.record(event(visit="b", person="Ben", camera="yard", at=NOW + 100))
    store.record(event("end", visit="a", person="Ada"))

    def ids(**wanted: Any) -> list[str]:
        return [visit.id for visit in store.visits(Wanted(**wanted))]

    assert ids() == ["a", "b"], "the last change first"
    assert ids(person="Ada") == ["a"]
    assert ids(camera="yard") == ["b"]
    assert ids(since=NOW + 50) == ["b"], "a has ended by then"
    assert ids(until=NOW + 50) == ["a"]
    newest = store.visits(limit=1)[0]
    assert [v.id for v in store.visits(before=newest.number)] == ["b"]


def test_a_cursor_misses_nothing(store: VisitStore) -> None:
    """Also where the last change is deleted before the next one."""
    start = store.last_number()
    store.record(event(visit="a"))
    store.record(event(visit="b"))
    seen = store.changes(start)
    assert [visit.id for visit in seen] == ["a", "b"]
    store.forget("b")
    store.record(event(visit="c"))
    assert [visit.id for visit in store.changes(seen[-1].number)] == ["c"]


def test_a_joined_visit_is_no_visit_of_its_own(store: VisitStore) -> None:
    store.record(event(visit="a"))
    store.record(event(visit="b"))
    store.record(replace(event("end", visit="b"), kind="joined", into="a"))
    assert [visit.id for visit in store.visits()] == ["a"]


def test_pictures_follow_the_best_looks(store: VisitStore) -> None:
    store.record(event(picture=b"first"))
    assert store.picture("v1") == b"first"
    store.record(event("change", at=NOW + 1, picture=b"second"))
    assert store.picture("v1") == b"second"
    assert len(store.visits()[0].pictures) == 1
    with pytest.raises(VisitNotFound, match="no such picture"):
        store.picture("v1", 1)


def test_a_clip_goes_with_its_visit(store: VisitStore, clock: Clock) -> None:
    for visit in ("old", "ada", "one"):
        store.record(event(visit=visit, person="Ada" if visit == "ada" else None))
        before = store.last_number()
        store.keep_clip(visit, visit.encode())
        assert [v.id for v in store.changes(before)] == [visit], "it is a change"
        assert store.clip(visit) == visit.encode()
    store.keep_clip("one", b"again")
    assert store.clip("one") == b"again"
    store.relabel("Ada", None)
    store.forget("one")
    store.record(event("end", visit="old"))
    clock.now += 2 * DAY
    store.sweep(keep_days=1)
    for visit in ("old", "ada", "one"):
        store.keep_clip(visit, b"late")  # it was being coded meanwhile
        with pytest.raises(VisitNotFound, match="no clip"):
            store.clip(visit)
    assert store.visits() == []


def test_what_was_kept_long_enough_goes(store: VisitStore, clock: Clock) -> None:
    store.record(event(visit="old", picture=b"picture"))
    store.record(event("end", visit="old"), [message(visit="old")])
    clock.now += 2 * DAY
    store.record(event("end", visit="x"))  # of nobody: it never began
    assert store.sweep(keep_days=3) == 0
    clock.now += 2 * DAY
    assert store.sweep(keep_days=3) == 1
    assert store.visits() == []
    assert store.waiting() == []
    with pytest.raises(VisitNotFound):
        store.picture("old")


def test_a_visit_that_a_kill_left_open_is_ended(
    store: VisitStore, clock: Clock
) -> None:
    store.record(event())
    clock.now += ABANDONED_S - 10
    store.touch({"v1": clock.now})
    store.sweep(keep_days=None)
    assert store.visits()[0].ends is None
    clock.now += ABANDONED_S + 10
    store.sweep(keep_days=None)
    assert store.visits()[0].ends == pytest.approx(NOW + ABANDONED_S - 10)


def test_who_heard_of_a_visit_that_a_kill_left_open_hears_its_end(
    store: VisitStore, clock: Clock
) -> None:
    hears = replace(message("Ada"), body='{"id": "1", "rule": "all"}', ends=True)
    store.record(event(person="Ada"), [hears, replace(message("Ada"), target="once")])
    for waiting in store.waiting():
        store.told(waiting.number)
    clock.now += ABANDONED_S + 6
    store.sweep(keep_days=1)
    store.sweep(keep_days=1)
    (told,) = store.waiting()
    said = json.loads(told.body)
    assert (told.target, told.visit_id, said["rule"]) == ("house", "v1", "all")
    assert (said["visit"]["event"], said["visit"]["id"]) == ("end", "v1")
    assert said["visit"]["end"] == "2027-01-15T08:00:05.000Z"
    assert said["visit"]["person"] == "Ada"
    store.relabel("Ada", None)
    assert store.waiting() == [], "who is forgotten is not told of any more"


def test_who_is_forgotten_disappears_and_stays_away(store: VisitStore) -> None:
    store.record(event(visit="a"))
    store.record(event("change", visit="a", person="Ada"), [message("Ada", "a")])
    store.record(event(visit="b", person="Ben"))
    assert store.relabel("Ada", None) == 1
    assert [visit.id for visit in store.visits()] == ["b"]
    assert store.waiting() == []
    late = event("end", visit="a", person="Ada")
    assert not store.record(late, [message("Ada", "a")]), "it goes on, unseen"
    assert store.waiting() == []
    assert [visit.id for visit in store.visits()] == ["b"]


def test_who_is_forgotten_goes_from_what_others_visits_show(store: VisitStore) -> None:
    """Of the same camera, and of that time; a picture of one face shows nobody else."""
    store.record(event(visit="ada", at=NOW, person="Ada"))
    others = {
        "meanwhile": ("door", NOW + 4, WHOLE),
        "face": ("door", NOW + 5, FACE),
        "yard": ("yard", NOW + 4, WHOLE),
        "later": ("door", NOW + 60, WHOLE),
    }
    for visit, (camera, at, picture) in others.items():
        store.record(event(visit=visit, at=at, camera=camera, picture=picture))
        store.keep_clip(visit, b"a film")
    seen = [(one.visit, one.at) for one in store.beside("Ada")]
    assert seen == [("meanwhile", None), ("meanwhile", NOW + 4), ("face", None)]
    before = store.last_number()
    store.relabel("Ada", None)
    kept = {v.id: (len(v.pictures), v.clip) for v in store.visits()}
    assert kept == {
        "meanwhile": (0, False),
        "face": (1, False),
        "yard": (1, True),
        "later": (1, True),
    }
    assert {v.id for v in store.changes(before)} == {"meanwhile", "face"}
    assert store.beside("Ada") == []


def test_what_shows_somebody_forgotten_does_not_come_late(
    store: VisitStore, clock: Clock
) -> None:
    """A clip that is being made, also of a visit that begins right after; a picture that a visit still holds."""
    store.record(event(visit="ada", person="Ada"))
    for visit, at in (("ben", NOW + 4), ("long ago", NOW - 600)):
        store.record(event(visit=visit, at=at, picture=WHOLE))
    clock.now = NOW + 10
    store.relabel("Ada", None)
    store.record(event("change", visit="ben", at=NOW + 4, picture=WHOLE))
    store.record(event("change", visit="long ago", at=NOW - 600, picture=FACE))
    store.record(event(visit="next", at=NOW + 12))
    store.record(event(visit="yard", at=NOW + 12, camera="yard"))
    store.record(event(visit="later", at=NOW + 60))
    for visit in ("ben", "long ago", "next", "yard", "later"):
        store.keep_clip(visit, b"a film")
    kept = {v.id: (len(v.pictures), v.clip) for v in store.visits()}
    assert kept == {
        "ben": (0, False),
        "long ago": (1, True),
        "next": (0, False),
        "yard": (0, True),
        "later": (0, True),
    }


@pytest.mark.parametrize("keep", [True, False])
def test_who_is_forgotten_is_named_by_nothing_that_comes_late(
    store: VisitStore, clock: Clock, keep: bool
) -> None:
    """An event that waited meanwhile, of a visit that is not written down yet or does not bear the name, and what a
    rule says no more of it."""
    silences = [Silence("r1", "door", "Ada", NOW + 600)]
    if keep:
        store.record(event(visit="unsure", at=NOW + 2))
        store.record(event(visit="ben", at=NOW + 4, person="Ben", picture=WHOLE))
        store.keep_clip("ben", b"a film")
    clock.now += 10
    store.relabel("Ada", None)
    for kind, visit in (("begin", "ada"), ("change", "unsure"), ("end", "ada")):
        late = event(kind, visit, at=NOW + 2, person="Ada", picture=FACE)
        told = [message("Ada", visit)]
        assert not store.record(late, told, silences=silences, keep=keep)
    assert (store.silences(), store.waiting()) == ([], [])
    ben = [(v.id, v.pictures, v.clip) for v in store.visits()]
    assert ben == ([("ben", (), False)] if keep else []), "he was shown with her"
    with store._transaction() as connection:
        notes = connection.exec_driver_sql("SELECT * FROM watch_forgotten_names").all()
    assert len(notes) == 1
    assert "Ada" not in str(notes)


def test_who_is_enrolled_again_is_named_again(store: VisitStore, clock: Clock) -> None:
    store.relabel("Ada", None)
    store.record(event(visit="again", at=NOW + 60, person="Ada"))
    store.record(event("change", "other", person="Ada"))
    assert [visit.id for visit in store.visits()] == ["again"]
    clock.now += 2 * DAY
    store.sweep(keep_days=None)
    with store._transaction() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM watch_forgotten_names")
        assert left.scalar() == 0


def test_a_visit_that_somebody_named_by_hand_is_not_forgotten_with_another(
    store: VisitStore,
) -> None:
    store.record(event(visit="a"))
    store.name("a", "Ben")
    store.relabel("Ada", None)
    assert not store.record(event("change", "a", person="Ada"), [message("Ada", "a")])
    assert store.visit("a").person == "Ben"
    assert store.waiting() == []


def test_when_somebody_forgotten_was_there_is_known_while_a_visit_holds_pictures(
    store: VisitStore, clock: Clock
) -> None:
    store.record(event(visit="ben", at=NOW - 10))
    store.record(event("end", visit="ada", person="Ada"))
    store.record(event(visit="ada", person="Ada"))
    store.relabel("Ada", None)
    for hours in (5, 10):
        clock.now = NOW + hours * 3600
        store.touch({"ben": clock.now})
        store.sweep(keep_days=None)
    store.record(event("change", visit="ben", at=NOW + 4, picture=WHOLE))
    assert store.visit("ben").pictures == (), "seen hours ago, told only now"
    store.record(event("end", visit="ben", at=NOW - 10))
    store.sweep(keep_days=None)
    with store._transaction() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM watch_forgotten")
        assert left.scalar() == 0, "and then not any more"


def test_visits_stay_as_long_as_was_said_when_they_are_not_kept_any_more(
    store: VisitStore, clock: Clock
) -> None:
    store.record(event("begin"))
    store.record(event("end"))
    store.sweep(keep_days=3)
    assert (store.count(), store.days()) == (1, 3)
    clock.now += 2 * DAY
    assert store.sweep(keep_days=None) == 0
    clock.now += 2 * DAY
    assert store.sweep(keep_days=None) == 1
    assert store.visits() == []


def test_no_days_are_none(store: VisitStore) -> None:
    store.record(event("begin"))
    store.record(event("end", at=NOW - 5))
    assert store.sweep(keep_days=0) == 1
    assert store.count() == 0


def test_what_was_said_is_silent_for_a_while(store: VisitStore, clock: Clock) -> None:
    silences = [
        Silence("r1", "door", "Ada", NOW + 600),
        Silence("r1", "door", None, NOW + 60),
    ]
    store.record(event(person="Ada"), silences=silences)
    assert store.silences() == silences
    store.relabel("Ada", "Ida")
    clock.now += 61
    assert store.silences() == [replace(silences[0], person="Ida")]
    store.relabel("Ida", None)
    assert store.silences() == [], "who is forgotten is named nowhere"
    store.record(event(visit="b"), silences=silences)
    store.drop_rule("r1", "r1")
    assert store.silences() == []


def test_another_name_is_a_change(store: VisitStore) -> None:
    store.record(event(visit="a", person="Ada"))
    store.record(event(visit="b", person="Ada"))
    last = store.last_number()
    assert store.relabel("Ada", "Ada Lovelace") == 2
    assert {v.person for v in store.changes(last)} == {"Ada Lovelace"}
    assert len({v.number for v in store.changes(last)}) == 2


def test_what_is_to_be_told_waits_until_it_was(store: VisitStore, clock: Clock) -> None:
    store.record(event(), [message(), message()])
    first, second = store.waiting("house")
    assert store.next_due("house") == first
    assert store.next_due("nobody") is None
    store.told(first.number)
    store.later(second.number, clock.now + 10)
    assert store.next_due("house") is None
    clock.now += 11
    again = store.next_due("house")
    assert again is not None
    assert (again.number, again.tries) == (second.number, 1)
    clock.now += DAY
    store.sweep(keep_days=None)
    assert store.waiting() == [], "after a day it is not told any more"


def test_deleted_means_gone_from_the_file(tmp_path: Path) -> None:
    store = VisitStore(tmp_path / "visits.db")
    name = "Nobody Shall Know"
    store.record(event(person=name, picture=name.encode() * 50), [message(name)])
    files = list(tmp_path.glob("visits.db*"))
    assert any(name.encode() in file.read_bytes() for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    store.keep_clip("v1", name.encode() * 5000)
    store.relabel(name, None)
    files = list(tmp_path.glob("visits.db*"))
    assert not any(name.encode() in file.read_bytes() for file in files)
    store.close()


def test_one_of_a_newer_mien_is_refused(tmp_path: Path) -> None:
    VisitStore(tmp_path / "visits.db").close()
    with sqlite3.connect(tmp_path / "visits.db") as connection:
        connection.execute("UPDATE schema_versions SET version = 99")
    connection.close()
    with pytest.raises(GalleryError, match="version 99"):
        VisitStore(tmp_path / "visits.db")


def test_people_remove_and_rename_tell_the_visits(
    tmp_path: Path, inside: Inside
) -> None:
    place = tmp_path / "people.db"
    gallery = SqliteGallery(place, space=DLIB)
    photo = Photo(np.ones(128, np.float32) / 20, "0" * 64)
    gallery.enroll("Ada", [photo])
    visits = open_visits(gallery, data=tmp_path)
    assert (tmp_path / "people.visits.db").is_file(), "beside the gallery"
    visits.record(event(person="Ada"))
    inside("people", "rename", "Ada", "Ida", "--gallery", place)
    assert [visit.person for visit in visits.visits()] == ["Ida"]
    done = inside("people", "remove", "Ida", "--yes", "--gallery", place)
    assert done.returncode == 0, done.stderr
    assert visits.visits() == []
    visits.close()
    gallery.close()


@pytest.mark.parametrize(
    ("keep_days", "line", "left"),
    [
        (None, "1 of earlier runs stay until they are 3 days old", 1),
        (0, "1 visits of earlier runs are deleted: keep_days is 0", 0),
    ],
)
def test_what_becomes_of_visits_that_are_kept_no_more_is_said(
    analyzer: Analyzer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    keep_days: int | None,
    line: str,
    left: int,
) -> None:
    store = open_visits(None, data=tmp_path)
    for kind in ("begin", "end"):
        store.record(event(kind, at=time.time() - 60))
    store.sweep(keep_days=3)
    said = WatchFile(watch=Keeping(keep_days=keep_days))
    with Watch(analyzer, said, data=tmp_path):
        assert line in caplog.text
        until(lambda: store.count() == left)
    store.close()


def test_what_cannot_be_written_down_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = VisitStore(tmp_path / "visits.db")

    def messages(event: Event) -> tuple[list[Message], list[Silence]]:
        if event.visit == "a":
            raise KeyError("a fault of ours")
        return [], []

    recorder = Recorder(store, keep_days=1, messages=messages)
    recorder.start()
    for visit in ("a", "b"):
        recorder.put(event(visit=visit, at=time.time()))
    recorder.close()
    assert [visit.id for visit in store.visits()] == ["b"]
    assert "could not be written down" in caplog.text
    assert "a fault of ours" in caplog.text
    store.close()


def test_whoever_waits_for_a_clip_that_is_not_kept_hears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Because too much waits, its visit is not kept, or by a fault of ours."""
    monkeypatch.setattr("mien.watch.recorder._MOST_WAITING", 3)
    store, lost = VisitStore(tmp_path / "visits.db"), []
    recorder = Recorder(store, keep_days=1, given_up=lost.append)
    recorder.put(Clip("waited too long", b"a film"))
    recorder.put(Clip("of nobody", b"a film"))
    recorder.put(Clip("by a fault", cast(bytes, "no bytes")))
    recorder.put(event(visit="by a fault", at=time.time()))
    assert lost == ["waited too long"]
    assert "a clip is lost" in caplog.text
    recorder._waiting.rotate(1)  # its visit is there before it
    recorder.start()
    recorder.close()
    assert lost == ["waited too long", "of nobody", "by a fault"]
    assert "a clip could not be written down" in caplog.text
    store.close()


def test_what_is_lost_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mien.watch.recorder._MOST_WAITING", 1)
    store = VisitStore(tmp_path / "visits.db")
    recorder = Recorder(store, keep_days=1)
    for item in ({"a": NOW}, event(), event("end")):
        recorder.put(item)
    said = [line.split(": ")[1] for line in caplog.messages]
    assert said == ["a note of who is still there is lost", "an event is lost"]
    store.close()


@pytest.mark.slow
def test_the_recorder_tries_until_the_database_is_back(tmp_path: Path) -> None:
    store = VisitStore(tmp_path / "visits.db")
    away = threading.Event()
    away.set()
    record = store.record

    def flaky(*args: Any, **more: Any) -> bool:
        if away.is_set():
            away.clear()
            raise GalleryError("the database is away")
        return record(*args, **more)

    store.record = flaky  # type: ignore[method-assign]
    recorder = Recorder(store, keep_days=1)
    recorder.start()
    for visit in ("a", "b"):
        recorder.put(event(visit=visit, at=time.time()))
    recorder.close()
    assert [visit.id for visit in store.visits()] == ["b", "a"]
    store.close()
