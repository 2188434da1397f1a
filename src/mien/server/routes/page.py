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
_ENGLISH, _MOST_LANGUAGES = "en", 50
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@router.api_route("/", methods=["GET", "HEAD"])
def page(request: Request) -> Response:
    """The page in the language that the browser asks for: it says so, and its strings (`lang.js`) do the rest."""
    language = chosen_language(request.headers.get("accept-language", ""))
    content = (_STATIC / "index.html").read_bytes()
    content = content.replace(b'<html lang="en">', b'<html lang="%b">' % language)
    answer = _answer(request, content, "text/html; charset=utf-8")
    answer.headers["vary"] = "Accept-Language"
    return answer


def chosen_language(accepted: str) -> bytes:
    """The most wanted of the page's languages by an `Accept-Language`; English where none is wanted.

    >>> chosen_language("fr, de-AT;q=0.8, en;q=0.5")
    b'de'
    """
    there = languages()
    wanted: dict[str, float] = {}
    for part in accepted.lower().split(",")[:_MOST_LANGUAGES]:
        tag, _, weight = part.partition(";")
        try:
            q = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            q = 0.0
        language = tag.strip().partition("-")[0]
        if language in there:
            wanted[language] = max(q, wanted.get(language, 0.0))
    best = max(wanted, key=lambda language: wanted[language], default=_ENGLISH)
    return (best if wanted.get(best, 0.0) > 0 else _ENGLISH).encode()


def languages() -> set[str]:
    """English, and each language there is a file of strings for."""
    return {_ENGLISH} | {file.stem for file in _STATIC.glob("*.json")}


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
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.types_map.get(
        suffix, "application/octet-stream"
    )
    return _answer(request, content, kind)


def _answer(request: Request, content: bytes, kind: str) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
