"""Forms with pictures as dependencies: admitted, then read, then handed to the route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import numpy as np
from fastapi import Depends
from starlette.requests import Request

from mien.server.parameters import check_form
from mien.server.people import Choice
from mien.server.problems import Problem
from mien.server.security import ServiceDep
from mien.server.uploads import Form, FormLimits, Upload, read_form


async def picture_form(request: Request, service: ServiceDep) -> AsyncIterator[Form]:
    """The form of a request that holds a place in line until it is answered; routes name their caller before it."""
    limits = service.settings.limits
    with service.gate.admit(request.state.caller), service.gate.held.held() as take:
        form = await read_form(
            request,
            FormLimits(limits.files, limits.image_bytes, limits.field_bytes, take),
        )
        check_form(request, form.names)
        yield form


PictureForm = Annotated[Form, Depends(picture_form)]


def pictures_of(form: Form) -> list[Upload]:
    """The files of a form in the field "file".

    Raises:
        Problem: There are none.
    """
    found = [upload for upload in form.files if upload.field == "file"]
    if not found:
        raise Problem(
            "invalid", "send at least one picture as a file in the form field 'file'"
        )
    return found


def choice_of(form: Form) -> Choice:
    """Which face of an enrolled photo is meant, from the fields "largest" and "box"."""
    largest = form.fields.get("largest", "false").lower()
    if largest not in {"true", "false", "1", "0"}:
        raise Problem("invalid", "largest is true or false")
    text, box = form.fields.get("box"), None
    if text is not None:
        try:
            numbers = [float(part) for part in text.strip("[] ").split(",")]
        except ValueError:
            numbers = []
        box = np.array(numbers, np.float32)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise Problem("invalid", "box is four numbers: x1,y1,x2,y2")
    return Choice(largest in {"true", "1"}, box)


def form_body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The OpenAPI `requestBody` of a form."""
    schema = {"type": "object", "properties": properties, "required": required}
    return {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": schema}},
        }
    }


FILES = {
    "file": {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "Pictures: JPEG, PNG, WebP, HEIC, AVIF, …",
    }
}
VERIFICATION = {
    "file": {
        **FILES["file"],
        "minItems": 2,
        "maxItems": 2,
        "description": "The two pictures.",
    },
    "largest": {
        "type": "boolean",
        "default": False,
        "description": "Of several faces take the largest.",
    },
}
FILE = {"file": {"type": "string", "format": "binary"}}
CHOICE = {
    "largest": {
        "type": "boolean",
        "default": False,
        "description": "Of several faces take the largest.",
    },
    "box": {
        "type": "string",
        "description": "Of several faces take this one: x1,y1,x2,y2.",
        "example": "120,80,220,180",
    },
}
ENROLMENT = {
    "file": {
        **FILES["file"],
        "description": "Pictures, or short films whose best frames choose themselves.",
    },
    **CHOICE,
}
