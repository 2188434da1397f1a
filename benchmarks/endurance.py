"""Whether a long stream costs memory, threads or open files: a film played round and round, as `mien live` plays it.

    python benchmarks/endurance.py FILM... --minutes 60 --output endurance.json --curve endurance

FILMs are videos, played one after the other, again and again, as fast as they can be analysed: one session, one clock,
one summary, one recording that is begun anew every 2000 frames. `--stream` sends the first film as MJPEG over HTTP from
a process of its own instead, at its own pace, and breaks the connection off every ten seconds. Told every ten seconds:
resident memory, threads, open files, tracks. `--watch` lets `mien watch`, a process of its own, watch that stream:
`frames` are then the changes of visits that it told. With `--stream` also the drift, the age of the frame on our clock.
`--photos`: FILMS are folders, whose photos, mixed, are all given to one `mien analyze`; `frames` are the photos told.
Exits with 1 when memory grew by 20 MB or more from the second quarter to the last, or threads or files became more.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import curves
import cv2
import psutil

from mien import Analyzer
from mien.output import drawing
from mien.output.summary import VideoSummary
from mien.output.video import VideoRecorder
from mien.session import Session
from mien.sources import open_source
from mien.types import U8, Frame

GROWTH_MB = 20.0
SAMPLE_S = 10.0
CUT_S = 10.0
FILM_FRAMES = 2000
MIEN = (sys.executable, "-c", "from mien.cli import main; main()")


@dataclass(frozen=True)
class Sample:
    """What the process held at one moment; `stream_s` is how much of the stream had gone by, `age_s` of its frame."""

    wall_s: float
    stream_s: float
    frames: int
    rss_mb: float
    threads: int
    files: int
    tracks: int
    age_s: float


@dataclass
class Watch:
    """Takes a sample now and then."""

    process: psutil.Process = field(default_factory=psutil.Process)
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    _due: float = 0.0

    def look(self, frame: Frame, session: Session, *, opened: float | None) -> None:
        now = time.monotonic()
        if now - self.began < self._due:
            return
        self._due = now - self.began + SAMPLE_S
        sample = Sample(
            wall_s=round(now - self.began, 1),
            stream_s=round(frame.time_s, 1),
            frames=frame.index + 1,
            rss_mb=round(self.process.memory_info().rss / 2**20, 1),
            threads=self.process.num_threads(),
            files=self.process.num_fds(),
            tracks=len(session.tracker.tracks) + len(session.tracker.lost),
            age_s=0.0 if opened is None else round(now - opened - frame.time_s, 3),
        )
        self.samples.append(sample)
        print(json.dumps(asdict(sample)), file=sys.stderr, flush=True)


def looped(films: list[Path]) -> Iterator[Frame]:
    """The frames of all films, without an end; numbers and times go on where the film before ended."""
    numbers, offset = count(), 0.0
    for film in cycle(films):
        last = 0.0
        with open_source(str(film)) as source:
            for frame in source:
                last = frame.time_s
                yield replace(frame, index=next(numbers), time_s=offset + last)
            offset += last + 1 / (source.rate or 25)


class Films:
    """Records, and begins a new file now and then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._recorder = VideoRecorder(path)
        self._frames = 0

    def write(self, image: U8, time_s: float) -> None:
        if self._frames == FILM_FRAMES:
            self._recorder.close()
            self._recorder, self._frames = VideoRecorder(self.path), 0
        self._recorder.write(image, time_s)
        self._frames += 1

    def close(self) -> None:
        self._recorder.close()


def play(
    frames: Iterable[Frame],
    minutes: float,
    folder: Path,
    *,
    opened: float | None = None,
) -> Watch:
    """Analyses, sums up and records until the time is over."""
    analyzer, summary = Analyzer(), VideoSummary("endurance")
    session, watch = analyzer.session(), Watch()
    with closing(analyzer), closing(Films(folder / "film.mp4")) as films:
        for frame in frames:
            result = session.step(frame)
            summary.add(result)
            films.write(drawing.annotate(frame.image, result.faces), frame.time_s)
            watch.look(frame, session, opened=opened)
            if time.monotonic() - watch.began > 60 * minutes:
                break
    return watch


class Sender(BaseHTTPRequestHandler):
    """MJPEG of a film, round and round; the connection is broken off every few seconds."""

    server: SenderServer

    def log_message(self, *args: object) -> None:
        return

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        ends, due = time.monotonic() + CUT_S, time.monotonic()
        for jpeg in cycle(self.server.pictures):
            if time.monotonic() > ends:
                return
            try:
                self.wfile.write(
                    b"--frame\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                    + jpeg
                    + b"\r\n"
                )
            except OSError:
                return
            due += 1 / self.server.rate
            time.sleep(max(0.0, due - time.monotonic()))


