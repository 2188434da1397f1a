"""Pictures, videos and streams by their address."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from mien.server.fetch import Fetched, Fetcher, rules_of
from mien.server.jobs.store import Job
from mien.server.problems import Problem, documented
from mien.server.records import JobRecord, UrlRecord
from mien.server.routes.analyze import analyzed, jpeg, json_response, record_of
from mien.server.security import Analyst, Caller, ServiceDep
from mien.server.service import Service
from mien.text import shown

router = APIRouter(tags=["analysis"])

_LOOK_S = 0.5  # how often is asked whether the client is still there

_PROBLEMS = (
    "too-slow",
    "too-large",
    "unusable-input",
    "source-lost",
    "address-refused",
    "busy",
    "model-unavailable",
    "gallery-unavailable",
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A picture: what was found in it.",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/FrameRecord"}
            },
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    202: {
        "description": "A video or stream: its job.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/JobRecord"}}
        },
    },
}


@router.post(
    "/v1/urls",
    summary="Faces at an address",
    response_class=Response,
    responses={**documented(*_PROBLEMS), **_ANSWERS},
)
async def add_url(
    caller: Analyst, service: ServiceDep, order: UrlRecord, request: Request
) -> Response:
    """Fetches a picture and tells what is in it; a video or stream becomes a job. Off unless the service allows it.

    Only http, https and rtsp; private, loopback and link-local addresses are refused, at every redirect.
    """
    if not service.settings.urls:
        raise Problem(
            "forbidden",
            "this service fetches no addresses; start it with --urls to allow it",
        )
    gone = threading.Event()
    with service.fetches.held(caller.id):
        watch = asyncio.create_task(_watch(request, gone))
        try:
            answer = partial(_answer, service, caller, order, gone)
            return await anyio.to_thread.run_sync(answer, limiter=service.fetch_threads)
        finally:
            watch.cancel()


async def _watch(request: Request, gone: threading.Event) -> None:
    """Says when the client has left: then nobody waits for what is fetched."""
    while not await request.is_disconnected():
        await asyncio.sleep(_LOOK_S)
    gone.set()


def _answer(
    service: Service, caller: Caller, order: UrlRecord, gone: threading.Event
) -> Response:
    fetcher = Fetcher(
        rules_of(service.settings, lambda: gone.is_set() or service.stopping.is_set())
    )
    if order.url.lower().startswith("rtsp://"):
        fetcher.resolve(order.url)
        return _stream_job(service, caller, order)
    job_id = service.jobs.admit(caller.id)
    kept = False
    try:
        fetched = _fetch(service, fetcher, order, job_id)
        if fetched.kind == "picture":
            return _picture(service, order, fetched)
        kept = True
        if fetched.kind == "video":
            return _queue(
                service,
                Job(
                    job_id,
                    caller.id,
                    "video",
                    shown(order.url),
                    {"draw": order.draw, "every": 1},
                ),
            )
        return _stream_job(service, caller, order, job_id)
    finally:
        if not kept:
            service.jobs.discard(job_id)


def _fetch(
    service: Service, fetcher: Fetcher, order: UrlRecord, job_id: str
) -> Fetched:
    limits = service.settings.limits
    return fetcher.fetch(
        order.url,
        video_path=service.jobs.path(job_id, "input"),
        picture_bytes=limits.image_bytes,
        video_bytes=limits.video_bytes,
    )


def _picture(service: Service, order: UrlRecord, fetched: Fetched) -> Response:
    from mien.output import drawing

    with analyzed(service, fetched.content, shown(order.url), way="url") as (
        image,
        result,
    ):
        if order.draw:
            return Response(
                jpeg(drawing.annotate(image, result.faces)), media_type="image/jpeg"
            )
    return json_response(record_of(result, service.analyzer.only))


def _stream_job(
    service: Service, caller: Caller, order: UrlRecord, job_id: str | None = None
) -> Response:
    if job_id is None:
        job_id = service.jobs.admit(caller.id)
    seconds = min(
        order.seconds or service.settings.limits.stream_s,
        service.settings.limits.stream_s,
    )
    options = {"draw": order.draw, "every": 1, "url": order.url, "seconds": seconds}
    return _queue(service, Job(job_id, caller.id, "stream", shown(order.url), options))


def _queue(service: Service, job: Job) -> Response:
    record = JobRecord.of(service.jobs.add(job))
    service.worker.notify()
    return JSONResponse(
        record.model_dump(mode="json"), 202, {"location": f"/v1/jobs/{record.id}"}
    )
