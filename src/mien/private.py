"""Files and folders that only their user may read, whatever the umask: what they hold is about people."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FILE, _FOLDER = 0o600, 0o700
_HOME = (
    "keys.json",
    "jobs",
    "unknown",
    "people",
    "visits",
    "audit",
)  # what the names in a data folder begin with


def make_folder(path: Path) -> Path:
    """A folder of ours, made with all above it that is missing."""
    make_missing(path)
    _tighten(path, _FOLDER)
    return path


def make_home(path: Path) -> Path:
    """The data folder. One that was there and holds things of others too stays as it is: it may be anything."""
    make_missing(path)
    if all(entry.name.startswith(_HOME) for entry in path.iterdir()):
        _tighten(path, _FOLDER)
    return path


def make_file(path: Path) -> Path:
    """A file of ours in a folder that is there, made empty where it is missing.

    What SQLite puts beside it gets the same mode.
    """
    with contextlib.suppress(FileExistsError):
        new_file(path).close()
    if path.is_file():
        _tighten(path, _FILE)
    return path


def new_file(path: Path) -> BinaryIO:
    """A file to write that was not there before.

    Raises:
        FileExistsError: It was.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE)
    os.chmod(path, _FILE)  # noqa: PTH101 - a umask can have taken more than it should
    return os.fdopen(handle, "w+b")


def make_missing(path: Path) -> None:
    """Makes a folder and all above it that is missing; one that is there stays as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(_FOLDER, exist_ok=True)
        folder.chmod(_FOLDER)


def _tighten(path: Path, mode: int) -> None:
    """Takes the rights of others where anybody has some; those of a group alone were given by somebody."""
    if os.name != "posix":  # who may read a file is not in its mode there
        return
    now = path.stat()
    if stat.S_IMODE(now.st_mode) & stat.S_IRWXO and now.st_uid == os.geteuid():
        path.chmod(mode)
