"""Where results go, by one rule for all commands.

A file's suffix says what it is. Its folders are made. It is never one of the inputs. Whatever cannot be written is
refused before the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_IN_FILES = 160


def file_to_write(
    option: str,
    place: Path,
    *,
    suffixes: Collection[str],
    inputs: Iterable[str | Path] = (),
) -> Path:
    """The place, which can be written to and has one of the suffixes.

    Raises:
        InputError: It is an input or a folder, has another suffix, or cannot be written.
    """
    if place.is_dir():
        raise InputError(
            f"{option} {place} is a folder; give the name of a file that ends in {_listed(suffixes)}"
        )
    if place.suffix.lower() not in suffixes:
        raise InputError(
            f"{option} {place}: give a name that ends in {_listed(suffixes)}"
        )
    refuse_inputs(option, [place], inputs)
    _make(option, place.parent)
    if place.exists() and not os.access(place, os.W_OK):
        raise InputError(
            f"{option} {place} cannot be written: it belongs to somebody else or is write-protected"
        )
    return place


def folder_to_write(
    option: str, place: Path, *, inputs: Iterable[str | Path] = ()
) -> Path:
    """The folder, made where it was not there.

    Raises:
        InputError: It is an input or a file, or cannot be written.
    """
    refuse_inputs(option, [place], inputs)
    _make(option, place)
    return place


def refuse_inputs(
    option: str, places: Iterable[Path], inputs: Iterable[str | Path]
) -> None:
    """Refuses to write onto what is read.

    Raises:
        InputError: One of the places is one of the inputs.
    """
    taken = {_identity(Path(name)): name for name in inputs if "://" not in str(name)}
    for place in places:
        if _identity(place) in taken:
            raise InputError(
                f"{option} would write over the input {taken[_identity(place)]}; give another place"
            )


def console() -> Console:
    """Standard output: in a file and in a pipe lines are not broken where a terminal would end."""
    from rich.console import Console  # half of what a table needs to be loaded

    return Console(
        width=None if sys.stdout.isatty() else _WIDTH_IN_FILES, highlight=False
    )


def _identity(path: Path) -> object:
    """What two names of the same file have in common, whatever links lead to it."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return path.resolve() if "\0" not in str(path) else path
    return about.st_dev, about.st_ino


def _make(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{option}: {folder} is a file; give a folder") from None
    except (OSError, ValueError) as exc:
        raise InputError(
            f"{option}: cannot make {folder}: {getattr(exc, 'strerror', None) or exc}"
        ) from exc
    if not os.access(folder, os.W_OK):
        raise InputError(
            f"{option}: {folder} cannot be written to; give another place, or change its permissions"
        )


def _listed(suffixes: Collection[str]) -> str:
    names = sorted(suffixes)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def local_time(seconds: float | None) -> str:
    """A time (seconds since 1970) as people here read it; nothing where there is none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def utc_time(seconds: float) -> str:
    """A time (seconds since 1970) as JSON has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
