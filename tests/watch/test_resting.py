"""A decoder that rests while nothing happens, and misses nothing when something does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mien.sources.base import Need
from mien.sources.resting import Resting
from mien.sources.video import to_sketch, video_stream
from mien.types import U8
from mien.watch.motion import Motion

RATE, SECONDS = 15, 12
ENTERS = 10 * RATE + 7  # in the middle of what lies between two key pictures


def room(i: int, rng: np.random.Generator) -> U8:
    """A room with a sensor's noise; somebody walks in at `ENTERS`."""
    picture = np.tile(np.linspace(30, 120, 320), (180, 1)) + rng.normal(
        0, 3, (180, 320)
    )
    if i >= ENTERS:
        x = 10 + 5 * (i - ENTERS)
        picture[50:130, x : x + 50] += 60 + 30 * np.sin(np.arange(50) / 3)
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.fixture(scope="module", params=["crf 4 s", "crf 1 s", "bitrate 1 s"])
def film(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    """As cameras send them: of even quality or an even rate, a key picture every second or every four."""
    kind, seconds, _ = request.param.split()
    path = Path(tmp_path_factory.mktemp("room")) / f"{kind}-{seconds}.ts"
    rng = np.random.default_rng(3)
    options = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}
    even = {"b": "300k", "maxrate": "300k", "bufsize": "300k"}
    options |= {"crf": "26"} if kind == "crf" else even
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.gop_size = RATE * int(seconds)
        for i in range(SECONDS * RATE):
            picture = av.VideoFrame.from_ndarray(room(i, rng), format="bgr24")
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def decoded(film: Path, resting: Resting) -> Iterator[tuple[int, list[Any]]]:
    """For each packet of a film: its number, and the pictures that come out of the decoder."""
    with av.open(str(film)) as container:
        stream = video_stream(container, str(film), threads="SLICE")
        for i, packet in enumerate(container.demux(stream)):
            if packet.dts is not None:
                yield i, [p for one in resting.due(packet) for p in one.decode()]


def brightness(pictures: list[Any]) -> list[U8]:
    return [to_sketch(picture).copy() for picture in pictures]


def test_key_pictures_alone_are_decoded_where_they_are_enough(film: Path) -> None:
    calm = Resting(lambda: Need.KEYS, clock=iter(range(10**6)).__next__)
    came = [i for i, pictures in decoded(film, calm) if pictures]
    assert 0 in came
    assert len(came) < SECONDS * RATE / 3


def test_key_pictures_too_far_apart_are_not_enough(film: Path) -> None:
    calm = Resting(lambda: Need.SOME, clock=iter(range(10**6)).__next__)
    came = [i for i, pictures in decoded(film, calm) if pictures]
    seldom = max(np.diff(came)) == 1
    assert seldom == (len(came) == SECONDS * RATE)
    assert max(np.diff(came)) <= RATE


def test_who_wakes_gets_all_that_was_held(film: Path) -> None:
    """The pictures after the waking are those of a decoder that never slept."""
    now = [0]
    sleeper = Resting(
        lambda: Need.KEYS if now[0] < ENTERS else Need.ALL,
        clock=lambda: float("-inf"),
    )
    awake = Resting(lambda: Need.ALL)
    whole = brightness([p for _, pictures in decoded(film, awake) for p in pictures])
    woken: list[U8] = []
    for i, pictures in decoded(film, sleeper):
        now[0] = i
        woken += brightness(pictures) if i > ENTERS else []
    assert len(woken) >= SECONDS * RATE - ENTERS - 1
    for mine, true in zip(woken[::-1], whole[::-1], strict=False):
        np.testing.assert_array_equal(mine, true)


def test_somebody_is_noticed_within_a_second(film: Path) -> None:
    motion, awake_s, now_s = Motion(), 2.0, 0.0

    def need() -> Need:
        return Need.SOME if now_s > awake_s else Need.ALL

    resting = Resting(need, clock=lambda: now_s)
    noticed, looked_s, count = None, 0.0, 0
    for i, pictures in decoded(film, resting):
        now_s = i / RATE
        count += bool(pictures)
        if not pictures or now_s < looked_s + 0.2:
            continue
        looked_s = now_s
        if motion.moved(to_sketch(pictures[-1]), now_s):
            awake_s = now_s + 2
            noticed = noticed or (now_s if i >= ENTERS else None)
        elif motion.suspected:
            awake_s = now_s + 0.6
    assert noticed is not None
    assert noticed - ENTERS / RATE < 1.0
    rested = count < 0.6 * SECONDS * RATE
    assert rested == ("-1" in film.name), "what comes often enough lets it rest"


class Packet:
    def __init__(self, size: int, *, key_s: float | None = None) -> None:
        self.size, self.is_keyframe = size, key_s is not None
        self.dts, self.time_base = key_s or 0.0, 1


@pytest.fixture
def at() -> dict[str, float]:
    return {"s": 0.0}


@pytest.fixture
def calm(at: dict[str, float]) -> Resting:
    """A decoder that has learnt what is usual."""
    resting = Resting(lambda: Need.SOME, clock=lambda: at["s"])
    resting.due(Packet(4000, key_s=0.0))
    resting.due(Packet(4000, key_s=1.0))
    for i in range(60):
        resting.due(Packet(1000 + 10 * (i % 3)))
    return resting


def test_a_large_packet_wakes_it_for_a_moment(
    calm: Resting, at: dict[str, float]
) -> None:
    assert len(calm.due(Packet(2000))) == 61, "all that was held, in its order"
    assert len(calm.due(Packet(1000))) == 1
    at["s"] = 1.0
    assert not calm.due(Packet(1000)), "nobody saw anything move"


def test_false_alarms_become_usual(calm: Resting, at: dict[str, float]) -> None:
    """A camera whose sizes jump again and again is not decoded for that."""
    woken = []
    for i in range(40):
        at["s"] += 2.0
        woken.append(bool(calm.due(Packet(1090))))
        at["s"] += 2.0
        calm.due(Packet(1000 + 10 * (i % 3)))
    assert woken[0]
    assert sum(woken) < 10


def test_what_is_held_is_bounded(calm: Resting) -> None:
    for _ in range(5):
        given = [len(calm.due(Packet(1000))) for _ in range(601)]
        assert max(given) == 601, "then all of it is decoded, and nothing is lost"
    assert sum(len(calm.due(Packet(1 << 20))) for _ in range(40)) >= 30


def test_a_decoder_that_gives_pictures_late_never_rests(calm: Resting) -> None:
    calm.able = False
    assert calm.due(Packet(1000))
