"""The application: middleware, routes and the OpenAPI document around one service."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

import mien
from mien import plugins
from mien.errors import MienError, PluginError
from mien.pipeline import Analyzer
from mien.server import bodies
from mien.server.frames import FaceRecord, FrameRecord
from mien.server.middleware import (
    AdmissionControl,
    BodyLimits,
    HostAndOriginCheck,
    Observe,
)
from mien.server.problems import (
    ProblemRecord,
    on_full_disk,
    on_http_error,
    on_invalid,
    on_mien_error,
    on_short_memory,
)
from mien.server.service import Service, make_service
from mien.server.settings import ServerSettings

log = logging.getLogger(__name__)

_THREADS = 32  # for short work, besides those that stand in line for the networks

_ABOUT = """Where faces are in pictures, videos and live streams, who they are, how old, which gender, which emotion.

Errors are `application/problem+json` with a stable `type`. A key (`Authorization: Bearer …`) is needed as soon as the
service can be reached from other machines. Live pictures go over the WebSocket `/v1/live`: send each frame as one
binary message with a JPEG, get one message of JSON for the newest; browsers offer the subprotocols `mien.v1` and
`mien.key.KEY`.
"""


def create_app(settings: ServerSettings, analyzer: Analyzer) -> FastAPI:
    """The service as an ASGI application; `app.state.service` is what it works with.

    Raises:
        GalleryError: The data folder cannot be used.
    """
    service = make_service(settings, analyzer)
    app = FastAPI(
        title="mien",
        version=mien.__version__,
        description=_ABOUT,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    for kind, handler in (
        (MienError, on_mien_error),
        (MemoryError, on_short_memory),
        (OSError, on_full_disk),
        (HTTPException, on_http_error),
        (RequestValidationError, on_invalid),
    ):
        app.add_exception_handler(kind, handler)
    routes = [
        route
        for plugin in plugins.found(plugins.ROUTES).values()
        for route in _add_routes(app, plugin)
    ]
    app.state.routes = routes
    app.state.operations = {}  # what the document says of the routes asked for so far
    kind_of, is_there = bodies.kinds(routes), bodies.places(routes)
    app.add_middleware(
        AdmissionControl,
        check=service.gate.check,
        is_picture=lambda path: bodies.takes_pictures(kind_of(path)),
    )
    app.add_middleware(
        BodyLimits,
        settings=settings,
        # What is sent to no route is read by nobody: that it goes nowhere is to be said, not that it is large.
        bytes_for=lambda path: (
            bodies.bytes_for(kind_of(path), settings.limits)
            if is_there(path)
            else settings.limits.form_bytes
        ),
    )
    app.add_middleware(HostAndOriginCheck, settings=settings)
    app.add_middleware(Observe, metrics=service.metrics, audit=service.audit)
    app.openapi = _document(app)  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, plugin: plugins.Plugin) -> list[BaseRoute]:
    """The routes that were added, ours or a package's, given as they are or by what makes them; a broken one is told,
    the rest works."""
    try:
        made = plugin.load()
        router = made if isinstance(made, APIRouter) else plugin.make()
        if not isinstance(router, APIRouter):
            raise PluginError(f"{plugin.name!r} of {plugin.package} is no APIRouter")
    except PluginError as exc:
        log.error("%s", exc)
        return []
    if plugin.package == plugins.OWN:  # as they are: included, each is made anew
        app.router.routes.extend(router.routes)
    else:
        app.include_router(router)
    return list(router.routes)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    limits = service.settings.limits
    anyio.to_thread.current_default_thread_limiter().total_tokens = (
        limits.slots + limits.waiting + _THREADS
    )
    service.worker.start()
    if service.watching is not None:
        service.watching.start()
    try:
        yield
    finally:
        service.stopping.set()
        await anyio.to_thread.run_sync(service.worker.stop)
        if service.watching is not None:
            await anyio.to_thread.run_sync(service.watching.stop)
        service.unknown.close()
        service.decoders.close()


def _document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document with the shapes that answers are written in by hand."""
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            shapes = [
                (shape, "serialization")
                for shape in (FrameRecord, FaceRecord, ProblemRecord)
            ]
            _, found = models_json_schema(
                shapes,  # type: ignore[arg-type]
                ref_template="#/components/schemas/{model}",
            )
            schema["components"]["schemas"].update(found["$defs"])
            for unused in ("HTTPValidationError", "ValidationError"):
                if f"/{unused}" not in json.dumps(schema["paths"]):
                    schema["components"]["schemas"].pop(unused, None)
            app.openapi_schema = schema
        return app.openapi_schema

    return document
