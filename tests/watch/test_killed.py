"""The whole `mien watch` is killed again and again while a receiver and a broker come and go: nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import mien.cli.watch
import mien.pipeline
import mien.runtime
import mien.sources.video  # noqa: F401
from background import LIMIT_S, until
from commands import saying
from mien.cli import main
from mien.types import U8
from mien.watch.mqtt import slug
from mien.watch.store import ABANDONED_S, VisitStore
from watch import plays
from watch.conftest import MjpegCamera
from watch.test_telling import (
    Broker,
    Listener,
    Receiver,
    broker,
    house,
    receiver,
)

__all__ = ["broker", "house", "receiver"]

# As many as go into the time; benchmarks/faults.py gives it enough for all.
TURNS, TURNS_S = 20, float(os.environ.get("MIEN_KILLS_S", "60"))
ADA = f"mien/person/{slug('Ada')}"


class Lines:
    """Standard output that is said line by line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def write(self, text: str) -> int:
        self.say(text)
        return len(text)

    def flush(self) -> None:
        """Each is said at once."""


def watch(
    say: Callable[[str], None], environment: Mapping[str, str], *words: str
) -> None:
    """`mien watch` as a process of its own runs it."""
    os.environ.update(environment)
    sys.argv = ["mien", "watch", *words]
    sys.stdout = Lines(say)  # type: ignore[assignment]
    main()


class Runs:
    """`mien watch` of one file, started anew after each kill."""

    def __init__(self, folder: Path, gallery: Path, tells: str) -> None:
        self.file = folder / "mien.toml"
        self.gallery = Path(shutil.copy(gallery, folder / "people.db"))
        self.database = folder / "people.visits.db"
        self.tells = tells
        self.process: BaseProcess | None = None
        self.told: Iterator[str] = iter(())

    def start(self, **cameras: object) -> None:
        """Watches these sources, by their names."""
        tables = "".join(
            f'[[cameras]]\nname = "{name}"\nsource = "{source}"\n'
            for name, source in cameras.items()
        )
        # Of a film a second is one however busy the machine is, of a camera it may be the time of a look.
        live = any("://" in str(source) for source in cameras.values())
        keep = f"[watch]\nabsence_s = {20 if live else 1}\nkeep_days = 1\n"
        self.file.write_text(keep + self.tells + tables)
        options = ["--gallery", str(self.gallery), "--only", "identity", "--fast"]
        environment = {**os.environ, "BROKER_PASSWORD": "s3cret"}
        self.process, self.told = saying(watch, environment, str(self.file), *options)

    def read(self, lines: int) -> None:
        """Returns when so much happened, or the films are at their end."""
        for _ in range(lines):
            if next(self.told, None) is None:
                return

    def kill(self) -> None:
        """Kill -9, as a machine that loses its power."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def end(self) -> int | None:
        assert self.process is not None
        self.process.terminate()
        self.process.join(timeout=LIMIT_S)
        return self.process.exitcode

    def kept(self, *, later_s: float = 0.0) -> VisitStore:
        return VisitStore(self.database, clock=lambda: time.time() + later_s)


@pytest.fixture
def runs(
    gallery: Path, tmp_path: Path, receiver: Receiver, broker: Broker
) -> Iterator[Runs]:
    hook = f'[[webhooks]]\nname = "house"\nurl = "{receiver.url}"\n[[rules]]\n'
    login = 'user = "house"\npassword_env = "BROKER_PASSWORD"\n'
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n{login}'
    made = Runs(tmp_path, gallery, hook + mqtt)
    yield made
    made.kill()


def told_under(bodies: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    """The ids under which each begin and each end of a visit was told."""
    found = defaultdict(set)
    for body in bodies:
        visit = body["visit"]
        kind = "end" if visit["event"] == "joined" else visit["event"]
        found[visit["id"], kind].add(body["id"])
    return {key: ids for key, ids in found.items() if key[1] != "change"}


@pytest.mark.slow(60)
def test_nothing_is_lost_and_nothing_told_under_another_id(
    people: dict[str | None, U8],
    runs: Runs,
    receiver: Receiver,
    broker: Broker,
    house: Listener,
    mjpeg: MjpegCamera,
    blank: MjpegCamera,
    record_property: Callable[[str, object], None],
) -> None:
    """Films of two cameras begin anew with each run, and each run is killed after another event. At last Ada stands
    before the door when it is killed, and nobody does any more when it is started again, without the yard."""
    script: list[plays.Span] = [("Ada", 0.3, 1.8), ("Ben", 3.2, 4.8)]
    film = plays.film_of(runs.file.with_name("short.mp4"), people, script, 5.0)
    began, seen, kills = time.monotonic(), set(), 0
    for turn in range(TURNS):
        receiver.mode = ("good", "failing", "stalling")[turn % 3]
        if turn % 5 == 1:
            broker.stop()
        runs.start(door=film, yard=film)
        runs.read(1 + turn % 7)
        runs.kill()
        kills += 1
        if turn % 5 == 2:
            broker.start()
        with closing(runs.kept()) as store:
            seen |= {visit.id for visit in store.every()}
        if time.monotonic() - began > TURNS_S and turn % 5 == 4:
            break
    receiver.mode = "good"
    runs.start(door=mjpeg.address)
    until(lambda: house.values.get(ADA, {}).get("here") == "ON")
    runs.kill()
    until(lambda: house.values["mien/status"] == "offline")
    assert house.values[ADA]["here"] == "ON", "nobody said anything else"
    pass_time(runs)
    runs.start(door=blank.address)
    until(lambda: house.values["mien/status"] == "online")
    until(lambda: house.values[ADA]["here"] == "OFF")
    people_there = house.values["mien/camera/door/people"]
    assert (people_there["here"], people_there["count"]) == ("OFF", 0)
    until(lambda: not any("yard" in topic for topic in house.values))
    with closing(runs.kept()) as store:
        until(lambda: not store.waiting())
        visits = list(store.every())
    ada = max(v.ends for v in visits if v.person == "Ada" and v.ends is not None)
    assert runs.end() == 0
    until(lambda: house.values["mien/status"] == "offline")
    assert all(visit.ends is not None for visit in visits)
    seen |= {visit.id for visit in visits}
    assert len(seen) > 4
    both = {(visit, kind) for visit in seen for kind in ("begin", "end")}
    posted = told_under([json.loads(body) for _, body in receiver.got])
    for told in (posted, told_under(house.events)):
        assert both <= set(told), "one is lost"
        assert {len(ids) for ids in told.values()} == {1}, "one id for each"
    record_property("kills", kills + 1)
    record_property("visits", len(seen))
    last = house.values[ADA]["last_seen"]
    assert last[:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ada))


def pass_time(runs: Runs) -> None:
    """An hour later: visits that were left open have ended, and all that failed may be tried again."""
    with closing(runs.kept(later_s=2 * ABANDONED_S)) as store:
        store.sweep(keep_days=1)
    with closing(sqlite3.connect(runs.database)) as database, database:
        database.execute("UPDATE watch_queue SET due = 0")
