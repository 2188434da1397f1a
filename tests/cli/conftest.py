"""What the tests of the commands share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from mien.cli import main

Inside = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Runs a command in this process: the same way from `main` on, without a second's start."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exc:
            code = int(exc.code or 0)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run
