"""Fetching what a client names, without letting it reach what only this machine can: http(s), pinned, bounded."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import SplitResult, urljoin, urlsplit

from mien import private
from mien.errors import InputError, SourceError
from mien.server import sniff
from mien.server.problems import Problem

PORTS = {"http": 80, "https": 443, "rtsp": 554}
_CHUNK = 65_536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Kinds of addresses that stand for another one inside: NAT64 (RFC 6052, 8215), 6to4, Teredo, IPv4-compatible.
_WRAPPED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))
# Not of the open Internet, though not all versions of `ipaddress` say so: site-local, documentation, segment routing,
# discard-only, protocol assignments, the relay of 6to4.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "fec0::/10",
            "3fff::/20",
            "2001:db8::/32",
            "5f00::/16",
            "100::/64",
            "2001::/23",
            "192.0.0.0/24",
            "192.88.99.0/24",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be fetched: `hosts` (`host` or `host:port`) also where their addresses are private; at most `redirects`
    of those; all of it within `seconds`."""

    hosts: tuple[str, ...]
    redirects: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was looked up once, and the one machine it is pinned to."""

    parts: SplitResult
    host: str
    port: int
    ip: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: a picture's bytes, a video (in the file named), or a stream of JPEGs (not read)."""

    kind: Literal["picture", "video", "stream"]
    content: bytes = b""


class Fetcher:
    """Fetches one address by some rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def resolve(self, url: str) -> Target:
        """Looks an address up, once.

        Raises:
            Problem: It is no address that is fetched.
            SourceError: Nobody knows the name.
        """
        parts = _split(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        found = _look_up(host, port)
        trusted = host in self.rules.hosts or f"{host}:{port}" in self.rules.hosts
        if not trusted and not all(is_public(ip) for ip in found):
            raise Problem("address-refused", "private, loopback and link-local addresses are not fetched")
        return Target(parts, host, port, found[0])

    def open(self, url: str) -> tuple[http.client.HTTPResponse, Target]:
        """The answer at an http(s) address, behind its redirects, each checked like the first."""
        for _ in range(self.rules.redirects + 1):
            target = self.resolve(url)
            if target.parts.scheme not in {"http", "https"}:
                raise Problem("address-refused", "a redirect must stay with http or https")
            answer = _get(target, self.rules.seconds)
            if answer.status not in _REDIRECTS:
                return _good(answer), target
            url = urljoin(url, answer.getheader("location") or "")
            answer.close()
        raise SourceError(f"more than {self.rules.redirects} redirects; give the address they lead to")

    def fetch(self, url: str, *, video_path: Path, picture_bytes: int, video_bytes: int) -> Fetched:
        """What is at an http(s) address, told by its first bytes; a video is written to `video_path`.

        Raises:
            Problem, SourceError, InputError: Refused, lost, too large, or neither picture, video nor stream.
        """
        deadline = time.monotonic() + self.rules.seconds
        answer, _ = self.open(url)
        with answer:
            if answer.headers.get_content_type() == "multipart/x-mixed-replace":
                return Fetched("stream")
            head = _read_some(answer, sniff.HEAD_BYTES, deadline)
            if sniff.is_picture(head):
                return Fetched("picture", head + _read_all(answer, picture_bytes - len(head), deadline))
            if sniff.video_format(head) is None:
                raise InputError("at this address is neither a picture nor a video nor a stream of JPEGs")
            with private.new_file(video_path) as file:
                file.write(head)
                _copy(answer, file, video_bytes - len(head), deadline + self.rules.seconds * 10)
            return Fetched("video")


def is_public(ip: str) -> bool:
    """Whether an address is one of the open Internet, in whatever form it is written."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if any(address in network for network in _WRAPPED):
            return False
    if any(address in network for network in _SPECIAL):
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    return address.is_global and not special and not address.is_link_local and not address.is_private


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(c.isspace() or not c.isprintable() for c in url):
        raise Problem("address-refused", "only http, https and rtsp addresses with a host are fetched")
    if parts.scheme != "rtsp" and (parts.username or parts.password):
        raise Problem("address-refused", "addresses with a user name or password are not fetched")
    return parts


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise SourceError(
            f"nobody knows the host of this address ({type(exc).__name__}); is it spelled right?"
        ) from exc
    return [str(row[4][0]) for row in found]


def _get(target: Target, seconds: float) -> http.client.HTTPResponse:
    connection = _connection(target, seconds)
    path = target.parts.path or "/"
    query = f"?{target.parts.query}" if target.parts.query else ""
    try:
        connection.request("GET", path + query, headers={"User-Agent": "mien", "Accept": "image/*, video/*"})
        return connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as exc:
        connection.close()
        raise SourceError(f"the address does not answer ({type(exc).__name__}); is its server running?") from exc


def _connection(target: Target, seconds: float) -> http.client.HTTPConnection:
    """A connection to the address that was checked, whatever the name resolves to by now."""

    def connect(_address: object, timeout: float = seconds, _source: object = None) -> socket.socket:
        return socket.create_connection((target.ip, target.port), timeout)

    connection: http.client.HTTPConnection
    if target.parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(target.host, target.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=seconds)
    connection._create_connection = connect  # type: ignore[attr-defined]
    return connection


def _good(answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
    if answer.status == 200:
        return answer
    answer.close()
    raise SourceError(f"the address answers {answer.status}, not 200")


def _read_some(answer: http.client.HTTPResponse, count: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while count > 0:
        if time.monotonic() > deadline:
            raise SourceError("the address answers too slowly")
        try:
            chunk = answer.read1(min(count, _CHUNK))
        except (OSError, http.client.HTTPException) as exc:
            raise SourceError(f"the address broke off ({type(exc).__name__})") from exc
        if not chunk:
            break
        parts.append(chunk)
        count -= len(chunk)
    return b"".join(parts)


def _read_all(answer: http.client.HTTPResponse, limit: int, deadline: float) -> bytes:
    content = _read_some(answer, limit + 1, deadline)
    if len(content) > limit:
        raise Problem("too-large", "the picture at this address is too large")
    return content


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, limit: int, deadline: float) -> None:
    count = 0
    while chunk := _read_some(answer, _CHUNK, deadline):
        count += len(chunk)
        if count > limit:
            raise Problem("too-large", "the video at this address is too large")
        file.write(chunk)
