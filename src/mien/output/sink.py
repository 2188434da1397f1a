"""What takes results one by one, and the text files they go into."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol, TextIO

from mien.errors import InputError
from mien.output.schemas import FrameRecord
from mien.text import ESCAPE


class Sink(Protocol):
    """Takes records one by one; `close` completes the output.

    Example:
        >>> class Names:
        ...     def write(self, record):
        ...         print([face.name for face in record.faces])
        ...
        ...     def close(self):
        ...         pass
    """

    def write(self, record: FrameRecord) -> None: ...
    def close(self) -> None: ...


class _Closing:
    """A text sink that closes its file."""

    def __init__(self, sink: Sink, file: TextIO) -> None:
        self.sink = sink
        self.file = file

    def write(self, record: FrameRecord) -> None:
        self.sink.write(record)

    def close(self) -> None:
        self.sink.close()
        self.file.close()


def out_of(path: Path | None) -> TextIO:
    """A file to write, or standard output."""
    return sys.stdout if path is None else open_text(path)


def closing(sink: Sink, out: TextIO) -> Sink:
    """The sink, which closes its file unless that is standard output."""
    return sink if out is sys.stdout else _Closing(sink, out)


def open_text(path: Path) -> TextIO:
    """A text file to write.

    Raises:
        InputError: The place cannot be written.
    """
    try:
        return path.open("w", encoding="utf-8", errors=ESCAPE, newline="")
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror or exc}") from exc
