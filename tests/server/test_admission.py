"""However many come at once: no more are let in than there is room for, and one caller never takes all of it."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from background import free_port, until
from mien.pipeline import Analyzer
from mien.server import ServerSettings
from mien.server.jobs.store import Job, JobStore
from mien.server.logs import OnceAMinute
from mien.server.places import Places
from mien.server.problems import Problem
from mien.server.run import open_files
from mien.server.settings import Limits

from .harness import Listening, Process, Start, with_gallery

Service = Callable[..., Listening]


@pytest.fixture
def service(models: Analyzer, tmp_path: Path) -> Iterator[Service]:
    """Starts a service on a real socket, with limits by name."""
    started: list[Listening] = []

    def begin(**limits: object) -> Listening:
        settings = ServerSettings(data=tmp_path, port=free_port())
        settings = replace(settings, limits=replace(settings.limits, **limits))
        started.append(
            Listening(settings, with_gallery(models, tmp_path / "people.db")).start()
        )
        return started[-1]

    yield begin
    for one in started:
        one.stop()


def dial(
    service: Listening, *, source: str = "127.0.0.1", send: bytes = b""
) -> socket.socket:
    opened = socket.create_connection(
        ("127.0.0.1", service.port), 10, source_address=(source, 0)
    )
    opened.sendall(send)
    return opened


def is_open(connection: socket.socket) -> bool:
    """Whether the other side has neither answered nor gone."""
    connection.settimeout(0.01)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b"?"
    except TimeoutError:
        return True
    except OSError:
        return False


def end_of(connection: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as ended:
        connection.recv(timeout=60)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def test_uploads_begun_together_get_no_more_places_than_there_are(
    tmp_path: Path,
) -> None:
    jobs = JobStore(tmp_path, Limits(jobs_waiting=5, jobs_per_key=3))

    def begin(number: int) -> str | None:
        try:
            return jobs.admit(f"key {number % 2}")
        except Problem as exc:
            return exc.kind

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(begin, range(40)))
    assert len(list(jobs.folder.iterdir())) == 5
    assert sum(len(answer) == 32 for answer in answers) == 5
    assert {answer for answer in answers if len(answer) != 32} <= {
        "busy",
        "too-many-requests",
    }
    jobs.close()


def test_a_place_is_held_from_admission_until_the_job_ends_or_is_given_up(
    tmp_path: Path,
) -> None:
    jobs = JobStore(tmp_path, Limits(jobs_waiting=2, jobs_per_key=1))
    first = jobs.admit("a")
    with pytest.raises(Problem, match="you have 1 jobs"):
        jobs.admit("a")
    jobs.add(Job(first, "a", "video", "a.mp4"))
    with pytest.raises(Problem, match="you have 1 jobs"):
        jobs.admit("a")
    second = jobs.admit("b")
    with pytest.raises(Problem, match="the queue of jobs is full"):
        jobs.admit("c")
    jobs.discard(second)
    jobs.admit("c")
    jobs.delete(first)
    jobs.admit("a")
    jobs.close()


def test_places_are_shared_and_given_back() -> None:
    places = Places(3, 2, what="seats", retry_s=1)
    with ExitStack() as stack:
        for caller in ("a", "a", "b"):
            stack.enter_context(places.held(caller))
        for caller, kind in (("a", "busy"), ("c", "busy")):
            with pytest.raises(Problem) as refused, places.held(caller):
                pass
            assert refused.value.kind == kind
    assert places.taken == 0
    with places.held("a"), places.held("a"):
        with (
            pytest.raises(Problem, match="you have 2 seats already") as refused,
            places.held("a"),
        ):
            pass
        assert refused.value.kind == "too-many-requests"
        with places.held("b"):
            assert places.taken == 3


def test_one_key_cannot_fill_the_line(start: Start, photo: bytes) -> None:
    client = start(limits={"slots": 1, "waiting": 2, "waiting_per_key": 2})
    line = client.service.gate.line
    with line.held("somebody else"):
        assert client.analyze(photo).status_code == 200
    with line.held("local"), line.held("local"):
        refused = client.analyze(photo)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert client.analyze(photo).status_code == 200


@pytest.mark.slow
def test_listeners_that_come_together_are_counted(
    service: Service, clip: bytes
) -> None:
    listening = service(events_clients=4, events_per_key=3)
    listening.app.state.service.worker.stop()
    jobs = JobStore(listening.app.state.service.settings.data, Limits())
    listening.app.state.service.jobs = jobs
    job_id = jobs.add(Job(jobs.admit("local"), "local", "video", "a.mp4")).id
    ask = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{listening.port}\r\n\r\n".encode()
    listeners = [dial(listening, send=ask) for _ in range(12)]
    firsts = [listener.recv(12) for listener in listeners]
    assert firsts.count(b"HTTP/1.1 200") == 3
    assert firsts.count(b"HTTP/1.1 429") == 9
    for listener in listeners:
        listener.close()
    until(lambda: listening.app.state.service.listeners.taken == 0)
    jobs.close()


@pytest.mark.slow
def test_silent_live_connections_of_one_caller_leave_room_and_are_ended(
    service: Service, photo: bytes
) -> None:
    listening = service(
        live_clients=4, live_per_key=2, live_idle_s=6.0
    )  # a busy machine is slow, not silent
    address = f"ws://127.0.0.1:{listening.port}/v1/live"
    with ExitStack() as stack:
        busy = stack.enter_context(connect(address))
        busy.send(photo)
        assert len(json.loads(busy.recv(timeout=60))["faces"]) == 1
        silent = [stack.enter_context(connect(address)) for _ in range(4)]
        for _ in range(13):
            time.sleep(0.5)
            busy.send(photo)
            assert len(json.loads(busy.recv(timeout=60))["faces"]) == 1
        ends = [end_of(one) for one in silent]
    assert ends.count((1008, "no picture for 6 s")) == 1
    refused = (1013, "you have 2 live connections already; let one end first")
    assert ends.count(refused) == 3
    with connect(address) as later:
        later.send(photo)
        assert len(json.loads(later.recv(timeout=60))["faces"]) == 1


def test_idle_connections_make_room_for_new_ones(service: Service) -> None:
    listening = service(connections=6, connections_per_address=4)
    idle = [dial(listening) for _ in range(12)]
    answer = httpx.get(f"{listening.base}/healthz", timeout=5)
    assert answer.status_code == 200
    assert sum(map(is_open, idle)) <= 4
    assert is_open(idle[-1])
    assert not is_open(idle[0])
    others = [dial(listening, source="127.0.0.2") for _ in range(12)]
    assert httpx.get(f"{listening.base}/healthz", timeout=5).status_code == 200
    assert sum(map(is_open, [*idle, *others])) <= 6


def test_busy_connections_of_one_address_leave_room_for_another(
    service: Service,
) -> None:
    listening = service(connections=6, connections_per_address=4, body_idle_s=20.0)
    half = f"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1:{listening.port}\r\nContent-Length: 9999\r\n"
    half += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
    busy = [dial(listening, send=half.encode()) for _ in range(4)]
    until(lambda: len(listening.server.server_state.connections) == 4)
    refused = dial(listening)
    assert refused.recv(12) == b"HTTP/1.1 503"
    assert all(map(is_open, busy))
    other = dial(
        listening,
        source="127.0.0.2",
        send=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    assert other.recv(12) == b"HTTP/1.1 200"


@pytest.mark.slow
def test_who_does_not_take_what_is_sent_is_ended(service: Service) -> None:
    listening = service(send_idle_s=0.5)
    state = listening.app.state.service
    state.worker.stop()
    jobs = state.jobs = JobStore(state.settings.data, Limits())
    job_id = jobs.add(Job(jobs.admit("local"), "local", "video", "a.mp4")).id
    jobs.end(job_id)
    jobs.path(job_id, "result.jsonl").write_bytes(b"x" * 30_000_000)
    ask = f"GET /v1/jobs/{job_id}/result HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    lazy = dial(listening, send=ask)
    connections = listening.server.server_state.connections
    until(lambda: connections)
    until(lambda: not connections)
    received = 0
    with suppress(
        ConnectionResetError
    ):  # what lies in the buffers comes first, then the end
        while chunk := lazy.recv(1 << 20):
            received += len(chunk)
    assert received < 30_000_000
    assert (
        len(httpx.get(f"{listening.base}/v1/jobs/{job_id}/result", timeout=20).content)
        == 30_000_000
    )
    jobs.close()


def test_warnings_of_one_kind_are_logged_once_a_minute() -> None:
    now = [0.0]
    once = OnceAMinute(lambda: now[0])

    def passes(text: str, line: int = 1, **extra: object) -> bool:
        record = logging.LogRecord(
            "asyncio", logging.ERROR, "file.py", line, text, None, None
        )
        record.__dict__.update(extra)
        passed = once.filter(record)
        now.append(getattr(record, "left_out", 0))
        return passed

    assert [passes(f"no more files\nsocket {i}") for i in range(5)] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert passes("something else")
    assert passes("no more files", request_id="1")
    now[0] = 61.0
    assert passes("no more files")
    assert now[-1] == 4


@pytest.mark.slow
def test_more_connections_than_the_process_may_have(
    process: Callable[..., Process], tmp_path: Path
) -> None:
    """The service starts with few descriptors: it stays within them, answers, and does not fill its log."""
    open_files()
    one = process(files=480)
    since = time.monotonic()
    idle = [socket.create_connection(("127.0.0.1", one.port), 10) for _ in range(900)]
    assert httpx.get(f"{one.base}/readyz", timeout=30).status_code == 200
    for connection in idle:
        connection.close()
    log = (tmp_path / "serve.log").read_text()
    assert "out of system resource" not in log
    assert 1 <= log.count("too many connections") <= 1 + (time.monotonic() - since) / 60
    assert len(log) < 20_000
