"""Photos per second of a batch: the bare analyzer in a loop, `--jobs 1`, `--jobs 2`, Ray with 2 workers on one node.

    python benchmarks/batch.py --photos 2000 --output batch.json

The photos are the first of $MIEN_SHARED/data/cacd_vs.tar. Every way runs in a process of its own, alone, with one
thread per network pass, on a fifth of the photos and then on all: `photos_per_s` is of what the second run took longer,
`start_s` the rest. `worker_mb` is the most memory one worker held, `owner_mb` that of the process that writes.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

WAYS = ("loop", "jobs 1", "jobs 2", "ray 2")
CHOICES = {"device": "cpu"}


def extract(tar: Path, count: int, folder: Path) -> None:
    with tarfile.open(tar) as archive:
        photos = [member for member in archive if member.name.endswith(".jpg")][:count]
        archive.extractall(folder, photos, filter="data")


def loop(photos: list[str]) -> int:
    """The analyzer on one photo after the other, nothing written; gives the faces found."""
    from mien.pipeline import Analyzer

    analyzer = Analyzer(threads=1, **CHOICES)
    return sum(len(analyzer.analyze(photo).faces) for photo in photos)


def batch(
    photos: list[str], *, jobs: int, address: str | None, peaks: list[float]
) -> int:
    """`mien batch` into a new folder; gives the faces found."""
    from mien.batch import BatchOptions, run_batch

    options = BatchOptions(CHOICES, jobs=jobs, address=address, shard_files=50)
    stop = threading.Event()
    watch = threading.Thread(
        target=lambda: [
            peaks.append(workers_mb()) for _ in iter(lambda: stop.wait(1), True)
        ]
    )
    watch.start()
    try:
        with tempfile.TemporaryDirectory() as out:
            return run_batch(photos, Path(out), options).faces
    finally:
        stop.set()
        watch.join()


def workers_mb() -> float:
    """The peak memory of the largest worker process, in MB; Linux only."""
    table = subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=False
    ).stdout
    workers = [
        line.split()[0]
        for line in table.splitlines()
        if "multiprocessing.spawn" in line
    ]
    return max(map(peak_mb, workers), default=0.0)


def peak_mb(pid: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0
    )


def one_node() -> str:
    """The address of a Ray cluster that runs already, so that its own start is not measured; it ends with us."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    atexit.register(cluster.shutdown)
    return str(cluster.address)


def measure(way: str, folder: Path) -> dict[str, float]:
    photos = sorted(map(str, folder.rglob("*.jpg")))
    peaks = [0.0]
    kind, _, jobs = way.partition(" ")
    address = one_node() if kind == "ray" else None

    def run(some: list[str]) -> tuple[float, int]:
        begin = time.perf_counter()
        faces = (
            loop(some)
            if kind == "loop"
            else batch(some, jobs=int(jobs), address=address, peaks=peaks)
        )
        return time.perf_counter() - begin, faces

    few = photos[: len(photos) // 5]
    (short_s, _), (long_s, faces) = run(few), run(photos)
    rate = (len(photos) - len(few)) / (long_s - short_s)
    start_s = short_s - len(few) / rate
    own = peak_mb(str(os.getpid()))
    memory = (
        {"worker_mb": own}
        if kind == "loop"
        else {"worker_mb": max(peaks), "owner_mb": own}
    )
    return {"photos_per_s": rate, "start_s": start_s, "faces": faces, **memory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--output", type=Path, help="write the numbers here as JSON")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.folder)))
        return
    results = compare(arguments.photos)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1))


def compare(count: int) -> dict[str, dict[str, float]]:
    shared = Path(
        os.environ.get("MIEN_SHARED", Path(__file__).parents[1].parent / "shared")
    )
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        extract(shared / "data" / "cacd_vs.tar", count, Path(folder))
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--folder", folder]
            answer = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            results[way] = json.loads(answer.splitlines()[-1])
            print(
                f"{way:8}",
                "  ".join(f"{key} {value:.1f}" for key, value in results[way].items()),
                flush=True,
            )
    overhead = results["jobs 2"]["photos_per_s"] / results["ray 2"]["photos_per_s"] - 1
    print(f"Ray over jobs 2: {overhead:+.1%}")
    return results


if __name__ == "__main__":
    main()
