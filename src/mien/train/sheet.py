"""A contact sheet: many small pictures on one, to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from mien.media import images
from mien.text import counted
from mien.types import U8

SHEET = "contact-sheet.jpg"  # its name among the crops; it is no picture to train on
_SIDE, _COLUMNS, _LINE = 96, 12, 26  # pixels, pictures, pixels
_MOST = 600  # pictures; of more, evenly chosen ones
_INK, _PAPER = (40, 40, 40), 250


def contact_sheet(files: Sequence[Path], root: Path) -> U8:
    """The pictures (H, W, 3) in rows, those of one folder together under its name and their number."""
    step = max(1, math.ceil(len(files) / _MOST))
    groups = [
        (folder, list(some))
        for folder, some in groupby(files, key=lambda file: file.parent)
    ]
    parts = [
        part
        for folder, some in groups
        for part in (_title(folder, len(some), root), _rows(some[::step]))
    ]
    return np.concatenate(parts) if parts else _blank(_LINE)


def _title(folder: Path, count: int, root: Path) -> U8:
    strip = _blank(_LINE)
    name = str(folder.relative_to(root))
    text = counted(count, "crop") if name == "." else f"{name}: {count}"
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(
        strip,
        plain,
        (6, _LINE - 8),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.5,
        _INK,
        1,
        cv2.LINE_AA,
    )
    return strip


def _rows(files: Sequence[Path]) -> U8:
    sheet = _blank(math.ceil(len(files) / _COLUMNS) * _SIDE)
    for i, file in enumerate(files):
        row, column = divmod(i, _COLUMNS)
        small = cv2.resize(
            images.read_image(file),
            (_SIDE - 4, _SIDE - 4),
            interpolation=cv2.INTER_AREA,
        )
        y, x = row * _SIDE + 2, column * _SIDE + 2
        sheet[y : y + _SIDE - 4, x : x + _SIDE - 4] = small
    return sheet


def _blank(height: int) -> U8:
    return np.full((height, _COLUMNS * _SIDE, 3), _PAPER, dtype=np.uint8)
