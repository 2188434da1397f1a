"""For those who operate the service."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

import mien
from mien.server.problems import Problem, documented
from mien.server.records import AttributeRecord, ServerRecord, StateRecord
from mien.server.security import Reader, ServiceDep

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Is it alive")
async def health() -> StateRecord:
    """Answers as long as the process does; needs no key."""
    return StateRecord(status="ok")


@router.get(
    "/readyz",
    summary="Does it take work",
    responses={503: documented("busy", "gallery-unavailable")[503]},
)
async def ready(service: ServiceDep) -> StateRecord:
    """Whether models, gallery and jobs are there and requests are taken; needs no key."""
    if service.stopping.is_set():
        raise Problem("stopping", "the service is stopping", {"retry-after": "5"})
    await run_in_threadpool(service.people.gallery.check_ready)
    await run_in_threadpool(service.jobs.count, "queued")
    return StateRecord(status="ready")


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses={
        **documented(),
        200: {
            "description": "Prometheus' text form.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
)
def metrics(caller: Reader, service: ServiceDep) -> Response:
    """Requests, faces, times, queues and passes of networks."""
    return Response(
        service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@router.get("/v1/server", summary="What this service can do", responses=documented())
async def server(caller: Reader, service: ServiceDep) -> ServerRecord:
    """What the caller may do here, and within which limits."""
    limits, settings = service.settings.limits, service.settings
    return ServerRecord(
        version=mien.__version__,
        role=caller.role,  # type: ignore[arg-type]
        parts=list(service.analyzer.parts),
        attributes=[
            AttributeRecord.of(one)
            for one in sorted(service.analyzer.attributes, key=lambda a: a.order)
        ],
        gallery=service.analyzer.gallery is not None,
        keep_unknown_days=settings.keep_unknown_days,
        urls=settings.urls,
        watching=service.watching is not None,
        image_bytes=limits.image_bytes,
        video_bytes=limits.video_bytes,
        files=limits.files,
        jobs_kept_s=limits.jobs_kept_s,
    )
