"""What the body of a request holds, as data that stands beside its route: how large it may be, and whether it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from mien.server.settings import Limits

_KEY = "x-body"

# The `openapi_extra` of a route; one without takes JSON.
PICTURES: dict[str, Any] = {
    _KEY: "pictures"
}  # a form with pictures: turned away while the line is full
VIDEO: dict[str, Any] = {_KEY: "video"}


def kinds(routes: Iterable[BaseRoute]) -> Callable[[str], str | None]:
    """Tells of a path what bodies go there."""
    told = [
        (route.path_regex, str(route.openapi_extra[_KEY]))
        for route in routes
        if isinstance(route, APIRoute)
        and route.openapi_extra
        and _KEY in route.openapi_extra
    ]

    def kind_of(path: str) -> str | None:
        return next((kind for pattern, kind in told if pattern.match(path)), None)

    return kind_of


def places(routes: Iterable[BaseRoute]) -> Callable[[str], bool]:
    """Tells of a path whether a route is there."""
    patterns = [route.path_regex for route in routes if isinstance(route, Route)]
    return lambda path: any(pattern.match(path) for pattern in patterns)


def bytes_for(kind: str | None, limits: Limits) -> int:
    """The most bytes that a body of this kind may have."""
    sizes = {
        PICTURES[_KEY]: limits.form_bytes,
        VIDEO[_KEY]: limits.video_bytes + limits.json_bytes,
    }
    return sizes.get(str(kind), limits.json_bytes)


def takes_pictures(kind: str | None) -> bool:
    return kind == str(PICTURES[_KEY])
