"""Who with the role admin did what: a file of JSON lines, without names, pictures or addresses."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from mien import private

log = logging.getLogger(__name__)

LARGEST = (
    10_000_000  # bytes; then the file becomes audit.jsonl.1, and the one before goes
)


class AuditLog:
    """Appends to `audit.jsonl` in a data folder. Safe to share between threads and processes."""

    def __init__(self, data: Path) -> None:
        self.path = data / "audit.jsonl"
        self._lock = threading.Lock()

    def note(self, **facts: object) -> None:
        """Writes one line. Where it cannot be written, the process's log says so: nobody's work fails by it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **facts}) + "\n"
        try:
            with self._lock:
                private.make_home(self.path.parent)
                if self.path.exists() and self.path.stat().st_size > LARGEST:
                    self.path.replace(self.path.with_name("audit.jsonl.1"))
                private.make_file(self.path)
                with open(self.path, "ab", buffering=0) as file:  # noqa: PTH123
                    file.write(line.encode())
        except OSError as exc:
            log.error("the audit log cannot be written: %s", exc.strerror or exc)
