"""The way into the networks: how many, how large together, how much in line."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MemoryShort
from mien.media import images
from mien.server.gate import Bytes, Gate
from mien.server.metrics import Metrics
from mien.server.problems import Problem
from mien.server.settings import Limits
from mien.types import U8

from .harness import Client, Start, write_clip


def gate(**limits: object) -> Gate:
    return Gate(replace(Limits(), slots=4, **limits), Metrics())  # type: ignore[arg-type]


def test_large_pictures_wait_for_each_other() -> None:
    way = gate(pixels_at_once=100, wait_s=0.05)
    with way.slot(60), way.slot(40):
        with pytest.raises(Problem, match="not free in time"), way.slot(1):
            pass
        with way.slot():  # what costs nothing goes in
            pass
    with way.slot(100):
        pass


def test_one_larger_than_all_may_goes_in_alone() -> None:
    way = gate(pixels_at_once=100, wait_s=0.05)
    with way.slot(500), pytest.raises(Problem), way.slot(1):
        pass
    with way.slot(1), pytest.raises(Problem), way.slot(500):
        pass


def test_who_waits_is_let_in_when_another_leaves() -> None:
    way = gate(pixels_at_once=100, wait_s=60)
    entered = threading.Event()

    def enter() -> None:
        with way.slot(80):
            entered.set()

    with way.slot(80):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(60)
    thread.join()


def test_bytes_that_wait_are_counted_and_given_back() -> None:
    room = Bytes(100)
    with room.held() as take:
        take(60)
        with (
            room.held() as other,
            pytest.raises(Problem, match="too much is being sent"),
        ):
            other(50)
        take(40)
        assert room.taken == 100
    assert room.taken == 0


def test_forms_hold_no_more_than_all_may(start: Start, photo: bytes) -> None:
    client = start(limits={"held_bytes": len(photo) + 100})
    assert client.analyze(photo).status_code == 200
    told = client.analyze(photo, photo)
    assert (told.status_code, told.json()["type"]) == (503, "urn:mien:problem:busy")
    assert client.analyze(photo).status_code == 200
    assert client.service.gate.held.taken == 0


def test_pictures_are_decoded_inside_the_gate(
    client: Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[tuple[int, int]] = []
    read = images.read_image

    def watched(*args: object, **options: object) -> U8:
        running.append((client.service.gate._running, client.service.gate._pixels))
        return read(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "read_image", watched)
    assert client.analyze(photo).status_code == 200
    assert running == [(1, 512 * 512)]


@pytest.mark.parametrize(
    "error", [MemoryError(), MemoryShort("not enough memory to open the picture")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_short_memory_is_503(
    error: Exception,
    count: int,
    client: Client,
    photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> U8:
        raise error

    monkeypatch.setattr(images, "read_image", fail)
    told = client.analyze(*[photo] * count)
    assert (told.status_code, told.json()["type"]) == (503, "urn:mien:problem:busy")
    assert told.headers["retry-after"]
    assert "memory" in told.json()["detail"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"video_frames": 5}, "more than 5 frames"),
        ({"job_s": 0.0}, "the work took"),
        ({"video_pixels": 100 * 100}, "pixels"),
    ],
    ids=["frames", "work", "pixels"],
)
def test_a_video_costs_no_more_than_it_may(
    limits: dict[str, object], words: str, start: Start, tmp_path: Path
) -> None:
    client = start(limits=limits)
    grey = np.full((64, 64, 3), 99, np.uint8)
    video = write_clip(tmp_path / "clip.mp4", grey, seconds=1, side=128).read_bytes()
    job = client.http.post("/v1/videos", files={"file": ("a.mp4", video)}).json()
    ended = client.wait(job["id"])
    assert (ended["state"], ended["problem"]["type"]) == (
        "failed",
        "urn:mien:problem:too-large",
    )
    assert words in ended["problem"]["detail"]
