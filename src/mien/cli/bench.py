"""`mien bench`: how fast every part is on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from mien.cli import new_app
from mien.cli.options import SharedOptions, with_shared_options
from mien.media import images
from mien.pipeline import Analyzer

bench_app = new_app()

_SIZES = ((640, 480), (1280, 720), (1920, 1080))
_SECONDS_PER_PART = 1.5


@bench_app.command()
@with_shared_options
def bench(
    shared: SharedOptions,
    photo: Annotated[
        Path | None,
        typer.Option("--photo", help="Measure on this photo instead of noise."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure the speed of every part on this machine: medians in milliseconds.

    Example: [bold]mien bench --detector yunet --threads 1[/bold]
    """
    analyzer = shared.analyzer(gallery=None)
    rows = [
        {"part": part, **_timed(run)} for part, run in _parts(analyzer, photo).items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(
        "part", "median ms", "fastest ms", "per second", box=None, pad_edge=False
    )
    for row in rows:
        table.add_row(
            row["part"],
            f"{row['median_ms']:.2f}",
            f"{row['fastest_ms']:.2f}",
            f"{row['per_second']:.0f}",
        )
    Console().print(table)


def _parts(analyzer: Analyzer, photo: Path | None) -> dict[str, Callable[[], object]]:
    """What is measured, by name. The networks' time does not depend on what is in the picture."""
    from mien.models.detectors.base import boxes_only

    if photo:
        picture = images.read_image(photo)
    else:
        width, height = _SIZES[0]
        noise = np.random.default_rng(0).integers(
            0, 255, (height // 8, width // 8, 3), dtype=np.uint8
        )
        picture = np.asarray(cv2.resize(noise, (width, height)), dtype=np.uint8)
    middle = np.array(picture.shape[1::-1], np.float32) / 2
    side = min(picture.shape[:2]) / 3
    boxes = np.tile(np.concatenate([middle - side, middle + side]), (16, 1))
    faces = boxes_only(boxes.astype(np.float32), np.ones(16, np.float32))
    chips, _ = analyzer.backbone.aligner(picture, faces)
    parts: dict[str, Callable[[], object]] = {
        f"detect {size[0]}x{size[1]}": partial(
            analyzer.detector, np.asarray(cv2.resize(picture, size), dtype=np.uint8)
        )
        for size in _SIZES
    }
    parts["align, 1 face"] = lambda: analyzer.backbone.aligner(picture, faces[:1])
    parts["describe, 1 face"] = lambda: analyzer.backbone.describe(chips[:1], faces[:1])
    parts["describe, 16 faces"] = lambda: analyzer.backbone.describe(chips, faces)
    if photo:
        parts["the whole photo"] = lambda: analyzer.analyze(photo)
    return parts


def _timed(run: Callable[[], object]) -> dict[str, Any]:
    run()
    times: list[float] = []
    while len(times) < 5 or sum(times) < _SECONDS_PER_PART:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    middle = median(times)
    return {
        "median_ms": middle * 1e3,
        "fastest_ms": min(times) * 1e3,
        "per_second": 1 / middle,
        "runs": len(times),
    }
