"""Requests that mean harm, over a real socket: each is answered rightly, and the service is well afterwards."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from background import free_port, served, until
from mien.pipeline import Analyzer
from mien.server import ServerSettings

from .harness import Listening, with_gallery

IMAGE_BYTES = 300_000
KIND = "multipart/form-data; boundary=b"


class Trap(BaseHTTPRequestHandler):
    """A web server that leads astray."""

    def do_GET(self) -> None:
        lead = {
            "/to-private": "http://10.0.0.1/a.jpg",
            "/to-loopback": "http://127.0.0.1:1/a.jpg",
            "/to-metadata": "http://169.254.169.254/latest/meta-data/",
            "/to-file": "file:///etc/passwd",
            "/to-mapped": "http://[::ffff:10.0.0.1]/",
            "/to-decimal": "http://167772161/",
            "/to-itself": "/to-itself",
        }
        if self.path in lead:
            self.send_response(302)
            self.send_header("location", lead[self.path])
            self.end_headers()
            return
        self.send_response(200 if self.path != "/missing" else 404)
        self.end_headers()
        if self.path == "/endless":
            self._send(b"\xff\xd8\xff" + b"x" * 5_000_000)
        elif self.path == "/slow":
            self._send(b"\xff\xd8\xff", 0.4, 20)
        elif self.path == "/playlist":
            self._send(b"#EXTM3U\n#EXTINF:1,\nhttp://169.254.169.254/\n")
        elif self.path == "/photo":
            self._send(self.server.photo)  # type: ignore[attr-defined]

    def _send(self, data: bytes, pause_s: float = 0, times: int = 1) -> None:
        try:
            for _ in range(times):
                self.wfile.write(data)
                time.sleep(pause_s)
        except OSError:
            return

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def trap(photo: bytes) -> Iterator[str]:
    with served(ThreadingHTTPServer(("127.0.0.1", 0), Trap)) as server:
        server.photo = photo  # type: ignore[attr-defined]
        yield f"127.0.0.1:{server.server_port}"


@pytest.fixture(scope="module")
def service(
    models: Analyzer, trap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listening]:
    data = tmp_path_factory.mktemp("hostile")
    settings = ServerSettings(data=data, port=free_port(), urls=True, url_hosts=(trap,))
    limits = replace(
        settings.limits,
        body_idle_s=0.8,
        header_s=0.8,
        image_bytes=IMAGE_BYTES,
        image_pixels=4_000_000,
        url_s=2.0,
    )
    listening = Listening(
        replace(settings, limits=limits), with_gallery(models, data / "people.db")
    )
    yield listening.start()
    listening.stop()


def form(
    *parts: tuple[str, bytes], boundary: bytes = b"b", end: bytes = b"--b--\r\n"
) -> bytes:
    rows = [
        b"--" + boundary + b"\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n"
        for head, body in parts
    ]
    return b"".join(rows) + end


def post(
    path: str, body: bytes, kind: str = "multipart/form-data; boundary=b"
) -> Callable[[Listening, bytes], object]:
    def call(service: Listening, photo: bytes) -> httpx.Response:
        content = body.replace(b"PHOTO", photo)
        return service.http.post(
            service.base + path,
            content=content,
            headers={"content-type": kind},
            timeout=20,
        )

    return call


def file_part(content: bytes, name: str = "a.jpg") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="file"; filename="{name}"', content


def upload(
    content: bytes, name: str = "a.jpg", path: str = "/v1/analyze"
) -> Callable[[Listening, bytes], object]:
    return post(path, form(file_part(content, name)))


def sent(
    method: str, path: str, **options: object
) -> Callable[[Listening, bytes], object]:
    return lambda service, _: service.http.request(
        method, service.base + path, timeout=20, **options
    )  # type: ignore[arg-type]


def raw(*parts: bytes, pause_s: float = 0.0) -> Callable[[Listening, bytes], object]:
    def call(service: Listening, photo: bytes) -> bytes:
        host = f"127.0.0.1:{service.port}".encode()
        return service.raw(
            *(part.replace(b"HOST", host).replace(b"PHOTO", photo) for part in parts),
            pause_s=pause_s,
        )

    return call


def fetched(url: str) -> Callable[[Listening, bytes], object]:
    return lambda service, _: service.http.post(
        service.base + "/v1/urls", json={"url": url}, timeout=20
    )


def png(
    width: int, height: int, data: bytes = b"", *chunks: tuple[bytes, bytes]
) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = b"".join(chunk(*c) for c in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + rest
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


HEAD = b"POST /v1/analyze HTTP/1.1\r\nHost: HOST\r\nContent-Type: multipart/form-data; boundary=b\r\n"
NAME = 'Content-Disposition: form-data; name="{}"'
NAMED = form((NAME.format("name"), b"Eve\x00"), file_part(b"PHOTO"))

# what is sent -> the status it must get (None: the connection just ends)
REQUESTS: dict[str, tuple[Callable[[Listening, bytes], object], int | None]] = {
    "traversal in a file's name": (upload(b"PHOTO", "../../../../etc/cron.d/x"), 200),
    "traversal with backslashes": (
        upload(b"PHOTO", "..\\\\..\\\\windows\\\\x.jpg"),
        200,
    ),
    "control characters in a file's name": (
        upload(b"PHOTO", "a\x07b\x1b[31m.jpg"),
        200,
    ),
    "polyglot: photo and archive": (upload(b"PHOTO" + b"PK\x05\x06" + b"\0" * 18), 200),
    "polyglot: photo and script": (
        upload(b"PHOTO" + b"<script>alert(1)</script>", "a.html"),
        200,
    ),
    "svg": (
        upload(b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"),
        422,
    ),
    "html called jpg": (upload(b"<html><body>hi</body></html>"), 422),
    "eps": (upload(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"), 422),
    "video called jpg": (upload(b"\x00\x00\x00\x18ftypisom" + b"\x00" * 200), 422),
    "empty file": (upload(b""), 422),
    "photo cut in half": (
        upload(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 20),
        422,
    ),
    "bomb: a png of 2.5 gigapixels": (upload(png(50_000, 50_000)), 422),
    "bomb: a png of zeros": (upload(png(2100, 2100, b"\0" * (2100 * 6301))), 422),
    "bomb: a gif of 4 gigapixels": (
        upload(b"GIF89a" + b"\xff" * 4 + b"\x80\0\0" + b"\0" * 6 + b","),
        422,
    ),
    "bomb: a webp of 268 megapixels": (
        upload(b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2),
        422,
    ),
    "bomb: compressed text in a png": (
        upload(
            png(
                8,
                8,
                b"\0" * 200,
                (b"zTXt", b"a\0\0" + zlib.compress(b"x" * 60_000_000)),
            )
        ),
        422,
    ),
    "json instead of a form": (sent("POST", "/v1/analyze", json={"file": "x"}), 415),
    "form without a boundary": (post("/v1/analyze", b"x", "multipart/form-data"), 415),
    "url-encoded form": (
        post("/v1/analyze", b"file=x", "application/x-www-form-urlencoded"),
        415,
    ),
    "form without its end": (
        post("/v1/analyze", form(file_part(b"PHOTO"), end=b"")),
        400,
    ),
    "garbage for a form": (post("/v1/analyze", b"\x00\xff" * 500), 400),
    "part without a name": (
        post("/v1/analyze", form(("Content-Disposition: form-data", b"x"))),
        400,
    ),
    "part with an endless header": (
        post("/v1/analyze", form((f"X: {'a' * 9000}", b"x"))),
        400,
    ),
    "form without the field file": (
        post("/v1/analyze", form((NAME.format("x"), b"y"))),
        422,
    ),
    "file as text": (post("/v1/analyze", form((NAME.format("file"), b"PHOTO"))), 413),
    "field longer than allowed": (
        post("/v1/analyze", form((NAME.format("x"), b"y" * 9000))),
        413,
    ),
    "a hundred parts": (
        post("/v1/analyze", form(*[(NAME.format("x"), b"y")] * 100)),
        413,
    ),
    "seventeen files": (post("/v1/analyze", form(*[file_part(b"x")] * 17)), 413),
    "file larger than allowed": (upload(b"\xff\xd8\xff" + b"x" * IMAGE_BYTES), 413),
    "body declared far too large": (
        raw(HEAD + b"Content-Length: 99999999999\r\n\r\n"),
        413,
    ),
    "endless chunked body": (
        raw(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            *[b"186a0\r\n" + b"x" * 100_000 + b"\r\n"] * 80,
        ),
        400,
    ),
    "negative length": (raw(HEAD + b"Content-Length: -5\r\n\r\n"), 400),
    "length in words": (raw(HEAD + b"Content-Length: many\r\n\r\n"), 400),
    "two lengths": (
        raw(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        400,
    ),
    "body half sent, then silence": (
        raw(HEAD + b"Content-Length: 5000\r\n\r\n--b\r\n"),
        408,
    ),
    "body byte by byte": (
        raw(
            HEAD + b"Content-Length: 5000\r\n\r\n",
            b"--b\r\nX: ",
            *[b"-"] * 20,
            pause_s=0.2,
        ),
        408,
    ),
    "headers byte by byte": (
        raw(*[bytes([c]) for c in b"GET / HTTP/1.1\r\n"], pause_s=0.15),
        None,
    ),
    "silence": (raw(b""), None),
    "huge header": (
        raw(b"GET / HTTP/1.1\r\nHost: HOST\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
        400,
    ),
    "very many headers": (
        raw(
            b"GET / HTTP/1.1\r\nHost: HOST\r\n"
            + b"".join(b"X%d: y\r\n" % i for i in range(20_000))
            + b"\r\n"
        ),
        400,
    ),
    "no http at all": (
        raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        400,
    ),
    "no host": (raw(b"GET /healthz HTTP/1.1\r\n\r\n"), 400),
    "another host (DNS rebinding)": (
        sent("GET", "/v1/people", headers={"host": "evil.example"}),
        403,
    ),
    "a form from another page": (
        sent("POST", "/v1/people", headers={"origin": "http://evil.example"}),
        403,
    ),
    "a form whose page has no address": (
        sent("POST", "/v1/people", headers={"origin": "http://["}),
        403,
    ),
    "a host that is none": (raw(b"GET /v1/people HTTP/1.1\r\nHost: [::1\r\n\r\n"), 403),
    "a form from a sandbox": (
        sent("DELETE", "/v1/people/x", headers={"origin": "null"}),
        403,
    ),
    "unknown method": (raw(b"BREW /v1/analyze HTTP/1.1\r\nHost: HOST\r\n\r\n"), 405),
    "trace": (sent("TRACE", "/v1/people"), 405),
    "traversal in a path": (
        raw(b"GET /static/../../../../etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n"),
        404,
    ),
    "traversal in a path, encoded": (
        raw(b"GET /static/%2e%2e%2f%2e%2e%2fkeys.json HTTP/1.1\r\nHost: HOST\r\n\r\n"),
        404,
    ),
    "nul in a path": (
        raw(b"GET /static/app.js%00.css HTTP/1.1\r\nHost: HOST\r\n\r\n"),
        403,
    ),
    "traversal in a job's id": (
        raw(b"GET /v1/jobs/..%2f..%2fkeys.json/result HTTP/1.1\r\nHost: HOST\r\n\r\n"),
        404,
    ),
    "sql in an id": (sent("GET", "/v1/jobs/x'%20OR%20'1'='1"), 404),
    "name with nul": (post("/v1/people", NAMED), 422),
    "name that turns the text around": (
        post(
            "/v1/people",
            form((NAME.format("name"), "\u202eevE".encode()), file_part(b"PHOTO")),
        ),
        422,
    ),
    "name longer than a page": (
        sent("PATCH", "/v1/people/x", json={"name": "a" * 5000}),
        422,
    ),
    "name of the wrong type": (
        sent("PATCH", "/v1/people/x", json={"name": {"$ne": 1}}),
        422,
    ),
    "json bomb": (post("/v1/people/x/merge", b"[" * 60_000, "application/json"), 400),
    "json too long": (
        post("/v1/people/x/merge", b'"' + b"a" * 70_000, "application/json"),
        413,
    ),
    "every frame of none": (upload(b"x", path="/v1/videos?every=0"), 422),
    "every of too many digits": (
        upload(b"x", path="/v1/videos?every=" + "9" * 5000),
        422,
    ),
    "playlist called video": (
        upload(b"#EXTM3U\nfile:///etc/passwd\n", "a.mp4", "/v1/videos"),
        422,
    ),
    "list of files called video": (
        upload(b"ffconcat version 1.0\nfile /etc/passwd\n", "a.mp4", "/v1/videos"),
        422,
    ),
    "key with a line break": (
        raw(
            b"GET /v1/people HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer a\x00b\r\n\r\n"
        ),
        400,
    ),
    "another scheme of keys": (
        sent("GET", "/v1/people", headers={"authorization": "Basic YTpi"}),
        401,
    ),
}

ADDRESSES = [
    "http://127.0.0.1/a.jpg",
    "http://localhost/a.jpg",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "rtsp://127.0.0.1/stream",
    "rtsp://[::1]:554/stream",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/x",
    "ftp://example.org/a.jpg",
    "data:image/png;base64,AAAA",
    "concat:/etc/passwd",
    "//127.0.0.1/a.jpg",
    "http://",
    "http://user:secret@127.0.0.1/",
    "http://127.0.0.1\r\nX-Injected: 1/",
    "http://127.0.0.1:99999/",
    "http://[::1/",
    "http://[fec0::1]/",
    "http://[3fff::1]/",
    "http://[2001:db8::1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[::127.0.0.1]/",
    "http://198.18.0.1/",
    "http://192.88.99.1/",
    "http://255.255.255.255/",
    "http://0/",
    "http://0x7f.1/",
]


def status_of(answer: object) -> int | None:
    if isinstance(answer, httpx.Response):
        return answer.status_code
    assert isinstance(answer, bytes)
    return int(answer.split(b" ", 2)[1]) if answer else None


@pytest.mark.slow
@pytest.mark.parametrize("name", REQUESTS)
def test_hostile(name: str, service: Listening, photo: bytes) -> None:
    call, expected = REQUESTS[name]
    answer = call(service, photo)
    assert status_of(answer) == expected, answer
    text = answer.content if isinstance(answer, httpx.Response) else answer
    assert isinstance(text, bytes)
    for secret in (
        b"Traceback",
        b"root:",
        b"site-packages",
        str(service.app.state.service.settings.data).encode(),
    ):
        assert secret not in text
    assert service.http.get(service.base + "/healthz").status_code == 200
    assert service.http.get(service.base + "/v1/people").json() == {"people": []}


@pytest.mark.parametrize("url", ADDRESSES)
def test_addresses_that_are_not_fetched(url: str, service: Listening) -> None:
    answer = service.http.post(service.base + "/v1/urls", json={"url": url}, timeout=20)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mien:problem:address-refused"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/to-private", "address-refused"),
        ("/to-loopback", "address-refused"),
        ("/to-metadata", "address-refused"),
        ("/to-file", "address-refused"),
        ("/to-mapped", "address-refused"),
        ("/to-decimal", "address-refused"),
        ("/to-itself", "source-lost"),
        ("/missing", "source-lost"),
        pytest.param("/slow", "source-lost", marks=pytest.mark.slow),
        ("/endless", "too-large"),
        ("/playlist", "unusable-input"),
        ("/nothing", "unusable-input"),
    ],
)
def test_answers_that_lead_astray(
    path: str, kind: str, service: Listening, trap: str
) -> None:
    answer = service.http.post(
        service.base + "/v1/urls", json={"url": f"http://{trap}{path}"}, timeout=20
    )
    assert answer.json()["type"] == f"urn:mien:problem:{kind}"
    assert list((service.app.state.service.settings.data / "jobs").iterdir()) == []


def test_a_listed_host_is_fetched(service: Listening, trap: str) -> None:
    answer = service.http.post(
        service.base + "/v1/urls", json={"url": f"http://{trap}/photo"}, timeout=20
    )
    assert len(answer.json()["faces"]) == 1


def test_half_an_upload_leaves_nothing(service: Listening, clip: bytes) -> None:
    body = form(file_part(clip, "a.mp4"))
    head = f"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nContent-Type: {KIND}\r\n"
    service.raw(
        head.encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body[: len(body) // 2],
        wait_s=0.1,
    )
    jobs: Path = service.app.state.service.settings.data / "jobs"
    until(lambda: not list(jobs.iterdir()))


def test_a_flood_of_frames_is_outlived(service: Listening, photo: bytes) -> None:
    with connect(f"ws://127.0.0.1:{service.port}/v1/live", max_size=None) as socket:
        for _ in range(300):
            socket.send(photo)
        last = -1
        while last < 299:
            last = json.loads(socket.recv(timeout=20))["index"]
    assert service.http.get(service.base + "/healthz").status_code == 200


def test_a_long_word_of_many_bytes_is_answered(service: Listening) -> None:
    """The reason for which a connection is closed may have 123 bytes."""
    odd = quote("ü" * 200)
    with (
        connect(f"ws://127.0.0.1:{service.port}/v1/live?{odd}=1") as socket,
        pytest.raises(ConnectionClosed) as ended,
    ):
        socket.recv(timeout=60)
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, "üü" in ended.value.rcvd.reason) == (1008, True)


def test_a_huge_frame_ends_the_connection(service: Listening) -> None:
    with connect(f"ws://127.0.0.1:{service.port}/v1/live") as socket:
        with contextlib.suppress(ConnectionClosed):
            socket.send(b"x" * 6_000_000)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    with pytest.raises(InvalidStatus):
        connect(
            f"ws://127.0.0.1:{service.port}/v1/live", origin="http://evil.example"
        ).__enter__()  # type: ignore[arg-type]


@pytest.mark.slow
def test_overload_is_answered_at_once_and_passes(
    models: Analyzer, photo: bytes, tmp_path: Path
) -> None:
    settings = ServerSettings(data=tmp_path, port=free_port())
    limits = replace(settings.limits, slots=1, waiting=2)
    listening = Listening(
        replace(settings, limits=limits), with_gallery(models, tmp_path / "people.db")
    ).start()
    try:
        answers: list[int] = []

        def ask() -> None:
            answer = httpx.post(
                listening.base + "/v1/analyze", files={"file": photo}, timeout=60
            )
            answers.append(answer.status_code)
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers.count(200) >= 3
        assert answers.count(503) >= 10
        assert answers.count(200) + answers.count(503) == 30
        ask()
        assert answers[-1] == 200
    finally:
        listening.stop()
