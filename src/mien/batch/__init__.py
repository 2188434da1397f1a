"""Archives: many photos and videos in, partitioned Parquet out; resumable, on many cores and many machines."""

from __future__ import annotations

from mien.batch.dataset import Archive
from mien.batch.run import BatchOptions, BatchSummary, Progress, run_batch

__all__ = ["Archive", "BatchOptions", "BatchSummary", "Progress", "run_batch"]
