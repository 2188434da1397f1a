"""What watching costs: 1, 4, 8 cameras of 720p at 15 pictures a second, nobody there or two people, by the watcher of
`mien watch`; and how many visits of a film whose script is known become one event with the right name.

    python benchmarks/watch.py --photos FOLDER [--cameras 1 4 8 16] [--seconds 20] [--kbits 2000] [--live]
                               [--play MINUTES]
    python benchmarks/watch.py --empty MINUTES [--scenes empty flicker rain dark] [--wall MINUTES]
    python benchmarks/watch.py --photos FOLDER --long MINUTES [--wall MINUTES]

Cameras send so many kilobits a second as `--kbits` says; 0: all that a sensor's noise costs at even quality, which is
23 megabits. `--live` measures as many processes of `mien live --no-window` beside. FOLDER holds the photos that
tests/watch/plays.py names. `--empty` needs none: so many minutes of film in which nobody is, an equal part each empty,
flickering, raining and dark, drawn by seeds, coded, and watched as fast as it goes, for `--wall` minutes at most: how
many events were told, of which there should be none. `--long` watches a film of people who come and go round and round
as fast as it goes, for so many minutes of film, with visits, pictures and clips kept: what resident memory grows by
from the second quarter to the last, threads and files. Cameras send H.264 in MPEG-TS over HTTP from another process,
which is not counted. Processor time is in per cent of one core; the delay is from a picture's arrival to the end of all
that is told of it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
from av.error import FFmpegError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from live.clips import write_clip
from live.film import Actor, film as film_of, sway
from mien import heap
from mien.pipeline import Analyzer
from mien.sources import open_source
from mien.sources.base import Closing
from mien.types import U8, Frame
from mien.watch.cameras import Camera
from mien.watch.feed import Feed
from mien.watch.settings import Keeping, WatchFile
from mien.watch.telling import Watch
from mien.watch.visits import Event
from mien.watch.watcher import Watcher
from watch import plays

RATE = 15
LOOP_S = 8
WARM_S = 6
LONG_S, SAMPLE_S = 48, 10
SCENES = ("empty", "flicker", "rain", "dark")


def main() -> None:
    """Measures and prints a table and JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kbits", type=int, default=2000)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--play", type=float, metavar="MINUTES")
    parser.add_argument("--empty", type=float, metavar="MINUTES")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    parser.add_argument("--long", type=float, metavar="MINUTES")
    parser.add_argument("--wall", type=float, metavar="MINUTES", default=60)
    parser.add_argument("--send", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.send is not None:
        send(chosen.send)
        return
    heap.keep_few_arenas()  # before the first thread, as `mien watch` does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.empty:
            print(json.dumps(empty(folder, chosen)))
            return
        if chosen.photos is None:
            parser.error("--photos names the folder of the photos of who is seen")
        gallery = plays.enrol(Analyzer(), chosen.photos, folder / "people.db")
        analyzer = Analyzer(gallery=gallery)
        if chosen.play:
            print(json.dumps(played(analyzer, chosen.photos, folder, chosen.play)))
            return
        if chosen.long:
            print(json.dumps(lasting(analyzer, chosen, folder)))
            return
        films(analyzer, chosen.photos, folder, chosen.kbits)
        rows = []
        for kind in ("quiet", "busy"):
            for count in chosen.cameras:
                film = folder / f"{kind}.ts"
                rows.append(watched(analyzer, film, count, chosen.seconds))
                print(rows[-1], flush=True)
                if chosen.live:
                    rows.append(lived(gallery, film, count, chosen.seconds))
                    print(rows[-1], flush=True)
    print(json.dumps(rows))


# -- cameras that send


def films(analyzer: Analyzer, photos: Path, folder: Path, kbits: int) -> None:
    """An empty room with the noise of a sensor, and the same with two people in it."""
    people = plays.cast(analyzer, photos)
    actors = [
        Actor("Ada", people["Ada"], sway(plays.Pose(350, 330, 150), x=80)),
        Actor(None, people[None], sway(plays.Pose(900, 350, 140), x=80)),
    ]
    for kind, there in (("quiet", []), ("busy", actors)):
        shown = noisy(f.image for f, _ in film_of(there, seconds=LOOP_S, rate=RATE))
        clip = write_clip(folder / f"{kind}.mp4", shown, rate=RATE)
        if kbits:
            clip = at_rate(clip, folder / f"{kind}.rate.mp4", kbits)
        with (
            av.open(str(clip)) as given,
            av.open(str(folder / f"{kind}.ts"), "w") as ts,
        ):
            copy = ts.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = copy
                    ts.mux(packet)


def at_rate(clip: Path, target: Path, kbits: int) -> Path:
    """The same film as a camera sends it that was told its rate."""
    options = {"preset": "veryfast", "tune": "zerolatency", "b": f"{kbits}k"}
    options |= {"maxrate": f"{kbits}k", "bufsize": f"{kbits}k", "sc_threshold": "0"}
    with av.open(str(clip)) as given, av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.codec_context.gop_size = RATE
        for i, frame in enumerate(given.decode(video=0)):
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            frame.pict_type = 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def noisy(pictures: Iterator[U8]) -> Iterator[U8]:
    rng = np.random.default_rng(2)
    noise = [rng.normal(0, 3, (720, 1280, 1)) for _ in range(4)]
    for i, picture in enumerate(pictures):
        yield np.clip(picture + noise[i % 4], 0, 255).astype(np.uint8)


def send(path: Path) -> None:
    """Serves a film over and over, as a camera, to everybody who asks; says its port first."""

    class Sending(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            with contextlib.suppress(OSError, FFmpegError):  # who has seen enough
                _stream(path, self.wfile)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sending)
    print(server.server_port, flush=True)
    server.serve_forever()


def _stream(path: Path, to: Any) -> None:
    """Remuxes a film in real time, with times that go on from round to round."""
    began, turn = time.monotonic(), 0
    with av.open(to, "w", format="mpegts") as out:
        copy = None
        while True:
            with av.open(str(path)) as given:
                source = given.streams.video[0]
                copy = copy or out.add_stream_from_template(source)
                step = Fraction(1, RATE) / source.time_base
                for i, packet in enumerate(given.demux(source)):
                    if packet.dts is None:
                        continue
                    at = turn * LOOP_S * RATE + i
                    time.sleep(max(0.0, began + at / RATE - time.monotonic()))
                    packet.pts = packet.dts = round(at * step)
                    packet.stream = copy
                    out.mux(packet)
            turn += 1


# -- watching


def watched(
    analyzer: Analyzer, path: Path, count: int, seconds: float
) -> dict[str, Any]:
    """What so many cameras cost."""
    sender, port = sending(path)
    cameras = tuple(
        Camera(name=f"{i}", source=f"http://127.0.0.1:{port}/{i}.ts")
        for i in range(count)
    )
    delays: list[float] = []
    looked = Feed.looked

    def timed(feed: Feed, frame: Frame, **how: float) -> None:
        delays.append(feed.now_s - frame.time_s)
        looked(feed, frame, **how)

    Feed.looked = timed  # type: ignore[method-assign]
    events: list[Event] = []
    watcher = Watcher(analyzer, WatchFile(cameras=cameras), events.append)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        return _measured(watcher, delays, events, path, seconds)
    finally:
        watcher.stop()
        thread.join()
        Feed.looked = looked  # type: ignore[method-assign]
        sender.kill()
        sender.wait()


def sending(path: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that sends a film, and its port."""
    command = [sys.executable, __file__, "--photos", ".", "--send", str(path)]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert sender.stdout is not None
    return sender, int(sender.stdout.readline())


def lived(gallery: Path, path: Path, count: int, seconds: float) -> dict[str, Any]:
    """What as many processes of `mien live` cost."""
    sender, port = sending(path)
    live = [sys.executable, "-m", "mien", "live", "--no-window", "--gallery"]
    players = [
        subprocess.Popen(
            [*live, str(gallery), f"http://127.0.0.1:{port}/{i}.ts"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for i in range(count)
    ]
    try:
        time.sleep(4 * WARM_S)
        them = [psutil.Process(player.pid) for player in players]
        before = sum(sum(one.cpu_times()[:2]) for one in them)
        began = time.monotonic()
        time.sleep(seconds)
        spent = sum(sum(one.cpu_times()[:2]) for one in them) - before
        return {
            "film": path.stem,
            "mien_live_processes": count,
            "processor_percent": round(100 * spent / (time.monotonic() - began)),
            "memory_mb": round(sum(one.memory_info().rss for one in them) / 1e6),
            "load": psutil.getloadavg()[0],
        }
    finally:
        for process in (*players, sender):
            process.kill()
            process.wait()


def _measured(
    watcher: Watcher,
    delays: list[float],
    events: list[Event],
    path: Path,
    seconds: float,
) -> dict[str, Any]:
    count = len(watcher.states)
    while sum(state.state == "up" for state in watcher.states) < count:
        time.sleep(0.1)
    time.sleep(WARM_S)
    delays.clear()
    me = psutil.Process()
    before, began = sum(me.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    spent, passed = sum(me.cpu_times()[:2]) - before, time.monotonic() - began
    waits = np.array(delays or [0.0]) * 1000
    return {
        "film": path.stem,
        "cameras": count,
        "processor_percent": round(100 * spent / passed),
        "looked_at_a_second": round(len(delays) / passed, 1),
        "delay_p50_ms": round(float(np.percentile(waits, 50))),
        "delay_p95_ms": round(float(np.percentile(waits, 95))),
        "memory_mb": round(me.memory_info().rss / 1e6),
        "load": psutil.getloadavg()[0],
        "people": sorted({str(e.told.get("person")) for e in events}),
    }


# -- a film whose script is the truth


def played(
    analyzer: Analyzer, photos: Path, folder: Path, minutes: float
) -> dict[str, Any]:
    """How many visits of a long film are one event, begin and end within a second, and bear the right name."""
    rng = random.Random(4)
    script: list[plays.Span] = []
    at = 2.0
    while at < minutes * 60 - 12:
        name = rng.choice(["Ada", "Ben", None])
        end = at + rng.uniform(1.5, 8)
        script.append((name, round(at, 1), round(end, 1)))
        at = end + rng.uniform(2.6, 5)
    path = plays.film_of(
        folder / "play.mp4", plays.cast(analyzer, photos), script, minutes * 60
    )
    events: list[Event] = []
    said = WatchFile(
        cameras=(Camera(name="door", source=str(path)),), watch=Keeping(absence_s=2)
    )
    began = time.monotonic()
    watcher = Watcher(analyzer, said, events.append)
    start = watcher._posts[0].feed.at(0.0)
    watcher.run()
    took = time.monotonic() - began
    ended = [e for e in events if e.kind == "end"]
    right = sum(_is_right(span, ended, start) for span in script)
    named = sum(_is_named(span, ended, start) for span in script)
    return {
        "visits": len(script),
        "one_event_within_a_second": round(right / len(script), 4),
        "right_name_too": round(named / len(script), 4),
        "events": len(ended),
        "times_real_time": round(minutes * 60 / took, 1),
        "finished": datetime.now().isoformat(timespec="seconds"),
    }


def _found(span: plays.Span, ended: list[Event], start: float) -> list[Event]:
    """The events that overlap a visit of the script."""
    _, begin, end = span
    return [
        e for e in ended if e.begins - start < end and (e.ends or 0) - start > begin
    ]


def _is_right(span: plays.Span, ended: list[Event], start: float) -> bool:
    _, begin, end = span
    found = _found(span, ended, start)
    return len(found) == 1 and all(
        abs(e.begins - start - begin) <= 1 and abs((e.ends or 0) - start - end) <= 1
        for e in found
    )


def _is_named(span: plays.Span, ended: list[Event], start: float) -> bool:
    found = _found(span, ended, start)
    return _is_right(span, ended, start) and found[0].told["person"] == span[0]


# -- for hours


class Round(Closing):
    """A film over and over, whose time goes on; as fast as somebody looks."""

    live = False
    rate, frames, duration_s = float(plays.RATE), None, None

    def __init__(self, path: Path) -> None:
        self.name = str(path)

    def __iter__(self) -> Iterator[Frame]:
        for number in itertools.count():
            with open_source(self.name) as film:
                for frame in film:
                    time_s = number * LONG_S + frame.time_s
                    yield replace(frame, time_s=time_s)
            heap.give_back()  # as after each connection of a camera


def lasting(
    analyzer: Analyzer, chosen: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """What a long run holds on to."""
    people = plays.cast(analyzer, chosen.photos)
    script: list[plays.Span] = [("Ada", 2, 14), ("Ben", 8, 20), (None, 30, 42)]
    path = plays.film_of(folder / "long.mp4", people, script, LONG_S)
    keep = Keeping(keep_days=1, keep_pictures="face", keep_clips=3, absence_s=3)
    watch = Watch(analyzer, WatchFile(watch=keep), data=folder)
    watch.watcher.endless = True
    watch.watcher.add(Camera(name="door", source=str(path)), lambda *_: Round(path))
    samples: list[dict[str, float]] = []
    with watch:
        thread = threading.Thread(target=watch.watcher.run)
        thread.start()
        until = time.monotonic() + chosen.wall * 60
        while time.monotonic() < until:
            time.sleep(SAMPLE_S)
            samples.append(_sample(watch))
            print(json.dumps(samples[-1]), file=sys.stderr, flush=True)
            if samples[-1]["film_minutes"] >= chosen.long:
                break
        watch.watcher.stop()
        thread.join()
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        key: round(
            float(
                np.median([s[key] for s in late]) - np.median([s[key] for s in early])
            ),
            1,
        )
        for key in ("rss_mb", "threads", "files")
    } | {"film_minutes": samples[-1]["film_minutes"], "visits": samples[-1]["visits"]}


def _sample(watch: Watch) -> dict[str, float]:
    me = psutil.Process()
    store = watch.store
    assert store is not None
    return {
        "film_minutes": round(watch.watcher._posts[0].feed.now_s / 60, 1),
        "rss_mb": round(me.memory_info().rss / 2**20, 1),
        "threads": me.num_threads(),
        "files": me.num_fds(),
        "visits": store.last_number(),
    }


# -- films in which nobody is


def empty(folder: Path, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """What is told of each scene, of which nothing should be."""
    analyzer = Analyzer()
    until = time.monotonic() + chosen.wall * 60
    rows: list[dict[str, Any]] = []
    for scene in chosen.scenes:
        path = folder / f"{scene}.mp4"
        count = round(chosen.empty * 60 * plays.RATE / len(chosen.scenes))
        left = (until - time.monotonic()) / (len(chosen.scenes) - len(rows))
        drawn = _within(_pictures(scene, SCENES.index(scene), count), left / 2)
        write_clip(path, drawn, rate=plays.RATE)
        rows.append({"scene": scene, **_watched_empty(analyzer, path, left / 2)})
        print(rows[-1], flush=True)
        path.unlink()
    return rows


def _within(pictures: Iterator[U8], seconds: float) -> Iterator[U8]:
    """As many as can be made in the time."""
    until = time.monotonic() + seconds
    for picture in pictures:
        yield picture
        if time.monotonic() > until:
            return


def _watched_empty(analyzer: Analyzer, path: Path, seconds: float) -> dict[str, Any]:
    events: list[Event] = []
    camera = Camera(name="empty", source=str(path))
    watcher = Watcher(analyzer, WatchFile(cameras=(camera,)), events.append)
    timer = threading.Timer(seconds, watcher.stop)
    timer.start()
    began = time.monotonic()
    watcher.run()
    timer.cancel()
    feed = watcher._posts[0].feed
    return {
        "minutes": round(feed.now_s / 60, 2),
        "looked_at": feed.state.looked_at,
        "events": len([event for event in events if event.kind == "begin"]),
        "times_real_time": round(feed.now_s / (time.monotonic() - began), 1),
    }


def _pictures(scene: str, seed: int, count: int) -> Iterator[U8]:
    """A furnished room of 640x360 in one of four weathers."""
    rng = np.random.default_rng(seed)
    room = _room(rng)
    sigma = 9 if scene == "dark" else 3
    noise = [rng.normal(0, sigma, room.shape).astype(np.float32) for _ in range(8)]
    lamp, drops, car = 1.0, [], -200.0
    for i in range(count):
        light = 1 + 0.1 * np.sin(i / 300)
        if scene == "flicker":
            lamp = rng.choice([0.6, 1.0, 1.3]) if rng.random() < 0.2 else lamp
        shown = room * np.float32(light * lamp * (0.12 if scene == "dark" else 1))
        if scene == "rain":
            drops = [one for one in drops if one[2] > i]
            if rng.random() < 0.2:
                at = (int(rng.integers(640)), int(rng.integers(360)))
                drops.append((at, int(rng.integers(4, 25)), i + rng.integers(10, 60)))
            _rain(shown, rng, drops)
        if scene == "dark":
            car = car + 25 if car < 900 else (-200.0 if rng.random() < 0.01 else car)
            cv2.circle(shown, (int(car), 240), 40, (150, 160, 170), -1)
            shown = cv2.blur(shown, (25, 25)) if -100 < car < 740 else shown
        grain = np.roll(noise[i % 8], int(rng.integers(640)), axis=1)
        yield np.clip(shown + grain, 0, 255).astype(np.uint8)


def _room(rng: np.random.Generator) -> Any:
    """Furniture, pictures, plants: edges, corners and round things."""
    room = np.full((360, 640, 3), 120, np.float32)
    for _ in range(40):
        colour = tuple(map(int, rng.integers(20, 230, 3)))
        x, y = int(rng.integers(640)), int(rng.integers(360))
        width, height = (int(v) for v in rng.integers(8, 120, 2))
        if rng.random() < 0.5:
            cv2.rectangle(room, (x, y), (x + width, y + height), colour, -1)
        else:
            cv2.ellipse(room, (x, y), (width // 2, height // 2), 0, 0, 360, colour, -1)
    return cv2.GaussianBlur(room, (3, 3), 0)


def _rain(shown: Any, rng: np.random.Generator, drops: list[Any]) -> None:
    """Streaks, and drops that lie on the lens for seconds."""
    for _ in range(60):
        x, y = int(rng.integers(640)), int(rng.integers(340))
        cv2.line(shown, (x, y), (x + 3, y + 20), (200, 200, 200), 1)
    for at, radius, _ in drops:
        cv2.circle(shown, at, radius, (170, 170, 170), -1)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
