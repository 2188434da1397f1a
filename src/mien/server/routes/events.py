"""Visits: who came, when, where; as they happen, or as they are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Header, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mien.errors import MienError, NoFaceError
from mien.gallery import Photo
from mien.gallery.base import check_name
from mien.server.people import Choice
from mien.server.problems import Problem, documented
from mien.server.records import (
    EVENTS,
    CounterExamplesRecord,
    CountsRecord,
    RenameRecord,
    VisitRecord,
    VisitsRecord,
)
from mien.server.routes.cameras import watching_of
from mien.server.routes.pictures import JPEG, jpeg
from mien.server.security import Admin, Caller, Reader, ServiceDep
from mien.server.service import Service
from mien.watch.counts import count
from mien.watch.store import KeptVisit, VisitStore, Wanted

router = APIRouter(tags=["watching"])

_POLL_S = 0.25
_MOST_DIGITS = 18  # of a change's number
_HEARTBEAT_S = 15.0
_STORE = ("gallery-unavailable", "not-watching")
_KNOWN = ("visit-not-found", *_STORE)
_MP4: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A film of H.264.",
        "content": {"video/mp4": {"schema": {"type": "string"}}},
    }
}

VisitId = Annotated[
    str, Path(max_length=64, description="As listed.", examples=["6627dff55d984750"])
]
Moment = Annotated[datetime | None, Query(description="With its offset from UTC.")]


@router.get(
    "/v1/events",
    summary="Visits",
    response_model=VisitsRecord,
    responses={
        **documented("busy", *_STORE),
        200: {
            "description": "Visits; with `follow`, server-sent events: `visit` with each one as JSON when it changes.",
            "content": EVENTS,
        },
    },
)
async def list_events(
    caller: Reader,
    service: ServiceDep,
    person: Annotated[str | None, Query(max_length=200)] = None,
    camera: Annotated[str | None, Query(max_length=100)] = None,
    since: Moment = None,
    until: Moment = None,
    before: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="The page behind: `next`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    follow: Annotated[
        bool, Query(description="Tell what happens from now on.")
    ] = False,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**63 - 1, description="Follow from this `number` on."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(description="The same, as browsers send it when they come again."),
    ] = None,
) -> Response | VisitsRecord:
    """The visits that changed last, the newest change first. They are kept only as long as mien.toml says."""
    store = watching_of(service).store
    wanted = Wanted(person, camera, _seconds(since), _seconds(until))
    if follow:
        if since or until or before is not None:
            raise Problem(
                "invalid",
                "follow tells what comes; since, until and before list what was",
            )
        after = _latest(after, last_event_id)
        return _Followed(service, caller, _changes(service, store, after, wanted))
    if after is not None:
        raise Problem("invalid", "after goes with follow=true; pages go by before")
    found = await run_in_threadpool(store.visits, wanted, limit=limit, before=before)
    more = found[-1].number if len(found) == limit else None
    keeping = watching_of(service).said.watch
    return VisitsRecord(
        keep_days=keeping.keep_days,
        keep_pictures=keeping.keep_pictures,
        next=more,
        events=await run_in_threadpool(_told, service, found),
    )


def _told(service: Service, visits: Sequence[KeptVisit]) -> list[VisitRecord]:
    """Visits with the unknown people whom their faces belong to."""
    unnamed = [visit.id for visit in visits if visit.person is None]
    groups = service.unknown.groups_of(unnamed)
    return [VisitRecord.of(visit, groups.get(visit.id)) for visit in visits]


def _told_since(service: Service, store: VisitStore, number: int) -> list[VisitRecord]:
    changes = store.changes(number)
    return _told(service, changes) if changes else []  # most often nothing changed


def _latest(after: int | None, last_event_id: str | None) -> int | None:
    """From which change on: a listener that comes again has heard more than its address says."""
    heard = last_event_id or ""
    if not heard.isascii() or not heard.isdecimal() or len(heard) > _MOST_DIGITS:
        return after
    return max(after or 0, int(heard))


def _seconds(moment: datetime | None) -> float | None:
    try:
        return None if moment is None else moment.timestamp()
    except (ValueError, OverflowError) as exc:  # of a clock's offset in the year 1
        raise Problem("invalid", f"{moment} is no time of visits") from exc


class _Followed(StreamingResponse):
    """Holds a listener's place from before its first byte to its end, however it ends."""

    def __init__(
        self, service: Service, caller: Caller, changes: AsyncIterator[str]
    ) -> None:
        super().__init__(changes, media_type="text/event-stream")
        self.place = service.listeners.held(caller.id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.place:
            await super().__call__(scope, receive, send)


async def _changes(
    service: Service, store: VisitStore, after: int | None, wanted: Wanted
) -> AsyncIterator[str]:
    """What happens to visits of the person and camera that are wanted, as server-sent events."""
    said_at = time.monotonic()
    number = await run_in_threadpool(store.last_number) if after is None else after
    yield ": from here on\n\n"
    while not service.stopping.is_set():
        for visit in await run_in_threadpool(_told_since, service, store, number):
            number = visit.number
            if not wanted.fits(visit.person, visit.camera):
                continue
            said_at = time.monotonic()
            text = visit.model_dump_json()
            yield f"id: {number}\nevent: visit\ndata: {text}\n\n"
        if time.monotonic() - said_at > _HEARTBEAT_S:
            said_at = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(_POLL_S)


@router.get(
    "/v1/events/counts",
    summary="Visits, counted",
    responses=documented("busy", *_STORE),
)
def count_events(
    caller: Reader,
    service: ServiceDep,
    person: Annotated[str | None, Query(max_length=200)] = None,
    camera: Annotated[str | None, Query(max_length=100)] = None,
    since: Moment = None,
    until: Moment = None,
    zone: Annotated[
        str,
        Query(
            max_length=64,
            pattern=r"^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$",
            description="Whose hours and days: Europe/Berlin.",
        ),
    ] = "UTC",
) -> CountsRecord:
    """How many came in which hour, on which day, how old, in which mood. Who crosses from one camera to another within
    minutes counts once."""
    wanted = Wanted(person, camera, _seconds(since), _seconds(until))
    visits = (visit.to_dict() for visit in watching_of(service).store.every(wanted))
    try:
        hours = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, OSError, ValueError) as exc:
        raise Problem("invalid", f"there is no time zone {zone}") from exc
    return CountsRecord.of(count(visits, service.analyzer.attributes, hours))


