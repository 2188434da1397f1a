"""Archives: many photos and videos in, partitioned Parquet out; resumable, on many cores and many machines."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mien.batch.layout import is_result

if TYPE_CHECKING:
    from mien.batch.dataset import Archive
    from mien.batch.run import BatchOptions, BatchSummary, Progress, run_batch

__all__ = [
    "Archive",
    "BatchOptions",
    "BatchSummary",
    "Progress",
    "is_result",
    "run_batch",
]

_HOME = {
    "Archive": "mien.batch.dataset",
    "BatchOptions": "mien.batch.run",
    "BatchSummary": "mien.batch.run",
    "Progress": "mien.batch.run",
    "run_batch": "mien.batch.run",
}


def __getattr__(name: str) -> Any:
    """What reads and writes is imported when first used: it needs pyarrow, an extra."""
    if name not in _HOME:
        raise AttributeError(f"module 'mien.batch' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
