"""What stands around every route: request ids, logs, metrics, headers, trust of hosts and origins, limits of bodies."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.server.audit import AuditLog
from mien.server.keys import ADMIN
from mien.server.metrics import Metrics
from mien.server.problems import Problem, problem_response
from mien.server.settings import ServerSettings

log = logging.getLogger(__name__)

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_MOST_DIGITS = 18
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Observe:
    """Gives each request an id, counts and logs it, and answers what nobody caught with a bare 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics, audit: AuditLog) -> None:
        self.app = app
        self.metrics = metrics
        self.audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception:
            log.exception("unexpected error", extra={"request_id": request_id})
            if not answer.status:
                detail = (
                    "an error of the service; its log has more under this request id"
                )
                await problem_response("internal", detail, request_id=request_id)(
                    scope, receive, answer
                )
        finally:
            self._count(scope, answer.status or 499, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        state = scope["state"]
        facts: dict[str, object] = {
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        facts |= {"request_id": state["request_id"], "key": state.get("caller")}
        log.info("request", extra=facts)
        # Of callers with a key only: who has none cannot fill the file.
        if state.get("caller") and state.get("needs") == ADMIN and method not in _SAFE:
            self.audit.note(**facts)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Answer:
    """`send` that adds the headers every answer carries and remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.send = send
        self.request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.request_id
        await self.send(message)


class HostAndOriginCheck:
    """Refuses names this service does not go by (DNS rebinding), web pages that are not its own (CSRF), and addresses
    with a zero byte, which no database keeps and PostgreSQL is not even asked for."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app = app
        self.hosts = (
            None
            if settings.guarded
            else {"localhost", "127.0.0.1", "::1", settings.host, *settings.hosts}
        )
        self.origins = settings.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = (
            self._refusal(Headers(scope=scope), scope)
            if scope["type"] in {"http", "websocket"}
            else None
        )
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send(
                {"type": "websocket.close", "code": 1008, "reason": refusal[:100]}
            )
        else:
            request_id = scope.get("state", {}).get("request_id")
            await problem_response("forbidden", refusal, request_id=request_id)(
                scope, receive, send
            )

    def _refusal(self, headers: Headers, scope: Scope) -> str | None:
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            return "the address holds a zero byte (%00); leave it out"
        host = _HOST.fullmatch(headers.get("host", ""))
        if "host" in headers and host is None:
            return "the Host header is no name and port"
        if self.hosts is not None and (
            host is None or host["name"].strip("[]").lower() not in self.hosts
        ):
            return (
                "this service does not go by that host name; name it with --host-name"
            )
        if self._is_foreign(
            headers, safe=scope["type"] == "http" and scope["method"] in _SAFE
        ):
            return "requests from other web pages are refused; allow them with --origin"
        return None

    def _is_foreign(self, headers: Headers, *, safe: bool) -> bool:
        """Whether another web page makes its reader's browser ask; following a link to here is no such thing."""
        origin = headers.get("origin")
        if origin in self.origins:
            return False
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return not (safe and headers.get("sec-fetch-mode") == "navigate")
        return (
            not safe
            and origin is not None
            and _place_of(origin) != headers.get("host", "").lower()
        )


def _place_of(origin: str) -> str | None:
    """Host and port of an origin; None where it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


class AdmissionControl:
    """Turns pictures away while the line is full, before anything else is done for them: that has to be cheap."""

    def __init__(
        self, app: ASGIApp, check: Callable[[], None], is_picture: Callable[[str], bool]
    ) -> None:
        self.app = app
        self.check = check
        self.is_picture = is_picture

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and self.is_picture(scope["path"])
        ):
            try:
                self.check()
            except Problem as exc:
                request_id = scope.get("state", {}).get("request_id")
                answer = problem_response(
                    exc.kind,
                    str(exc.detail),
                    request_id=request_id,
                    headers=exc.headers,
                )
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


class BodyLimits:
    """Ends bodies that are too large or come too slowly, before anybody parses them."""

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, bytes_for: Callable[[str], int]
    ) -> None:
        self.app = app
        self.limits = settings.limits
        self.bytes_for = bytes_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.bytes_for(scope["path"])
        declared = Headers(scope=scope).get("content-length", "0")
        # Numbers of thousands of digits are read by nobody.
        declared = declared.lstrip("0")[:_MOST_DIGITS]
        if declared.isdecimal() and int(declared) > limit:
            detail = f"the body has {int(declared) / 1e6:g} MB, at most {limit / 1e6:.3g} are taken here"
            request_id = scope.get("state", {}).get("request_id")
            answer = problem_response(
                "too-large",
                detail,
                request_id=request_id,
                headers={"connection": "close"},
            )
            await answer(scope, receive, send)
            return
        await self.app(scope, self._limited(receive, limit), send)

    def _limited(self, receive: Receive, limit: int) -> Receive:
        count, ended = 0, False
        started = time.monotonic()

        async def limited() -> Message:
            nonlocal count, ended
            if ended:  # what comes now is only the client's going away: wait for it as long as it takes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self.limits.body_idle_s)
            except TimeoutError:
                raise _too_slow() from None
            count += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if count > limit:
                raise Problem(
                    "too-large", f"the body is larger than {limit / 1e6:.3g} MB"
                )
            overdue = time.monotonic() - started - self.limits.body_idle_s
            if not ended and count < overdue * self.limits.body_rate:
                raise _too_slow()
            return message

        return limited


def _too_slow() -> Problem:
    return Problem(
        "too-slow", "the body came too slowly; send it again", {"connection": "close"}
    )
