"""The gallery: who is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from mien.about import about, places
from mien.gallery import Photo, check_name
from mien.gallery.verdicts import GOOD, THERE, judge
from mien.server.bodies import PICTURES
from mien.server.forms import (
    CHOICE,
    ENROLMENT,
    FILE,
    PictureForm,
    choice_of,
    form_body,
    pictures_of,
)
from mien.server.problems import OF_FACES, Problem, documented
from mien.server.records import (
    AboutRecord,
    EnrolledRecord,
    FoundFaceRecord,
    FoundRecord,
    MergeRecord,
    PeopleRecord,
    PersonRecord,
    PhotoRecord,
    PhotosRecord,
    RenameRecord,
)
from mien.server.routes.pictures import JPEG, described, enrollable, jpeg
from mien.server.security import Admin, Analyst, Reader, ServiceDep
from mien.server.service import Service
from mien.server.uploads import Form

router = APIRouter(tags=["people"])

PersonId = Annotated[
    str,
    Path(
        max_length=64,
        description="As listed.",
        examples=["3f0c5b2a9d7e4c61b8a1f2e3d4c5b6a7"],
    ),
]
PhotoId = Annotated[
    str, Path(max_length=80, description="Its sha256, as listed.", examples=["5f0c…"])
]
RequireLive = Annotated[
    bool,
    Query(
        description="Refuse faces that surely are pictures or screens; needs `mien models get antispoof`."
    ),
]
Top = Annotated[int, Query(ge=1, le=100, description="How many of the nearest.")]
Strict = Annotated[
    bool,
    Query(description="Refuse photos that are not good; none is added then."),
]
_ENROL = (*OF_FACES, "poor-photo", "gallery-unavailable")
_STORE = ("gallery-unavailable",)
_LIVE = ("spoof", "model-unavailable")
_THEIR_NAME = {
    "name": {"type": "string", "description": "Where it is said, it must be theirs."}
}


@router.get("/v1/people", summary="Everybody", responses=documented(*_STORE))
def list_people(caller: Reader, service: ServiceDep) -> PeopleRecord:
    """Everybody in the gallery, by name."""
    return PeopleRecord(
        people=[PersonRecord.of(person) for person in service.people.all()]
    )


@router.post(
    "/v1/people",
    status_code=201,
    summary="Enrol somebody new",
    responses=documented("person-exists", *_ENROL, *_LIVE),
    openapi_extra=PICTURES
    | form_body(
        {
            "name": {
                "type": "string",
                "maxLength": 200,
                "minLength": 1,
                "example": "Ada Lovelace",
            },
            **ENROLMENT,
        },
        ["name", "file"],
    ),
)
def add_person(
    caller: Admin,
    service: ServiceDep,
    form: PictureForm,
    response: Response,
    strict: Strict = False,
    require_live: RequireLive = False,
) -> EnrolledRecord:
    """Adds a person from photos, or from a short film of them alone, whose best frames are taken; what is answered
    201 is on disk."""
    if "name" not in form.fields:
        raise Problem("invalid", "send the person's name in the form field 'name'")
    name = check_name(form.fields["name"])
    photos = _photos(service, form, require_live=require_live)
    verdicts = _judged(service, name, photos, strict=strict)
    person = service.people.add(name, photos)
    response.headers["location"] = f"/v1/people/{person.id}"
    return EnrolledRecord.told(person, photos, verdicts)


@router.get(
    "/v1/people/{person_id}",
    summary="One person",
    responses=documented("person-not-found", *_STORE),
)
def get_person(
    caller: Reader, service: ServiceDep, person_id: PersonId
) -> PersonRecord:
    """One person."""
    return PersonRecord.of(service.people.get(person_id))


@router.patch(
    "/v1/people/{person_id}",
    summary="Rename",
    responses=documented(
        "person-not-found",
        "person-exists",
        "unusable-input",
        "too-large",
        "too-slow",
        *_STORE,
    ),
)
def rename_person(
    caller: Admin, service: ServiceDep, person_id: PersonId, change: RenameRecord
) -> PersonRecord:
    """Gives a person another name, in kept results too."""
    return PersonRecord.of(service.people.rename(person_id, change.name))


@router.delete(
    "/v1/people/{person_id}",
    status_code=204,
    summary="Forget",
    responses=documented("person-not-found", *_STORE),
)
def delete_person(caller: Admin, service: ServiceDep, person_id: PersonId) -> Response:
    """Deletes a person: photos, descriptors, what was cached, and the name in the results of jobs."""
    service.people.remove(person_id)
    return Response(status_code=204)


@router.get(
    "/v1/people/{person_id}/about",
    summary="All that is kept about somebody",
    responses=documented("person-not-found", *_STORE),
)
def about_person(
    caller: Admin, service: ServiceDep, person_id: PersonId
) -> AboutRecord:
    """Photos, what was cached of them, who the person is not, visits, results of jobs; a DELETE deletes all of it."""
    name = service.people.get(person_id).name
    with places(service.people.gallery, service.settings.data) as known:
        return AboutRecord.of(name, about(known, name))


@router.post(
    "/v1/people/{person_id}/photos",
    status_code=201,
    summary="More photos of somebody",
    responses=documented("person-not-found", *_ENROL, *_LIVE),
    openapi_extra=PICTURES | form_body({**_THEIR_NAME, **ENROLMENT}, ["file"]),
)
def add_photos(
    caller: Admin,
    service: ServiceDep,
    person_id: PersonId,
    form: PictureForm,
    strict: Strict = False,
    require_live: RequireLive = False,
) -> EnrolledRecord:
    """Adds photos to a person; one that is there already is not added twice."""
    name = service.people.get(person_id).name
    if check_name(form.fields.get("name", name)) != name:
        raise Problem("invalid", "this person has another name than the form says")
    photos = _photos(service, form, require_live=require_live)
    verdicts = _judged(service, name, photos, strict=strict)
    person, _ = service.people.add_photos(person_id, photos)
    return EnrolledRecord.told(person, photos, verdicts)


@router.get(
    "/v1/people/{person_id}/thumbnail",
    summary="Somebody's face",
    response_class=Response,
    responses={
        **documented("person-not-found", *_STORE),
        **JPEG,
        204: {"description": "There is no picture of this person."},
    },
)
def get_portrait(caller: Reader, service: ServiceDep, person_id: PersonId) -> Response:
    """The face in the person's best photo as a small JPEG."""
    with service.gate.slot():  # of a folder's photos the picture is made now
        content = service.people.portrait(person_id)
    return jpeg(content) if content else Response(status_code=204)


