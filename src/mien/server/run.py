"""Running the application with uvicorn, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mien import locks
from mien.errors import InputError
from mien.pipeline import Analyzer
from mien.server.app import create_app
from mien.server.logs import set_up
from mien.server.service import Service
from mien.server.settings import Limits, ServerSettings

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 20
_STOP_S = 20
_BACKLOG = 64  # connections taken in one step of the event loop
_STEPS = 3  # until one that was taken is counted, and one too many is gone
_OTHER_FILES = 256  # open besides connections: databases, uploads, addresses that are fetched, libraries
_MOST_FILES = 65_536
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def run(
    settings: ServerSettings, analyzer: Analyzer, *, level: int = logging.INFO
) -> None:
    """Serves until a signal; then finishes requests, puts the running job back and ends."""
    set_up(min(level, logging.INFO))
    busy = f"another 'mien serve' works in {settings.data}: stop it, or choose another --data folder"
    with locks.locked(settings.data / "jobs.lock", busy=busy):
        app = create_app(settings, analyzer)
        service: Service = app.state.service
        if settings.guarded and not service.keys.all():
            log.warning(
                "other machines can reach this service and it has no keys: all requests are refused until "
                "'mien serve key add NAME' makes one"
            )
        make_server(app, settings).run()


def make_server(app: FastAPI, settings: ServerSettings) -> uvicorn.Server:
    """uvicorn around the application, with our limits."""
    limits = settings.limits
    room = open_files() - _OTHER_FILES - _STEPS * _BACKLOG
    places = min(limits.connections, max(_BACKLOG, room))
    own = {"limits": replace(limits, connections=places)}
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=type("Http", (_Http,), own),
        ws=type("WebSocket", (_WebSocket,), own),
        ws_max_size=limits.live_frame_bytes + 1024,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    return _Server(config, app.state.service)


class _Server(uvicorn.Server):
    """Tells long answers (events, live pictures) that the end has come, so that nobody waits for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.service.stopping.set()
        super().handle_exit(sig, frame)


def check_port(host: str, port: int) -> None:
    """Says before the networks are loaded that an address cannot be listened on.

    Raises:
        InputError: It is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as exc:
        why = (
            "is taken; does 'mien serve' run already?"
            if exc.errno == errno.EADDRINUSE
            else f"cannot be used: {exc}"
        )
        raise InputError(
            f"port {port} of {host} {why} Choose another with --port"
        ) from exc


def open_files() -> int:
    """How many files and connections this process may have open: as many as the system lets it."""
    if sys.platform == "win32":  # has no such limit
        return _MOST_FILES
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


class _Sending(asyncio.Protocol):
    """A connection that is ended when the other side does not take what is sent."""

    limits = Limits()
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _stuck: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(
            self.limits.send_idle_s, self.transport.abort
        )

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
        super().connection_lost(exc)


class _WebSocket(_Sending, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket that does not wait for ever."""


class _Http(_Sending, H11Protocol):
    """uvicorn's HTTP with a limit on the time until a request's headers are there, and on connections."""

    idle_since = 0.0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._late = self.loop.call_later(self.limits.header_s, self._end_if_idle)
        # The connection that is idle for longest ends, else this one.
        crowd = [other for other in self.connections if _host(other) == _host(self)]
        if len(crowd) <= self.limits.connections_per_address:
            crowd = list(self.connections)
            if len(crowd) <= self.limits.connections:
                return
        log.warning(
            "too many connections; the longest idle are ended, and new ones where none is idle"
        )
        idle = [other for other in crowd if isinstance(other, _Http) and other.may_go()]
        if len(idle) > 1:  # this one is idle too
            min(idle, key=lambda other: other.idle_since).transport.abort()
        else:
            self.transport.write(_FULL)
            self.transport.close()

    def may_go(self) -> bool:
        """Whether nobody waits for an answer here."""
        return self._between_requests() and not self.transport.is_closing()

    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        if self._late is None and self._between_requests():
            self._late = self.loop.call_later(self.limits.header_s, self._end_if_idle)
        super().data_received(data)
        if not self._between_requests():
            self._be_calm()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._be_calm()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_calm()
        super().connection_lost(exc)

    def _be_calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _between_requests(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _end_if_idle(self) -> None:
        self._late = None
        if self.may_go():
            self.transport.close()


def _host(connection: Any) -> str:
    return connection.client[0] if connection.client else ""
