"""Real servers for the tests: pictures, MJPEG and HLS over HTTP, and the ways in which they go wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2

from background import served
from live.clips import clock_picture

FRAME_S = 0.04


def jpeg() -> bytes:
    """A clock picture as JPEG."""
    return bytes(cv2.imencode(".jpg", clock_picture())[1].tobytes())


class Handler(BaseHTTPRequestHandler):
    """Paths: /shot.jpg /mjpeg /bare /freeze /cut /missing /drip /slowhead /loop /huge /page /hls/…"""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        route = getattr(
            self,
            "serve_" + self.path.strip("/").split("/")[0].split(".")[0],
            self.serve_missing,
        )
        try:
            route()
        except (BrokenPipeError, ConnectionResetError):
            self.server.hung_up += 1

    def answer(
        self, kind: str, *, length: int | None = None, status: int = 200, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def serve_missing(self) -> None:
        self.answer("text/plain", length=4, status=404)
        self.wfile.write(b"gone")

    def serve_shot(self) -> None:
        self.server.asked += 1
        body = jpeg()
        self.answer("image/jpeg", length=len(body))
        self.wfile.write(body)

    def serve_mjpeg(self, *, count: int = 10**9, sized: bool = True) -> None:
        self.answer("multipart/x-mixed-replace; boundary=frame")
        for _ in range(count):
            if self.server.stopping:
                return
            body = jpeg()
            size = f"Content-Length: {len(body)}\r\n" if sized else ""
            self.wfile.write(
                f"--frame\r\nContent-Type: image/jpeg\r\n{size}\r\n".encode()
                + body
                + b"\r\n"
            )
            time.sleep(FRAME_S)

    def serve_bare(self) -> None:
        self.serve_mjpeg(sized=False)

    def serve_cut(self) -> None:
        self.serve_mjpeg(count=5)

    def serve_freeze(self) -> None:
        self.serve_mjpeg(count=5)
        self.wait()

    def serve_absurd(self) -> None:
        self.answer("multipart/x-mixed-replace; boundary=frame")
        length = self.server.part_length
        self.wfile.write(f"--frame\r\nContent-Length: {length}\r\n\r\n".encode())
        self.wait()

    def serve_page(self) -> None:
        self.answer("text/html", length=6)
        self.wfile.write(b"<html>")

    def serve_loop(self) -> None:
        self.answer("text/plain", length=0, status=302, Location="/loop")

    def serve_huge(self) -> None:
        self.answer("image/jpeg", length=4 << 30)
        self.send_zeros()

    def serve_endless(self) -> None:
        self.answer("image/jpeg")
        self.send_zeros()

    def send_zeros(self) -> None:
        while not self.server.stopping:
            self.wfile.write(bytes(1 << 20))
            self.server.sent += 1 << 20

    def serve_drip(self) -> None:
        self.answer("image/jpeg", length=1000)
        self.drip(b"\xff")

    def serve_slowhead(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def drip(self, byte: bytes) -> None:
        while not self.server.stopping:
            self.wfile.write(byte)
            self.wfile.flush()
            time.sleep(0.1)

    def wait(self) -> None:
        while not self.server.stopping:
            time.sleep(0.05)

    def serve_hls(self) -> None:
        name = self.path.rpartition("/")[2]
        body = (
            self.server.playlist()
            if name.endswith(".m3u8")
            else (self.server.segments / name).read_bytes()
        )
        kind = (
            "application/vnd.apple.mpegurl" if name.endswith(".m3u8") else "video/mp2t"
        )
        self.answer(kind, length=len(body))
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """An HTTP server on a free port of this machine; `segments` is the folder of an HLS stream of 1 s pieces."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0, segments: Path = Path()) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.stopping = False
        self.asked = self.sent = self.hung_up = 0
        self.segments = segments
        self.part_length = ""
        self.began = time.monotonic()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def playlist(self) -> bytes:
        """Live: a new segment each second, the last three are listed."""
        newest = int(time.monotonic() - self.began) + 3
        have = sorted(self.segments.glob("*.ts"))[:newest][-3:]
        first = max(0, min(newest, len(list(self.segments.glob("*.ts")))) - 3)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            "#EXT-X-TARGETDURATION:1",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
        ]
        return "\n".join(
            [*lines, *(f"#EXTINF:1.0,\n{p.name}" for p in have), ""]
        ).encode()


@contextmanager
def serving(port: int = 0, segments: Path = Path()) -> Iterator[Server]:
    """A running server."""
    with served(Server(port, segments)) as server:
        try:
            yield server
        finally:
            server.stopping = True
