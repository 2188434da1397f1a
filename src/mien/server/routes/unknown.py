"""Who was seen and is in no gallery: groups of faces that are kept for some days, if at all."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from mien.gallery.unknown import LEAST_FACES
from mien.server.problems import Problem, documented
from mien.server.records import (
    GroupMergeRecord,
    GroupRecord,
    GroupsRecord,
    PersonRecord,
    RenameRecord,
    SplitRecord,
    UndoneRecord,
)
from mien.server.routes.pictures import JPEG, jpeg
from mien.server.security import Admin, Reader, ServiceDep

router = APIRouter(tags=["unknown people"])

GroupId = Annotated[
    str, Path(max_length=64, description="As listed.", examples=["3f0c5b2a9d7e"])
]
FaceId = Annotated[
    int, Path(ge=0, le=2**31 - 1, description="As listed.", examples=[12])
]
Least = Annotated[
    int,
    Query(
        ge=1, le=10_000, description="Groups of at least so many faces.", examples=[3]
    ),
]
_STORE = ("gallery-unavailable",)
_CHANGE = ("unknown-not-found", "unusable-input", "too-large", "too-slow", *_STORE)


@router.get("/v1/unknown", summary="Unknown people", responses=documented(*_STORE))
def list_unknown(
    caller: Reader, service: ServiceDep, least: Least = LEAST_FACES
) -> GroupsRecord:
    """Groups of faces that are one person nobody has named, and those somebody split or merged; the largest first.

    Faces are kept only by a service that was started with `--keep-unknown`, and deleted after so many days.
    """
    unknown = service.unknown
    return GroupsRecord(
        days=service.settings.keep_unknown_days,
        waiting=unknown.waiting(),
        groups=[GroupRecord.of(group) for group in unknown.groups(least=least)],
    )


@router.post(
    "/v1/unknown/undo",
    summary="Take back",
    responses=documented("nothing-to-undo", *_STORE),
)
def undo(caller: Admin, service: ServiceDep) -> UndoneRecord:
    """Takes back the last name, split or merge of the last day; of a name, its photos leave the gallery."""
    done = service.people.undo_unknown(service.unknown)
    if done is None:
        raise Problem(
            "nothing-to-undo",
            "there is no name, split or merge of the last day that can be taken back",
        )
    return UndoneRecord.of(done)


@router.get(
    "/v1/unknown/faces/{face_id}",
    summary="A face's picture",
    response_class=Response,
    responses={**documented("unknown-not-found", *_STORE), **JPEG},
)
def get_face(caller: Reader, service: ServiceDep, face_id: FaceId) -> Response:
    """The face as a small JPEG with a little around it."""
    return jpeg(service.unknown.thumbnail(face_id))


@router.get(
    "/v1/unknown/{group_id}",
    summary="One unknown person",
    responses=documented("unknown-not-found", *_STORE),
)
def get_group(caller: Reader, service: ServiceDep, group_id: GroupId) -> GroupRecord:
    """One group with its faces, the newest first."""
    return GroupRecord.of(service.unknown.group(group_id))


@router.post(
    "/v1/unknown/{group_id}/name",
    summary="Say who it is",
    responses=documented(*_CHANGE),
)
def name_group(
    caller: Admin, service: ServiceDep, group_id: GroupId, order: RenameRecord
) -> PersonRecord:
    """Enrols the group's best faces as a person, new or known, who is answered; its faces are unknown no longer."""
    return PersonRecord.of(
        service.people.name_unknown(service.unknown, group_id, order.name)
    )


@router.post(
    "/v1/unknown/{group_id}/split", summary="Split", responses=documented(*_CHANGE)
)
def split_group(
    caller: Admin, service: ServiceDep, group_id: GroupId, order: SplitRecord
) -> GroupRecord:
    """Makes a group of its own, which is answered, of some of the group's faces."""
    return GroupRecord.of(service.unknown.split(group_id, order.faces))


@router.post(
    "/v1/unknown/{group_id}/merge",
    summary="Merge into another",
    responses=documented(*_CHANGE),
)
def merge_group(
    caller: Admin, service: ServiceDep, group_id: GroupId, order: GroupMergeRecord
) -> GroupRecord:
    """Gives all faces of this group to another, which is answered; refused where both were seen in one picture."""
    return GroupRecord.of(service.unknown.merge(group_id, order.into))


@router.delete(
    "/v1/unknown/{group_id}",
    status_code=204,
    summary="Forget an unknown person",
    responses=documented("unknown-not-found", *_STORE),
)
def delete_group(caller: Admin, service: ServiceDep, group_id: GroupId) -> Response:
    """Deletes a group's faces for good: descriptors and pictures. This cannot be taken back."""
    service.unknown.forget(group_id)
    return Response(status_code=204)
