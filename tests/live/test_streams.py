"""RTSP and HLS from real servers: plays what is new, survives what happens to servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from live.clips import age_of, numbered, write_clip
from live.servers import serving
from mien.errors import SourceError
from mien.server.fetch import FetchRules
from mien.server.jobs.store import Job
from mien.server.streams import open_stream
from mien.sources import Timeouts, open_source

HASTY = Timeouts(
    open_s=6.0, stall_s=2.0, retry_s=25.0, first_pause_s=0.1, longest_pause_s=0.5
)
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"


def _has_gstreamer() -> bool:
    check = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); "
        "assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')"
    )
    return (
        Path(SYSTEM_PYTHON).exists()
        and not subprocess.run(
            [SYSTEM_PYTHON, "-c", check], capture_output=True
        ).returncode
    )


@pytest.fixture(scope="module")
def port() -> int:
    if not _has_gstreamer():
        pytest.skip(
            "no GStreamer RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi and its plugins"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rtsp(port: int) -> Iterator[subprocess.Popen[str]]:
    """A running RTSP server."""
    server = subprocess.Popen(
        [SYSTEM_PYTHON, str(RTSP_SERVER), str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.mark.slow
def test_rtsp_shows_what_is_new(port: int) -> None:
    with (
        rtsp(port),
        open_source(f"rtsp://127.0.0.1:{port}/clock", timeouts=HASTY) as source,
    ):
        ages, times = [], []
        for frame in source:
            ages.append(age_of(frame.image))
            times.append(frame.time_s)
            time.sleep(
                0.12 if len(ages) % 3 == 0 else 0
            )  # an analysis slower than the stream, now and then
            if len(ages) == 40:
                break
    assert np.median(ages) < 0.5
    assert times == sorted(times)


@pytest.mark.slow
def test_the_service_s_relay_lets_a_real_stream_through(port: int) -> None:
    rules = FetchRules((f"127.0.0.1:{port}",), 0, 5)
    with rtsp(port):
        job = Job(
            "a",
            "local",
            "stream",
            "",
            {"url": f"rtsp://127.0.0.1:{port}/clock", "seconds": 2},
        )
        with open_stream(job, rules) as source:
            ages = [age_of(frame.image) for frame in source]
    assert len(ages) > 10
    assert np.median(ages) < 2


@pytest.mark.slow(20)
def test_rtsp_survives_a_frozen_sender_and_a_restart(port: int) -> None:
    with rtsp(port) as server:
        source = open_source(f"rtsp://127.0.0.1:{port}/clock", timeouts=HASTY)
        frames = iter(source)
        next(frames)
        os.kill(
            server.pid, signal.SIGSTOP
        )  # a cut of ten seconds: the connection stays open, nothing comes
        time.sleep(10)
        os.kill(server.pid, signal.SIGCONT)
        after_freeze = [age_of(next(frames).image) for _ in range(10)]
    with rtsp(port):
        after_restart = [age_of(next(frames).image) for _ in range(10)]
    source.close()
    assert np.median(after_freeze) < 1.0  # not what was sent before it
    assert np.median(after_restart) < 1.0


@pytest.mark.slow
def test_rtsp_address_without_a_stream(port: int) -> None:
    with rtsp(port), pytest.raises(SourceError):
        open_source(f"rtsp://127.0.0.1:{port}/nothing", timeouts=HASTY)


def test_nobody_listens_on_rtsp() -> None:
    with pytest.raises(SourceError):
        open_source("rtsp://127.0.0.1:1/clock", timeouts=HASTY)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HLS stream of twelve pieces of one second each."""
    folder = tmp_path_factory.mktemp("hls")
    clip = write_clip(folder / "all.mp4", numbered(300))
    options = {
        "hls_time": "1",
        "hls_list_size": "0",
        "hls_segment_filename": str(folder / "piece%03d.ts"),
    }
    with (
        av.open(str(clip)) as given,
        av.open(str(folder / "whole.m3u8"), "w", format="hls", options=options) as hls,
    ):
        stream = hls.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                hls.mux(packet)
    assert len(list(folder.glob("piece*.ts"))) == 12
    return folder


@pytest.mark.slow
def test_hls_with_an_end_is_a_file(segments: Path) -> None:
    with serving(segments=segments) as server:
        server.playlist = (segments / "whole.m3u8").read_bytes  # type: ignore[method-assign]
        with open_source(f"{server.url}/hls/whole.m3u8", timeouts=HASTY) as source:
            assert not source.live
            times = [frame.time_s for frame in source]
    assert len(times) == 300
    assert np.allclose(np.diff(times), 0.04, atol=2e-3)


@pytest.mark.slow
def test_live_hls_plays_at_its_own_pace(segments: Path) -> None:
    """Pieces of a second come at once; their frames are shown over a second."""
    with (
        serving(segments=segments) as server,
        open_source(f"{server.url}/hls/live.m3u8", timeouts=HASTY) as source,
    ):
        assert source.live
        arrived, levels = [], []
        for frame in source:
            arrived.append(time.monotonic())
            levels.append(int(frame.image[100, 100].mean()))
            if len(arrived) == 75:
                break
    assert arrived[-1] - arrived[0] > 2.0  # 75 frames at 25 a second
    assert levels == sorted(levels)
    assert 0.01 < np.median(np.diff(arrived)) < 0.15
