"""Webhooks: a POST of JSON to an address that the operator wrote down, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import time
from urllib.parse import urlsplit

from mien.sources import wire
from mien.sources.base import shown
from mien.sources.wire import Wait
from mien.watch.sending import NotTold
from mien.watch.settings import Webhook
from mien.watch.store import Message

_TIMEOUT_S = 10.0  # for all of it
_PREFIX = "whsec_"  # of secrets in base64


class WebhookTarget:
    """Tells one webhook."""

    def __init__(self, hook: Webhook, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.name = hook.name
        self.url = hook.url
        self.timeout_s = timeout_s
        self._secret = hook.secret

    def tell(self, message: Message) -> None:
        """Raises NotTold."""
        body = message.body.encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mien",
            "Connection": "close",
            **signed(json.loads(body)["id"], body, self._secret, at=int(time.time())),
        }
        status = self._post(body, headers)
        if not 200 <= status < 300:
            raise NotTold(f"{shown(self.url)} answers {status}")

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        wait = Wait(self.timeout_s, lambda: False)
        try:
            with wire.post(urlsplit(self.url), headers, body, wait) as answer:
                return answer.status
        except (OSError, http.client.HTTPException, ValueError) as exc:
            why = "no answer in time" if isinstance(exc, TimeoutError) else str(exc)
            raise NotTold(f"{shown(self.url)}: {why or type(exc).__name__}") from exc


def signed(message_id: str, body: bytes, secret: str, *, at: int) -> dict[str, str]:
    """The headers that say what a message is, and prove who sent it when (https://www.standardwebhooks.com)."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(at)}
    if not secret:
        return headers
    signature = hmac.new(
        _key(secret), f"{message_id}.{at}.".encode() + body, hashlib.sha256
    )
    return {
        **headers,
        "webhook-signature": "v1," + base64.b64encode(signature.digest()).decode(),
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return secret.encode()
