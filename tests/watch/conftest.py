"""What the tests of watching share: two people who are enrolled, a stranger, a film in which they come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from background import served
from mien.pipeline import Analyzer
from mien.sources import open_source
from mien.types import U8
from watch import plays

# Everybody alone and in company, a second visit after a real absence, a short step aside that is none.
SCRIPT: list[plays.Span] = [
    ("Ada", 1.0, 5.0),
    ("Ada", 6.5, 9.0),
    ("Ben", 7.0, 12.0),
    (None, 14.0, 18.0),
    ("Ada", 20.0, 23.0),
]
SECONDS = 24.0
VISITS: list[plays.Span] = [("Ada", 1.0, 9.0), *SCRIPT[2:]]


@pytest.fixture(scope="session")
def people(analyzer: Analyzer, shared: Path) -> dict[str | None, U8]:
    return plays.cast(analyzer, shared / "fixtures" / "photos")


@pytest.fixture(scope="session")
def gallery(
    analyzer: Analyzer, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = tmp_path_factory.mktemp("gallery") / "people.db"
    return plays.enrol(analyzer, shared / "fixtures" / "photos", place)


@pytest.fixture(scope="session")
def played(
    people: dict[str | None, U8], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The film of the script."""
    path = tmp_path_factory.mktemp("film") / "door.mp4"
    return plays.film_of(path, people, SCRIPT, SECONDS)


class MjpegCamera(ThreadingHTTPServer):
    """A camera that shows pictures over and over; `mode` is "on", "stalled", "gone" or "locked"."""

    daemon_threads = True

    def __init__(self, pictures: list[bytes], *, rate: float = plays.RATE) -> None:
        super().__init__(("127.0.0.1", 0), _Mjpeg)
        self.pictures = pictures
        self.rate = rate
        self.mode = "on"
        self.address = f"http://127.0.0.1:{self.server_address[1]}/mjpeg"
        self._serving = ExitStack()
        self._serving.enter_context(served(self))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up is no error."""

    def end(self) -> None:
        self.mode = "gone"
        self._serving.close()


class _Mjpeg(BaseHTTPRequestHandler):
    server: MjpegCamera

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        if self.server.mode in {"gone", "locked"}:
            self.send_error(401 if self.server.mode == "locked" else 503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        at = 0
        while self.server.mode in {"on", "stalled"}:
            if self.server.mode == "on":
                body = self.server.pictures[at % len(self.server.pictures)]
                head = f"--b\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                self.wfile.write(head + body + b"\r\n")
                at += 1
            time.sleep(1 / self.server.rate)


@pytest.fixture(scope="session")
def jpegs(played: Path) -> list[bytes]:
    """The film's pictures."""
    with open_source(str(played)) as frames:
        return [cv2.imencode(".jpg", f.image)[1].tobytes() for f in frames]


@pytest.fixture
def mjpeg(jpegs: list[bytes]) -> Iterator[MjpegCamera]:
    """A camera that shows the film."""
    camera = MjpegCamera(jpegs)
    yield camera
    camera.end()


@pytest.fixture
def blank() -> Iterator[MjpegCamera]:
    """A camera that shows a grey wall."""
    wall = cv2.imencode(".jpg", np.full((90, 160, 3), 90, np.uint8))[1].tobytes()
    camera = MjpegCamera([wall], rate=20)
    yield camera
    camera.end()
