"""Running the application with uvicorn, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.pipeline import Analyzer
from mien.server.app import create_app
from mien.server.logs import set_up
from mien.server.service import Service
from mien.server.settings import ServerSettings

log = logging.getLogger(__name__)

_CONNECTIONS = 512
_KEEP_ALIVE_S = 20
_STOP_S = 20


def run(settings: ServerSettings, analyzer: Analyzer, *, level: int = logging.INFO) -> None:
    """Serves until a signal; then finishes requests, puts the running job back and ends."""
    set_up(min(level, logging.INFO))
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
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=type("Patient", (_Patient,), {"seconds": settings.limits.header_s}),
        ws="websockets-sansio",
        ws_max_size=settings.limits.live_frame_bytes + 1024,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
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


class _Patient(H11Protocol):
    """uvicorn's HTTP with a limit on the time until a request's headers are there."""

    seconds = 10.0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late = self.loop.call_later(self.seconds, self._end_if_idle)

    def data_received(self, data: bytes) -> None:
        if self._late is None and self._between_requests():
            self._late = self.loop.call_later(self.seconds, self._end_if_idle)
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
        if self._between_requests() and not self.transport.is_closing():
            self.transport.close()
