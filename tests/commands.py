"""Commands as the tests call them: in this process, or, where a process is what is tested, in one of their own."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mien.cli import main

Done = subprocess.CompletedProcess[str]
Inside = Callable[..., Done]

_ENDING = (signal.SIGINT, signal.SIGTERM)  # which a command leaves as they were

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
