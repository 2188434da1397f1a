"""What the two commands share: which files, which processes, how a picture is read."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import click
import cv2

from face_recognition.models import THREADS

Each = Callable[[Callable[[str], Any], Iterable[str]], Iterator[Any]]  # like map

_IMAGE = re.compile(
    r".*\.(jpg|jpeg|png)", re.IGNORECASE
)  # the original's: x.jpg.bak is one too

RECURSIVE_HELP = "Look into the folders of a folder too."
FORMAT_HELP = "'text' is one comma separated line per result, 'json' one JSON object per image and line."


def image_files_in_folder(folder: str, recursive: bool = False) -> list[str]:
    """The pictures of a folder, in the order the file system gives them."""
    if not recursive:
        return [
            os.path.join(folder, name)  # noqa: PTH118
            for name in os.listdir(folder)  # noqa: PTH208
            if _IMAGE.match(name)
        ]
    walk = os.walk(folder, onerror=_raise)
    return [
        os.path.join(place, name)  # noqa: PTH118
        for place, _, names in walk
        for name in names
        if _IMAGE.match(name)
    ]


def _raise(error: OSError) -> None:
    raise error


class NoProcesses(click.ClickException, ValueError):  # noqa: N818 - a ValueError as multiprocessing's own
    """A number of processes with which nothing can be done."""


def processes(cpus: int, image_to_check: str) -> int:
    """How many processes to use. A single picture needs none beside this one, so there any number will do."""
    if cpus == -1 or cpus > 0:
        return cpus
    return cpus if os.path.isdir(image_to_check) else 1  # noqa: PTH112


@contextmanager
def workers(cpus: int) -> Iterator[Each]:
    """A `map` over that many processes, -1 for all there are; results come in order, and the processes end with it.

    Raises:
        NoProcesses: none, or a negative number of them.
    """
    if cpus == 1:
        yield map
        return
    if cpus < 1 and cpus != -1:
        raise NoProcesses(f"{cpus} processes: use 1 or more, or -1 for all there are")
    count = None if cpus == -1 else cpus
    context = multiprocessing.get_context(
        "spawn"
    )  # a fork would copy the locks of running threads
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """One thread per process: the processes are the parallelism."""
    os.environ[THREADS] = "1"
    cv2.setNumThreads(1)
