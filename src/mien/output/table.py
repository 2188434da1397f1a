"""Results as tables for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien.attribute import Attribute
from mien.output.columns import Told
from mien.output.schemas import FaceRecord, FrameRecord
from mien.output.sink import open_text

_WIDTH_IN_FILES = 160


class TableSink:
    """One table row per face, shown at `close`."""

    def __init__(self, output: Path | None, told: Told) -> None:
        self.told = told
        self._file: TextIO | None = open_text(output) if output else None
        width = _WIDTH_IN_FILES if output or not sys.stdout.isatty() else None
        self._console = Console(file=self._file, width=width)
        self._records: list[FrameRecord] = []

    def write(self, record: FrameRecord) -> None:
        self._records.append(record)

    def close(self) -> None:
        if self._records:
            self._console.print(_table(self._records, self.told))
        if self._file is not None:  # a terminal was told at once, on stderr
            for record in self._records:
                if record.error is not None:
                    self._file.write(f"{record.error}\n")
            self._file.close()


def open_table(path: Path | None, told: Told) -> TableSink:
    """A table for people, on the terminal or in a file."""
    return TableSink(path, told)


def _table(records: list[FrameRecord], told: Told) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    numbers = {
        "face",
        "score",
        *(attribute.name for attribute in told.attributes if attribute.is_number),
    }
    for name in (
        "source",
        "face",
        "name",
        *(attribute.name for attribute in told.attributes),
        "box",
        "score",
    ):
        table.add_column(
            name, justify="right" if name in numbers else "left", overflow="fold"
        )
    for record in records:
        source = escape(
            record.source
            if record.time_s == 0
            else f"{record.source} {record.time_s:.2f} s"
        )
        if record.error is not None:
            table.add_row(source, "", "[red]failed[/red]")
        elif not record.faces:
            table.add_row(source, "0", "[dim]no face[/dim]")
        for i, face in enumerate(record.faces, 1):
            table.add_row(source if i == 1 else "", str(i), *_cells(face, told))
    return table


def _cells(face: FaceRecord, told: Told) -> list[str]:
    about = [_about(face, attribute) for attribute in told.attributes]
    return [
        (
            ""
            if face.distance is None
            else (
                f"[bold]{escape(face.name)}[/bold] {face.distance:.2f}"
                if face.name
                else f"unknown {face.distance:.2f}"
            )
        ),
        *about,
        " ".join(f"{v:.0f}" for v in face.box),
        f"{face.score:.2f}",
    ]


def _about(face: FaceRecord, attribute: Attribute) -> str:
    """A number, or the likeliest label or group with its probability."""
    fields = face.told
    value = fields.get(attribute.name)
    if isinstance(value, float):
        return f"{value:.0f}"
    named = attribute.name if attribute.groups is None else attribute.groups.name
    label, probs = fields.get(named), fields.get(f"{named}_probs")
    return f"{escape(label)} {probs[label]:.0%}" if label and probs else ""
