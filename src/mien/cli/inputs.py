"""What commands read: files, and `-` for standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import InputError, ManyFacesError
from mien.media import images
from mien.text import shown


def content_of(file: str | Path) -> bytes:
    """A file's bytes, or those of standard input where it is called `-`.

    Raises:
        InputError: Missing or unreadable, or an address.
    """
    refuse_addresses([str(file)])
    return (
        sys.stdin.buffer.read() if str(file) == "-" else images.read_bytes(Path(file))
    )


def refuse_addresses(given: Iterable[str], why: str = "") -> None:
    """Raises InputError where an address is named and files are read."""
    for name in given:
        if "://" in name:
            raise InputError(
                f"{shown(name)} is an address; save it as a file first{why}"
            )


@contextmanager
def offering_largest() -> Iterator[None]:
    """Says of a photo with several faces how a command takes the largest."""
    try:
        yield
    except ManyFacesError as exc:
        raise ManyFacesError(f"{exc} with --largest") from exc
