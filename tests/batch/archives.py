"""Small archives of real photos, and what tests say about batch results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from mien.batch import Archive, BatchOptions
from mien.batch.dataset import TOLD, BatchInput, make_outcome
from mien.media import images
from mien.output.arrow import face_schema
from mien.types import F32, U8

CHOICES = {"device": "cpu"}
IDENTITY = {**CHOICES, "only": ("identity",)}
TAKEN = "2019:07:04 12:30:00"


def options(**changes: object) -> BatchOptions:
    return BatchOptions(**{"choices": IDENTITY, "jobs": 1, **changes})  # type: ignore[arg-type]


def write_photos(folder: Path, astronaut: U8, count: int) -> list[Path]:
    """Photos that differ, all with the astronaut's face but every fourth."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo {i:03}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        height = 300 + i
        picture = cv2.resize(astronaut, (height, height))
        images.write_image(
            path, picture if i % 4 else np.ascontiguousarray(picture[height * 3 // 4 :])
        )
    return paths


def write_with_exif(path: Path, image: U8) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = TAKEN
    Image.fromarray(image[..., ::-1]).save(path, exif=exif)


def rows(folder: Path, table: str = "faces") -> pa.Table:
    """A table in an order of its own, so that results compare whatever part holds which row."""
    found = Archive.open(folder).table(table)
    order = [
        (name, "ascending")
        for name in ("source", "index", "face")
        if name in found.column_names
    ]
    return found.sort_by(order)


def same_rows(one: Path, other: Path) -> bool:
    return all(
        rows(one, table).equals(rows(other, table))
        for table in ("faces", "sources", "errors")
    )


def debris(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.tmp")]


def write_faces(folder: Path, parts: list[F32]) -> None:
    """A batch result of faces that are descriptors only: row i of part p is the face in `p/i.jpg`."""
    schema = face_schema(TOLD)
    with Archive.writing(folder, {}) as archive:
        for p, rows in enumerate(parts):
            known = {
                "source": [f"{p}/{i}.jpg" for i in range(len(rows))],
                "index": np.zeros(len(rows), np.int32),
                "time_s": np.zeros(len(rows)),
                **{
                    corner: np.full(len(rows), 9, np.float32)
                    for corner in ("x1", "y1", "x2", "y2")
                },
                "embedding": pa.FixedSizeListArray.from_arrays(
                    pa.array(rows.ravel()), rows.shape[1]
                ),
            }
            columns = [
                known.get(field.name, pa.nulls(len(rows), field.type))
                for field in schema
            ]
            hashed = {
                "content_hash": pa.nulls(len(rows), pa.string()),
                "models": pa.nulls(len(rows), pa.string()),
            }
            table = pa.table(
                [*columns, *hashed.values()], names=[*schema.names, *hashed]
            )
            item = BatchInput(f"{p}", "all", p, p, f"{p}")
            archive.commit(
                make_outcome([item], [], [table.cast(pa.schema([*schema, *_HASHED]))])
            )


_HASHED = (pa.field("content_hash", pa.string()), pa.field("models", pa.string()))
