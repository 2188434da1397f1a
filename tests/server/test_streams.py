from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from background import free_port, served, until
from mien.errors import SourceError
from mien.pipeline import Analyzer
from mien.server import ServerSettings
from mien.server.fetch import Fetcher, FetchRules, PinnedAddress, is_public
from mien.server.relay import Answers, Refused, Relay
from mien.server.streams import _Rtsp
from mien.sources import wire
from mien.sources.wire import Wait

from .harness import Listening, Start, with_gallery

DRIPS = {  # what a server sends at once, and then again and again
    "/headers": (b"HTTP/1.1 200 OK\r\n", b"X"),
    "/continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "/status": (b"", b"H"),
    "/picture": (b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff", b"x"),
    "/mjpeg": (
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n",
        b"x",
    ),
}


@pytest.fixture(scope="module")
def dripping() -> Iterator[str]:
    """A server whose answers never end, byte by byte."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def answer(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            path = near.recv(4096).split(b" ")[1].decode()
            first, again = DRIPS[path]
            near.sendall(first)
            while True:
                near.sendall(again)
                time.sleep(0.1)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=answer, args=(listener.accept()[0],), daemon=True
                ).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@pytest.mark.slow
@pytest.mark.timeout(120)  # which an answer that never ends reaches
@pytest.mark.parametrize("path", ["/headers", "/continue", "/status", "/picture"])
def test_one_deadline_holds_for_all_of_an_answer(
    path: str, dripping: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"stopped sending|no answer in time"):
        Fetcher(FetchRules((dripping,), 1, 0.8)).fetch(
            f"http://{dripping}{path}",
            video_path=tmp_path / "v",
            picture_bytes=9_000,
            video_bytes=9_000,
        )


@pytest.mark.slow
@pytest.mark.timeout(120)  # less than the fetch may take
def test_a_fetch_ends_when_nobody_waits_any_more(dripping: str, tmp_path: Path) -> None:
    began = time.monotonic()
    rules = FetchRules((dripping,), 1, 999, 999, lambda: time.monotonic() - began > 0.5)
    with pytest.raises(SourceError):
        Fetcher(rules).fetch(
            f"http://{dripping}/headers",
            video_path=tmp_path / "v",
            picture_bytes=9_000,
            video_bytes=9_000,
        )


@pytest.mark.slow
def test_slow_peers_leave_the_rest_of_the_api_alone(
    models: Analyzer, dripping: str, tmp_path: Path
) -> None:
    settings = ServerSettings(
        data=tmp_path, port=free_port(), urls=True, url_hosts=(dripping,)
    )
    limits = replace(settings.limits, url_s=999.0, fetches=4, fetches_per_key=3)
    listening = Listening(
        replace(settings, limits=limits), with_gallery(models, tmp_path / "people.db")
    ).start()
    try:
        body = json.dumps({"url": f"http://{dripping}/headers"}).encode()
        head = f"POST /v1/urls HTTP/1.1\r\nHost: 127.0.0.1:{listening.port}\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        slow = [
            socket.create_connection(("127.0.0.1", listening.port), 10)
            for _ in range(40)
        ]
        for one in slow:
            one.sendall(request)
        fetches = listening.app.state.service.fetches
        until(lambda: fetches.taken == 3)
        assert listening.http.get(f"{listening.base}/v1/people").status_code == 200
        assert listening.http.get(f"{listening.base}/v1/jobs").status_code == 200
        told = listening.http.post(
            f"{listening.base}/v1/urls", json={"url": f"http://{dripping}/headers"}
        )
        assert (told.status_code, told.headers["retry-after"]) == (429, "5")
        for one in slow:
            one.close()
        until(lambda: fetches.taken == 0)  # long before their time is over
        until(lambda: not list((tmp_path / "jobs").iterdir()))
    finally:
        listening.stop()


@pytest.mark.slow
def test_a_stream_without_pictures_ends_in_its_time(
    start: Start, dripping: str
) -> None:
    client = start(urls=True, url_hosts=(dripping,))
    began = time.monotonic()
    job = client.http.post(
        "/v1/urls", json={"url": f"http://{dripping}/mjpeg", "seconds": 1.0}
    ).json()
    ended = client.wait(job["id"])
    assert (ended["state"], ended["problem"]["type"]) == (
        "failed",
        "urn:mien:problem:source-lost",
    )
    assert time.monotonic() - began < 10


def test_a_stream_without_pictures_is_cancelled(start: Start, dripping: str) -> None:
    client = start(urls=True, url_hosts=(dripping,))
    job = client.http.post(
        "/v1/urls", json={"url": f"http://{dripping}/mjpeg", "seconds": 50.0}
    ).json()
    until(lambda: client.http.get(f"/v1/jobs/{job['id']}").json()["state"] == "running")
    assert client.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    until(lambda: client.service.worker._run is None)


class Camera(BaseHTTPRequestHandler):
    """A network camera: JPEGs without end."""

    def do_GET(self) -> None:
        left = 3 if self.path == "/three" else 1 << 30
        self.send_response(200)
        self.send_header("content-type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        picture = self.server.photo  # type: ignore[attr-defined]
        try:
            while (left := left - 1) >= 0:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def camera(photo: bytes) -> Iterator[str]:
    with served(ThreadingHTTPServer(("127.0.0.1", 0), Camera)) as server:
        server.photo = photo  # type: ignore[attr-defined]
        yield f"127.0.0.1:{server.server_port}"


@pytest.mark.slow
def test_a_camera_is_looked_at_for_a_bounded_time(
    start: Start, camera: str, photo: bytes
) -> None:
    client = start(urls=True, url_hosts=(camera,))
    client.enrol("Ada", photo)
    answer = client.http.post(
        "/v1/urls", json={"url": f"http://{camera}/live", "seconds": 6.0}
    )
    assert answer.status_code == 202
    job = client.wait(answer.json()["id"])
    assert (job["state"], job["kind"]) == ("done", "stream")
    lines = [
        json.loads(line)
        for line in client.http.get(f"/v1/jobs/{job['id']}/result").text.splitlines()
    ]
    assert len(lines) >= 2, job
    assert lines[-1]["time_s"] < 12
    assert lines[-1]["faces"][0]["name"] == "Ada"


@pytest.mark.slow
def test_a_stream_that_ends_by_itself_is_done(start: Start, camera: str) -> None:
    client = start(urls=True, url_hosts=(camera,))
    order = {"url": f"http://{camera}/three", "seconds": 30.0}
    job = client.wait(client.http.post("/v1/urls", json=order).json()["id"])
    assert job["state"] == "done", job
    assert 1 <= job["frames"] <= 3


@pytest.mark.slow
def test_urls_are_off_unless_allowed(start: Start, camera: str) -> None:
    answer = start().http.post("/v1/urls", json={"url": f"http://{camera}/live"})
    assert (answer.status_code, answer.json()["type"]) == (
        403,
        "urn:mien:problem:forbidden",
    )


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.8.9.1", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.0.0.1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("2001:0:53aa:64c::", False),
        ("fe80::1%eth0", False),
        ("ff02::1", False),
        ("fc00::1", False),
    ],
)
def test_public_addresses(ip: str, public: bool) -> None:
    assert is_public(ip) is public


@pytest.mark.slow
def test_the_checked_address_is_the_one_connected_to(camera: str) -> None:
    """Whatever the name would resolve to by then."""
    url = urlsplit(f"http://rebinding.invalid:{camera.rpartition(':')[2]}/live")
    answer = wire.get(url, ["127.0.0.1"], {}, Wait(3, lambda: False))
    assert answer.status == 200
    answer.close()


def rtsp_server(answer: Callable[[int], bytes]) -> tuple[int, list[bytes]]:
    """A server that gives one answer to everything; its port and what it was asked."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with near:
                while data := near.recv(4096):
                    asked.append(data)
                    near.sendall(answer(port))

    threading.Thread(target=serve, daemon=True).start()
    return port, asked


REDIRECTS = [
    b"RTSP/1.0 302 Moved",
    b"RTSP/1.0  302 Moved",
    b"RTSP/1.0\t302 Moved",
    b"RTSP/1 302 Moved",
    b"RTSP/1.0 0302 Moved",
    b"RTSP/1.0 +302 Moved",
    b"RTSP/2.00 302 Moved",
    b"RTSP/ 302",
    b"RT\rSP/1.0 302 Moved",
    b"\x00RTSP/1.0 302 Moved",
    b"RTSP/1.0 200 OK\r\n\r\nRTSP/1 302 Moved",
    b"$\x00\x00\x02abRTSP/1 302 Moved",
]


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_stream_that_leads_elsewhere_is_cut(status: bytes) -> None:
    elsewhere, asked_elsewhere = rtsp_server(
        lambda _: b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"
    )
    location = f"rtsp://127.0.0.1:{elsewhere}/inside".encode()
    port, asked = rtsp_server(
        lambda _: status + b"\r\nCSeq: 1\r\nLocation: " + location + b"\r\n\r\n"
    )
    rules = FetchRules((f"127.0.0.1:{port}",), 0, 3)
    target = Fetcher(rules).resolve(f"rtsp://127.0.0.1:{port}/cam")
    with pytest.raises(SourceError):
        _first_frame(target)
    assert asked
    assert asked_elsewhere == []


OK = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nv=0\r\n"
FRAME = b"$\x00\x00\x0c" + b"RTSP/1.0 302"  # a picture may hold any bytes


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_what_is_passed_on(step: int) -> None:
    sent = (
        OK
        + FRAME
        + b"$\x01\x00\x02ab"
        + b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
        + FRAME
    )
    answers = Answers()
    passed = b"".join(
        answers.take(sent[i : i + step]) for i in range(0, len(sent), step)
    )
    assert passed == sent.replace(b"$\x01\x00\x02ab", b"")


@pytest.mark.parametrize(
    "message",
    [
        b"RTSP/1.0 200 OK\r\nContent-Length : 90\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 5\r\ncontent-length: 9\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: +5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nX: a\nRTSP/1.0 302\r\n\r\n",
        b"RTSP/1.0 200 OK\nCSeq: 1\n\n\r\n\r\n",
        b"REDIRECT rtsp://10.0.0.1/ RTSP/1.0\r\n\r\n",
        b"X" * 70_000,
    ],
)
def test_what_is_not(message: bytes) -> None:
    with pytest.raises(Refused):
        Answers().take(message)


def _first_frame(target: PinnedAddress) -> object:
    source = _Rtsp(target, Wait(3, lambda: False))
    try:
        return next(iter(source))
    finally:
        source.close()


def test_the_relay_passes_on_what_is_no_redirect() -> None:
    port, asked = rtsp_server(lambda _: b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
    relay = Relay(
        PinnedAddress(
            urlsplit(f"rtsp://127.0.0.1:{port}/"), "127.0.0.1", port, "127.0.0.1"
        ),
        3,
    )
    with socket.create_connection(("127.0.0.1", relay.port), 3) as near:
        near.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        assert near.recv(100).startswith(b"RTSP/1.0 200")
    relay.close()
    assert asked == [b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"]
