"""`mien watch` on films whose script is the truth."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import MIEN, Inside
from live.clips import write_clip
from mien.gallery.unknown import UnknownFaces
from mien.media import images
from mien.pipeline import Analyzer
from mien.types import U8
from mien.watch.cameras import Camera
from mien.watch.settings import WatchFile
from mien.watch.store import VisitStore
from mien.watch.watcher import Watcher
from mien.zoo import DLIB
from watch import plays
from watch.conftest import VISITS, MjpegCamera


def camera_file(folder: Path, *cameras: str, more: str = "") -> Path:
    """A mien.toml with these cameras."""
    file = folder / "mien.toml"
    tables = "".join(f"[[cameras]]\n{camera}\n" for camera in cameras)
    file.write_text(f"{more}\n{tables}")
    return file


def events_of(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def spans(events: list[dict[str, Any]]) -> list[tuple[str | None, float, float]]:
    """Who was there from when to when, in seconds since the first came."""
    ends = [event for event in events if event["event"] == "end"]
    ends.sort(key=lambda event: event["begin"])
    first = datetime.fromisoformat(ends[0]["begin"])
    seconds = [
        [(datetime.fromisoformat(e[key]) - first).total_seconds() for e in ends]
        for key in ("begin", "end")
    ]
    return list(zip([e["person"] for e in ends], *seconds, strict=True))


@pytest.mark.slow
def test_each_visit_of_the_script_is_one_event(
    played: Path, gallery: Path, tmp_path: Path, inside: Inside
) -> None:
    camera = f'name = "door"\nsource = "{played}"'
    keep = 'absence_s = 1.8\nkeep_days = 1\nkeep_pictures = "face"\nkeep_unknown = 3'
    file = camera_file(tmp_path, camera, more=f"[watch]\n{keep}\n")
    done = inside("watch", file, "--gallery", gallery)
    assert done.returncode == 0, done.stderr
    events = events_of(done.stdout)
    found = spans(events)
    assert [name for name, *_ in found] == [name for name, *_ in VISITS]
    began = VISITS[0][1]
    for (_, begin, end), (_, true_begin, true_end) in zip(found, VISITS, strict=True):
        assert begin == pytest.approx(true_begin - began, abs=0.3)
        assert end == pytest.approx(true_end - began, abs=0.3)
    for visit in {e["id"] for e in events}:
        kinds = [e["event"] for e in events if e["id"] == visit]
        assert kinds == ["begin", "change", "end"], "a name flickers"
    ada = next(e for e in events if e["event"] == "end" and e["person"] == "Ada")
    assert ada["confidence"] > 0.9
    assert ada["gender"] == "female"
    assert 18 < ada["age"] < 40
    assert sum(ada["emotions"].values()) == pytest.approx(1, abs=1e-3)
    assert len(ada["best"]) == 3
    assert ada["zone"] is None
    store = VisitStore(gallery.with_name("people.visits.db"))
    kept = store.visits()
    assert [(v.id, v.person, v.to_dict()["end"]) for v in reversed(kept)] == [
        (e["id"], e["person"], e["end"]) for e in events if e["event"] == "end"
    ]
    assert [len(v.pictures) for v in kept] == [len(v.told["best"]) for v in kept]
    face = images.read_image(store.picture(ada["id"]))
    store.close()
    assert min(face.shape[:2]) >= 64
    strangers = UnknownFaces(gallery, space=DLIB)
    assert strangers.waiting() == 1, "of the stranger alone, and once"
    strangers.close()


def test_where_there_is_little_time_those_of_whom_it_is_sure_wait(
    analyzer: Analyzer,
) -> None:
    cameras = tuple(Camera(name=f"{i}", source="rtsp://a/1") for i in range(4))
    watcher = Watcher(analyzer, WatchFile(cameras=cameras), lambda _: None)
    first, *others = watcher._posts
    for post in watcher._posts:
        post.present = post.visits.settled = True
        post.feed._become("up")
    first.visits.settled = False
    for look_s, pace_s in ((0.02, 0.2), (0.1, 0.8), (0.4, 3.2)):
        watcher._look_s = look_s
        assert [watcher._pace(p) for p in others] == pytest.approx([pace_s] * 3)
        assert watcher._pace(first) < 0.1, "nobody knows yet who that is"
    others[0].feed.live = False
    assert watcher._pace(others[0]) == 0.2, "a film can wait"


def test_cameras_that_are_lost_or_off_take_no_time_from_others(
    analyzer: Analyzer,
) -> None:
    """Whoever was before them when they were lost."""
    cameras = tuple(Camera(name=f"{i}", source="rtsp://a/1") for i in range(4))
    watcher = Watcher(analyzer, WatchFile(cameras=cameras), lambda _: None)
    here, lost, off, film = watcher._posts
    for post in watcher._posts:
        post.present = post.visits.settled = True
        post.feed._become("up")
    watcher._look_s = 0.4
    lost.feed._become("down")
    off.feed._become("off")
    film.feed.live = False
    assert watcher._pace(here) == pytest.approx(0.8)


@pytest.mark.slow
def test_a_zone_says_where_and_others_see_nothing(
    people: dict[str | None, U8], gallery: Path, tmp_path: Path, inside: Inside
) -> None:
    """Ada stands on the left, Ben on the right; one camera looks left, the other leaves the left out."""
    script: list[plays.Span] = [("Ada", 0.5, 3.0), ("Ben", 0.5, 3.0)]
    film = plays.film_of(tmp_path / "both.mp4", people, script, 3.5)
    left = "[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]"
    gate = f'name = "gate"\nsource = "both.mp4"\nzones = [{{name = "left", look = {left}}}]'
    yard = f'name = "yard"\nsource = "{film}"\nzones = [{{leave_out = {left}}}]'
    file = camera_file(tmp_path, gate, yard)
    done = inside("watch", file, "--gallery", gallery, "--only", "identity")
    assert done.returncode == 0, done.stderr
    ends = [e for e in events_of(done.stdout) if e["event"] == "end"]
    assert sorted((e["camera"], e["zone"], e["person"]) for e in ends) == [
        ("gate", "left", "Ada"),
        ("yard", None, "Ben"),
    ]


@pytest.mark.slow
def test_without_identity_nobody_is_anybody(
    played: Path, tmp_path: Path, inside: Inside
) -> None:
    file = camera_file(tmp_path, f'name = "shop"\nsource = "{played}"')
    done = inside("watch", file, "--only", "age,gender", MIEN_GALLERY="none")
    assert done.returncode == 0, done.stderr
    ends = [e for e in events_of(done.stdout) if e["event"] == "end"]
    assert ends
    for event in ends:
        assert not {"who", "person", "distance", "embedding"} & set(event)
        assert event["age"] > 0


@pytest.mark.slow
def test_an_empty_dark_noisy_film_has_no_event(tmp_path: Path, inside: Inside) -> None:
    """Noise, a lamp that flickers, rain: nobody is there."""
    rng = np.random.default_rng(3)
    room = np.repeat(np.linspace(8, 40, 640), 360).reshape(640, 360).T

    def picture(i: int) -> U8:
        lamp = 1.0 + 0.4 * (i // 7 % 2)
        shown = np.repeat((room * lamp)[..., None], 3, 2)
        shown = shown + rng.normal(0, 9, shown.shape)
        for x in rng.integers(0, 640, 25):
            y = rng.integers(0, 330)
            shown[y : y + 30, x] += 60
        return np.clip(shown, 0, 255).astype(np.uint8)

    write_clip(tmp_path / "night.mp4", (picture(i) for i in range(150)), rate=10)
    file = camera_file(tmp_path, 'name = "night"\nsource = "night.mp4"')
    done = inside("watch", file, MIEN_GALLERY="none")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_ctrl_c_ends_open_visits(
    mjpeg: MjpegCamera, gallery: Path, tmp_path: Path
) -> None:
    file = camera_file(tmp_path, f'name = "door"\nsource = "{mjpeg.address}"')
    command = [*MIEN, "watch", str(file), "--gallery", str(gallery)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = json.loads(process.stdout.readline())
        assert first["event"] == "begin"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    events = events_of(rest)
    assert [e["id"] for e in events if e["event"] == "end"].count(first["id"]) == 1
