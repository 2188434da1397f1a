"""What commands read: files, and `-` for standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import ManyFacesError
from mien.media import images


def content_of(file: str | Path) -> bytes:
    """A file's bytes, or those of standard input where it is called `-`.

    Raises:
        InputError: Missing or unreadable.
    """
    return (
        sys.stdin.buffer.read() if str(file) == "-" else images.read_bytes(Path(file))
    )


@contextmanager
def offering_largest() -> Iterator[None]:
    """Says of a photo with several faces how a command takes the largest."""
    try:
        yield
    except ManyFacesError as exc:
        raise ManyFacesError(f"{exc} with --largest") from exc
