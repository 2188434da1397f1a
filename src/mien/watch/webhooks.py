"""Webhooks: a POST of JSON to an address that the operator wrote down, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

from mien.sources.base import shown
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
        parts = urlsplit(self.url)
        connection = _connection(self.url, self.timeout_s)
        guard = threading.Timer(self.timeout_s, _hang_up, [connection])
        guard.daemon = True
        guard.start()  # an answer that drips in byte by byte never times out by itself
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as exc:
            why = "no answer in time" if isinstance(exc, TimeoutError) else str(exc)
            raise NotTold(f"{shown(self.url)}: {why or type(exc).__name__}") from exc
        finally:
            guard.cancel()
            connection.close()


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


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            host, port, timeout=timeout_s, context=context
        )
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _hang_up(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):  # it has just been closed
            sock.shutdown(socket.SHUT_RDWR)
