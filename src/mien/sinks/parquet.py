"""Faces as Arrow columns: the one table shape of `mien analyze --format parquet` and `mien batch`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from mien.schemas import FaceRecord, FrameRecord

DESCRIPTOR = 128

_PROBS = pa.map_(pa.string(), pa.float32())
FACE_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("index", pa.int32()),
        ("time_s", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("face", pa.int32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("score", pa.float32()),
        ("landmarks", pa.list_(pa.float32(), 10)),
        ("track_id", pa.int64()),
        ("name", pa.string()),
        ("distance", pa.float32()),
        ("age", pa.float32()),
        ("age_group", pa.string()),
        ("age_group_probs", _PROBS),
        ("gender", pa.string()),
        ("gender_probs", _PROBS),
        ("emotion", pa.string()),
        ("emotion_probs", _PROBS),
        ("embedding", pa.list_(pa.float32(), DESCRIPTOR)),
    ]
)

_PICTURE = ("source", "index", "time_s", "width", "height")
_PLAIN = ("score", "track_id", "name", "distance", "age", "age_group", "gender", "emotion", "embedding")


def face_table(records: Iterable[FrameRecord]) -> pa.Table:
    """One row per face, in the columns of `FACE_SCHEMA`; a picture without a face has none."""
    return pa.Table.from_pylist([row for record in records for row in _rows(record)], schema=FACE_SCHEMA)


def picture_table(records: Iterable[FrameRecord]) -> pa.Table:
    """As `face_table`, but a picture without a face has one row without face columns; `error` says why it failed."""
    rows = [
        {**row, "error": record.error}
        for record in records
        for row in [*_rows(record)] or [{key: getattr(record, key) for key in _PICTURE}]
    ]
    return pa.Table.from_pylist(rows, schema=FACE_SCHEMA.append(pa.field("error", pa.string())))


def _rows(record: FrameRecord) -> Iterator[dict[str, object]]:
    place = {key: getattr(record, key) for key in _PICTURE}
    for i, face in enumerate(record.faces):
        yield {**place, "face": i, **_face_columns(face)}


def _face_columns(face: FaceRecord) -> dict[str, object]:
    columns: dict[str, object] = dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True))
    columns |= {key: getattr(face, key) for key in _PLAIN}
    columns["landmarks"] = [value for point in face.landmarks for value in point]
    for attribute in ("age_group", "gender", "emotion"):
        columns[f"{attribute}_probs"] = _pairs(getattr(face, f"{attribute}_probs"))
    return columns


def _pairs(probs: Mapping[str, float] | None) -> list[tuple[str, float]] | None:
    return None if probs is None else list(probs.items())
