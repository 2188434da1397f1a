"""How fast `mien serve` is beside the bare analyzer, what it does when there is too much, and whether it lasts.

    python benchmarks/server.py                     # 1, 8 and 32 clients, then an overload
    python benchmarks/server.py --soak 30 --curve x # half an hour of mixed load instead; x.csv, x.svg

Single-face JPEGs of 640 x 480. All runs are interleaved and medians are given; on a shared machine the ratios count.
The clients run in this process and use the same processors as the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import curves
import cv2
import numpy as np
import psutil
import skimage.data

from mien import backup
from mien.errors import MienError
from mien.media import images
from mien.pipeline import Analyzer
from mien.types import U8

CORES = len(os.sched_getaffinity(0))
VARIANTS = 8


def pictures() -> list[bytes]:
    """JPEGs (640, 480) with one face each, a little different from each other."""
    photo = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    rows = []
    for i in range(VARIANTS):
        canvas = np.full((480, 640, 3), 70 + 10 * i, np.uint8)
        canvas[:, 60 + 10 * i : 540 + 10 * i] = cv2.resize(
            photo, (480, 480), interpolation=cv2.INTER_AREA
        )
        rows.append(
            cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        )
    return rows


def form(content: bytes, **fields: str) -> tuple[str, bytes]:
    """A form with one file: its content type and body."""
    rows = [
        f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
        for k, v in fields.items()
    ]
    head = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    )
    return "multipart/form-data; boundary=b", b"".join(
        rows
    ) + head + content + b"\r\n--b--\r\n"


def request(method: str, path: str, kind: str = "", body: bytes = b"") -> bytes:
    """A request's bytes, made once."""
    typed = f"Content-Type: {kind}\r\n" if kind else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{typed}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


@dataclass
class Tally:
    """What clients saw: answers by status, and the seconds each took."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: dict[int, list[float]] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    lost: int = 0
    took: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.setdefault(status, []).append(seconds)

    def percentile(self, status: int, q: float) -> float:
        return float(np.percentile(self.seconds.get(status, [float("nan")]), q) * 1000)


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
) -> tuple[int, bytes]:
    """Sends a request on an open connection; status and body of the answer."""
    writer.write(data)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    return int(head.split(b" ", 2)[1]), body


async def client(port: int, requests: list[bytes], until: float, tally: Tally) -> None:
    """One client that asks again as soon as it is answered."""
    i = 0
    while time.perf_counter() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.perf_counter() < until:
                began = time.perf_counter()
                status, _ = await ask(reader, writer, requests[i % len(requests)])
                tally.add(status, time.perf_counter() - began)
                i += 1
                if status == 503:
                    await asyncio.sleep(0.05)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            tally.lost += 1
            await asyncio.sleep(0.05)


def load(port: int, requests: list[bytes], clients: int, seconds: float) -> Tally:
    """What so many clients get in some seconds."""
    tally = Tally()

    async def all_of_them() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(
            *(client(port, requests, until, tally) for _ in range(clients))
        )

    began = time.perf_counter()
    asyncio.run(all_of_them())
    tally.took = time.perf_counter() - began
    return tally


def bare(
    analyzer: Analyzer, contents: list[bytes], workers: int, seconds: float
) -> tuple[float, float]:
    """Pictures per second of the analyzer alone, decoding included, in a loop on so many threads; and the
    processor's milliseconds for each."""
    counts = [0] * workers
    until = time.perf_counter() + seconds

    def loop(worker: int) -> None:
        while time.perf_counter() < until:
            analyzer.analyze(
                images.read_image(contents[counts[worker] % len(contents)])
            )
            counts[worker] += 1

    threads = [threading.Thread(target=loop, args=(i,)) for i in range(workers)]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began), 1000 * (
        time.process_time() - cpu
    ) / sum(counts)


def cpu_s(pid: int) -> float:
    """Seconds of processor a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def service(options: list[str]) -> Iterator[tuple[int, int]]:
    """`mien serve` in a process of its own: its port and process id."""
    with tempfile.TemporaryDirectory() as data, serving(Path(data), options) as found:
        yield found


@contextmanager
def serving(data: Path, options: list[str]) -> Iterator[tuple[int, int]]:
    """The same, with a data folder that is there."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = int(s.getsockname()[1])
    place = ["--port", str(port), "--data", str(data), *options]
    code = "from mien.cli import main; main()"
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", *place], stderr=log
        )
        try:
            wait_for(port, process, data / "log")
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(log.read_text()[-2000:])


