"""How what pictures show becomes visits: by hand-made results, without a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest

from mien import geometry
from mien.models.attributes.heads import EMOTION
from mien.types import F32, Faces, Frame, FrameResult, Matches, Scores
from mien.watch.visits import Event, Visits, iso

STEP_S = 0.1


@dataclass(frozen=True)
class Shown:
    """A face in a picture: its track, who it looks like (a seed), the name said of it."""

    track: int
    looks: int = 1
    name: str | None = None


def who(seed: int) -> F32:
    row = np.random.default_rng(seed).normal(size=128)
    return (row / np.linalg.norm(row) / np.sqrt(2)).astype(np.float32)


def result(time_s: float, shown: Iterable[Shown]) -> FrameResult:
    shown = list(shown)
    boxes = np.array(
        [[100 * s.track, 50, 100 * s.track + 80, 130] for s in shown], np.float32
    ).reshape(-1, 4)
    count = len(shown)
    faces = Faces(
        boxes,
        np.full(count, 0.9, np.float32),
        geometry.mean_landmarks(boxes),
        track_ids=np.array([s.track for s in shown], np.int64),
        qualities=np.full(count, 0.5, np.float32),
        embeddings=np.array([who(s.looks) for s in shown], np.float32).reshape(-1, 128),
        attributes={"emotion": Scores(EMOTION, _moods(count, time_s))},
        matches=Matches(
            tuple(s.name for s in shown), np.full(count, 0.4, np.float32), people=2
        ),
    )
    return FrameResult("door", 0, time_s, 1280, 720, faces)


def _moods(count: int, time_s: float) -> F32:
    """Happy for two seconds, then neutral."""
    rows = np.zeros((count, EMOTION.size), np.float32)
    rows[:, EMOTION.labels.index("happiness" if time_s < 2 else "neutral")] = 1
    return rows


class Door:
    """The visits of one camera, and all that was told of them."""

    def __init__(self, *, absence_s: float = 2.0) -> None:
        self.visits = Visits(
            "door", absence_s=absence_s, alike=0.6, identity=True, at=lambda s: s
        )
        self.events: list[Event] = []
        self.now_s = 0.0

    def show(self, seconds: float, *shown: Shown, zone: str | None = "") -> Door:
        """The same faces for some seconds."""
        for _ in range(round(seconds / STEP_S)):
            frame = Frame(np.zeros((8, 8, 3), np.uint8), 0, self.now_s, "door")
            made = result(self.now_s, shown)
            zones = [zone] * len(shown)
            told = self.visits.see(frame, made, zones, lambda *_: b"jpeg")
            self.events += told
            self.now_s += STEP_S
        return self

    def end(self) -> list[tuple[str, str | None, str | None]]:
        """What was told, in short."""
        self.events += self.visits.close()
        return [(e.kind, e.told["who"], e.told["person"]) for e in self.events]


def test_a_name_appears_once_it_is_sure() -> None:
    door = Door().show(0.3, Shown(1)).show(3, Shown(1, name="Ada"))
    assert door.end() == [
        ("begin", "unsure", None),
        ("change", "known", "Ada"),
        ("end", "known", "Ada"),
    ]
    assert len({event.visit for event in door.events}) == 1


def test_a_stranger_is_unknown_only_after_a_while() -> None:
    told = Door().show(3, Shown(1)).end()
    assert [who for _, who, _ in told] == ["unsure", "unknown", "unknown"]


def test_what_is_seen_once_or_twice_is_nobody() -> None:
    door = Door().show(0.2, Shown(1)).show(4).show(0.2, Shown(2))
    assert door.end() == []
    assert door.visits.open == []


def test_a_name_is_corrected_when_evidence_turns_and_never_flickers() -> None:
    door = Door().show(1, Shown(1, name="Ben"))
    for _ in range(4):  # says now this, now that
        door.show(0.3, Shown(1, name="Ada")).show(0.3, Shown(1, name="Ben"))
    assert door.events[-1].told["person"] == "Ben"
    door.show(8, Shown(1, name="Ada"))
    assert [e.told["person"] for e in door.events] == [None, "Ben", "Ada"]
    assert door.end()[-1] == ("end", "known", "Ada")


def test_who_turns_away_keeps_the_name() -> None:
    door = Door().show(4, Shown(1, name="Ada")).show(3, Shown(1, name=None))
    assert door.end()[-1] == ("end", "known", "Ada")


@pytest.mark.parametrize(("gone_s", "visits"), [(1.0, 1), (3.0, 2)])
def test_a_short_absence_is_one_visit(gone_s: float, visits: int) -> None:
    ada = Shown(1, name="Ada")
    back = Shown(2, name="Ada")  # by another track
    door = Door().show(2, ada).show(gone_s).show(2, back)
    told = door.end()
    assert [kind for kind, *_ in told].count("end") == visits
    assert [kind for kind, *_ in told].count("begin") == visits


def test_two_who_are_there_at_once_are_two() -> None:
    door = Door().show(3, Shown(1, looks=1), Shown(2, looks=1))
    assert [kind for kind, *_ in door.end()].count("end") == 2


def test_tracks_that_turn_out_to_be_one_person_become_one_visit() -> None:
    """Both were told: the later one says what it is part of."""
    door = Door(absence_s=5).show(1, Shown(1, looks=1)).show(1, Shown(2, looks=2))
    door.show(2, Shown(2, looks=1))
    kinds = [event.kind for event in door.events]
    assert kinds.count("joined") == 1
    joined = next(event for event in door.events if event.kind == "joined")
    assert joined.to_dict()["into"] == door.events[0].visit
    door.end()
    assert [e.visit for e in door.events if e.kind == "end"] == [door.events[0].visit]


def test_begin_and_end_are_when_somebody_was_seen() -> None:
    door = Door().show(1).show(4, Shown(1)).show(3)
    event = door.events[-1].to_dict()
    assert (event["event"], event["begin"], event["end"]) == (
        "end",
        iso(1.0),
        iso(4.9),
    )
    assert event["count"] == 40


def test_the_course_of_what_changes() -> None:
    told = Door().show(6, Shown(1))
    told.end()
    event = told.events[-1].to_dict()
    assert [part["emotion"] for part in event["emotions_over_time"]] == [
        "happiness",
        "neutral",
    ]
    assert event["emotions"]["neutral"] == pytest.approx(4 / 6, abs=0.05)
    assert event["emotion"] == "neutral"


def test_a_day_of_one_person_stays_small() -> None:
    door = Door(absence_s=3600).show(70, Shown(1))
    door.now_s += 3000
    door.show(70, Shown(1))
    assert len(door.visits.open[0]._course) <= 60
    assert len(door.visits.open[0].best) <= 3
    assert all(len(view.picture) == 4 for view in door.visits.open[0].best)


def test_outside_all_zones_is_nobody() -> None:
    assert Door().show(3, Shown(1), zone=None).end() == []
    inside = Door().show(3, Shown(1), zone="gate")
    inside.end()
    assert {event.told["zone"] for event in inside.events} == {"gate"}
