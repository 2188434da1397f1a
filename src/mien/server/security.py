"""Who is calling, and what they may do."""

from __future__ import annotations

import ipaddress
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection, Request

from mien.errors import InputError
from mien.server.keys import ROLES, Key
from mien.server.parameters import check_query
from mien.server.problems import Problem
from mien.server.service import Service

log = logging.getLogger(__name__)

LOCAL = "local"
_SUBPROTOCOL = "mien.key."

bearer = HTTPBearer(
    auto_error=False,
    description="A key made by `mien serve key add`; not needed on loopback.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id of their key, or "local" where none is needed."""

    id: str
    role: str

    def may(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


def service_of(connection: HTTPConnection) -> Service:
    """The service the application was made with."""
    found: Service = connection.app.state.service
    return found


async def get_service(request: Request) -> Service:
    return service_of(request)


ServiceDep = Annotated[Service, Depends(get_service)]


def identify(service: Service, secret: str | None, address: str) -> Caller:
    """The caller with this secret.

    Raises:
        Problem: No or an unknown key where one is needed; too many requests.
    """
    key = _find(service, secret) if secret else None
    if key is None and secret:
        _count_wrong(service, address)
    if key is None and (secret or service.settings.guarded):
        what = "this key is not known" if secret else "send a key"
        detail = (
            f"{what}: 'Authorization: Bearer KEY'; 'mien serve key add NAME' makes one"
        )
        raise Problem(
            "unauthorized", detail, {"www-authenticate": 'Bearer realm="mien"'}
        )
    caller = Caller(LOCAL, ROLES[-1]) if key is None else Caller(key.id, key.role)
    wait = service.rates.take(f"{caller.id} {address}" if key is None else caller.id)
    if wait:
        service.metrics.refused.labels("rate").inc()
        raise Problem(
            "too-many-requests",
            "too many requests with this key",
            {"retry-after": str(math.ceil(wait))},
        )
    return caller


def _count_wrong(service: Service, address: str) -> None:
    """Raises Problem where too many wrong keys come from one place; who has a right one is not asked."""
    wait = service.wrong_keys.take(place_of(address))
    if wait:
        service.metrics.refused.labels("wrong key").inc()
        raise Problem(
            "too-many-requests",
            "too many wrong keys from this address; look up the right one first",
            {"retry-after": str(math.ceil(wait))},
        )


def place_of(address: str) -> str:
    """What wrong keys are counted by: an address; of IPv6 the network, in which one machine has all addresses."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _find(service: Service, secret: str) -> Key | None:
    try:
        return service.keys.find(secret)
    except InputError as exc:
        log.error("keys: %s", exc)
        raise Problem(
            "stopping", "the keys cannot be read; the service's log says why"
        ) from exc


def needs(role: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets in callers of at least this role."""

    async def caller(
        request: Request,
        service: ServiceDep,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    ) -> Caller:
        if credentials is None and request.headers.get("authorization"):
            raise Problem(
                "unauthorized",
                "send 'Authorization: Bearer KEY'",
                {"www-authenticate": 'Bearer realm="mien"'},
            )
        request.state.needs = role
        secret = credentials.credentials if credentials else None
        found = identify(service, secret, request.client.host if request.client else "")
        request.state.caller = found.id
        if not found.may(role):
            raise Problem(
                "forbidden",
                f"this needs a key with the role {role!r}; yours has {found.role!r}",
            )
        if service.stopping.is_set():
            raise Problem(
                "stopping", "the service is stopping; come again", {"retry-after": "5"}
            )
        check_query(request)
        return found

    return caller


Reader = Annotated[Caller, Depends(needs("read"))]
Analyst = Annotated[Caller, Depends(needs("analyse"))]
Admin = Annotated[Caller, Depends(needs("admin"))]


def secret_of_websocket(connection: HTTPConnection) -> tuple[str | None, str | None]:
    """The key a WebSocket came with, and the subprotocol to answer with.

    Browsers cannot set headers here: they offer the subprotocols `mien.v1` and `mien.key.KEY`.
    """
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret:
        return secret.strip(), None
    offered = [
        part.strip()
        for part in connection.headers.get("sec-websocket-protocol", "").split(",")
    ]
    found = next(
        (
            part.removeprefix(_SUBPROTOCOL)
            for part in offered
            if part.startswith(_SUBPROTOCOL)
        ),
        None,
    )
    return found, "mien.v1" if "mien.v1" in offered else None
