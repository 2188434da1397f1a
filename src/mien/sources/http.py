"""Pictures over HTTP: one, one again and again, or many in one answer (MJPEG). Waits end, sizes are bounded."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Protocol
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from mien.errors import InputError, SourceError
from mien.media import images
from mien.sources import wire
from mien.sources.base import Closing, StreamEnded, Timeouts, split_address
from mien.sources.live import Grab, grab_of
from mien.sources.wire import Wait
from mien.text import shown
from mien.types import U8

REDIRECTS = 5
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 16
_MOST_DIGITS = 18  # of a length
_LONGEST_HEAD = 1 << 14  # bytes of the header of one part of an MJPEG answer
_CURES = {
    401: "; put user:password@ before the host",
    403: "; it wants other rights",
    404: "; check the address",
}


class Transport(Protocol):
    """Asks one address, which it may refuse, and follows no redirect.

    Raises OSError, ValueError and what `http.client` does where there is no answer.
    """

    def __call__(self, url: str, wait: Wait) -> http.client.HTTPResponse: ...


class TooLong(SourceError):  # noqa: N818 - as the others of our tree are called
    """More comes than is taken."""


class Answer(Closing):
    """The answer to a GET, its body not read yet. `name` is what messages call it."""

    def __init__(
        self, name: str, response: http.client.HTTPResponse, wait: Wait
    ) -> None:
        self.name = name
        self.content_type = response.headers.get_content_type()
        self.boundary = response.headers.get_param("boundary")
        self.wait = wait
        self._response = response

    def read_some(self, most: int = _CHUNK) -> bytes:
        """What has come by now, at least one byte; empty at the end of the body.

        Raises:
            SourceError: Nothing came as long as `wait` waits, or the connection broke.
        """
        try:
            return self._response.read1(min(most, _CHUNK))
        except TimeoutError as exc:
            raise SourceError(f"{self.name} stopped sending") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise SourceError(f"{self.name} broke off: {_reason(exc)}") from exc

    def read(self, count: int) -> bytes:
        """So many bytes, or what there is until the end of the body."""
        body = bytearray()
        while len(body) < count and (chunk := self.read_some(count - len(body))):
            body += chunk
        return bytes(body)

    def read_all(self, *, limit: int) -> bytes:
        """The rest of the body.

        Raises:
            TooLong: It is longer than `limit` bytes.
        """
        announced = self._response.length
        if announced is not None and announced > limit:
            raise TooLong(
                f"{self.name} is {announced} bytes long, more than the limit of {limit} for a picture"
            )
        body = self.read(limit + 1)
        if len(body) > limit:
            raise TooLong(
                f"{self.name} is longer than the limit of {limit} bytes for a picture"
            )
        return body

    def close(self) -> None:
        self._response.close()


def by_name(url: str, wait: Wait) -> http.client.HTTPResponse:
    """The transport of this machine's own user: any host, a user and password if the address has them."""
    parts = split_address(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SourceError(f"{shown(url)} is no http address")
    ips = wire.look_up(parts.hostname, _port_of(parts), wait)
    return wire.get(parts, ips, _headers(parts), wait)


def with_headers(more: Mapping[str, str]) -> Transport:
    """The transport of a program of this machine's user, which proves who it is by headers of its own."""

    def ask(url: str, wait: Wait) -> http.client.HTTPResponse:
        parts = split_address(url)
        ips = wire.look_up(parts.hostname or "", _port_of(parts), wait)
        return wire.get(parts, ips, {**_headers(parts), **more}, wait)

    return ask


def _port_of(parts: SplitResult) -> int:
    """The port of an address. Raises SourceError."""
    try:
        return wire.port_of(parts)
    except ValueError as exc:
        raise SourceError(f"{shown(parts.geturl())} is no address: {exc}") from exc


def _headers(parts: SplitResult) -> dict[str, str]:
    headers = {"User-Agent": "mien", "Accept": "*/*", "Connection": "close"}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return headers


class Client:
    """Asks for addresses by a transport, and follows redirects by the same.

    Args:
        transport: What asks.
        redirects: So many are followed.
        name: What messages call every address; None: the address itself, without its secrets.
    """

    def __init__(
        self,
        transport: Transport = by_name,
        *,
        redirects: int = REDIRECTS,
        name: str | None = None,
    ) -> None:
        self.transport = transport
        self.redirects = redirects
        self.name = name

    def get(self, url: str, wait: Wait) -> Answer:
        """The answer at an address, or at the one that it leads to.

        Raises:
            SourceError: No answer in time, an error status, too many redirects, or another protocol.
        """
        name, at = self.name or shown(url), url
        for _ in range(self.redirects + 1):
            response = self._ask(at, name, wait)
            if response.status == 200:
                return Answer(name, response, wait)
            response.close()
            if response.status not in _REDIRECTED:
                cure = _CURES.get(response.status, "")
                if response.status == 401 and urlsplit(at).username is not None:
                    cure = ": wrong user or password"
                phrase = http.client.responses.get(response.status, "")
                said = f"{response.status} {phrase}".strip()
                raise SourceError(f"{name} answers {said}{cure}")
            at = urljoin(at, response.headers.get("Location", ""))
        raise SourceError(f"{name} redirects more than {self.redirects} times")

    def _ask(self, url: str, name: str, wait: Wait) -> http.client.HTTPResponse:
        try:
            return self.transport(url, wait)
        except TimeoutError as exc:
            raise SourceError(f"cannot reach {name}: no answer in time") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise SourceError(f"cannot reach {name}: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    """Why there is no answer, in the system's words: what the other side sent is not repeated."""
    return str(getattr(exc, "strerror", None) or type(exc).__name__)


_CLIENT = Client()


def get(url: str, timeouts: Timeouts, client: Client = _CLIENT) -> Answer:
    """The answer at an address, which may take `timeouts.open_s`."""
    return client.get(url, Wait(timeouts.open_s, timeouts.over))


def fetch_image(url: str, timeouts: Timeouts | None = None) -> U8:
    """The picture at an address, upright BGR.

    Raises:
        SourceError: It cannot be had in time.
        InputError: It is no picture.
    """
    timeouts = timeouts or Timeouts()
    with get(url, timeouts) as answer:
        answer.wait.last(timeouts.stall_s)
        body = answer.read_all(limit=timeouts.image_bytes)
    try:
        return images.read_image(body)
    except InputError as exc:
        raise SourceError(
            f"{shown(url)} is no picture that can be read: {exc}"
        ) from exc


def poll(url: str, timeouts: Timeouts, *, rate: float) -> Iterator[Grab]:
    """The picture at an address, asked for `rate` times a second, for as long as it is answered."""
    due = time.monotonic()
    while True:
        yield grab_of(fetch_image(url, timeouts))
        due = max(due + 1 / rate, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def mjpeg(url: str, timeouts: Timeouts, client: Client = _CLIENT) -> Iterator[Grab]:
    """The pictures of a `multipart/x-mixed-replace` answer, each still to be decoded by a call."""
    with get(url, timeouts, client) as answer:
        yield from pictures_of(answer, timeouts)


def pictures_of(answer: Answer, timeouts: Timeouts) -> Iterator[Grab]:
    """The same of an answer that is there already."""
    parts, most = Parts(answer, timeouts), timeouts.frame_pixels
    while True:
        jpeg = parts.next()
        if jpeg:
            yield Grab(
                partial(decode_jpeg, jpeg, answer.name, most),
                partial(decode_jpeg, jpeg, answer.name, most, grey=True),
            )


def decode_jpeg(
    data: bytes, name: str, max_pixels: int | None = None, *, grey: bool = False
) -> U8:
    """Raises SourceError where the bytes are no picture, or a larger one."""
    read = images.read_grey_jpeg if grey else images.read_jpeg
    try:
        if max_pixels is None:
            return read(data)
        return read(data, max_pixels=max_pixels)
    except InputError as exc:
        raise SourceError(f"{name} sent a picture that cannot be read: {exc}") from exc


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
        self.answer.wait.last(self.timeouts.stall_s)
        self._until(self._boundary, _CHUNK + self.timeouts.image_bytes)
        head = self._until(b"\r\n\r\n", _LONGEST_HEAD)
        length = _length(head)
        if length is None:
            return self._until(
                b"\r\n" + self._boundary, self.timeouts.image_bytes, keep=True
            )
        if length > self.timeouts.image_bytes:
            raise SourceError(
                f"{self.answer.name} announces a picture of {length} bytes"
            )
        while len(self._held) < length:
            self._more()
        return self._take(length)

    def _until(self, mark: bytes, limit: int, *, keep: bool = False) -> bytes:
        """What comes before a mark; the mark is dropped, or left for the next call."""
        start = 0
        while (at := self._held.find(mark, start)) < 0:
            if len(self._held) > limit:
                raise SourceError(
                    f"{self.answer.name} sends something else than pictures"
                )
            start = max(0, len(self._held) - len(mark))
            self._more()
        before = self._take(at)
        if not keep:
            self._take(len(mark))
        return before

    def _more(self) -> None:
        chunk = self.answer.read_some()
        if not chunk:
            raise StreamEnded(f"{self.answer.name} ended")
        self._held += chunk

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-length" and value.strip().isdigit():
            # Python reads no numbers of thousands of digits.
            return int(value.strip().lstrip(b"0")[:_MOST_DIGITS] or b"0")
    return None
