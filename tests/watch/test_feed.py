"""One camera's pictures, while it fails in all the ways cameras do."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from background import served, until
from live.test_streams import port, rtsp
from mien.sources import Source, Timeouts
from mien.sources.base import Glimpse, Need
from mien.sources.live import LiveSource
from mien.sources.streams import stream
from mien.types import U8, Frame
from mien.watch.cameras import Camera
from mien.watch.clips import Clips
from mien.watch.feed import CameraState, Feed
from mien.watch.lookout import Lookout
from watch.conftest import MjpegCamera

__all__ = ["port"]  # a fixture


class Scripted:
    """A camera that does what a test says."""

    live, received = True, 1

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def newest(self) -> Glimpse | None:
        return None

    def glimpses(self) -> Iterator[Glimpse]:
        raise NotImplementedError


def blank_at(time_s: float) -> Glimpse:
    image = np.full((90, 160, 3), 90, np.uint8)
    return Glimpse(lambda: image, lambda: image, 0, time_s, "scripted")


def scripted_feed(
    source: Scripted,
    *,
    clock: Callable[[], float] = lambda: 1e9,
    clips: Clips | None = None,
    **camera: object,
) -> Feed:
    return Feed(
        Camera(name="wall", source="rtsp://a/1", **camera),
        lambda: None,
        opener=lambda uri, timeouts: cast(Source, source),
        clock=clock,
        clips=clips,
    )


@pytest.fixture
def feed_of() -> Iterator[Callable[..., Feed]]:
    feeds: list[Feed] = []

    def make(source: str, **more: object) -> Feed:
        feed = Feed(Camera(name="wall", source=source, **more), lambda: None)
        feeds.append(feed)
        feed.start()
        return feed

    yield make
    for feed in feeds:
        feed.stop()
        feed.join()


@pytest.mark.slow
def test_a_camera_comes_up_and_a_quiet_one_is_looked_at_once(
    blank: MjpegCamera,
    feed_of: Callable[..., Feed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mien.watch.feed._AFTER_MOTION_S", 0.5)
    feed = feed_of(blank.address)
    until(lambda: feed.waiting)
    frame = feed.take()
    assert frame is not None
    assert frame.source == "wall"
    assert frame.image.shape == (90, 160, 3)
    until(lambda: 8 < feed.state.fps < 30)  # the camera's, not of what was looked at
    assert feed.state.state == "up"
    last = feed.state.last_picture
    assert last is not None
    assert abs(time.time() - last) < 60
    until(lambda: feed.now_s > feed._busy_until)  # as long as the first motion counts
    feed.take()
    time.sleep(0.5)
    assert not feed.waiting, "nothing moves"


def test_the_clock_begins_with_the_first_picture() -> None:
    """However long that takes: here a minute after the connection."""

    now, seen = [1e9], threading.Event()

    class Slow(Scripted):
        def glimpses(self) -> Iterator[Glimpse]:
            now[0] += 60
            yield blank_at(5.0)
            seen.wait()

    feed = scripted_feed(Slow(), clock=lambda: now[0])
    feed.start()
    until(lambda: feed.waiting)
    frame = feed.take()
    assert frame is not None
    assert feed.now_s == frame.time_s == 60
    feed.stop()
    seen.set()
    feed.join()


def test_a_picture_is_converted_once_whoever_wants_it() -> None:
    """For a clip, for the look at it, and for whoever watches; where nobody wants it, not at all."""
    converted, seen = [], threading.Event()

    class Counting(Scripted):
        def glimpses(self) -> Iterator[Glimpse]:
            grey = np.full((90, 160), 90, np.uint8)
            yield Glimpse(self.image, lambda: grey, 0, 5.0, "counting")
            seen.wait()

        def image(self) -> U8:
            converted.append(1)
            return np.full((90, 160, 3), 90, np.uint8)

    for clips, wanted in ((Clips(2), 1), (None, 0)):
        converted.clear()
        feed = scripted_feed(Counting(), clock=time.time, clips=clips, flip=True)
        feed.start()
        until(lambda feed=feed: feed.waiting)
        assert len(converted) == wanted
        assert feed.take() is not None
        assert feed.newest() is not None
        assert len(converted) == 1
        feed.stop()
        seen.set()
        feed.join()


def test_a_sparing_watcher_has_key_pictures_decoded_alone() -> None:
    feed = Feed(Camera(name="wall", source="rtsp://a/1"), lambda: None)
    frame = Frame(np.zeros((90, 160, 3), np.uint8), 0, feed.now_s, "wall")
    needs = []
    for sparing in (False, True, False):
        feed.looked(frame, busy_s=60.0, sparing=sparing)
        needs.append(feed._need())
    assert needs == [Need.ALL, Need.SOME, Need.ALL]


def test_a_picture_that_waited_gives_way_to_the_newest() -> None:
    """Which is then not offered once more."""
    seen, come = threading.Event(), [5.0]

    class Fast(Scripted):
        def newest(self) -> Glimpse:
            return blank_at(come[-1])

        def glimpses(self) -> Iterator[Glimpse]:
            yield self.newest()
            seen.wait()
            yield self.newest()
            come.append(9.0)
            seen.clear()
            while not seen.wait(0.02):
                yield self.newest()

    feed = scripted_feed(Fast())
    feed.start()
    until(lambda: feed.waiting)
    come.append(8.0)
    frame = feed.take()
    assert frame is not None
    assert frame.time_s == 3.0
    assert feed.newest() is not None
    seen.set()
    feed._busy_until = 100.0
    until(lambda: come[-1] == 9.0)
    until(lambda: feed.waiting)
    again = feed.take()
    assert again is not None
    assert again.time_s == 4.0
    seen.set()
    feed.stop()
    feed.join()


def test_a_clock_set_back_leaves_no_camera_unseen() -> None:
    """After the connection that it was set back in, whose picture was taken in an older one's place."""
    now, come, lose = [2e9], [5.0], threading.Event()

    class Lost(Scripted):
        def newest(self) -> Glimpse:
            return blank_at(come[-1])

        def glimpses(self) -> Iterator[Glimpse]:
            yield self.newest()
            lose.wait()
            lose.clear()

    feed = scripted_feed(Lost(), clock=lambda: now[0])
    feed.start()
    until(lambda: feed.waiting)
    come.append(8.0)
    assert feed.take() is not None
    now[0] -= 3600
    lose.set()
    until(lambda: feed.waiting)
    frame = feed.take()
    assert frame is not None
    assert frame.time_s == -3600
    feed.stop()
    lose.set()
    feed.join()


