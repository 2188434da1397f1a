"""What commands read: files, and `-` for standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from mien import images


def content_of(file: str | Path) -> bytes:
    """A file's bytes, or those of standard input where it is called `-`.

    Raises:
        InputError: Missing or unreadable.
    """
    return sys.stdin.buffer.read() if str(file) == "-" else images.read_bytes(Path(file))
