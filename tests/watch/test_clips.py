"""Clips of the seconds around a visit's beginning: what they show, what they do not, and where they go."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from commands import Inside
from mien.errors import InputError
from mien.output import video
from mien.pipeline import Analyzer
from mien.types import U8
from mien.watch.cameras import Camera
from mien.watch.clips import Clip, ClipMaker, Clips, Cut
from mien.watch.settings import Keeping, WatchFile, read_file
from mien.watch.store import VisitStore
from mien.watch.visits import Event
from mien.watch.watcher import Watcher
from watch import plays
from watch.test_watch import camera_file

GREY = np.full((36, 64, 3), 90, np.uint8)


def shown(clips: Clips, *, start: int, end: int) -> None:
    """Two pictures a second."""
    for half_second in range(2 * start, 2 * end):
        clips.show(GREY, half_second / 2)


def seconds_of(cut: Cut) -> tuple[float, float]:
    return cut.pictures[0][0], cut.pictures[-1][0]


def test_a_clip_is_cut_once_its_seconds_have_passed() -> None:
    clips = Clips(3)
    shown(clips, start=0, end=11)
    clips.begin("a", 10.0, 10.6)
    assert list(clips.pass_time(12.9)) == []
    shown(clips, start=11, end=14)
    (cut,) = clips.pass_time(13.6)
    assert (cut.visit, *seconds_of(cut)) == ("a", 7.0, 13.0)
    assert list(clips.close()) == [], "once"


def test_who_is_told_late_is_shown_up_to_then() -> None:
    clips = Clips(2)
    shown(clips, start=0, end=30)
    clips.begin("a", 4.0, 29.0)
    clips.begin("b", 28.5, 29.0)
    assert {cut.visit: seconds_of(cut) for cut in clips.close()} == {
        "a": (25.0, 29.0),
        "b": (26.5, 29.5),
    }


def test_a_camera_keeps_some_seconds_and_some_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips = Clips(2)
    shown(clips, start=0, end=100)
    clips.begin("a", 0.0, 99.0)
    (cut,) = clips.close()
    assert len(cut.pictures) == 9
    size = len(cut.pictures[0][1])
    monkeypatch.setattr("mien.watch.clips._MOST_BYTES", 3 * size)
    shown(clips, start=100, end=110)
    clips.begin("b", 109.0, 109.0)
    (cut,) = clips.close()
    assert len(cut.pictures) == 3


@pytest.mark.slow
def test_a_clip_shows_what_the_camera_shows(
    people: dict[str | None, U8], gallery: Path, tmp_path: Path, inside: Inside
) -> None:
    """Ada and Ben come after two seconds; the half in which Ada stands is left out, the rest is mirrored."""
    script: list[plays.Span] = [("Ada", 2.0, 5.0), ("Ben", 2.0, 5.0)]
    plays.film_of(tmp_path / "both.mp4", people, script, 7.0)
    right = "[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]"
    yard = f'name = "yard"\nsource = "both.mp4"\nflip = true\nzones = [{{leave_out = {right}}}]'
    keep = "[watch]\nkeep_days = 1\nkeep_clips = 1.5\n"
    file = camera_file(tmp_path, yard, more=keep)
    done = inside("watch", file, "--gallery", gallery, "--only", "identity")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    address = f"/v1/events/{told[0]['id']}/clip"
    assert {event["clip"] for event in told} == {address}
    store = VisitStore(gallery.with_name("people.visits.db"))
    assert store.visit(told[0]["id"]).to_dict()["clip"] == address
    with av.open(io.BytesIO(store.clip(told[0]["id"]))) as film:
        frames = list(film.decode(video=0))
    store.close()
    pictures = [frame.to_ndarray(format="bgr24") for frame in frames]
    assert pictures[0].shape == (360, 640, 3)
    assert float(frames[-1].time - frames[0].time) == pytest.approx(3.0, abs=0.4)
    assert all(picture[:, 330:].max() < 30 for picture in pictures), "left out"
    first, last = pictures[0].astype(int), pictures[-1].astype(int)
    assert abs(first - last)[:, :310].max() > 60, "nobody is there at first"


def test_where_nothing_codes_video_that_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_ENCODER", "no_such_encoder")
    file = camera_file(
        tmp_path,
        'name = "door"\nsource = 0',
        more="[watch]\nkeep_days = 1\nkeep_clips = 5\n",
    )
    with pytest.raises(InputError, match=r"no video can be written.*pip install"):
        read_file(file)
    with pytest.raises(InputError, match="no video can be written"):
        video.check_place(tmp_path / "copy.mp4")


def test_a_film_waits_until_clips_are_made_and_a_camera_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mien.watch.clips._MOST_WAITING", 2)
    cut = Cut("a", ((0.0, cv2.imencode(".jpg", GREY)[1].tobytes()),) * 2)
    made: list[Clip] = []
    nice: set[int] = set()

    def take(clip: Clip) -> None:
        made.append(clip)
        nice.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    lost: list[str] = []
    maker = ClipMaker(take, given_up=lost.append)
    for _ in range(6):
        maker.put(cut, live=True)  # and the oldest are given up
    maker.start()
    for _ in range(4):
        maker.put(cut, live=False)
    maker.close()
    assert len(made) == 6
    assert lost == ["a"] * 4
    assert made[0].content[4:8] == b"ftyp"
    if sys.platform == "linux":
        mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert min(nice) > mine, "who looks goes first"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority there")
def test_where_nobody_may_step_back_clips_are_made_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refused)
    made: list[Clip] = []
    maker = ClipMaker(made.append)
    maker.start()
    picture = cv2.imencode(".jpg", GREY)[1].tobytes()
    maker.put(Cut("a", ((0.0, picture), (0.1, picture))), live=True)
    maker.close()
    assert [clip.visit for clip in made] == ["a"]


def test_a_fault_of_one_clip_is_logged_and_the_next_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[Clip] = []

    class Faulty(Cut):
        def coded(self) -> Clip:
            raise KeyError("a fault of ours")

    class Good(Cut):
        def coded(self) -> Clip:
            return Clip("b", b"film")

    lost: list[str] = []
    maker = ClipMaker(made.append, given_up=lost.append)
    maker.start()
    for cut in (Faulty("a", ()), Good("b", ()), Cut("c", ())):
        maker.put(cut, live=True)
    maker.close()
    assert [clip.visit for clip in made] == ["b"]
    assert lost == ["a", "c"], "of c the pictures were too old"
    assert "a fault of ours" in caplog.text


@pytest.mark.slow
def test_the_end_of_a_visit_names_no_clip_that_was_given_up(
    people: dict[str | None, U8], analyzer: Analyzer, tmp_path: Path
) -> None:
    script: list[plays.Span] = [("Ada", 0.3, 2.0), ("Ben", 0.3, 2.0)]
    film = plays.film_of(tmp_path / "short.mp4", people, script, 2.5)
    told: list[Event] = []

    def tell(event: Event) -> None:
        told.append(event)
        if event.visit == told[0].visit:
            watcher.give_up_clip(event.visit)

    camera = Camera(name="door", source=str(film))
    keeping = Keeping(keep_days=1, keep_clips=1)
    watcher = Watcher(analyzer, WatchFile(cameras=(camera,), watch=keeping), tell)
    watcher.run()
    named = {(event.visit, event.kind): event.clip for event in told}
    first, other = dict.fromkeys(event.visit for event in told)
    assert [named[first, kind] for kind in ("begin", "end")] == [True, False]
    assert [named[other, kind] for kind in ("begin", "end")] == [True, True]
