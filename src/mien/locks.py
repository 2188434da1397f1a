"""One writer at a time, among threads and processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import InputError


@contextmanager
def locked(path: Path, *, busy: str, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the lock that the file at a path stands for; the system gives it back however the process ends.

    Raises:
        InputError: Another held it for all of `wait_s`: says `busy`. Or there can be no file at this path.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=wait_s, mode=0o600, poll_interval=0.01)
    try:
        lock.acquire()
    except Timeout as exc:
        raise InputError(busy) from exc
    except OSError as exc:
        raise InputError(
            f"cannot write {path}: {exc.strerror or exc}; check the folder's permissions"
        ) from exc
    try:
        yield
    finally:
        lock.release()
