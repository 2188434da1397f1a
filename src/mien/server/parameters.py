"""What a request says that nobody would read is refused: a misspelt parameter would change nothing, and nobody knew.

The API's own document says which parameters and fields of forms a route knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.requests import HTTPConnection, Request

from mien.server.problems import Problem
from mien.text import did_you_mean

_SHOWN = 60  # characters of a name
_MORE = "x-more"

# The `openapi_extra` of a route that is asked by programs of another system, which say what that one passed over.
LENIENT: dict[str, Any] = {_MORE: "passed over"}


def check_query(request: Request) -> None:
    """Refuses parameters that the route does not know, and one that is said twice where it means one thing.

    Raises:
        Problem: There is such a parameter.
    """
    if not request.url.query:
        return
    operation = _operation(request)
    if operation is None:
        return
    parameters = operation.get("parameters", [])
    known = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
    check_names(request, known)
    said = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in said.items():
        kinds = [known[name], *known[name].get("anyOf", [])]
        is_list = any(kind.get("type") == "array" for kind in kinds)
        if count > 1 and not is_list:
            raise Problem("invalid", f"{name} is said {count} times: say it once")


def check_names(connection: HTTPConnection, known: Collection[str]) -> None:
    """Refuses parameters that are none of these.

    Raises:
        Problem: There is one.
    """
    _refuse("parameter", connection.query_params, known)


def check_form(request: Request, fields: Iterable[str]) -> None:
    """Refuses fields of a form that the route does not know.

    Raises:
        Problem: There is such a field.
    """
    operation = _operation(request)
    if operation is None:
        return
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("multipart/form-data", {}).get("schema", {})
    _refuse("field of the form", fields, schema.get("properties", {}))


def _operation(request: Request) -> dict[str, Any] | None:
    """What the API's document says of the route that was found; None of one in no document, and of a lenient one."""
    route, method = request.scope["route"], request.method.lower()
    kept = request.app.state.operations
    key = route.path_format, method
    if key not in kept:
        # Of this route alone: the whole document takes a while, for which nobody else would be answered.
        paths = get_openapi(title="", version="", routes=[route])["paths"]
        said = paths.get(route.path_format, {}).get(method, LENIENT)
        kept[key] = None if _MORE in said else said
    found: dict[str, Any] | None = kept[key]
    return found


def _refuse(what: str, said: Iterable[str], known: Collection[str]) -> None:
    for name in said:
        if name not in known:
            hint = did_you_mean(name, known)
            there = ", ".join(known) or "none"
            raise Problem(
                "invalid",
                f"no {what} here is called {name[:_SHOWN]!r}{hint}; known here: {there}",
            )
