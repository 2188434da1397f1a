"""Killed in the middle of uploads, jobs and enrolments: nothing acknowledged is lost, nothing is half there.

`MIEN_KILLS=20` makes it as thorough as a release wants it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from background import until
from mien.types import U8

from .harness import Process, write_clip

KILLS = int(os.environ.get("MIEN_KILLS", "3"))


class Work:
    """Clients that enrol, upload videos and analyse until told to stop, and remember what was acknowledged."""

    def __init__(
        self, base: str, photo: bytes, clip: bytes, numbers: itertools.count[int]
    ) -> None:
        self.base, self.photo, self.clip, self.numbers = base, photo, clip, numbers
        self.people: set[str] = set()
        self.jobs: set[str] = set()
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=self._loop, args=(do,))
            for do in (self._enrol, self._upload, self._ask)
        ]
        for thread in self.threads:
            thread.start()

    def _loop(self, do: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self.base, timeout=20) as http:
            while not self.stop.is_set():
                try:
                    do(http)
                except httpx.TransportError:
                    time.sleep(0.02)

    def _enrol(self, http: httpx.Client) -> None:
        name = f"Person {next(self.numbers)}"
        if (
            http.post(
                "/v1/people", data={"name": name}, files={"file": self.photo}
            ).status_code
            == 201
        ):
            self.people.add(name)

    def _upload(self, http: httpx.Client) -> None:
        answer = http.post("/v1/videos?draw=true", files={"file": ("a.mp4", self.clip)})
        if answer.status_code == 202:
            self.jobs.add(answer.json()["id"])
        time.sleep(0.3)

    def _ask(self, http: httpx.Client) -> None:
        http.post("/v1/analyze", files={"file": self.photo})

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


@pytest.mark.slow(40)
@pytest.mark.timeout(900)
def test_kill_minus_nine(
    process: Callable[..., Process], photo: bytes, astronaut: U8, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", astronaut, seconds=1).read_bytes()
    service = process()
    people: set[str] = set()
    jobs: set[str] = set()
    numbers = itertools.count()
    chance = random.Random(6)
    for turn in range(KILLS):
        work = Work(service.base, photo, clip, numbers)
        time.sleep(chance.uniform(0.1, 1.5))
        if turn == KILLS - 1:  # however slow the machine is, something was promised
            until(lambda: people | work.people and jobs | work.jobs)  # noqa: B023
        service.kill(signal.SIGKILL)
        work.end()
        people |= work.people
        jobs |= work.jobs
        service.start()
        listed = httpx.get(f"{service.base}/v1/people", timeout=20).json()["people"]
        assert {person["name"] for person in listed} >= people
        assert {person["photos"] for person in listed} <= {1}
        known = httpx.get(f"{service.base}/v1/jobs", timeout=20).json()["jobs"]
        assert {job["id"] for job in known} >= jobs
    assert people
    assert jobs
    with httpx.Client(base_url=service.base, timeout=20) as http:
        states: dict[str, str] = {}

        def ended() -> bool:
            listed = http.get("/v1/jobs").json()["jobs"]
            states.update({job["id"]: job["state"] for job in listed})
            return set(states.values()) <= {"done", "failed"}

        until(ended, every_s=0.5)
        assert {states[job] for job in jobs} == {"done"}
        for job in jobs:
            lines = http.get(f"/v1/jobs/{job}/result").text.splitlines()
            assert [json.loads(line)["index"] for line in lines] == list(range(10))
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == set(states)


def upload_of(photo: bytes, base: str) -> tuple[bytes, bytes]:
    """An analysis asked for: the head of the request, and its body, which is sent when the service asks for it."""
    asked = httpx.Request(
        "POST",
        f"{base}/v1/analyze",
        headers={"Expect": "100-continue"},
        files={"file": photo},
    )
    lines = [f"{name}: {value}" for name, value in asked.headers.items()]
    head = "\r\n".join(["POST /v1/analyze HTTP/1.1", *lines, "", ""])
    return head.encode(), asked.read()


@pytest.mark.slow
def test_a_stop_is_graceful(
    process: Callable[..., Process], long_clip: bytes, photo: bytes
) -> None:
    service = process()
    job = httpx.post(
        f"{service.base}/v1/videos", files={"file": long_clip}, timeout=20
    ).json()["id"]
    heard: list[int] = []

    def listen() -> None:
        with httpx.stream(
            "GET", f"{service.base}/v1/jobs/{job}/events", timeout=60
        ) as events:
            heard.append(events.status_code)
            events.read()

    listener = threading.Thread(target=listen)
    listener.start()
    until(lambda: heard == [200])
    with socket.create_connection(("127.0.0.1", service.port), 60) as asking:
        head, body = upload_of(photo, service.base)
        asking.sendall(head)
        assert asking.recv(99).startswith(b"HTTP/1.1 100")  # it waits for the photo
        assert service.popen is not None
        service.popen.send_signal(signal.SIGTERM)
        asking.sendall(body)
        assert asking.recv(99).startswith(b"HTTP/1.1 200")
    assert service.kill(signal.SIGTERM) in (0, -signal.SIGTERM)
    listener.join()
    service.start()
    assert httpx.get(f"{service.base}/v1/jobs/{job}", timeout=20).json()["state"] in {
        "queued",
        "running",
    }
    log = (service.data / "serve.log").read_text()
    assert "Traceback" not in log
    assert all(json.loads(line) for line in log.splitlines())
