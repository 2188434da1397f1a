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
            cells: list[object] = [None] * (len(_CORNERS) + len(self.columns))
            if face is not None:
                cells = [*face.box, *map(face.told.get, self.columns)]
            texts = ("" if cell is None else cell for cell in cells)
            self._writer.writerow([*place, i, *texts, record.error or ""])
        self.out.flush()

    def close(self) -> None:
        self.out.flush()


def open_csv(path: Path | None, told: Told) -> Sink:
    """Comma-separated values."""
    out = out_of(path)
    return closing(CsvSink(out, told), out)