def metrics(port: int) -> dict[str, float]:
    """The service's own numbers."""
    tally: list[bytes] = []

    async def get() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        tally.append((await ask(reader, writer, request("GET", "/metrics")))[1])
        writer.close()

    asyncio.run(get())
    rows = (
        line.rpartition(" ")
        for line in tally[0].decode().splitlines()
        if not line.startswith("#")
    )
    return {name: float(value) for name, _, value in rows}


def outside_share(before: dict[str, float], after: dict[str, float]) -> float:
    """Which part of the requests' time, waiting in line left out, was not spent on the analysis itself."""

    def gone(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    busy = gone('mien_request_seconds_sum{route="/v1/analyze"}') - gone(
        "mien_wait_seconds_sum"
    )
    return 1 - gone("mien_analysis_seconds_sum") / busy


def speed(options: argparse.Namespace) -> dict[str, object]:
    """The table: bare and served, interleaved."""
    contents = pictures()
    requests = [request("POST", "/v1/analyze", *form(content)) for content in contents]
    look = {
        "only": options.only.split(","),
        **({"detector": options.detector} if options.detector else {}),
    }
    wide, narrow = Analyzer(threads=CORES, **look), Analyzer(threads=1, **look)
    rates: dict[str, list[float]] = {}
    delays: dict[int, list[tuple[float, float]]] = {}
    shares: list[float] = []
    cpu: dict[str, list[float]] = {}
    with service(look_options(options)) as (port, pid):
        load(port, requests, 2, 2)
        for _ in range(options.rounds):
            for name, analyzer, loops in (
                ("bare, 1 loop", wide, 1),
                (f"bare, {CORES} loops", narrow, CORES),
            ):
                rate, each = bare(analyzer, contents, loops, options.seconds)
                rates.setdefault(name, []).append(rate)
                cpu.setdefault(name, []).append(each)
            for clients in options.clients:
                before, spent = metrics(port), cpu_s(pid)
                tally = load(port, requests, clients, options.seconds)
                assert set(tally.statuses) == {200}, tally.statuses
                name = f"served, {clients} clients"
                rates.setdefault(name, []).append(tally.statuses[200] / tally.took)
                cpu.setdefault(name, []).append(
                    1000 * (cpu_s(pid) - spent) / tally.statuses[200]
                )
                delays.setdefault(clients, []).append(
                    (tally.percentile(200, 50), tally.percentile(200, 95))
                )
                if clients == options.clients[0]:
                    shares.append(outside_share(before, metrics(port)))
        flood = load(port, requests, options.overload, options.seconds)
        after = load(port, requests, 1, 3)
    report = {
        name: round(statistics.median(values), 1) for name, values in rates.items()
    }
    best = max(value for name, value in report.items() if name.startswith("bare"))
    work = {name: round(statistics.median(values), 2) for name, values in cpu.items()}
    least = min(value for name, value in work.items() if name.startswith("bare"))
    for name, value in report.items():
        print(
            f"{name:>20}: {value:7.1f} per second, {value / best:5.2f} of the best bare; "
            f"{work[name]:6.1f} ms of processor each, {least / work[name]:5.2f} of the best bare"
        )
    for clients, rows in delays.items():
        p50, p95 = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{clients:>12} clients: p50 {p50:6.1f} ms, p95 {p95:6.1f} ms")
    print(
        f"outside the analysis: {statistics.median(shares):.0%} of a request's time with {options.clients[0]} client"
    )
    print(
        f"overload, {options.overload} clients: {dict(flood.statuses)}, lost {flood.lost}; "
        f"503 after p50 {flood.percentile(503, 50):.0f} ms, p95 {flood.percentile(503, 95):.0f} ms; "
        f"200 after p50 {flood.percentile(200, 50):.0f} ms; afterwards p50 {after.percentile(200, 50):.0f} ms"
    )
    return {
        "per_second": report,
        "cpu_ms": work,
        "outside": shares,
        "delays_ms": delays,
        "overload": dict(flood.statuses),
    }


def look_options(options: argparse.Namespace) -> list[str]:
    chosen = {
        "--only": options.only,
        "--detector": options.detector,
        "--threads": options.threads,
    }
    return [
        part for name, value in chosen.items() if value for part in (name, str(value))
    ]


def held(pid: int, began: float) -> dict[str, float]:
    """What a process and those it started hold now."""
    own = psutil.Process(pid)
    family = [own, *own.children(recursive=True)]
    return {
        "minutes": round((time.monotonic() - began) / 60, 3),
        "rss_mb": round(own.memory_info().rss / 2**20, 1),
        "rss_of_all_mb": round(sum(p.memory_info().rss for p in family) / 2**20, 1),
        "threads": own.num_threads(),
        "files": own.num_fds(),
        "processes": len(family),
    }


def write_clip(image: U8, seconds: float) -> bytes:
    """A short video of a photo that moves."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = (
                image.shape[1],
                image.shape[0],
                "yuv420p",
            )
            for i in range(round(seconds * 10)):
                moved = np.ascontiguousarray(np.roll(image, i % 7, axis=1))
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(moved, format="bgr24"))
                )
            container.mux(stream.encode(None))
        return Path(file.name).read_bytes()


async def repeat(
    port: int,
    steps: list[tuple[bytes, set[int]]],
    until: float,
    pause: float,
    wrong: Counter[str],
) -> int:
    """One client that goes through some requests again and again; counts the answers that were not expected."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < until:
        for data, expected in steps:
            try:
                status, body = await ask(reader, writer, data)
            except (OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                if 0 not in expected:
                    wrong["connection lost"] += 1
                continue
            count += 1
            if status not in expected:
                wrong[f"{data[:30]!r} -> {status} {body[:80]!r}"] += 1
            await asyncio.sleep(pause)
    writer.close()
    return count


async def people_cycle(
    port: int, content: bytes, until: float, wrong: Counter[str], who: int
) -> int:
    """Enrols, renames and deletes somebody, again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < until:
        status, body = await ask(
            reader,
            writer,
            request("POST", "/v1/people", *form(content, name=f"P{who}-{count}")),
        )
        if status != 201:
            wrong[f"enrol -> {status} {body[:80]!r}"] += 1
            await asyncio.sleep(0.2)
            continue
        place = f"/v1/people/{json.loads(body)['id']}"
        rename = json.dumps({"name": f"Q{who}-{count}"}).encode()
        for data, expected in (
            (request("PATCH", place, "application/json", rename), 200),
            (request("DELETE", place), 204),
        ):
            status, body = await ask(reader, writer, data)
            if status != expected:
                wrong[f"people -> {status} {body[:80]!r}"] += 1
        count += 3
        await asyncio.sleep(0.3)
    writer.close()
    return count


async def videos_cycle(
    port: int, clip: bytes, until: float, wrong: Counter[str]
) -> int:
    """Uploads a video, waits for its end and deletes it, again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < until:
        status, body = await ask(
            reader, writer, request("POST", "/v1/videos?draw=true", *form(clip))
        )
        if status != 202:
            wrong[f"video -> {status} {body[:80]!r}"] += 1
            await asyncio.sleep(0.5)
            continue
        place = f"/v1/jobs/{json.loads(body)['id']}"
        state = "queued"
        while state in {"queued", "running"} and time.monotonic() < until + 60:
            await asyncio.sleep(0.3)
            state = json.loads((await ask(reader, writer, request("GET", place)))[1])[
                "state"
            ]
        if state != "done":
            wrong[f"job {state}"] += 1
        status, _ = await ask(reader, writer, request("DELETE", place))
        count += 1
    writer.close()
    return count


async def watch(
    pid: int, until: float, samples: list[dict[str, float]], curve: Path | None
) -> None:
    """Looks every two seconds; what was seen is written down as it goes."""
    began = time.monotonic()
    while time.monotonic() < until:
        samples.append(held(pid, began))
        if curve and len(samples) % 30 == 0:
            curves.write(curve, samples, ("rss_mb", "threads", "files"))
        await asyncio.sleep(2)


async def backups(data: Path, until: float, wrong: Counter[str]) -> int:
    """Backs up what the service writes, every minute, and reads each archive to its end."""
    home = backup.Home(str(data / "people.db"), data)
    count = 0
    while time.monotonic() < until:
        archive = data.parent / f"{data.name}.zip"
        try:
            await asyncio.to_thread(
                backup.write, archive, home, jobs=True, force=True, told=_nobody_looks
            )
            await asyncio.to_thread(backup.check, archive, told=_nobody_looks)
            count += 1
        except MienError as exc:
            wrong[f"backup: {exc}"] += 1
        await asyncio.sleep(min(60.0, max(1.0, until - time.monotonic())))
    archive.unlink(missing_ok=True)
    return count


def _nobody_looks(done: int, total: int) -> None:
    return None


def live_loop(
    port: int,
    contents: list[bytes],
    until: float,
    wrong: Counter[str],
    counts: list[int],
) -> None:
    """A live client at ten frames a second, connected anew every ten seconds."""
    from websockets.sync.client import connect

    while time.monotonic() < until:
        with connect(f"ws://127.0.0.1:{port}/v1/live") as socket_:
            for i in range(100):
                if time.monotonic() > until:
                    return
                socket_.send(contents[i % len(contents)])
                try:
                    answer = json.loads(socket_.recv(timeout=30))
                except TimeoutError:
                    wrong["live: no answer for 30 s"] += 1
                    break
                counts[0] += 1
                if "error" in answer:
                    wrong[f"live: {answer['error'][:60]}"] += 1
                time.sleep(0.1)


def soak(options: argparse.Namespace) -> dict[str, object]:
    """Mixed load for minutes: memory, and every answer that was not the one expected."""
    contents = pictures()
    analyse = [
        (request("POST", "/v1/analyze", *form(content)), {200}) for content in contents
    ]
    small = cv2.resize(images.read_image(contents[0]), (320, 240))
    rare = cv2.imencode(".bmp", small)[1].tobytes()
    provoked = [
        (request("POST", "/v1/analyze", *form(b"no picture")), {422}),
        (request("POST", "/v1/analyze", "application/json", b"{}"), {415}),
        (request("GET", "/v1/jobs/none"), {404}),
        (request("POST", "/v1/videos", *form(b"no video")), {422}),
        (request("GET", "/metrics"), {200}),
        (request("POST", "/v1/analyze", *form(rare)), {200}),
        (request("POST", "/v1/analyze", *form(rare[:20_000])), {422}),
    ]
    clip = write_clip(small, 2)
    wrong: Counter[str] = Counter()
    samples: list[dict[str, float]] = []
    live = [0]
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Path(name), look_options(options)) as (port, pid),
    ):
        until = time.monotonic() + options.soak * 60
        thread = threading.Thread(
            target=live_loop, args=(port, contents, until, wrong, live)
        )
        thread.start()

        async def everything() -> list[object]:
            return await asyncio.gather(
                repeat(port, analyse, until, 0.02, wrong),
                repeat(port, analyse[::-1], until, 0.05, wrong),
                repeat(port, provoked, until, 0.1, wrong),
                people_cycle(port, contents[0], until, wrong, 1),
                people_cycle(port, contents[4], until, wrong, 2),
                videos_cycle(port, clip, until, wrong),
                backups(Path(name), until, wrong),
                watch(pid, until, samples, options.curve),
            )

        done = asyncio.run(everything())
        thread.join()
    return summary(options, done, live[0], samples, wrong)


