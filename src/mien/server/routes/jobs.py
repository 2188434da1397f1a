"""Videos as jobs: queue, progress, results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mien import private
from mien.server.bodies import VIDEO
from mien.server.forms import FILE, form_body
from mien.server.jobs import results
from mien.server.jobs.store import Job
from mien.server.parameters import check_form
from mien.server.problems import Problem, documented
from mien.server.records import (
    EVENTS,
    AppearanceRecord,
    JobRecord,
    JobsRecord,
    TimelineRecord,
)
from mien.server.security import Analyst, Caller, Reader, ServiceDep
from mien.server.service import Service
from mien.server.sniff import check_video
from mien.server.uploads import FormLimits, Upload, read_form

router = APIRouter(tags=["jobs"])

_POLL_S = 0.25
_HEARTBEAT_S = 15.0
_UPLOAD = (
    "too-slow",
    "too-large",
    "unsupported-media-type",
    "unusable-input",
    "busy",
    "gallery-unavailable",
    "no-space",
)
_KNOWN = ("job-not-found", "gallery-unavailable")

JobId = Annotated[
    str, Path(max_length=64, examples=["0b7d6f5e4c3b2a190817263544536271"])
]


async def video_upload(
    request: Request, caller: Analyst, service: ServiceDep
) -> AsyncIterator[tuple[str, Upload]]:
    """The id of a job to come, and the video of a form, written into the job's folder as it arrives."""
    job_id = await run_in_threadpool(service.jobs.admit, caller.id)
    limits = service.settings.limits
    file: BinaryIO | None = None

    def open_file() -> BinaryIO:
        nonlocal file
        file = private.new_file(service.jobs.path(job_id, "input"))
        return file

    try:
        form_limits = FormLimits(1, limits.video_bytes, limits.field_bytes)
        form = await read_form(request, form_limits, open_file=open_file)
        check_form(request, form.names)
        found = [upload for upload in form.files if upload.field == "file"]
        if not found:
            raise Problem("invalid", "send a video as a file in the form field 'file'")
        found[0].file.close()
        yield job_id, found[0]
    except BaseException:
        await run_in_threadpool(service.jobs.discard, job_id)
        raise
    finally:
        if file is not None:
            file.close()


VideoUpload = Annotated[tuple[str, Upload], Depends(video_upload)]


@router.post(
    "/v1/videos",
    status_code=202,
    summary="Analyse a video",
    responses=documented(*_UPLOAD),
    openapi_extra=VIDEO | form_body(FILE, ["file"]),
)
def add_video(
    caller: Analyst,
    service: ServiceDep,
    upload: VideoUpload,
    response: Response,
    draw: Annotated[bool, Query(description="Make an annotated video too.")] = False,
    every: Annotated[
        int, Query(ge=1, le=1000, description="Analyse one frame of so many.")
    ] = 1,
) -> JobRecord:
    """Puts a video in the queue; the job is on disk when this is answered."""
    job_id, file = upload
    check_video(service.jobs.path(job_id, "input"))
    job = service.jobs.add(
        Job(job_id, caller.id, "video", file.filename, {"draw": draw, "every": every})
    )
    service.worker.notify()
    response.headers["location"] = f"/v1/jobs/{job_id}"
    return JobRecord.of(job)


@router.get(
    "/v1/jobs", summary="Your jobs", responses=documented("gallery-unavailable")
)
def list_jobs(caller: Reader, service: ServiceDep) -> JobsRecord:
    """The jobs of this key, newest first; an admin sees everybody's."""
    return JobsRecord(
        jobs=[
            JobRecord.of(service.worker.now(job))
            for job in service.jobs.list(_owner(caller))
        ]
    )


@router.get("/v1/jobs/{job_id}", summary="One job", responses=documented(*_KNOWN))
def get_job(caller: Reader, service: ServiceDep, job_id: JobId) -> JobRecord:
    """How far a job is."""
    return JobRecord.of(find(service, caller, job_id))


@router.delete(
    "/v1/jobs/{job_id}",
    status_code=204,
    summary="Cancel and delete",
    responses=documented(*_KNOWN),
)
def delete_job(caller: Analyst, service: ServiceDep, job_id: JobId) -> Response:
    """Ends a job where it runs, and removes it with its video and results."""
    service.worker.delete(find(service, caller, job_id).id)
    return Response(status_code=204)


