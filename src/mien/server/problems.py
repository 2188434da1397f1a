"""The one table of errors: what a client is told, as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mien.errors import (
    EmbedderMismatch,
    GalleryError,
    InputError,
    ManyFacesError,
    MemoryShort,
    MienError,
    ModelError,
    NoFaceError,
    PersonExists,
    PersonNotFound,
    PhotoNotFound,
    PluginError,
    SourceError,
    SpoofError,
    UnknownNotFound,
    VisitNotFound,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PATH = re.compile(r"(?<![\w:/.])/[^\s:;,]+")  # a place on the disk in a message
_URN = "urn:mien:problem:"

TITLES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthorized": (401, "A key is needed"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "person-not-found": (404, "Nobody has this id"),
    "job-not-found": (404, "No job has this id"),
    "model-not-found": (404, "No model has this name"),
    "photo-not-found": (404, "This person has no such photo or picture"),
    "unknown-not-found": (404, "No unknown person or face has this id"),
    "camera-not-found": (404, "No camera has this id"),
    "visit-not-found": (404, "No visit has this id"),
    "rule-not-found": (404, "No rule has this id"),
    "method-not-allowed": (405, "Another method is needed"),
    "too-slow": (408, "The request came too slowly"),
    "person-exists": (409, "The name is taken"),
    "embedder-mismatch": (409, "The gallery was made with another embedder"),
    "camera-exists": (409, "A camera has this name"),
    "camera-fixed": (409, "This camera stands in the file"),
    "rule-fixed": (409, "This rule stands in the file"),
    "not-watching": (409, "This service watches no cameras"),
    "nothing-to-undo": (409, "Nothing can be taken back"),
    "not-ready": (409, "The job has not finished"),
    "gone": (410, "No longer kept"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "Another content type is needed"),
    "unusable-input": (422, "The input cannot be used"),
    "invalid": (422, "A parameter cannot be used"),
    "no-face": (422, "No face found"),
    "many-faces": (422, "Several faces found"),
    "poor-photo": (422, "The photo is not good"),
    "spoof": (422, "A picture of a face, it seems"),
    "source-lost": (422, "The source cannot be read"),
    "address-refused": (422, "This address is not fetched"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "An error of the service"),
    "busy": (503, "Too busy"),
    "model-unavailable": (503, "A model is not available"),
    "gallery-unavailable": (503, "The gallery is not available"),
    "stopping": (503, "The service is stopping"),
    "no-space": (507, "The disk is full"),
}
NO_MEMORY = "the service is short of memory; come again later, with a smaller picture"
NO_SPACE = "the service has no room on its disk; try again later, or tell who runs it"

TYPE_OF: dict[type[MienError], str] = {
    NoFaceError: "no-face",
    ManyFacesError: "many-faces",
    SpoofError: "spoof",
    SourceError: "source-lost",
    MemoryShort: "busy",
    InputError: "unusable-input",
    ModelError: "model-unavailable",
    PluginError: "model-unavailable",
    PersonNotFound: "person-not-found",
    PersonExists: "person-exists",
    PhotoNotFound: "photo-not-found",
    UnknownNotFound: "unknown-not-found",
    VisitNotFound: "visit-not-found",
    EmbedderMismatch: "embedder-mismatch",
    GalleryError: "gallery-unavailable",
    MienError: "internal",
}

_OF_STATUS = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
}


class ProblemRecord(BaseModel):
    """What went wrong. `type` is stable; `detail` says what to do about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:mien:problem:no-face",
                "title": "No face found",
                "status": 422,
                "detail": "no face found in the photo; take one where the face is larger, frontal and well lit",
                "request_id": "7f3c9a52d1e04b0c",
            }
        }
    )

    type: str = Field(
        description="A stable name of the kind of problem, `urn:mien:problem:…`."
    )
    title: str
    status: int
    detail: str
    request_id: str | None = Field(None, description="Stands in the service's log too.")
    errors: list[dict[str, Any]] | None = Field(
        None, description="Which parameters, where that is the problem."
    )


