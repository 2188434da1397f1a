"""`mien watch`: the cameras of a mien.toml, day and night; what happens is a line of JSON."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from mien import heap
from mien.cli import INTERRUPTED, new_app
from mien.cli.options import KeepUnknown, SharedOptions, collector, with_shared_options
from mien.cli.signals import handling
from mien.store import data_dir
from mien.watch.settings import find_file, read_file
from mien.watch.telling import Watch
from mien.watch.visits import Event
from mien.watch.watcher import Watcher

watch_app = new_app()


@watch_app.command()
@with_shared_options
def watch(
    options: SharedOptions,
    file: Annotated[
        Path | None,
        typer.Argument(help="What to watch: a mien.toml with [[cameras]]."),
    ] = None,
    keep_unknown: KeepUnknown = None,
) -> None:
    """Watch cameras day and night: who came, when, where, how old, in which mood; a line of JSON each.

    Cameras, zones and what is kept stand in mien.toml; docs/watch.md tells how. Ctrl-C ends it.

    Example: [bold]mien watch mien.toml --gallery people/[/bold]
    """
    heap.keep_few_arenas()
    found = find_file(file)
    said = read_file(found)
    options = options.filled_in(found)
    if any(camera.require_live for camera in said.cameras):
        options = options.with_live()
    options.place(make=True)
    with ExitStack() as stack:
        analyzer = options.analyzer()
        stack.callback(analyzer.close)
        strangers = collector(analyzer, keep_unknown or said.watch.keep_unknown)
        watching = Watch(
            analyzer, said, data=data_dir(), tell=_print, collector=strangers
        )
        interrupted: list[int] = []
        ending = _ending(watching.watcher, interrupted)
        stack.enter_context(handling(ending, signal.SIGINT, signal.SIGTERM))
        with watching:
            watching.watcher.run()
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _ending(
    watcher: Watcher, interrupted: list[int]
) -> Callable[[int, FrameType | None], None]:
    """What ends the watching in good order, and notes the SIGINT that did."""

    def end(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            interrupted.append(number)
            signal.signal(number, signal.default_int_handler)  # the next one is abrupt
        watcher.stop()

    return end


def _print(event: Event) -> None:
    sys.stdout.write(json.dumps(event.to_dict(), ensure_ascii=False) + "\n")
    sys.stdout.flush()
