"""The page: files that come with the package, and the API's document."""

from __future__ import annotations

import hashlib
import importlib.resources
import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from mien.server.problems import Problem

router = APIRouter(include_in_schema=False)

_STATIC = Path(str(importlib.resources.files("mien.server") / "static"))
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@router.api_route("/", methods=["GET", "HEAD"])
def page(request: Request) -> Response:
    return _file(request, "index.html")


@router.api_route("/docs", methods=["GET", "HEAD"])
def docs(request: Request) -> Response:
    return _file(request, "docs.html")


@router.api_route("/favicon.ico", methods=["GET", "HEAD"])
def icon(request: Request) -> Response:
    return _file(request, "icon.svg")


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
def static(request: Request, name: str) -> Response:
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    if name not in {path.name for path in _STATIC.iterdir()}:
        raise Problem("not-found", "there is no such file")
    content = (_STATIC / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.types_map.get(
        suffix, "application/octet-stream"
    )
    return Response(content, media_type=kind, headers=headers)