class Problem(HTTPException):
    """An answer that ends a request early; `kind` is a key of `TITLES`."""

    def __init__(
        self, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(TITLES[kind][0], detail, dict(headers) if headers else None)
        self.kind = kind


def problem_response(
    kind: str,
    detail: str,
    *,
    request_id: str | None,
    headers: Mapping[str, str] | None = None,
    errors: Any = None,
) -> Response:
    """A problem as an answer."""
    status, title = TITLES[kind]
    body = ProblemRecord(
        type=_URN + kind,
        title=title,
        status=status,
        detail=detail,
        request_id=request_id,
        errors=errors,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status,
        dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def kind_of(error: MienError) -> str:
    """The kind of problem one of our errors is: that of its nearest base in the table."""
    return next(TYPE_OF[base] for base in type(error).__mro__ if base in TYPE_OF)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error comes from there being no room, on the disk or in the share of its user."""
    while error is not None:
        if (
            getattr(error, "errno", None) in _FULL
            or getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
        ):
            return True
        error = error.__cause__
    return False


def on_mien_error(request: Request, error: Exception) -> Response:
    """One of our errors as an answer; what is the service's own affair goes to its log with the places on its disk."""
    assert isinstance(error, MienError)  # noqa: S101 - registered for this type only
    if is_disk_full(error):
        return on_full_disk(request, error)
    kind, detail = kind_of(error), str(error)
    if TITLES[kind][0] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s: %s", kind, detail, extra={"request_id": _id_of(request)})
        detail = _PATH.sub("…", detail)
    again = {"retry-after": "5"} if kind == "busy" else None
    return problem_response(kind, detail, request_id=_id_of(request), headers=again)


def on_short_memory(request: Request, error: Exception) -> Response:
    """Memory that is short now may not be in a moment."""
    log.error("memory is short", extra={"request_id": _id_of(request)})
    return problem_response(
        "busy", NO_MEMORY, request_id=_id_of(request), headers={"retry-after": "5"}
    )


def on_full_disk(request: Request, error: Exception) -> Response:
    """No room for what was sent; any other error of the system is nobody's answer."""
    if not is_disk_full(error):
        raise error
    log.error("no room on the disk: %s", type(error).__name__)
    return problem_response(
        "no-space", NO_SPACE, request_id=_id_of(request), headers={"retry-after": "60"}
    )


def on_http_error(request: Request, error: Exception) -> Response:
    """A `Problem`, or what the framework itself refuses."""
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = (
        error.kind
        if isinstance(error, Problem)
        else _OF_STATUS.get(error.status_code, "malformed")
    )
    detail, headers = str(error.detail), error.headers
    if detail == HTTPStatus.NOT_FOUND.phrase:
        detail = "nothing is at this address; GET /docs shows all there are"
    elif detail == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        headers = {"allow": ", ".join(_methods_of(request))}
        detail = (
            f"{request.method} is not for this address; it takes {headers['allow']}"
        )
    return problem_response(kind, detail, request_id=_id_of(request), headers=headers)


def on_invalid(request: Request, error: Exception) -> Response:
    """Parameters that are not what the document says; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    wrong = [
        # Of what may be one thing or another pydantic also names which of them it tried, as "list[str]".
        {"loc": [str(p) for p in e["loc"] if "[" not in str(p)], "msg": e["msg"]}
        for e in error.errors()
    ]
    detail = (
        "; ".join(f"{'.'.join(e['loc'])}: {e['msg']}" for e in wrong)
        or "a parameter is missing"
    )
    said = request.headers.get("content-type", "").lower()
    if [e["loc"] for e in wrong] == [["body"]] and "json" not in said:
        detail = "send JSON, with the header 'Content-Type: application/json'"
    return problem_response("invalid", detail, request_id=_id_of(request), errors=wrong)


def _methods_of(request: Request) -> list[str]:
    """What the address of a request takes."""
    path = request.scope["path"]
    routes = [*request.app.routes, *request.app.state.routes]
    there = (one for one in routes if isinstance(one, Route))
    found = (one.methods or () for one in there if one.path_regex.match(path))
    return sorted({method for methods in found for method in methods})


def _id_of(request: Request) -> str | None:
    found = request.scope.get("state", {}).get("request_id")
    return None if found is None else str(found)


# What a route may answer that is sent pictures, and one that wants a face in each.
OF_PICTURES = (
    "too-slow",
    "too-large",
    "unsupported-media-type",
    "unusable-input",
    "busy",
)
OF_FACES = (*OF_PICTURES, "no-face", "many-faces")


def documented(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI `responses` of a route: these kinds, and those every route can answer."""
    by_status: dict[int | str, list[str]] = {}
    for kind in (
        "malformed",
        "unauthorized",
        "forbidden",
        "too-many-requests",
        "invalid",
        "stopping",
        *kinds,
    ):
        by_status.setdefault(TITLES[kind][0], []).append(kind)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemRecord"}}}
    described = {
        status: ", ".join(f"`{_URN}{kind}`" for kind in dict.fromkeys(names))
        for status, names in by_status.items()
    }
    return {
        status: {
            "description": f"{HTTPStatus(int(status)).phrase}: {kinds}",
            "content": content,
        }
        for status, kinds in described.items()
    }
