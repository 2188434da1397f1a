"""Structured logs: one JSON object per line, without names, descriptors or addresses of pictures."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

_KNOWN = (
    "request_id",
    "method",
    "route",
    "status",
    "ms",
    "bytes",
    "key",
    "client",
    "job",
    "state",
    "kind",
    "left_out",
)
_PAUSE_S = 60.0
_MOST_KINDS = 1_000


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        line |= {
            name: getattr(record, name) for name in _KNOWN if hasattr(record, name)
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _message(record: logging.LogRecord) -> str:
    """What was logged, but for places on the disk: in a folder of photos they are people's names."""
    if not isinstance(record.args, tuple) or not any(
        isinstance(part, Path) for part in record.args
    ):
        return record.getMessage()
    return str(record.msg) % tuple(
        f"a file ({part.suffix})" if isinstance(part, Path) else part
        for part in record.args
    )


class OnceAMinute(logging.Filter):
    """Lets each kind of warning and error through once a minute, with the number left out since; so that nobody who
    can cause one can fill the disk. What belongs to one request or job always comes through."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if (
            record.levelno < logging.WARNING
            or hasattr(record, "request_id")
            or hasattr(record, "job")
        ):
            return True
        kind = (record.name, record.lineno, str(record.msg).partition("\n")[0])
        now = self.clock()
        last, left_out = self._seen.get(kind, (-_PAUSE_S, 0))
        if now - last < _PAUSE_S:
            self._seen[kind] = (last, left_out + 1)
            return False
        if len(self._seen) >= _MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = (now, 0)
        if left_out:
            record.left_out = left_out
        return True


def set_up(level: int = logging.INFO) -> None:
    """Sends what the process logs to stderr: as JSON lines; on a terminal only what matters, in words."""
    handler = logging.StreamHandler(sys.stderr)
    on_terminal = sys.stderr.isatty()
    handler.setFormatter(
        logging.Formatter("%(levelname)s: %(message)s")
        if on_terminal
        else JsonFormatter()
    )
    handler.setLevel(logging.WARNING if on_terminal else logging.NOTSET)
    handler.addFilter(OnceAMinute())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True
