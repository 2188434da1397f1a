"""Where pictures come from: files as they are in the wild, and addresses that misbehave."""

from __future__ import annotations

import gc
import socket
import threading
import time
from dataclasses import replace
from fractions import Fraction
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest

from live.clips import age_of, numbered, with_aspect, with_matrix, write_clip
from live.servers import serving
from mien.errors import InputError, SourceError
from mien.sources import Timeouts, expand, is_video, open_source, video, wire
from mien.sources.http import Client, by_name, fetch_image
from mien.sources.live import LiveSource
from mien.sources.wire import Wait

HASTY = Timeouts(
    open_s=2.0, stall_s=1.0, retry_s=4.0, first_pause_s=0.05, longest_pause_s=0.4
)
SILENT = replace(HASTY, open_s=0.5)  # for who does not answer, however long one waits


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", numbered(50))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.mp4", True), ("A.MOV", True), ("a.jpg", False), ("mp4", False)],
)
def test_is_video(name: str, expected: bool) -> None:
    assert is_video(name) is expected


def test_a_folder_gives_photos_and_videos_by_name(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.mp4", ".hidden.jpg", "c.txt", "sub/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [Path(p).name for p in expand(str(tmp_path))] == ["a.mp4", "b.jpg", "d.png"]


def test_every_frame_of_a_file_with_its_time(clip: Path) -> None:
    with open_source(str(clip)) as source:
        assert (source.live, source.rate, source.frames) == (False, 25.0, 50)
        frames = list(source)
    assert [f.index for f in frames] == list(range(50))
    assert np.allclose([f.time_s for f in frames], np.arange(50) / 25, atol=1e-3)
    levels = [int(f.image[100, 100].mean()) for f in frames]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 150
    assert frames[0].image.shape == (120, 160, 3)
    assert frames[0].source == str(clip)


def test_uneven_frame_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.3, 0.35, 1.2, 1.21, 2.0]
    path = write_clip(tmp_path / "vfr.mp4", numbered(7), times=times)
    with open_source(str(path)) as source:
        assert np.allclose([f.time_s for f in source], times, atol=2e-3)


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((1, 0, 0, 1), (0, 0)),
        (
            (0, 1, -1, 0),
            (0, 1),
        ),  # a quarter clockwise: from the upper left to the upper right
        ((-1, 0, 0, -1), (1, 1)),
        ((0, -1, 1, 0), (1, 0)),
        ((-1, 0, 0, 1), (0, 1)),  # a mirror, as front cameras write it
        ((1, 0, 0, -1), (1, 0)),
        ((0, 1, 1, 0), (0, 0)),
        ((0, -1, -1, 0), (1, 1)),
        ((2, 0, 0, 2), (0, 0)),
    ],
)
def test_the_whole_display_matrix_is_followed(
    matrix: tuple[float, float, float, float],
    corner: tuple[int, int],
    clip: Path,
    tmp_path: Path,
) -> None:
    """The white corner goes where the matrix says, and no other is white."""
    with open_source(str(with_matrix(clip, tmp_path / "turned.mp4", matrix))) as source:
        image = next(iter(source)).image
    assert image.shape == ((120, 160, 3) if matrix[0] else (160, 120, 3))
    white = [
        (y, x)
        for y in (0, 1)
        for x in (0, 1)
        if image[[5, -5][y], [5, -5][x]].mean() > 200
    ]
    assert white == [corner]


def test_pictures_that_are_gone_do_not_wait_for_the_collector(clip: Path) -> None:
    """They are a megabyte and more, and it counts objects."""

    def pictures() -> int:
        return sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = pictures()  # what other tests may still hold
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                assert video.to_sketch(frame).ndim == 2
                assert video.to_image(frame).ndim == 3
        del frame
        assert pictures() <= before + 1  # the converter may keep one
    finally:
        gc.enable()