class SenderServer(ThreadingHTTPServer):
    """Sends a film held in memory."""

    def __init__(self, film: str) -> None:
        super().__init__(("127.0.0.1", 0), Sender)
        with open_source(film) as source:
            self.rate = source.rate or 25.0
            self.pictures = [
                cv2.imencode(".jpg", frame.image)[1].tobytes() for frame in source
            ]


def send(film: str, said: Connection) -> None:
    """Serves a film; says the port."""
    server = SenderServer(film)
    said.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def sending(film: Path) -> Iterator[str]:
    """The address at which a process of its own sends a film."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=send, args=(str(film), theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/"
    finally:
        process.terminate()
        process.join()


def watched(films: list[Path], minutes: float, *, stream: bool) -> Watch:
    """Plays the films, or the first of them as a stream."""
    with tempfile.TemporaryDirectory(prefix="mien-endurance-") as name:
        if not stream:
            return play(looped(films), minutes, Path(name))
        with sending(films[0]) as url, open_source(url) as source:
            return play(source, minutes, Path(name), opened=time.monotonic())


def held_by(child: subprocess.Popen[bytes], told: Path, minutes: float) -> list[Sample]:
    """What a process holds until it ends or the time is over; its `frames` are the lines that it told."""
    samples: list[Sample] = []
    held, began = psutil.Process(child.pid), time.monotonic()
    while time.monotonic() - began < 60 * minutes:
        with suppress(subprocess.TimeoutExpired):
            child.wait(SAMPLE_S)
            break
        gone = time.monotonic() - began
        rss = round(held.memory_info().rss / 2**20, 1)
        counted = told.read_bytes().count(b"\n")
        threads, files = held.num_threads(), held.num_fds()
        samples.append(
            Sample(round(gone, 1), gone, counted, rss, threads, files, 0, 0.0)
        )
        print(json.dumps(asdict(samples[-1])), file=sys.stderr, flush=True)
    return samples


def watching(film: Path, minutes: float) -> list[Sample]:
    """What a `mien watch` holds that watches a film which is sent round and round, and broken off."""
    with tempfile.TemporaryDirectory(prefix="mien-endurance-") as name:
        folder, told = Path(name), Path(name) / "told"
        with sending(film) as url, told.open("wb") as out:
            toml = f'[watch]\nkeep_days = 1\n[[cameras]]\nname = "film"\nsource = "{url}"\n'
            (folder / "mien.toml").write_text(toml)
            words = [*MIEN, "watch", "--gallery", str(folder / "people.db")]
            (folder / "people.db").touch()
            child = subprocess.Popen(words, cwd=folder, stdout=out)
            samples = held_by(child, told, minutes)
            child.send_signal(signal.SIGINT)
            child.wait(60)
    return samples


def looking_through(folders: list[Path], minutes: float) -> list[Sample]:
    """What a `mien analyze` holds that is given all photos of some folders."""
    photos = sorted(str(path) for place in folders for path in place.rglob("*.jpg"))
    random.Random(0).shuffle(photos)
    with tempfile.NamedTemporaryFile(prefix="mien-endurance-") as out:
        with subprocess.Popen([*MIEN, "analyze", *photos], stdout=out) as child:
            samples = held_by(child, Path(out.name), minutes)
            child.terminate()
        told = Path(out.name).read_bytes().count(b"\n")
    print(f"exit {child.returncode}, {told} of {len(photos)} photos told")
    return samples


def report(samples: list[Sample]) -> dict[str, Any]:
    """What changed from the second quarter of the samples to the last one."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    rss = [
        statistics.median(sample.rss_mb for sample in part) for part in (early, late)
    ]
    return {
        "frames": samples[-1].frames,
        "stream_minutes": round(samples[-1].stream_s / 60, 2),
        "rss_mb": rss,
        "grew_mb": round(rss[1] - rss[0], 1),
        "more_threads": max(s.threads for s in late) - max(s.threads for s in early),
        "more_files": max(s.files for s in late) - max(s.files for s in early),
        "drift_s": round(
            statistics.median(s.age_s for s in late)
            - statistics.median(s.age_s for s in early),
            3,
        ),
        "samples": [asdict(sample) for sample in samples],
    }


def main() -> None:
    """Plays, prints and judges."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--photos", action="store_true")
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--curve", type=Path, help="a place for a .csv and an .svg")
    given = parser.parse_args()
    if given.watch:
        samples = watching(given.films[0], given.minutes)
    elif given.photos:
        samples = looking_through(given.films, given.minutes)
    else:
        samples = watched(given.films, given.minutes, stream=given.stream).samples
    found = report(samples)
    print(json.dumps({key: value for key, value in found.items() if key != "samples"}))
    if given.curve:
        rows = [{"minutes": s["wall_s"] / 60, **s} for s in found["samples"]]
        curves.write(given.curve, rows, ("rss_mb", "threads", "files"))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1))
    sys.exit(
        float(str(found["grew_mb"])) >= GROWTH_MB
        or found["more_threads"] > 0
        or found["more_files"] > 0
    )  # type: ignore[operator]


if __name__ == "__main__":
    main()
