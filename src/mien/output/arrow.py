"""Faces as Arrow columns: the one table shape of `mien analyze --format parquet` and `mien batch`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from mien.output.columns import Told
from mien.output.schemas import FrameRecord

_PICTURE = [
    ("source", pa.string()),
    ("index", pa.int32()),
    ("time_s", pa.float64()),
    ("width", pa.int32()),
    ("height", pa.int32()),
]
_CORNERS = ("x1", "y1", "x2", "y2")
_KINDS = {
    "text": pa.string(),
    "number": pa.float32(),
    "integer": pa.int64(),
    "flag": pa.bool_(),
    "probs": pa.map_(pa.string(), pa.float32()),
    "interval": pa.list_(pa.float32(), 2),
    "points": pa.list_(pa.float32(), 10),
}


def face_schema(told: Told) -> pa.Schema:
    """The columns of what is told of faces."""
    fields = [*_PICTURE, ("face", pa.int32())]
    for column in told.columns:
        if column.kind == "box":
            fields += [(corner, pa.float32()) for corner in _CORNERS]
        elif column.kind == "vector":
            fields.append((column.name, pa.list_(pa.float32(), told.space.size)))
        else:
            fields.append((column.name, _KINDS[column.kind]))
    return pa.schema(fields)


def face_table(records: Iterable[FrameRecord], schema: pa.Schema) -> pa.Table:
    """One row per face, in the columns of a `face_schema`; a picture without a face has none."""
    return pa.Table.from_pylist(
        [row for record in records for row in _rows(record)], schema=schema
    )


def picture_table(records: Sequence[FrameRecord], told: Told) -> pa.Table:
    """As `face_table`, but a picture without a face has one row without face columns; `error` says why it failed."""
    rows = [
        {**row, "error": record.error}
        for record in records
        for row in [*_rows(record)] or [_place(record)]
    ]
    schema = face_schema(told).append(pa.field("error", pa.string()))
    return pa.Table.from_pylist(rows, schema=schema)


def _place(record: FrameRecord) -> dict[str, object]:
    return {key: getattr(record, key) for key, _ in _PICTURE}


def _rows(record: FrameRecord) -> Iterator[dict[str, object]]:
    for i, face in enumerate(record.faces):
        told = {
            name: list(value.items()) if isinstance(value, Mapping) else value
            for name, value in face.told.items()
        }
        box = zip(_CORNERS, face.box, strict=True)
        points = [value for point in face.landmarks for value in point]
        its = {"face": i, **told, **dict(box), "landmarks": points}
        yield {**_place(record), **its}
