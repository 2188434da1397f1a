"""Small archives of real photos, and what tests say about batch results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from mien import images
from mien.batch import Archive, BatchOptions
from mien.types import U8

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
        height = 300 + 4 * i
        picture = cv2.resize(astronaut, (height, height))
        images.write_image(path, picture if i % 4 else np.ascontiguousarray(picture[height * 3 // 4 :]))
    return paths


def write_with_exif(path: Path, image: U8) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = TAKEN
    Image.fromarray(image[..., ::-1]).save(path, exif=exif)


def rows(folder: Path, table: str = "faces") -> pa.Table:
    """A table in an order of its own, so that results compare whatever part holds which row."""
    found = Archive.open(folder).table(table)
    order = [(name, "ascending") for name in ("source", "index", "face") if name in found.column_names]
    return found.sort_by(order)


def same_rows(one: Path, other: Path) -> bool:
    return all(rows(one, table).equals(rows(other, table)) for table in ("faces", "sources", "errors"))


def debris(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.tmp")]
