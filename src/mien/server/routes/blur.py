"""A picture in, the same with unrecognisable faces out."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from mien.blur.cover import STYLES
from mien.blur.photo import covered
from mien.blur.whom import FaceFinder, Whom
from mien.errors import InputError
from mien.server.bodies import PICTURES
from mien.server.forms import FILE, PictureForm, form_body, pictures_of
from mien.server.problems import OF_PICTURES, Problem, documented
from mien.server.routes.analyze import jpeg, read_picture
from mien.server.routes.pictures import pixels_of
from mien.server.security import Analyst, ServiceDep

router = APIRouter(tags=["analysis"])

_PROBLEMS = (*OF_PICTURES, "model-unavailable", "gallery-unavailable")

Names = list[Annotated[str, Query(max_length=200)]]


@router.post(
    "/v1/blur",
    summary="A picture with unrecognisable faces",
    response_class=Response,
    responses={
        **documented(*_PROBLEMS),
        200: {
            "description": "The picture as JPEG, upright, without metadata; `x-faces` says how many faces are covered.",
            "content": {
                "image/jpeg": {"schema": {"type": "string", "format": "binary"}}
            },
        },
    },
    openapi_extra=PICTURES | form_body(FILE, ["file"]),
)
def blur(
    caller: Analyst,
    service: ServiceDep,
    form: PictureForm,
    style: Annotated[
        Literal["blur", "pixels", "box"], Query(description="What is put there.")
    ] = "blur",
    spared: Annotated[
        Names | None,
        Query(alias="except", description="Everybody but these people."),
    ] = None,
    people: Annotated[
        Names | None, Query(description="Nobody but these people.")
    ] = None,
    unknown: Annotated[
        bool, Query(description="Only people who are not enrolled.")
    ] = False,
) -> Response:
    """Covers the faces of a picture, everybody's unless told otherwise. Nothing is kept.

    What may be a face is covered too; look at the picture before you publish it.
    """
    uploads = pictures_of(form)
    if len(uploads) > 1:
        raise Problem("invalid", "send one picture at a time")
    if bool(spared) + bool(people) + unknown > 1:
        raise Problem("invalid", "except, people and unknown: give one kind of them")
    whom = Whom(frozenset(spared or ()), frozenset(people) if people else None, unknown)
    try:
        finder = FaceFinder(whom, service.analyzer)
    except InputError as exc:  # no "did you mean": callers need not learn who is known
        raise Problem(
            "invalid", "except, people and unknown name people who are enrolled here"
        ) from exc
    content, limits = uploads[0].content(), service.settings.limits
    with service.gate.slot(pixels_of(content, limits.image_pixels)):
        image = read_picture(service, content, limits.image_pixels)
        faces = finder.covered(image)
        service.metrics.analysed("picture", len(faces))
        answer = jpeg(covered(image, faces, STYLES[style]))
    return Response(
        answer, media_type="image/jpeg", headers={"x-faces": str(len(faces))}
    )
