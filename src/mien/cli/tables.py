"""Results as tables for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien.schemas import FaceRecord, FrameRecord
from mien.sinks.records import open_text

_WIDTH_IN_FILES = 160


class TableSink:
    """One table row per face, shown at `close`."""

    def __init__(self, output: Path | None = None) -> None:
        self._file: TextIO | None = open_text(output) if output else None
        width = _WIDTH_IN_FILES if output or not sys.stdout.isatty() else None
        self._console = Console(file=self._file, width=width)
        self._records: list[FrameRecord] = []

    def write(self, record: FrameRecord) -> None:
        self._records.append(record)

    def close(self) -> None:
        if self._records:
            self._console.print(_table(self._records))
        if self._file is not None:
            self._file.close()


def _table(records: list[FrameRecord]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("source", "face", "name", "age", "gender", "emotion", "box", "score"):
        table.add_column(name, justify="right" if name in {"face", "age", "score"} else "left", overflow="fold")
    for record in records:
        source = escape(record.source if record.time_s == 0 else f"{record.source} {record.time_s:.2f} s")
        if record.error is not None:
            table.add_row(source, "", f"[red]{escape(record.error)}[/red]")
        elif not record.faces:
            table.add_row(source, "0", "[dim]no face[/dim]")
        for i, face in enumerate(record.faces, 1):
            table.add_row(source if i == 1 else "", str(i), *_cells(face))
    return table


def _cells(face: FaceRecord) -> list[str]:
    box = " ".join(f"{v:.0f}" for v in face.box)
    age = "" if face.age is None else f"{face.age:.0f}"
    return [_name(face), age, _likely(face.gender, face.gender_probs), _likely(face.emotion, face.emotion_probs), box,
            f"{face.score:.2f}"]  # fmt: skip


def _name(face: FaceRecord) -> str:
    if face.distance is None:
        return ""
    return f"[bold]{escape(face.name)}[/bold] {face.distance:.2f}" if face.name else f"unknown {face.distance:.2f}"


def _likely(label: str | None, probs: dict[str, float] | None) -> str:
    return "" if label is None or not probs else f"{label} {probs[label]:.0%}"
