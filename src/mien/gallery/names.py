"""Names of people as names of files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from mien.errors import InputError
from mien.text import composed, printable

_LONGEST = 255  # bytes


def name_of(entry: Path) -> str:
    """Whose a file or a folder is."""
    return composed(unquote(printable(entry.name if entry.is_dir() else entry.stem)))


def file_name(name: str) -> str:
    """The name as a file name: only what a file system cannot hold is written as %XX.

    Raises:
        InputError: It is too long.
    """
    quoted = name.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")
    quoted = "%2E" + quoted[1:] if quoted.startswith(".") else quoted
    if len(quoted.encode()) > _LONGEST:
        raise InputError(
            f"the name has {len(quoted.encode())} bytes, a folder's at most {_LONGEST}; shorten it"
        )
    return quoted
