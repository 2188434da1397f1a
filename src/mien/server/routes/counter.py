"""Who a face is not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from mien.errors import PhotoNotFound
from mien.gallery import Photo
from mien.server.bodies import PICTURES
from mien.server.forms import CHOICE, FILES, PictureForm, choice_of, form_body
from mien.server.problems import OF_FACES, Problem, documented
from mien.server.records import CounterExamplesRecord
from mien.server.routes.people import PersonId
from mien.server.routes.pictures import JPEG, described, jpeg
from mien.server.security import Admin, Reader, ServiceDep
from mien.server.service import Service
from mien.server.uploads import Form

router = APIRouter(tags=["people"])

ExampleId = Annotated[
    str, Path(max_length=64, description="As listed.", examples=["3f0c5b2a9d7e"])
]
_GROUP = {
    "group": {
        "type": "string",
        "description": "Instead of pictures: a group of unknown faces.",
        "example": "3f0c5b2a9d7e",
    }
}
_PROBLEMS = (
    "person-not-found",
    "unknown-not-found",
    "photo-not-found",
    *OF_FACES,
    "gallery-unavailable",
)


@router.post(
    "/v1/people/{person_id}/not",
    status_code=201,
    summary="Say who a face is not",
    responses=documented(*_PROBLEMS),
    openapi_extra=PICTURES | form_body({**FILES, **CHOICE, **_GROUP}, []),
)
def deny(
    caller: Admin, service: ServiceDep, person_id: PersonId, form: PictureForm
) -> CounterExamplesRecord:
    """These faces, which are answered, never get this person's name again; faces like them must be nearer to it."""
    service.people.get(person_id)
    denied = service.people.deny(person_id, _faces(service, form))
    return CounterExamplesRecord.of(person_id, denied)


def _faces(service: Service, form: Form) -> list[Photo]:
    """The faces of the pictures of a form, or of the group that it names."""
    group = form.fields.get("group")
    if bool(form.files) == (group is not None):
        raise Problem(
            "invalid", "send pictures in 'file', or a 'group' of unknown faces"
        )
    if group is not None:
        return service.unknown.photos(group)
    return described(service, form.files, choice_of(form))


@router.get(
    "/v1/people/{person_id}/not",
    summary="Faces that are not somebody",
    responses=documented("person-not-found", "gallery-unavailable"),
)
def list_denied(
    caller: Reader, service: ServiceDep, person_id: PersonId
) -> CounterExamplesRecord:
    """What was said of this person, the first said first."""
    return CounterExamplesRecord.of(person_id, service.people.denied(person_id))


@router.get(
    "/v1/people/{person_id}/not/{example_id}/thumbnail",
    summary="A face that is not somebody",
    response_class=Response,
    responses={
        **documented("person-not-found", "photo-not-found", "gallery-unavailable"),
        **JPEG,
    },
)
def get_denied(
    caller: Reader, service: ServiceDep, person_id: PersonId, example_id: ExampleId
) -> Response:
    """The face as a small JPEG."""
    for one in service.people.denied(person_id):
        if one.id == example_id and one.thumbnail:
            return jpeg(one.thumbnail)
    raise PhotoNotFound("there is no such face, or no picture of it; list them again")


@router.delete(
    "/v1/people/{person_id}/not/{example_id}",
    status_code=204,
    summary="Take back who a face is not",
    responses=documented("person-not-found", "photo-not-found", "gallery-unavailable"),
)
def take_back(
    caller: Admin, service: ServiceDep, person_id: PersonId, example_id: ExampleId
) -> Response:
    """The face, and faces like it, may get this name again."""
    service.people.allow(person_id, example_id)
    return Response(status_code=204)
