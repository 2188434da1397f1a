"""HTTP answers under one deadline: name, connection, TLS, headers and body together, however the bytes drip in."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

_LOOK_S = 0.25  # how often is asked whether anybody still waits
Over = Callable[[], bool]


class Wait:
    """How long is waited in all: until `until` (of `time.monotonic`), or until `over` says that nobody waits."""

    def __init__(self, seconds: float, over: Over) -> None:
        self.until = time.monotonic() + seconds
        self.over = over

    def last(self, seconds: float) -> None:
        """Waits for so long from now on."""
        self.until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError where none are."""
        left = self.until - time.monotonic()
        if left <= 0 or self.over():
            raise TimeoutError
        return left

    def connected(self, ips: Sequence[str], port: int) -> socket.socket:
        """A connection to the first of the addresses that answers."""
        for ip in ips[:-1]:
            with contextlib.suppress(OSError):
                return socket.create_connection((ip, port), self.left() / 2)
        return socket.create_connection((ips[-1], port), self.left())


class _Bytes(io.RawIOBase):
    """What comes in at a socket, waited for as long as all may take."""

    def __init__(self, sock: socket.socket, wait: Wait) -> None:
        self._sock = sock
        self._wait = wait

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._sock.settimeout(min(_LOOK_S, self._wait.left()))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                continue

    def close(self) -> None:
        self._sock.close()
        super().close()


class _Socket:
    """What `http.client` needs of a socket."""

    def __init__(self, sock: socket.socket, wait: Wait) -> None:
        self._sock = sock
        self._wait = wait
        self._read = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._read = True
        return io.BufferedReader(_Bytes(self._sock, self._wait))

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._wait.left())
        self._sock.sendall(data)

    def close(self) -> None:
        if not self._read:  # else its reader closes it
            self._sock.close()


def look_up(host: str, port: int, wait: Wait) -> list[str]:
    """The addresses of a host. Raises OSError, UnicodeError."""
    found: list[str] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(
                str(row[4][0])
                for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as exc:
            failed.append(exc)

    thread = threading.Thread(
        target=ask, name="mien-names", daemon=True
    )  # the system gives it no time limit
    thread.start()
    while thread.is_alive():
        thread.join(min(_LOOK_S, wait.left()))
    if failed:
        raise failed[0]
    return found


def port_of(url: SplitResult) -> int:
    """The port of an http(s) address. Raises ValueError where it can be none."""
    return url.port or {"http": 80, "https": 443}[url.scheme]


def get(
    url: SplitResult, ips: Sequence[str], headers: Mapping[str, str], wait: Wait
) -> http.client.HTTPResponse:
    """The answer to a GET, asked of the first of these machines that answers, whatever the name resolves to by now.

    Raises OSError, ValueError and what `http.client` does.
    """
    return _ask(_Request("GET", url, headers), ips, wait)


def post(
    url: SplitResult,
    headers: Mapping[str, str],
    body: bytes,
    wait: Wait,
    ips: Sequence[str] | None = None,
) -> http.client.HTTPResponse:
    """The answer to a POST, asked of the first of these machines that answers; None: of those of its name.

    Raises as `get` does.
    """
    if ips is None:
        ips = look_up(url.hostname or "", port_of(url), wait)
    return _ask(_Request("POST", url, headers, body), ips, wait)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes | None = None


def _ask(request: _Request, ips: Sequence[str], wait: Wait) -> http.client.HTTPResponse:
    url = request.url
    https = url.scheme == "https"
    kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port)
    sock = wait.connected(ips, connection.port)
    try:
        if https:
            sock.settimeout(wait.left())
            tls = ssl.create_default_context()
            sock = tls.wrap_socket(sock, server_hostname=url.hostname)
        connection.sock = _Socket(sock, wait)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = dict(request.headers)
        connection.request(request.method, path, request.body, headers)
        return connection.getresponse()
    except BaseException:
        sock.close()
        raise
