"""Folders copied as of one moment, and put in each other's place as a whole."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
import time
from pathlib import Path

from mien import private
from mien.errors import GalleryError

_PATIENCE_S = 30.0
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


def copy_tree(tree: Path, to: Path) -> None:
    """Copies the files of a folder, as they were all at one moment, into one that is empty.

    Whoever changes the folder meanwhile makes new files: those that were there are linked where that can be.

    Raises:
        GalleryError: It changes all the time, or cannot be read.
    """
    try:
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError):  # gone just now
                before = _listed(tree)
                _take(tree, list(before), to)
                if _listed(tree) == before:
                    return
            for entry in list(to.iterdir()):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    except OSError as exc:
        raise GalleryError(f"cannot copy {tree}: {exc.strerror or exc}") from exc
    raise GalleryError(
        f"{tree} changes all the time; try again when fewer people write"
    )


def _listed(tree: Path) -> dict[str, tuple[int, int, int]]:
    """The files of a folder, and by what a change of one is noticed; links that lead out of it, or to nothing, are no
    part of it."""
    found = {}
    for place, _, names in os.walk(tree):
        for name in names:
            file = Path(place, name)
            if leads_out_of(tree, file):
                continue
            state = file.stat()
            if stat.S_ISREG(state.st_mode):
                kept = str(file.relative_to(tree))
                found[kept] = (state.st_ino, state.st_size, state.st_mtime_ns)
    return found


def leads_out_of(tree: Path, entry: Path) -> bool:
    """Whether an entry of a folder is a link to something outside, or to nothing at all."""
    try:
        return entry.is_symlink() and not entry.resolve(strict=True).is_relative_to(
            tree.resolve()
        )
    except (OSError, RuntimeError):  # nothing there, or links in a circle
        return True


def _take(tree: Path, names: list[str], to: Path) -> None:
    for name in names:
        goal = to / name
        private.make_missing(goal.parent)
        source = (tree / name).resolve()
        try:
            os.link(source, goal)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, goal)


def put_tree(tree: Path, place: Path) -> None:
    """Puts a folder in the place of another, which is deleted: as a whole, however this process ends.

    Raises:
        OSError: It cannot be.
    """
    private.make_missing(place.parent)
    beside = place.with_name(f".{place.name}.restored")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.move(tree, beside)  # onto its file system
    if place.exists():
        _exchange(beside, place)
        shutil.rmtree(beside)
    else:
        beside.rename(place)


def _exchange(one: Path, other: Path) -> None:
    """Lets two folders change names, in one step where the system can."""
    with contextlib.suppress(AttributeError, OSError):
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        done = rename(
            _HERE, os.fsencode(one), _HERE, os.fsencode(other), ctypes.c_uint(_EXCHANGE)
        )
        if done == 0:
            return
    aside = other.with_name(f".{other.name}.before-restore")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
