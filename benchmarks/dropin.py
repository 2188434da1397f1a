"""How long the drop-in and the real `face_recognition` with dlib take, taking turns in one run.

    python benchmarks/dropin.py multi_face.jpg --folder PHOTOS --oracle-python ORACLE/bin/python [--threads 1]

`--oracle-python` is an interpreter with the real package (see parity.py for how it is made). Each package runs in a
process of its own that waits for its turn; calls alternate, so that a busy moment of the machine falls on both. Numbers
are medians in milliseconds of warm calls; "import" is the whole `python -c "import face_recognition"`. The commands run
on `--count` photos of `--folder`, of which the first five are the people known. Says whether dlib has a BLAS: one built
with it is about 5 times faster in encodings than the wheel.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from oracle import environment

SIZES = {"480p": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
SLOW_S = 4.0  # calls longer than this are made once


WARM_UP = """
im, box = np.zeros((160, 160, 3), np.uint8), [(20, 140, 140, 20)]
fr.face_locations(im), fr.face_locations(im, 0, "cnn")
fr.face_encodings(im, box), fr.face_encodings(im, box, model="large")
"""  # every model is loaded, and ours converted, before anything is timed


def serve() -> None:
    """Answers `{"code": ...}` lines with the seconds that running the code took."""
    import numpy as np
    from PIL import Image

    import face_recognition

    known = {"fr": face_recognition, "np": np, "Image": Image}
    for line in sys.stdin:
        request = json.loads(line)
        exec(request.get("before", ""), known)  # noqa: S102 - code of this file, through our own pipe
        code = compile(request["code"], "code", "exec")
        start = time.perf_counter()
        exec(code, known)  # noqa: S102
        print(json.dumps(time.perf_counter() - start), flush=True)


class Package:
    """One of the two packages in a process of its own."""

    def __init__(self, python: str, threads: int | None) -> None:
        self.python = python
        self.environment = environment(python)
        if threads:
            names = (
                "FACE_RECOGNITION_THREADS",
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
            )
            self.environment.update(dict.fromkeys(names, str(threads)))
        self.process = self.start()
        self.seconds(WARM_UP)

    def start(self) -> subprocess.Popen[str]:
        command = [self.python, "-W", "ignore", __file__, "--serve"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=self.environment
        )

    def seconds(self, code: str, before: str = "") -> float:
        """How long the code took; not a number where the process died of it (dlib's CNN is hungry)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"code": code, "before": before}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.process.wait()
            self.process = self.start()
        return float(json.loads(answer or "NaN"))

    def command_seconds(self, *arguments: str) -> float:
        start = time.perf_counter()
        command = [self.python, "-W", "ignore", *arguments]
        subprocess.run(command, check=True, capture_output=True, env=self.environment)
        return time.perf_counter() - start

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def calls(photo: Path, cnn_largest: str) -> list[tuple[str, str, str]]:
    """Name, what to prepare, what to time."""
    rows = []
    load = f"image = Image.open({str(photo)!r}).convert('RGB')"
    for name, size in SIZES.items():
        sized = f"{load}; im = np.array(image.resize({size}))"
        rows += [
            (
                f"face_locations hog, {name}, upsample {n}",
                sized,
                f"fr.face_locations(im, {n})",
            )
            for n in (0, 1)
        ]
        if cnn_largest in list(SIZES)[list(SIZES).index(name) :]:
            rows += [
                (
                    f"face_locations cnn, {name}, upsample {n}",
                    sized,
                    f"fr.face_locations(im, {n}, 'cnn')",
                )
                for n in (0, 1)
            ]
    found = f"{load}; image.thumbnail((1280, 720)); im = np.array(image); box = fr.face_locations(im)[0]"
    boxes = found + "; boxes = [tuple(e + i for e in box) for i in range(10)]"
    rows += [
        ("face_encodings, 1 face", found, "fr.face_encodings(im, [box])"),
        ("face_encodings, 10 faces", boxes, "fr.face_encodings(im, boxes)"),
        (
            "face_encodings, 10 faces, 68 points",
            boxes,
            "fr.face_encodings(im, boxes, model='large')",
        ),
        ("face_landmarks large, 1 face", found, "fr.face_landmarks(im, [box])"),
        (
            "face_landmarks small, 1 face",
            found,
            "fr.face_landmarks(im, [box], 'small')",
        ),
    ]
    return rows


def measure(
    packages: list[Package], code: str, before: str, repeats: int
) -> list[float]:
    times: list[list[float]] = [[package.seconds(code, before)] for package in packages]
    if not max(times[0] + times[1]) <= SLOW_S or any(
        map(math.isnan, times[0] + times[1])
    ):
        return [part[0] for part in times]
    warm: list[list[float]] = [[], []]
    for _ in range(repeats):
        for package, part in zip(packages, warm, strict=True):
            part.append(package.seconds(code))
    return [statistics.median(part) for part in warm]


def commands(folder: Path, count: int, into: Path) -> list[tuple[str, list[str]]]:
    known, photos = into / "known", into / "photos"
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"}
    )[:count]
    for target, chosen in ((known, files[:5]), (photos, files)):
        target.mkdir()
        for path in chosen:
            shutil.copy(path, target)
    rows = []
    for cpus in ("1", "2"):
        name = f"{len(files)} photos, --cpus {cpus}"
        module = [
            "-m",
            "face_recognition.face_recognition_cli",
            str(known),
            str(photos),
            "--cpus",
            cpus,
        ]
        rows.append((f"command face_recognition, {name}", module))
        rows.append(
            (
                f"command face_detection, {name}",
                ["-m", "face_recognition.face_detection_cli", str(photos)],
            )
        )
        rows[-1][1].extend(["--cpus", cpus])
    return rows


