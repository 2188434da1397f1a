"""Commands as the tests call them: in this process, or, where a process is what is tested, in one of their own."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from mien.cli import main

Done = subprocess.CompletedProcess[str]
Inside = Callable[..., Done]

_ENDING = (signal.SIGINT, signal.SIGTERM)  # which a command leaves as they were

_FORKS = multiprocessing.get_context("forkserver")
_FORKED = [
    "gallery.test_counter",
    "test_backup",
    "watch.test_killed",
    "watch.test_telling",
]

MIEN = (sys.executable, "-c", "from mien.cli import main; main()")


def in_own_process(*arguments: object, **environment: str) -> Done:
    """Runs `mien` as users start it. It costs a second or more: `inside` does for all that is not about processes."""
    command = [*MIEN, *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )


def saying(
    target: Callable[..., None], *arguments: object
) -> tuple[BaseProcess, Iterator[Any]]:
    """A process in which `target(say, …)` runs, and what it says until it ends. It is forked from one that has imported
    what it needs, so that it begins at once."""
    _FORKS.set_forkserver_preload(_FORKED)
    hears, says = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=target, args=(says.send, *arguments), daemon=True)
    with pytest.MonkeyPatch.context() as patch:  # which it looks for imports by
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        process.start()
    says.close()
    return process, _heard(hears)


def _heard(hears: Connection) -> Iterator[Any]:
    with hears, suppress(EOFError):
        while True:
            yield hears.recv()


def runner(capsys: pytest.CaptureFixture[str]) -> Inside:
    """What runs `mien` in this process: the same way from `main` on; `environment` holds for this command only."""

    def run(*arguments: object, **environment: str) -> Done:
        capsys.readouterr()
        before = [signal.getsignal(number) for number in _ENDING]
        with pytest.MonkeyPatch.context() as patch, _own_logging():
            patch.setattr(sys, "argv", ["mien", *map(str, arguments)])
            if sys.stdin is sys.__stdin__ or not isinstance(
                sys.stdin, io.IOBase
            ):  # pytest's, which may not be read
                patch.setattr(sys, "stdin", io.StringIO())
            for name, value in environment.items():
                patch.setenv(name, value)
            code = _status()
        assert [signal.getsignal(number) for number in _ENDING] == before
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run


def _status() -> int:
    try:
        main()
    except SystemExit as exc:
        return int(exc.code or 0)
    return 0


@contextmanager
def _own_logging() -> Iterator[None]:
    """Logging as a new process finds it: set up by nobody, so that warnings go to this command's stderr."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
