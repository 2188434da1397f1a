"""Where the processor time of a frame of `mien live` goes, stage by stage; repeat it before and after a change.

    python benchmarks/profile_live.py CLIP... [--frames N] [--gallery PLACE] [--record]

Networks run in one thread here, so that each stage's own processor time is known: other work on the machine does not
count. A stage's time is without that of the stages it calls. Decoding and conversion have threads of their own in
`mien live`; here they are counted all the same.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from importlib import import_module
from inspect import getattr_static
from itertools import islice
from pathlib import Path
from typing import Any

import mien
from mien.output.drawing import Annotator
from mien.output.video import VideoRecorder
from mien.sources import open_source

# Stage, and the functions it is made of; what is not there in this version is left out.
STAGES = {
    "convert": ("mien.sources.video:to_image",),
    "resize": ("mien.geometry:shrink",),
    "detect": ("mien.models.detectors.compact:Compact._cells",),
    "second look": (
        "mien.models.detectors.verifier:Verifier.__call__",
        "mien.models.detectors.verifier:Verifier.steady",
    ),
    "angle": ("mien.models.detectors.angle:AngleNet.leans",),
    "landmarks": ("mien.models.detectors.points:ExactPoints.__call__",),
    "flow": ("mien.session:Session._follow",),
    "align": (
        "mien.models.backbone:Aligner.__call__",
        "mien.models.backbone:Aligner.mirrored",
    ),
    "describe": ("mien.models.backbone:FaceBackbone.describe",),
    "tell": ("mien.models.attributes.heads:EmotionNet.answers",),
    "weigh": ("mien.session:quality",),
    "track, smooth": ("mien.session:Session.step",),
    "draw": ("mien.output.drawing:Annotator.__call__",),
    "encode": ("mien.output.video:VideoRecorder.write",),
}


class Stopwatch:
    """Own processor time of each stage, over all threads."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open = threading.local()

    def reset(self) -> None:
        """Begins anew."""
        self.spent.clear()

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted."""

        @wraps(work)
        def run(*args: Any, **named: Any) -> Any:
            inner = self._open.__dict__.setdefault("inner", [])
            inner.append(0.0)
            began = time.thread_time()
            try:
                return work(*args, **named)
            finally:
                took = time.thread_time() - began
                self.spent[stage] += took - inner.pop()
                if inner:
                    inner[-1] += took

        return run

    def watch(self, stage: str, place: str) -> None:
        """Counts a function wherever it is called by this name."""
        module, _, path = place.partition(":")
        owner: Any = import_module(module)
        *classes, name = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        if hasattr(owner, name):
            timed = self.timed(stage, getattr(owner, name))
            static = isinstance(getattr_static(owner, name), staticmethod)
            setattr(owner, name, staticmethod(timed) if static else timed)


def main() -> None:
    """Measures and prints one column for each clip, and JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=300, help="of each clip")
    parser.add_argument("--gallery")
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    watch = Stopwatch()
    for stage, places in STAGES.items():
        for place in places:
            watch.watch(stage, place)
    analyzer = mien.Analyzer(gallery=chosen.gallery, threads=1)
    columns = []
    for clip in chosen.clips:
        decode = _decoded(clip, chosen.frames)
        column = _profiled(clip, analyzer, watch, chosen)
        columns.append({"clip": clip.name, "decode": decode, **column})
    _print_table(columns)
    print(json.dumps(columns))


def _decoded(clip: Path, most: int) -> float:
    """Milliseconds per frame of decoding alone."""
    with open_source(str(clip)) as frames:
        began, count = time.process_time(), 0
        for _ in islice(frames._pictures(), most):
            count += 1
        return 1000 * (time.process_time() - began) / count


def _profiled(
    clip: Path, analyzer: mien.Analyzer, watch: Stopwatch, chosen: argparse.Namespace
) -> dict[str, float]:
    """Milliseconds per frame of each stage, and of all threads together."""
    session, annotate = analyzer.session(), Annotator()
    with ExitStack() as stack:
        frames = stack.enter_context(open_source(str(clip)))
        film = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "film.mp4"
        recorder = VideoRecorder(film, rate=frames.rate) if chosen.record else None
        count, began = 0, time.process_time()
        for frame in islice(frames, chosen.frames):
            result = session.step(frame)
            if recorder is not None:
                recorder.write(annotate(frame.image, result.faces), frame.time_s)
            if not count:  # what is loaded and made at first use
                watch.reset()
                began = time.process_time()
            count += 1
        whole = time.process_time() - began
        if recorder is not None:
            recorder.close()
    count -= 1
    parts = {stage: 1000 * spent / count for stage, spent in watch.spent.items()}
    return {**parts, "everything": 1000 * whole / count, "frames": count}


def _print_table(columns: list[dict[str, Any]]) -> None:
    print(f"{'ms per frame':15s}", *(f"{c['clip'][:12]:>12s}" for c in columns))
    for name in ["decode", *STAGES, "everything"]:
        print(f"{name:15s}", *(f"{c.get(name, 0):12.2f}" for c in columns))


if __name__ == "__main__":
    main()
