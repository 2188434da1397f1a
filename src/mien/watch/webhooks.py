"""Webhooks: a POST of JSON to an address that the operator wrote down, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from email.header import Header
from typing import Any
from urllib.parse import urlsplit

from mien.models.attributes.heads import AGE, EMOTION, GENDER
from mien.sources import wire
from mien.sources.wire import Wait
from mien.text import shown
from mien.watch.sending import NotTold
from mien.watch.settings import Webhook
from mien.watch.store import Message

_TIMEOUT_S = 10.0  # for all of it
_PREFIX = "whsec_"  # of secrets in base64


class WebhookTarget:
    """Tells one webhook.

    Args:
        hook: Where, and in which form.
        picture: The best picture that is kept of a visit, empty where none is.
        resolve: The machines that the address may be of; None: whatever its name leads to.
    """

    def __init__(
        self,
        hook: Webhook,
        *,
        timeout_s: float = _TIMEOUT_S,
        picture: Callable[[str], bytes] = lambda _: b"",
        resolve: Callable[[str, Wait], Sequence[str]] | None = None,
    ) -> None:
        self.name = hook.name
        self.hook = hook
        self.url = hook.url
        self.timeout_s = timeout_s
        self.picture = picture
        self.resolve = resolve
        self._secret = hook.secret

    def tell(self, message: Message) -> None:
        """Raises NotTold."""
        if self.hook.format == "text":
            picture = self.picture(message.visit_id) if self.hook.picture else b""
            body, headers = _as_text(json.loads(message.body), picture)
        else:
            body, headers = message.body.encode(), {"Content-Type": "application/json"}
        message_id = json.loads(message.body)["id"]
        status = self._post(
            body,
            {
                "User-Agent": "mien",
                "Connection": "close",
                **headers,
                **signed(message_id, body, self._secret, at=int(time.time())),
            },
        )
        if not 200 <= status < 300:
            raise NotTold(f"{shown(self.url)} answers {status}")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        wait = Wait(self.timeout_s, lambda: False)
        try:
            ips = None if self.resolve is None else self.resolve(self.url, wait)
            with wire.post(urlsplit(self.url), headers, body, wait, ips) as answer:
                return answer.status
        except (OSError, http.client.HTTPException, ValueError) as exc:
            why = "no answer in time" if isinstance(exc, TimeoutError) else str(exc)
            raise NotTold(f"{shown(self.url)}: {why or type(exc).__name__}") from exc


def _as_text(told: Mapping[str, Any], picture: bytes) -> tuple[bytes, dict[str, str]]:
    """A visit as people read it; where there is a picture, it is the body and the text stands in a header."""
    visit = told["visit"]
    who = visit.get("person") or {"unknown": "Somebody unknown"}.get(
        str(visit.get("who")), "Somebody"
    )
    where = ", ".join(filter(None, [str(visit["camera"]), visit.get("zone")]))
    values = [visit.get(attribute.name) for attribute in (GENDER, AGE, EMOTION)]
    about = ", ".join(
        f"about {value:.0f}" if isinstance(value, float | int) else str(value)
        for value in values
        if value
    )
    title = told.get("rule") or "mien"
    text = f"{who} at {where}" + (f": {about}" if about else "")
    if not picture:
        kind = {"Content-Type": "text/plain; charset=utf-8"}
        return text.encode(), {"Title": _in_header(title), **kind}
    return picture, {
        "Title": _in_header(title),
        "Message": _in_header(text),
        "Filename": "visit.jpg",
        "Content-Type": "image/jpeg",
    }


def _in_header(text: str) -> str:
    """Text as a header may hold it (RFC 2047 where it is not plain)."""
    plain = " ".join(text.split())
    return (
        plain if plain.isascii() else Header(plain, "utf-8", maxlinelen=10_000).encode()
    )


def signed(message_id: str, body: bytes, secret: str, *, at: int) -> dict[str, str]:
    """The headers that say what a message is, and prove who sent it when (https://www.standardwebhooks.com)."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(at)}
    if not secret:
        return headers
    key = secret.encode()
    if secret.startswith(_PREFIX):
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signature = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256)
    return {
        **headers,
        "webhook-signature": "v1," + base64.b64encode(signature.digest()).decode(),
    }