def test_a_display_matrix_of_another_angle(clip: Path, tmp_path: Path) -> None:
    half = 0.5**0.5
    with open_source(
        str(with_matrix(clip, tmp_path / "turned.mp4", (half, half, -half, half)))
    ) as source:
        image = next(iter(source)).image
    assert image.shape == (198, 198, 3)
    assert (
        image[10, 120 * 198 // 280].mean() > 200
    )  # the upper left corner is the uppermost now
    assert image[5, 5].mean() == 0


@pytest.mark.parametrize(
    ("aspect", "size_wh"),
    [
        (Fraction(2), (320, 120)),
        (Fraction(1, 2), (160, 240)),
        (Fraction(16, 15), (171, 120)),
        (Fraction(50), (160, 120)),
    ],
)
def test_pixels_are_made_square(
    aspect: Fraction, size_wh: tuple[int, int], clip: Path, tmp_path: Path
) -> None:
    with open_source(str(with_aspect(clip, tmp_path / "wide.mp4", aspect))) as source:
        image = next(iter(source)).image
    assert image.shape == (size_wh[1], size_wh[0], 3)
    assert (image[..., 0] > 200).mean() == pytest.approx(1 / 16, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anamorphic-sar2.mp4", "mirrored-matrix.mp4"])
def test_geometry_of_films_that_were_found(name: str, shared: Path) -> None:
    with open_source(str(shared / "faults" / name)) as source:
        image = next(iter(source)).image
    assert image.shape == (360, 640, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [b"", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE\r\n\r\n", b"RTSP/1.0 2"],
)
def test_a_silent_rtsp_server_is_a_timeout(said: bytes) -> None:
    """It takes the connection, says nothing or not enough, and waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.recv(4096)
                peer.sendall(said)
                peer.settimeout(10)
                while peer.recv(4096):
                    pass

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(SourceError, match="does not answer in time"):
            open_source(
                f"rtsp://127.0.0.1:{server.getsockname()[1]}/x", timeouts=SILENT
            )


def test_a_broken_tail_ends_the_video(clip: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.ts"
    with av.open(str(clip)) as given, av.open(str(whole), "w") as copy:
        out = copy.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = out
                copy.mux(packet)
    data = whole.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[: len(data) * 6 // 10] + bytes(1000))
    with open_source(str(cut)) as source:
        frames = list(source)
    assert 20 <= len(frames) < 50


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "no video"),
        (b"not a video at all" * 50, "no video"),
        (b"moov cut", "no video"),
    ],
    ids=["missing", "empty", "text", "cut"],
)
def test_what_is_no_video_says_so(
    clip: Path, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "x.mp4"
    if content == b"moov cut":
        content = clip.read_bytes()[:1500]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=words):
        open_source(str(path))


def test_what_may_have_been_meant_as_a_picture_is_not_called_a_video(
    tmp_path: Path,
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("neither\n" * 50)
    with pytest.raises(SourceError, match="neither a picture nor a video"):
        open_source(str(path))


def test_a_playlist_on_disk_cannot_reach_the_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    with serving() as server:
        path.write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{server.url}/shot.ts\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(SourceError), open_source(str(path)) as source:
            list(source)
        assert server.asked == 0


def scripted(clip: Path) -> dict[str, str]:
    """Files that name other files, for FFmpeg to open."""
    one = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nfile://{clip}\n#EXT-X-ENDLIST\n"
    return {
        "playlist": one,
        "list": f"ffconcat version 1.0\nfile 'file:{clip}'\n",
        "manifest": DASH.format(clip),
        "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
    }


DASH = """<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static"
 mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"
 codecs="avc1"><BaseURL>file://{}</BaseURL></Representation></AdaptationSet></Period></MPD>
"""


@pytest.mark.parametrize("kind", ["playlist", "list", "manifest", "session"])
@pytest.mark.parametrize(
    "head", [b"", b"\0\0\1\xba" + bytes(12) + b"\n"], ids=["as it is", "called MPEG"]
)
def test_a_script_called_video_opens_nothing(
    kind: str, head: bytes, clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(head + scripted(clip)[kind].encode())
    with pytest.raises(SourceError), open_source(str(path)) as source:
        list(source)


def test_a_playlist_that_says_so_is_played(clip: Path, tmp_path: Path) -> None:
    segment = tmp_path / "a.ts"
    with av.open(str(clip)) as given, av.open(str(segment), "w") as copy:
        out = copy.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = out
                copy.mux(packet)
    path = tmp_path / "list.m3u8"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\na.ts\n#EXT-X-ENDLIST\n"
    )
    with open_source(str(path)) as source:
        assert next(iter(source)).image.ndim == 3


def test_photos_are_frames(astronaut_file: Path) -> None:
    with open_source(str(astronaut_file)) as source:
        (frame,) = source
    assert (frame.image.shape, frame.source) == ((512, 512, 3), str(astronaut_file))


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://127.0.0.1/a.mp4",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1:99999/",
    ],
)
def test_addresses_that_cannot_be(uri: str) -> None:
    with pytest.raises(SourceError):
        open_source(uri, timeouts=HASTY)


def test_no_camera_is_said_in_one_line() -> None:
    with pytest.raises(
        SourceError, match=r"^no camera 97 .*video file or a URL[^\n]*$"
    ):
        open_source(97)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing", "404"),
        ("loop", "redirects more than 5 times"),
        ("page", "is a page"),
        ("slowhead", "no answer in time"),
    ],
)
def test_addresses_that_fail_at_once(path: str, words: str) -> None:
    with serving() as server, pytest.raises(SourceError, match=words):
        open_source(f"{server.url}/{path}", timeouts=SILENT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("drip", "stopped sending"),
        ("huge", "more than the limit"),
        ("endless", "limit|stopped sending"),
    ],
)
def test_pictures_that_never_end(path: str, words: str) -> None:
    small = Timeouts(open_s=2, stall_s=1, retry_s=1, image_bytes=4 << 20)
    with serving() as server:
        with pytest.raises(SourceError, match=words):
            fetch_image(f"{server.url}/{path}", small)
        assert server.sent < 100 << 20


def test_the_next_address_of_a_host_is_tried() -> None:
    """As where a name stands for two machines, and the first does not answer."""
    with serving() as server:
        url = urlsplit(f"http://camera.invalid:{server.server_address[1]}/shot.jpg")
        ips = ["127.0.0.9", "127.0.0.1"]
        with wire.get(url, ips, {}, Wait(3, lambda: False)) as answer:
            assert answer.status == 200


def test_a_client_asks_by_its_transport_alone() -> None:
    """Redirects too: what the transport refuses is not reached."""
    asked: list[str] = []

    def transport(url: str, wait: Wait) -> HTTPResponse:
        asked.append(url)
        if url.endswith("/other"):
            raise SourceError("not there")
        return by_name(url, wait)

    with serving() as server:
        client = Client(transport, redirects=1, name="the camera")
        with pytest.raises(SourceError, match="the camera redirects more than 1 times"):
            client.get(f"{server.url}/loop", Wait(3, lambda: False))
        assert len(asked) == 2
        with pytest.raises(SourceError, match="not there"):
            client.get(f"{server.url}/other", Wait(3, lambda: False))
        with pytest.raises(SourceError, match="the camera answers 404 Not Found"):
            client.get(f"{server.url}/missing", Wait(3, lambda: False))


def test_nobody_listens() -> None:
    with pytest.raises(SourceError, match="cannot reach"):
        open_source("http://127.0.0.1:1/shot.jpg", timeouts=HASTY)


def test_passwords_are_not_shown() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("http://me:hunter2@127.0.0.1:1/shot.jpg", timeouts=HASTY)
    assert "hunter2" not in str(caught.value)


def test_the_end_of_a_stream_names_it_without_its_password() -> None:
    ended = LiveSource("rtsp://me:hunter2@camera/1", lambda: iter([]), HASTY)
    with ended, pytest.raises(SourceError, match="…@camera/1 ended"):
        next(iter(ended))


def test_a_password_that_ends_the_address_early_is_told_the_cure() -> None:
    with pytest.raises(SourceError, match="percent-encoded") as caught:
        open_source("rtsp://me:hun/ter2@127.0.0.1:1/door", timeouts=HASTY)
    assert "ter2" not in str(caught.value)


@pytest.mark.slow
def test_a_picture_is_taken_once_or_polled() -> None:
    with serving() as server:
        with open_source(f"{server.url}/shot.jpg", poll_rate=None) as source:
            assert len(list(source)) == 1
        asked = server.asked
        with open_source(f"{server.url}/shot.jpg", poll_rate=10) as source:
            assert source.live
            frames = iter(source)
            ages = [age_of(next(frames).image) for _ in range(8)]
    assert server.asked - asked >= 8
    assert np.median(ages) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["mjpeg", "bare"])
def test_mjpeg_never_falls_behind(path: str) -> None:
    """A reader five times slower than the sender still sees what is new."""
    with (
        serving() as server,
        open_source(f"{server.url}/{path}", timeouts=HASTY) as source,
    ):
        ages = []
        for frame in source:
            ages.append(age_of(frame.image))
            time.sleep(0.2)
            if len(ages) == 8:
                break
    assert np.median(ages[-4:]) < 0.6  # of who falls behind: 0.9


@pytest.mark.slow
@pytest.mark.parametrize("path", ["cut", "freeze"])
def test_a_stream_that_was_lost_comes_back(path: str) -> None:
    """Five pictures to a connection: more than five means that it was connected again."""
    with (
        serving() as server,
        open_source(f"{server.url}/{path}", timeouts=HASTY) as source,
    ):
        frames = iter(source)
        times = [next(frames).time_s for _ in range(8)]
    assert times == sorted(times)


@pytest.mark.slow
def test_a_server_may_restart_and_a_dead_one_is_given_up() -> None:
    with serving() as server:
        port = server.server_address[1]
        source = open_source(f"{server.url}/mjpeg", timeouts=HASTY)
        frames = iter(source)
        next(frames)
    with serving(port):
        later = [next(frames) for _ in range(3)]
    assert [f.index for f in later] == [1, 2, 3]
    with source, pytest.raises(SourceError):
        for _ in frames:
            pass


def test_closing_ends_the_reader() -> None:
    with serving() as server:
        before = {t.ident for t in threading.enumerate()}
        with open_source(f"{server.url}/mjpeg", timeouts=HASTY) as source:
            next(iter(source))
            assert any(t.name == "mien source" for t in threading.enumerate())
        left = [
            t
            for t in threading.enumerate()
            if t.name == "mien source" and t.ident not in before
        ]
    assert not left


@pytest.mark.slow
def test_many_connections_leave_nothing_behind() -> None:
    """A stream that is lost every fifth picture, for two hundred pictures: no thread and no file stays."""
    at_once = Timeouts(
        open_s=2.0, stall_s=1.0, retry_s=4.0, first_pause_s=0.01, longest_pause_s=0.01
    )
    with (
        serving() as server,
        open_source(f"{server.url}/cut", timeouts=at_once) as source,
    ):
        frames = iter(source)
        open_files, threads = [], []
        for i in range(200):
            next(frames)
            if i % 20 == 10:
                open_files.append(
                    len(list(Path("/proc/self/fd").iterdir()))
                    if Path("/proc/self/fd").exists()
                    else 0
                )
                threads.append(threading.active_count())
    assert max(open_files[5:]) <= max(open_files[:5]) + 3
    assert max(threads[5:]) <= max(threads[:5]) + 3


def test_a_wrong_picture_in_a_stream_is_no_crash() -> None:
    from mien.sources.http import decode_jpeg

    with pytest.raises(InputError):
        decode_jpeg(b"\xff\xd8 no picture", "http://camera/1")


@pytest.mark.parametrize("digits", [19, 5000])
def test_a_part_whose_length_is_absurd_is_said(digits: int) -> None:
    with serving() as server:
        server.part_length = "9" * digits
        with pytest.raises(SourceError, match="announces a picture of"):
            open_source(f"{server.url}/absurd", timeouts=HASTY)


LONG = "9" * 5000


@pytest.mark.parametrize("number", [-1, 10**6, 10**5000], ids=["-1", "7", "5000"])
def test_cameras_of_absurd_numbers(number: int) -> None:
    with pytest.raises(SourceError, match="one from 0 to"):
        open_source(number)


def test_names_that_the_system_does_not_take_are_said() -> None:
    with pytest.raises(SourceError, match="cannot read"):
        open_source(LONG)
    with pytest.raises(SourceError, match="cannot read"):
        expand(LONG)