@router.get(
    "/v1/people/{person_id}/photos",
    summary="Somebody's photos",
    responses=documented("person-not-found", *_STORE),
)
def list_photos(
    caller: Reader, service: ServiceDep, person_id: PersonId
) -> PhotosRecord:
    """Every photo of a person. Databases keep a small picture of each face from its enrolment on; of those
    enrolled by a mien that kept none there is one as soon as the photo is enrolled once more."""
    photos = service.people.photos_of(person_id)
    return PhotosRecord(photos=[PhotoRecord.of(person_id, photo) for photo in photos])


@router.get(
    "/v1/people/{person_id}/photos/{sha256}/thumbnail",
    summary="The face in a photo",
    response_class=Response,
    responses={**documented("person-not-found", "photo-not-found", *_STORE), **JPEG},
)
def get_thumbnail(
    caller: Reader, service: ServiceDep, person_id: PersonId, sha256: PhotoId
) -> Response:
    """The face as a small JPEG with a little around it."""
    with service.gate.slot():
        return jpeg(service.people.thumbnail(person_id, sha256))


@router.delete(
    "/v1/people/{person_id}/photos/{sha256}",
    status_code=204,
    summary="Remove a photo",
    responses=documented("person-not-found", "photo-not-found", *_STORE),
)
def delete_photo(
    caller: Admin, service: ServiceDep, person_id: PersonId, sha256: PhotoId
) -> Response:
    """Deletes one photo with its descriptor and picture; with the last one the person is forgotten."""
    service.people.discard(person_id, sha256)
    return Response(status_code=204)


@router.post(
    "/v1/people/{person_id}/merge",
    summary="Merge into another",
    responses=documented(
        "person-not-found", "unusable-input", "too-large", "too-slow", *_STORE
    ),
)
def merge_person(
    caller: Admin, service: ServiceDep, person_id: PersonId, order: MergeRecord
) -> PersonRecord:
    """Gives all photos of this person to another, who is answered, and forgets this one."""
    return PersonRecord.of(service.people.merge(person_id, order.into))


@router.post(
    "/v1/find",
    summary="Where else is this face?",
    responses=documented(*_ENROL),
    openapi_extra=PICTURES | form_body({**FILE, **CHOICE}, ["file"]),
)
def find_face(
    caller: Analyst, service: ServiceDep, form: PictureForm, top: Top = 12
) -> FoundRecord:
    """The faces nearest to one of a photo: of the people in the gallery, of the unknown faces that are kept, and of the
    batch results that the service was told to search.

    Nothing is kept of the photo.
    """
    photos = described(service, pictures_of(form), choice_of(form))
    if len(photos) > 1:
        raise Problem("invalid", "send one picture at a time")
    with service.gate.slot():
        return FoundRecord(
            found=[
                FoundFaceRecord.of(one)
                for one in service.people.find(photos[0], service.unknown, top)
            ]
        )


def _judged(
    service: Service, name: str, photos: list[Photo], *, strict: bool
) -> list[str]:
    """What each photo adds to a person. Raises Problem where `strict` refuses one: none is added then."""
    verdicts = judge(service.people.gallery, name, photos)
    for photo, verdict in zip(photos, verdicts, strict=True):
        if strict and verdict not in (GOOD, THERE):
            raise Problem(
                "poor-photo",
                f"{photo.source} is {verdict}; send another, or without strict",
            )
    return verdicts


def _photos(service: Service, form: Form, *, require_live: bool = False) -> list[Photo]:
    choice = replace(choice_of(form), require_live=require_live)
    return enrollable(service, pictures_of(form), choice)