@router.get("/v1/events/{visit_id}", summary="One visit", responses=documented(*_KNOWN))
def get_event(caller: Reader, service: ServiceDep, visit_id: VisitId) -> VisitRecord:
    """All that is kept of a visit."""
    return _told(service, [watching_of(service).store.visit(visit_id)])[0]


@router.get(
    "/v1/events/{visit_id}/pictures/{number}",
    summary="A picture of a visit",
    response_class=Response,
    responses={**documented(*_KNOWN), **JPEG},
)
def get_picture(
    caller: Reader,
    service: ServiceDep,
    visit_id: VisitId,
    number: Annotated[int, Path(ge=0, le=10, examples=[0])],
) -> Response:
    """One of the pictures that are kept of a visit's best looks."""
    return jpeg(watching_of(service).store.picture(visit_id, number))


@router.get(
    "/v1/events/{visit_id}/clip",
    summary="The clip of a visit",
    response_class=Response,
    responses={**documented(*_KNOWN), **_MP4},
)
def get_clip(caller: Reader, service: ServiceDep, visit_id: VisitId) -> Response:
    """The seconds around a visit's beginning, where mien.toml says `keep_clips`; there once they have passed."""
    content = watching_of(service).store.clip(visit_id)
    headers = {"cache-control": "no-store"}
    return Response(content, media_type="video/mp4", headers=headers)


@router.post(
    "/v1/events/{visit_id}/name",
    summary="Say who it was",
    responses=documented(
        *("no-face", "unusable-input", "unknown-not-found"),
        *("too-large", "too-slow", "busy", *_KNOWN),
    ),
)
def name_event(
    caller: Admin, service: ServiceDep, visit_id: VisitId, order: RenameRecord
) -> VisitRecord:
    """Enrols who was seen in a visit as a person, new or known; the visit then bears the name.

    Where the visit has a `group`, the faces that are kept of it are enrolled, and all visits of the group bear the
    name; else those of the visit's pictures. So the service's file must say `keep_unknown` or `keep_pictures`.
    """
    store, name = watching_of(service).store, check_name(order.name)
    group = get_event(caller, service, visit_id).group
    if group is not None:
        service.people.name_unknown(service.unknown, group, name)
        return get_event(caller, service, visit_id)
    service.people.enroll(name, _faces(service, store, visit_id))
    return VisitRecord.of(store.name(visit_id, name))


@router.post(
    "/v1/events/{visit_id}/not",
    summary="Say who it was not",
    responses=documented(
        *("no-face", "person-not-found", "unusable-input", "busy"),
        *("too-large", "too-slow", *_KNOWN),
    ),
)
def deny_event(
    caller: Admin, service: ServiceDep, visit_id: VisitId
) -> CounterExamplesRecord:
    """It was not who the visit says: the faces of its pictures, which are answered, never get that name again, faces
    like them must be nearer to it, and the visit is somebody unknown's. Those that were enrolled by naming the visit
    are taken away again, and the person with them who has no other photo; a name that was given to a whole group of
    unknown faces is taken back by `POST /v1/unknown/undo`.

    It needs the pictures: `keep_pictures` in the service's file says whether they are kept.
    """
    store = watching_of(service).store
    visit = store.visit(visit_id)
    if visit.person is None:
        raise Problem("unusable-input", "the visit bears no name that could be wrong")
    person = service.people.named(visit.person)
    faces = _faces(service, store, visit_id)
    store.name(visit_id, None)  # first: a person's visits are deleted with them
    try:
        denied = service.people.deny_enrolled(person.id, faces)
    except MienError:
        store.name(visit_id, person.name)
        raise
    return CounterExamplesRecord.of(person.id, denied)


def _faces(service: Service, store: VisitStore, visit_id: str) -> list[Photo]:
    """The faces of a visit's pictures, described.

    Raises:
        VisitNotFound: No picture of it is kept.
        NoFaceError: None shows a face well enough.
    """
    pixels = service.settings.limits.image_pixels
    choice = Choice(largest=True)
    photos: list[Photo] = []
    missed: NoFaceError | None = None
    for number in range(max(1, len(store.visit(visit_id).pictures))):
        content = store.picture(visit_id, number)
        try:
            with service.gate.slot(pixels):
                photos.append(
                    service.people.photo(
                        content, "visit.jpg", choice, max_pixels=pixels
                    )
                )
        except NoFaceError as exc:  # a poor look; the others may do
            missed = exc
    if missed is not None and not photos:
        raise missed
    return photos


@router.delete(
    "/v1/events/{visit_id}",
    status_code=204,
    summary="Forget a visit",
    responses=documented(*_KNOWN),
)
def delete_event(caller: Admin, service: ServiceDep, visit_id: VisitId) -> Response:
    """Deletes a visit, its pictures and its clip for good."""
    watching_of(service).store.forget(visit_id)
    return Response(status_code=204)
