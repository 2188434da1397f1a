"""Whether `mien analyze FOLDER` could keep both cores busy: of its threads, how long each could run.

    python benchmarks/folder.py FOLDER

A thread is on a processor, waits for one (other programs have it), or waits for something else: another thread, a lock,
the disk. Only the last is ours, so that the share of the time in which it could run is told rightly on a busy machine
too. Told are the threads that work on photos (JPEG), from the twentieth to the last but twentieth; Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EDGE = 20
BUSY = 0.1  # of the time of the busiest: who does less is not one of those that work on photos


def threads_of(pid: int) -> dict[str, tuple[float, float]]:
    """Of each thread, how long it was on a processor and how long it waited for one, in seconds."""
    found = {}
    for place in Path(f"/proc/{pid}/task").iterdir():
        ran, waited, _ = (place / "schedstat").read_text().split()
        found[place.name] = int(ran) / 1e9, int(waited) / 1e9
    return found


def watched(
    words: list[str], photos: int
) -> list[tuple[float, int, dict[str, tuple[float, float]]]]:
    """When, how many photos were told by then, and what the threads had done."""
    looks = []
    with (
        tempfile.NamedTemporaryFile() as out,
        subprocess.Popen(words, stdout=out) as child,
    ):
        told = 0
        while told < photos - EDGE and child.poll() is None:
            time.sleep(0.1)
            told = Path(out.name).read_bytes().count(b"\n")
            if told >= EDGE:
                looks.append((time.monotonic(), told, threads_of(child.pid)))
    return looks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    words = [sys.executable, "-c", "from mien.cli import main; main()", "analyze"]
    looks = watched([*words, str(folder)], len(list(folder.rglob("*.jpg"))))
    (began, first, before), (ended, last, after) = looks[0], looks[-1]
    spent = [
        (now[0] - before[name][0], now[1] - before[name][1])
        for name, now in after.items()
        if name in before
    ]
    each_ms = 1e3 * sum(ran for ran, _ in spent) / (last - first)
    print(f"{last - first} photos, {each_ms:.1f} ms of a processor each")
    most = max(ran for ran, _ in spent)
    for ran, waited in spent:
        if ran > BUSY * most:
            share = (ran + waited) / (ended - began)
            print(f"a thread that could run {share:.1%} of the time")


if __name__ == "__main__":
    main()
