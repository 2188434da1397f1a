"""Results as JSON, JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TextIO

from mien.errors import InputError
from mien.schemas import FaceRecord, FrameRecord
from mien.text import ESCAPE

_PLACE = ("source", "index", "time_s", "width", "height")


class Sink(Protocol):
    """Takes records one by one; `close` completes the output."""

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
    """One row per face, without descriptors; a picture without faces has one row with empty face columns."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._writer: csv.DictWriter[str] | None = None

    def write(self, record: FrameRecord) -> None:
        for row in flat_rows(record):
            if self._writer is None:
                self._writer = csv.DictWriter(self.out, list(row))
                self._writer.writeheader()
            self._writer.writerow(row)
        self.out.flush()

    def close(self) -> None:
        self.out.flush()


class ParquetSink:
    """One row per face in a Parquet file, complete at `close`; needs `pip install mien[parquet]`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: list[FrameRecord] = []

    def write(self, record: FrameRecord) -> None:
        self._records.append(record)

    def close(self) -> None:
        try:
            import pyarrow.parquet as pq

            from mien.sinks.parquet import picture_table
        except ImportError as exc:
            raise InputError("Parquet needs pyarrow; run 'pip install mien[parquet]'") from exc
        pq.write_table(picture_table(self._records), self.path)


class NamedSink:
    """A text sink on a file of its own."""

    def __init__(self, path: Path, kind: str) -> None:
        self._file = open_text(path)
        self._sink = TEXT_SINKS[kind](self._file)

    def write(self, record: FrameRecord) -> None:
        self._sink.write(record)

    def close(self) -> None:
        self._sink.close()
        self._file.close()


TEXT_SINKS: Mapping[str, type[JsonlSink] | type[JsonSink] | type[CsvSink]] = {
    "jsonl": JsonlSink,
    "json": JsonSink,
    "csv": CsvSink,
}
FORMATS = ("table", *TEXT_SINKS, "parquet")


def open_text(path: Path) -> TextIO:
    """A text file to write.

    Raises:
        InputError: The place cannot be written.
    """
    try:
        return path.open("w", encoding="utf-8", errors=ESCAPE, newline="")
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror or exc}") from exc


def flat_rows(record: FrameRecord) -> list[dict[str, object]]:
    """A record as one flat row per face."""
    place = {key: getattr(record, key) for key in _PLACE}
    faces: Iterable[FaceRecord | None] = record.faces or [None]
    return [{**place, "face": i, **_face_columns(face), "error": record.error or ""} for i, face in enumerate(faces)]


def _face_columns(face: FaceRecord | None) -> dict[str, object]:
    corners: tuple[object, ...] = face.box if face else ("", "", "", "")
    columns = dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))
    for key in ("score", "track_id", "name", "distance", "age", "age_group", "gender", "emotion"):
        value = getattr(face, key) if face else None
        columns[key] = "" if value is None else value
    return columns
