"""Results as JSON, JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

from mien.errors import InputError
from mien.installs import lacking
from mien.output.columns import Told
from mien.output.schemas import FaceRecord, FrameRecord
from mien.text import ESCAPE

_PLACE = ("source", "index", "time_s", "width", "height")
_CORNERS = ("x1", "y1", "x2", "y2")
_FLAT = frozenset(
    {"text", "number", "integer", "flag"}
)  # kinds of columns that CSV holds as they are


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


class JsonlSink:
    """One JSON object per line, written at once."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def write(self, record: FrameRecord) -> None:
        self.out.write(record.to_json() + "\n")
        self.out.flush()

    def close(self) -> None:
        self.out.flush()


class JsonSink:
    """One JSON list of all records, written as they come and complete at `close`."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._separator = "[\n"

    def write(self, record: FrameRecord) -> None:
        self.out.write(self._separator + record.to_json())
        self._separator = ",\n"

    def close(self) -> None:
        self.out.write("[]\n" if self._separator == "[\n" else "\n]\n")
        self.out.flush()


class CsvSink:
    """One row per face, without descriptors and probabilities.

    A picture without faces has one row with empty face columns.
    """

    def __init__(self, out: TextIO, told: Told) -> None:
        self.out = out
        self.columns = [column.name for column in told.columns if column.kind in _FLAT]
        self._writer = csv.writer(out)
        self._writer.writerow([*_PLACE, "face", *_CORNERS, *self.columns, "error"])

    def write(self, record: FrameRecord) -> None:
        place = [getattr(record, key) for key in _PLACE]
        faces: Sequence[FaceRecord | None] = record.faces or [None]
        for i, face in enumerate(faces):
            self._writer.writerow([*place, i, *self._cells(face), record.error or ""])
        self.out.flush()

    def _cells(self, face: FaceRecord | None) -> list[object]:
        if face is None:
            return [""] * (len(_CORNERS) + len(self.columns))
        cells = [face.told.get(name) for name in self.columns]
        return [*face.box, *("" if cell is None else cell for cell in cells)]

    def close(self) -> None:
        self.out.flush()


class ParquetSink:
    """One row per face in a Parquet file, complete at `close`; needs `pip install mien[parquet]`."""

    def __init__(self, path: Path, told: Told) -> None:
        self.path = path
        self.told = told
        self._records: list[FrameRecord] = []

    def write(self, record: FrameRecord) -> None:
        self._records.append(record)

    def close(self) -> None:
        import pyarrow.parquet as pq

        from mien.output.parquet import picture_table

        pq.write_table(picture_table(self._records, self.told), self.path)


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


def open_jsonl(path: Path | None, told: Told) -> Sink:
    """JSON lines into a file, or onto standard output."""
    out = _out(path)
    return _owned(JsonlSink(out), out)


def open_json(path: Path | None, told: Told) -> Sink:
    """One JSON list."""
    out = _out(path)
    return _owned(JsonSink(out), out)


def open_csv(path: Path | None, told: Told) -> Sink:
    """Comma-separated values."""
    out = _out(path)
    return _owned(CsvSink(out, told), out)


def open_parquet(path: Path | None, told: Told) -> Sink:
    """A Parquet file.

    Raises:
        InputError: It has no place, cannot be written, or pyarrow is missing.
    """
    if path is None:
        raise InputError("--format parquet needs --output FILE.parquet")
    try:
        import pyarrow as pyarrow
    except ImportError as exc:
        raise InputError(lacking("Parquet", "pyarrow", "parquet")) from exc
    open_text(
        path
    ).close()  # says before the work, not after it, that the results could not be written
    return ParquetSink(path, told)


def _out(path: Path | None) -> TextIO:
    return sys.stdout if path is None else open_text(path)


def _owned(sink: Sink, out: TextIO) -> Sink:
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
