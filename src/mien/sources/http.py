"""Pictures over HTTP: one, one again and again, or many in one answer (MJPEG). Waits end, sizes are bounded."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from mien import images
from mien.errors import InputError, SourceError
from mien.sources.base import Closing, Timeouts, shown
from mien.types import U8

_MOST_REDIRECTS = 5
_CHUNK = 1 << 16
_LONGEST_HEAD = 1 << 14  # bytes of the header of one part of an MJPEG answer


class Answer(Closing):
    """The answer to a GET, its body not read yet."""

    def __init__(
        self,
        url: str,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self.url = url
        self.content_type = response.headers.get_content_type()
        self.boundary = response.headers.get_param("boundary")
        self._connection = connection
        self._response = response

    def read_some(self, deadline: float) -> bytes:
        """What has come by now, at least one byte; empty at the end of the body.

        Raises:
            SourceError: Nothing came until the deadline (of `time.monotonic`), or the connection broke.
        """
        left = deadline - time.monotonic()
        sock = self._connection.sock
        try:
            if left <= 0:
                raise TimeoutError
            if sock is not None:  # None once the whole body is buffered
                sock.settimeout(left)
            return self._response.read1(_CHUNK)
        except TimeoutError as exc:
            raise SourceError(f"{shown(self.url)} stopped sending") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise SourceError(f"{shown(self.url)} broke off: {exc}") from exc

    def read_all(self, *, limit: int, deadline: float) -> bytes:
        """The whole body. Raises SourceError when it is longer than `limit` bytes or not complete by the deadline."""
        announced = self._response.length
        if announced is not None and announced > limit:
            raise SourceError(
                f"{shown(self.url)} is {announced} bytes long, more than the limit of {limit} for a picture"
            )
        body = bytearray()
        while chunk := self.read_some(deadline):
            body += chunk
            if len(body) > limit:
                raise SourceError(
                    f"{shown(self.url)} is longer than the limit of {limit} bytes for a picture"
                )
        return bytes(body)

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def get(url: str, timeouts: Timeouts) -> Answer:
    """Asks for an address and follows up to five redirects.

    Raises:
        SourceError: No answer in time, an error status, too many redirects, or another protocol.
    """
    deadline = time.monotonic() + timeouts.open_s
    at = url
    for _ in range(_MOST_REDIRECTS + 1):
        connection, response = _ask(at, deadline)
        if response.status not in {301, 302, 303, 307, 308}:
            return _accepted(at, connection, response)
        at = urljoin(at, response.headers.get("Location", ""))
        response.close()
        connection.close()
    raise SourceError(f"{shown(url)} redirects more than {_MOST_REDIRECTS} times")


def _accepted(
    url: str, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
) -> Answer:
    if response.status == 200:
        return Answer(url, connection, response)
    connection.close()
    refused = "; put user:password@ before the host"
    if urlsplit(url).username is not None:
        refused = ": wrong user or password"
    cure = {
        401: refused,
        403: "; it wants other rights",
        404: "; check the address",
    }
    raise SourceError(
        f"{shown(url)} answers {response.status} {response.reason}{cure.get(response.status, '')}"
    )


def _ask(
    url: str, deadline: float
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = urlsplit(url)
    connection = _connection(parts, max(0.1, deadline - time.monotonic()))
    guard = threading.Timer(
        max(0.1, deadline - time.monotonic()), _hang_up, [connection]
    )
    guard.daemon = True
    guard.start()  # a head that drips in byte by byte never times out by itself
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=_headers(parts))
        response = connection.getresponse()
        if time.monotonic() >= deadline:
            raise TimeoutError
        return connection, response
    except (OSError, http.client.HTTPException, ValueError) as exc:
        connection.close()
        late = time.monotonic() >= deadline
        why = (
            "no answer in time"
            if late or isinstance(exc, TimeoutError)
            else str(exc) or type(exc).__name__
        )
        raise SourceError(f"cannot reach {shown(url)}: {why}") from exc
    finally:
        guard.cancel()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):  # it has just been closed
            sock.shutdown(socket.SHUT_RDWR)


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    try:
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise SourceError(f"{shown(parts.geturl())} is no address: {exc}") from exc
    if parts.scheme not in {"http", "https"} or not host:
        raise SourceError(f"{shown(parts.geturl())} is no http address")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=timeout, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _headers(parts: SplitResult) -> dict[str, str]:
    headers = {"User-Agent": "mien", "Accept": "*/*", "Connection": "close"}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return headers


def fetch_image(url: str, timeouts: Timeouts | None = None) -> U8:
    """The picture at an address, upright BGR.

    Raises:
        SourceError: It cannot be had in time.
        InputError: It is no picture.
    """
    timeouts = timeouts or Timeouts()
    with get(url, timeouts) as answer:
        body = answer.read_all(
            limit=timeouts.image_bytes, deadline=time.monotonic() + timeouts.stall_s
        )
    try:
        return images.read_image(body)
    except InputError as exc:
        raise SourceError(
            f"{shown(url)} is no picture that can be read: {exc}"
        ) from exc


def poll(url: str, timeouts: Timeouts, *, rate: float) -> Iterator[Callable[[], U8]]:
    """The picture at an address, asked for `rate` times a second, for as long as it is answered."""
    due = time.monotonic()
    while True:
        image = fetch_image(url, timeouts)
        yield lambda image=image: image  # type: ignore[misc]
        due = max(due + 1 / rate, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def mjpeg(url: str, timeouts: Timeouts) -> Iterator[Callable[[], U8]]:
    """The pictures of a `multipart/x-mixed-replace` answer, each still to be decoded by a call."""
    with get(url, timeouts) as answer:
        parts = Parts(answer, timeouts)
        while True:
            jpeg = parts.next()
            if jpeg:
                yield lambda jpeg=jpeg: decode_jpeg(jpeg, url)  # type: ignore[misc]


def decode_jpeg(data: bytes, url: str) -> U8:
    """Raises SourceError where the bytes are no picture."""
    try:
        return images.read_jpeg(data)
    except InputError as exc:
        raise SourceError(
            f"{shown(url)} sent a picture that cannot be read: {exc}"
        ) from exc


class Parts:
    """The parts of a multipart answer, one after the other."""

    def __init__(self, answer: Answer, timeouts: Timeouts) -> None:
        self.answer = answer
        self.timeouts = timeouts
        boundary = str(answer.boundary or "")
        self._boundary = b"--" + boundary.strip('"').removeprefix("--").encode()
        self._held = bytearray()

    def next(self) -> bytes:
        """The body of the next part. Raises SourceError when it does not come in time, is too long, or all is over."""
        deadline = time.monotonic() + self.timeouts.stall_s
        self._until(self._boundary, _CHUNK + self.timeouts.image_bytes, deadline)
        head = self._until(b"\r\n\r\n", _LONGEST_HEAD, deadline)
        length = _length(head)
        if length is None:
            return self._until(
                b"\r\n" + self._boundary, self.timeouts.image_bytes, deadline, keep=True
            )
        if length > self.timeouts.image_bytes:
            raise SourceError(
                f"{shown(self.answer.url)} announces a picture of {length} bytes"
            )
        while len(self._held) < length:
            self._more(deadline)
        return self._take(length)

    def _until(
        self, mark: bytes, limit: int, deadline: float, *, keep: bool = False
    ) -> bytes:
        """What comes before a mark; the mark is dropped, or left for the next call."""
        start = 0
        while (at := self._held.find(mark, start)) < 0:
            if len(self._held) > limit:
                raise SourceError(
                    f"{shown(self.answer.url)} sends something else than pictures"
                )
            start = max(0, len(self._held) - len(mark))
            self._more(deadline)
        before = self._take(at)
        if not keep:
            self._take(len(mark))
        return before

    def _more(self, deadline: float) -> None:
        chunk = self.answer.read_some(deadline)
        if not chunk:
            raise SourceError(f"{shown(self.answer.url)} ended")
        self._held += chunk

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None
