"""Results as comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from mien.output.columns import Told
from mien.output.schemas import FaceRecord, FrameRecord
from mien.output.sink import Sink, closing, out_of

_PLACE = ("source", "index", "time_s", "width", "height")
_CORNERS = ("x1", "y1", "x2", "y2")
_FLAT = frozenset(
    {"text", "number", "integer", "flag"}
)  # kinds of columns that CSV holds as they are


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


def open_csv(path: Path | None, told: Told) -> Sink:
    """Comma-separated values."""
    out = out_of(path)
    return closing(CsvSink(out, told), out)
