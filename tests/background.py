"""What goes on beside a test: waited for, served, asked for a port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

Served = TypeVar("Served", bound=BaseServer)
Found = TypeVar("Found")

LIMIT_S = 120.0  # that only what is broken reaches, however busy the machine is


def until(condition: Callable[[], Found], *, every_s: float = 0.02) -> Found:
    """What the condition gives, once that is true."""
    ends = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(every_s)
    return found


@contextmanager
def served(server: Served) -> Iterator[Served]:
    """Serves from a thread until the block ends, which it hears at once."""
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
