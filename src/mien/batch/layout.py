"""What tells the folder of a batch from others; needs no pyarrow."""

from __future__ import annotations

from pathlib import Path

SETTINGS = "mien-batch.json"


def is_result(folder: Path) -> bool:
    """Whether 'mien batch' has written this folder."""
    return (folder / SETTINGS).is_file()
