"""Results as one Parquet file."""

from __future__ import annotations

from pathlib import Path

from mien.errors import InputError
from mien.installs import lacking
from mien.output.columns import Told
from mien.output.schemas import FrameRecord
from mien.output.sink import Sink, open_text


class ParquetSink:
    """One row per face in a Parquet file, complete at `close`; needs `pip install mien[parquet]`."""

    def __init__(self, path: Path, told: Told) -> None:
        self.path = path
        self.told = told
        self._records: list[FrameRecord] = []

    def write(self, record: FrameRecord) -> None:
        self._records.append(record)

    def close(self) -> None:
        import pyarrow.parquet as pq

        from mien.output.arrow import picture_table

        pq.write_table(picture_table(self._records, self.told), self.path)


def open_parquet(path: Path | None, told: Told) -> Sink:
    """A Parquet file.

    Raises:
        InputError: It has no place, cannot be written, or pyarrow is missing.
    """
    if path is None:
        raise InputError("--format parquet needs --output FILE.parquet")
    try:
        import pyarrow as pyarrow
    except ImportError as exc:
        raise InputError(lacking("Parquet", "pyarrow", "parquet")) from exc
    open_text(
        path
    ).close()  # says before the work, not after it, that the results could not be written
    return ParquetSink(path, told)