def table(rows: list[dict]) -> str:
    head = ["| | original, ms | ours, ms | faster |", "|---|---|---|---|"]
    body = (
        f"| {r['name']} | {r['original_ms']:.1f} | {r['ours_ms']:.1f} | {r['ratio']:.2f}x |"
        for r in rows
    )
    return "\n".join([*head, *body])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="speed of the drop-in beside face_recognition and dlib"
    )
    parser.add_argument("photo", nargs="?", type=Path, help="a photo with a face")
    parser.add_argument("--folder", type=Path, help="photos for the commands")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--oracle-python")
    parser.add_argument(
        "--threads",
        type=int,
        help="threads of one call of ours; default: ours to choose",
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--cnn-largest",
        choices=["none", *SIZES],
        default="1080p",
        help="at 1080p dlib takes a minute and gigabytes",
    )
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    if options.photo is None or options.oracle_python is None:
        parser.error("a photo and --oracle-python are needed")
    packages = [
        Package(python, options.threads)
        for python in (options.oracle_python, sys.executable)
    ]
    rows: list[dict] = []

    def add(name: str, original: float, ours: float) -> None:
        rows.append(
            {
                "name": name,
                "original_ms": original * 1e3,
                "ours_ms": ours * 1e3,
                "ratio": original / ours,
            }
        )
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)

    runs = [
        [
            package.command_seconds("-c", "import face_recognition")
            for package in packages
        ]
        for _ in range(5)
    ]
    add("import", *(statistics.median(column) for column in zip(*runs, strict=True)))
    for name, before, code in calls(options.photo.resolve(), options.cnn_largest):
        if options.only in name:
            add(name, *measure(packages, code, before, options.repeats))
    for package in packages:
        package.close()
    if options.folder:
        with tempfile.TemporaryDirectory() as into:
            for name, arguments in commands(options.folder, options.count, Path(into)):
                add(
                    name, *(package.command_seconds(*arguments) for package in packages)
                )
    blas = subprocess.run(
        [
            options.oracle_python,
            "-c",
            "import dlib; print(dlib.__version__, 'BLAS' if dlib.DLIB_USE_BLAS else 'no BLAS')",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=packages[0].environment,
    ).stdout.strip()
    print(
        f"original: face_recognition with dlib {blas}; threads of ours: {options.threads or 'default'}\n"
    )
    print(table(rows))
    if options.output:
        options.output.write_text(
            json.dumps(
                {"dlib": blas, "threads": options.threads, "rows": rows}, indent=1
            )
        )


if __name__ == "__main__":
    main()
