"""Results as JSON, or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from mien.output.columns import Told
from mien.output.schemas import FrameRecord
from mien.output.sink import Sink, closing, out_of


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


def open_jsonl(path: Path | None, told: Told) -> Sink:
    """JSON lines into a file, or onto standard output."""
    out = out_of(path)
    return closing(JsonlSink(out), out)


def open_json(path: Path | None, told: Told) -> Sink:
    """One JSON list."""
    out = out_of(path)
    return closing(JsonSink(out), out)