def summary(
    options: argparse.Namespace,
    done: list[object],
    live: int,
    samples: list[dict[str, float]],
    wrong: Counter[str],
) -> dict[str, object]:
    warm = min(1.0, options.soak / 4)
    settled = [row for row in samples if row["minutes"] > warm]
    times, memory = np.array([(s["minutes"], s["rss_mb"]) for s in settled]).T
    slope = float(np.polyfit(times, memory, 1)[0]) if len(times) > 2 else float("nan")
    what = (
        *("analyse a", "analyse b", "provoked", "people a", "people b", "videos"),
        "backups",
    )
    if options.curve:
        curves.write(options.curve, samples, ("rss_mb", "threads", "files"))
    print(
        f"{options.soak:g} minutes: {dict(zip(what, done, strict=False))}, live frames {live}"
    )
    print(
        f"memory: {samples[0]['rss_mb']:.0f} MB at first, {memory[0]:.0f} after warming, {memory[-1]:.0f} at the end, "
        f"largest {memory.max():.0f}; {slope:+.2f} MB a minute"
    )
    print(f"unexpected answers: {dict(wrong) or 'none'}")
    return {
        "memory_mb": [round(value, 1) for value in memory.tolist()],
        "slope": slope,
        "wrong": dict(wrong),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of each measurement"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument(
        "--overload", type=int, default=200, help="clients of the overload"
    )
    parser.add_argument("--detector", default=None)
    parser.add_argument(
        "--threads", type=int, default=None, help="of one network pass in the service"
    )
    parser.add_argument("--only", default="identity,age,gender,emotion")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--curve", type=Path, help="a place for a .csv and an .svg")
    options = parser.parse_args()
    found = soak(options) if options.soak else speed(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
