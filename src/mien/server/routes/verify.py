"""Two pictures in, whether they show one person out."""

from __future__ import annotations

from fastapi import APIRouter

from mien.server.bodies import PICTURES
from mien.server.forms import (
    VERIFICATION,
    PictureForm,
    choice_of,
    form_body,
    pictures_of,
)
from mien.server.people import Choice
from mien.server.problems import OF_FACES, Problem, documented
from mien.server.records import VerificationRecord
from mien.server.routes.pictures import described
from mien.server.security import Analyst, ServiceDep
from mien.verification import compare

router = APIRouter(tags=["analysis"])


@router.post(
    "/v1/verify",
    summary="Whether two pictures show one person",
    responses=documented(*OF_FACES),
    openapi_extra=PICTURES | form_body(VERIFICATION, ["file"]),
)
def verify(
    caller: Analyst, service: ServiceDep, form: PictureForm
) -> VerificationRecord:
    """The distance of the two faces, and how far to believe it. Nothing is kept."""
    uploads = pictures_of(form)
    if len(uploads) != 2:
        raise Problem(
            "invalid",
            f"send two pictures to compare, both in the form field 'file'; got {len(uploads)}",
        )
    one, other = described(service, uploads, Choice(choice_of(form).largest, None))
    analyzer = service.analyzer
    found = compare(
        one.embedding, other.embedding, analyzer.space, tolerance=analyzer.tolerance
    )
    return VerificationRecord.model_validate(found.to_dict())