@router.get(
    "/v1/jobs/{job_id}/events",
    summary="Progress as it happens",
    response_class=StreamingResponse,
    responses={
        **documented("busy", *_KNOWN),
        200: {
            "description": "Server-sent events: `progress` with the job as JSON whenever it moves, at last `end`.",
            "content": EVENTS,
        },
    },
)
async def job_events(caller: Reader, service: ServiceDep, job_id: JobId) -> Response:
    """Tells of a job until it ends."""
    await run_in_threadpool(find, service, caller, job_id)
    return _EventStream(service, caller, job_id)


class _EventStream(StreamingResponse):
    """Holds a listener's place from before its first byte to its end, however it ends."""

    def __init__(self, service: Service, caller: Caller, job_id: str) -> None:
        super().__init__(
            _events(service, caller, job_id), media_type="text/event-stream"
        )
        self.place = service.listeners.held(caller.id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.place:
            await super().__call__(scope, receive, send)


async def _events(service: Service, caller: Caller, job_id: str) -> AsyncIterator[str]:
    said, said_at = "", time.monotonic()
    while not service.stopping.is_set():
        try:
            job = await run_in_threadpool(find, service, caller, job_id)
        except Problem:
            yield "event: deleted\ndata: {}\n\n"
            return
        text = JobRecord.of(job).model_dump_json()
        if text != said:
            said, said_at = text, time.monotonic()
            yield f"event: {'end' if job.ended else 'progress'}\ndata: {text}\n\n"
        elif time.monotonic() - said_at > _HEARTBEAT_S:
            said_at = time.monotonic()
            yield ": still here\n\n"
        if job.ended:
            return
        await asyncio.sleep(_POLL_S)


@router.get(
    "/v1/jobs/{job_id}/result",
    summary="What was found",
    response_class=FileResponse,
    responses={
        **documented("not-ready", *_KNOWN),
        200: {
            "description": "One line of JSON per analysed frame.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
    },
)
def job_result(caller: Reader, service: ServiceDep, job_id: JobId) -> Response:
    """The result of a job that is done, as JSON lines."""
    path = _result(service, caller, job_id)
    return FileResponse(
        path, media_type="application/x-ndjson", filename=f"{job_id}.jsonl"
    )


@router.get(
    "/v1/jobs/{job_id}/timeline",
    summary="Who appears when",
    responses=documented("not-ready", *_KNOWN),
)
def job_timeline(caller: Reader, service: ServiceDep, job_id: JobId) -> TimelineRecord:
    """Who is to be seen from when to when in a job's video."""
    attributes = service.analyzer.told.attributes
    rows = results.timeline(_result(service, caller, job_id), attributes)
    return TimelineRecord(people=[AppearanceRecord.of(row, attributes) for row in rows])


@router.get(
    "/v1/jobs/{job_id}/video",
    summary="The annotated video",
    response_class=FileResponse,
    responses={
        **documented("not-ready", "gone", *_KNOWN),
        200: {
            "description": "The video with boxes and labels.",
            "content": {
                "video/mp4": {"schema": {"type": "string", "format": "binary"}}
            },
        },
    },
)
def job_video(caller: Reader, service: ServiceDep, job_id: JobId) -> Response:
    """The annotated video of a job made with `draw=true`."""
    path = _result(service, caller, job_id).with_name("annotated.mp4")
    if not path.is_file():
        raise Problem(
            "gone",
            "no annotated video: not asked for, not to be made, or gone with a name it showed",
        )
    return FileResponse(path, media_type="video/mp4", filename=f"{job_id}.mp4")


def find(service: Service, caller: Caller, job_id: str) -> Job:
    """A caller's job with its progress. Raises Problem."""
    return service.worker.now(service.jobs.get(job_id, _owner(caller)))


def _owner(caller: Caller) -> str | None:
    return None if caller.may("admin") else caller.id


def _result(service: Service, caller: Caller, job_id: str) -> FilePath:
    job = find(service, caller, job_id)
    if job.state != "done":
        why = job.problem["detail"] if job.problem else f"the job is {job.state}"
        raise Problem("not-ready", f"there is no result: {why}")
    return service.jobs.path(job_id, "result.jsonl")
