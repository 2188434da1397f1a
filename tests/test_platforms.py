"""What Windows and macOS lack is asked for only where it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from mien import private
from mien.media import apart
from mien.types import U8

# Without the modules and functions that only Unix has: what does not load, and what counts processors and files there.
_BARE = """
import importlib, json, os, pkgutil, sys
for name in ("resource", "fcntl", "termios", "readline"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "fchmod", "killpg", "getpgid", "readv"):
    vars(os).pop(name, None)
import mien
failed = {}
for found in pkgutil.walk_packages(mien.__path__, "mien."):
    if found.name == "mien.__main__":
        continue
    try:
        importlib.import_module(found.name)
    except (ImportError, AttributeError) as exc:
        failed[found.name] = str(exc)
from mien.batch.workers import usable_cores
from mien.limits import default_slots
from mien.runtime import default_threads
from mien.server.run import open_files
sys.platform = "win32"
print(json.dumps([failed, usable_cores(), default_slots(), default_threads(), open_files()]))
"""


@pytest.mark.slow
def test_everything_loads_and_counts_without_what_only_unix_has() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _BARE], capture_output=True, text=True, check=True
    )
    failed, *counts = json.loads(told.stdout.splitlines()[-1])
    assert {k: v for k, v in failed.items() if "tensorflow" not in v.lower()} == {}
    assert min(counts) >= 1


def test_elsewhere_files_and_rare_pictures_go_without_modes_and_limits(
    tmp_path: Path, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = tmp_path / "people.db"
    loose.touch(0o666)
    tiff = cv2.imencode(".tiff", astronaut)[1].tobytes()
    for module in (private, apart):
        monkeypatch.setattr(module, "os", SimpleNamespace(**{**vars(os), "name": "nt"}))
    assert private.make_file(loose) == loose
    assert apart.Decoders().read(tiff, max_pixels=10**7).shape == astronaut.shape