def test_a_new_connection_has_no_newest_picture_before_its_first() -> None:
    """When that was is not known yet: by the last connection's seconds it would be another time."""
    opened, lose, first = [0], threading.Event(), threading.Event()

    class Again(Scripted):
        def __enter__(self) -> Again:
            opened[0] += 1
            return self

        def newest(self) -> Glimpse:
            return blank_at(500.0)

        def glimpses(self) -> Iterator[Glimpse]:
            if opened[0] > 1:
                first.wait()
                return
            yield blank_at(5.0)
            lose.wait()

    feed = scripted_feed(Again())
    feed.start()
    until(lambda: feed.waiting)
    lose.set()
    until(lambda: opened[0] > 1 and feed._live_source is not None)
    frame = feed.take()
    assert frame is not None
    assert frame.time_s == 0.0
    feed.stop()
    first.set()
    feed.join()


@pytest.mark.slow
def test_a_stall_is_noticed(
    blank: MjpegCamera,
    feed_of: Callable[..., Feed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mien.watch.feed._STALL_S", 1.5)
    feed = feed_of(blank.address)
    until(lambda: feed.state.state == "up")
    blank.mode = "stalled"
    until(lambda: feed.state.state == "down")
    assert feed.state.why
    blank.mode = "on"
    until(lambda: feed.state.state == "up")


@pytest.mark.slow
def test_a_camera_unplugged_again_and_again_leaks_nothing(
    blank: MjpegCamera,
    feed_of: Callable[..., Feed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five of one address, so that fifty times take as long as ten."""
    monkeypatch.setattr("mien.watch.feed._FIRST_PAUSE_S", 0.1)
    feeds = [feed_of(blank.address) for _ in range(5)]
    until(lambda: all(feed.state.state == "up" for feed in feeds))
    threads, files = threading.active_count(), open_files()
    for _ in range(10):
        blank.mode = "gone"
        until(lambda: all(feed.state.state == "down" for feed in feeds))
        blank.mode = "on"
        until(lambda: all(feed.state.state == "up" for feed in feeds))
    until(lambda: threading.active_count() <= threads)
    assert open_files() <= files + 1


@pytest.mark.slow
def test_motion_on_the_small_stream_wakes_the_large_one(
    blank: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the camera's own stream nothing moves; while the small one is there, rare pictures of it will do."""
    monkeypatch.setattr("mien.watch.feed._AFTER_MOTION_S", 0.5)
    monkeypatch.setattr("mien.watch.lookout._TRUSTED_S", 1.0)
    small = MjpegCamera(list(blank.pictures), rate=20)
    camera = Camera(name="wall", source=blank.address, idle_source=small.address)
    feed = Feed(camera, lambda: None)
    feed.start()
    until(lambda: feed._need() is Need.KEYS)
    feed.take()
    assert not feed.waiting
    small.pictures[:] = [walker(x) for x in range(0, 120, 3)]
    until(lambda: feed._need() is Need.ALL)
    until(lambda: feed.waiting)
    small.end()
    until(lambda: feed._need() is Need.SOME)
    feed.stop()
    feed.join()


def test_a_small_stream_is_tried_again_after_an_unforeseen_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mien.watch.lookout._PAUSE_S", 0.01)
    tries: list[int] = []

    def opener(uri: int | str, timeouts: Timeouts) -> Source:
        tries.append(1)
        raise KeyError("a fault of ours")

    camera = Camera(name="wall", source="rtsp://a/1", idle_source="rtsp://a/2")
    lookout = Lookout(camera, opener, lambda moved: None)
    lookout.start()
    until(lambda: len(tries) > 2)
    lookout.stop()
    assert "a fault of ours" in caplog.text


def walker(x: int) -> bytes:
    """Somebody before the grey wall."""
    picture = np.full((90, 160, 3), 90, np.uint8)
    picture[20:80, x : x + 30] = 200
    return cv2.imencode(".jpg", picture)[1].tobytes()


@pytest.mark.slow
def test_lost_connections_leave_no_decoders(
    played: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds the pictures it refers to: they hang in circles of Python objects."""
    monkeypatch.setattr("mien.watch.feed._FIRST_PAUSE_S", 0.1)

    def opener(uri: int | str, timeouts: Timeouts) -> Source:
        return LiveSource(
            str(uri), partial(stream, str(uri), timeouts, paced=False), timeouts
        )

    connections = 0

    def count() -> None:
        nonlocal connections
        connections += feed.state.state == "down"

    feed = Feed(Camera(name="wall", source=str(played)), count, opener=opener)
    before = decoders()
    feed.start()
    until(lambda: connections >= 3)
    feed.stop()
    feed.join()
    assert decoders() <= before + 1


def decoders() -> int:
    return sum(isinstance(one, VideoStream) for one in gc.get_objects())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_wrong_password_is_said_as_such(
    blank: MjpegCamera, feed_of: Callable[..., Feed]
) -> None:
    blank.mode = "locked"
    feed = feed_of(blank.address.replace("//", "//me:guess@"))
    until(lambda: feed.state.state == "down")
    assert "wrong user or password" in feed.state.why
    assert "guess" not in feed.state.why


def test_a_wrong_password_of_rtsp_is_said_as_such(feed_of: Callable[..., Feed]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refuse, args=(server,), daemon=True).start()
        feed = feed_of(f"rtsp://me:guess@127.0.0.1:{server.getsockname()[1]}/1")
        until(lambda: feed.state.state == "down")
    assert "wants a user and password, or these are wrong" in feed.state.why
    assert "guess" not in feed.state.why


def refuse(server: socket.socket) -> None:
    """Answers all that RTSP clients ask with 401."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, client.makefile("rwb") as lines:
            number = b"1"
            for line in lines:
                if line.lower().startswith(b"cseq:"):
                    number = line.split(b":")[1].strip()
                if line == b"\r\n":
                    challenge = b'WWW-Authenticate: Basic realm="camera"\r\n'
                    head = b"RTSP/1.0 401 Unauthorized\r\nCSeq: " + number + b"\r\n"
                    lines.write(head + challenge + b"\r\n")
                    lines.flush()


@pytest.mark.slow
def test_a_film_to_download_is_no_camera(
    tmp_path: Path, feed_of: Callable[..., Feed], face_film: Path
) -> None:
    def handler(*args: object) -> SimpleHTTPRequestHandler:
        return SimpleHTTPRequestHandler(*args, directory=str(face_film.parent))  # type: ignore[arg-type]

    with served(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:  # type: ignore[arg-type]
        feed = feed_of(f"http://127.0.0.1:{server.server_port}/{face_film.name}")
        until(lambda: feed.state.state == "down")
    assert "is a file to download, no camera" in feed.state.why


@pytest.mark.slow
def test_rtsp_cameras_of_one_machine_do_not_disturb_each_other(
    port: int, feed_of: Callable[..., Feed]
) -> None:
    """One path sends, dies and comes back; the other does not exist."""
    with rtsp(port):
        good = feed_of(f"rtsp://127.0.0.1:{port}/clock")
        bad = feed_of(f"rtsp://127.0.0.1:{port}/nothing")
        until(lambda: good.state.state == "up")
        until(lambda: bad.state.state == "down")
        assert bad.state.why
    until(lambda: good.state.state == "down")
    with rtsp(port):
        until(lambda: good.state.state == "up")


def test_outside_its_hours_a_camera_is_not_opened(
    blank: MjpegCamera, feed_of: Callable[..., Feed]
) -> None:
    now = time.localtime()
    later = f"{(now.tm_hour + 2) % 24}:00-{(now.tm_hour + 3) % 24}:00"
    feed = feed_of(blank.address, hours=(later,))
    until(lambda: feed.state.state == "off")
    assert feed.state.last_picture is None


def test_a_film_is_read_to_its_end(
    face_film: Path, feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(str(face_film))
    times: list[float] = []
    while not feed.over:
        frame = feed.take()
        if frame is None:
            time.sleep(0.001)
            continue
        times.append(frame.time_s)
        feed.looked(frame, busy_s=3.0)
    assert len(times) >= 18  # 2.4 seconds, a picture every 0.12
    assert times == sorted(times)
    assert feed.state == CameraState(
        "wall",
        "ended",
        since=feed.state.since,
        fps=feed.state.fps,
        last_picture=feed.state.last_picture,
        looked_at=len(times),
    )
