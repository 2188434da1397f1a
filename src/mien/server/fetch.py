"""Fetching what a client names, without letting it reach what only this machine can: http(s), pinned, bounded."""

from __future__ import annotations

import http.client
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import SplitResult, urljoin, urlsplit

from mien import private
from mien.errors import InputError, SourceError
from mien.server import sniff
from mien.server.problems import Problem
from mien.server.settings import ServerSettings
from mien.server.wire import Wait, get, look_up

PORTS = {"http": 80, "https": 443, "rtsp": 554}
_CHUNK = 65_536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Kinds of addresses that stand for another one inside: NAT64 (RFC 6052, 8215), 6to4, Teredo, IPv4-compatible.
_WRAPPED = tuple(
    map(
        ipaddress.ip_network,
        ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"),
    )
)
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
    of those; all of it within `seconds`, a video within `video_seconds`. Once `over` says so, nobody waits any more."""

    hosts: tuple[str, ...]
    redirects: int
    seconds: float
    video_seconds: float = 300.0
    over: Callable[[], bool] = field(default=lambda: False)


def rules_of(settings: ServerSettings, over: Callable[[], bool]) -> Rules:
    """Which addresses a service fetches, and for how long, unless it is over before."""
    limits = settings.limits
    return Rules(
        settings.url_hosts,
        limits.url_redirects,
        limits.url_s,
        limits.url_video_s,
        over,
    )


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

    def resolve(self, url: str, wait: Wait | None = None) -> Target:
        """Looks an address up, once.

        Raises:
            Problem: It is no address that is fetched.
            SourceError: Nobody knows the name.
        """
        parts = _split(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        found = _look_up(host, port, wait or self.wait())
        trusted = host in self.rules.hosts or f"{host}:{port}" in self.rules.hosts
        if not trusted and not all(is_public(ip) for ip in found):
            raise Problem(
                "address-refused",
                "private, loopback and link-local addresses are not fetched",
            )
        return Target(parts, host, port, found[0])

    def wait(self) -> Wait:
        """How long is waited for everything, from now on."""
        return Wait(self.rules.seconds, self.rules.over)

    def open(self, url: str, wait: Wait) -> http.client.HTTPResponse:
        """The answer at an http(s) address, behind its redirects, each checked like the first."""
        for _ in range(self.rules.redirects + 1):
            target = self.resolve(url, wait)
            if target.parts.scheme not in {"http", "https"}:
                raise Problem(
                    "address-refused", "a redirect must stay with http or https"
                )
            answer = _get(target, wait)
            if answer.status not in _REDIRECTS:
                return _good(answer)
            url = urljoin(url, answer.getheader("location") or "")
            answer.close()
        raise SourceError(
            f"more than {self.rules.redirects} redirects; give the address they lead to"
        )

    def fetch(
        self, url: str, *, video_path: Path, picture_bytes: int, video_bytes: int
    ) -> Fetched:
        """What is at an http(s) address, told by its first bytes; a video is written to `video_path`.

        Raises:
            Problem, SourceError, InputError: Refused, lost, too large, or neither picture, video nor stream.
        """
        wait = self.wait()
        with self.open(url, wait) as answer:
            if answer.headers.get_content_type() == "multipart/x-mixed-replace":
                return Fetched("stream")
            head = _read_some(answer, sniff.HEAD_BYTES)
            if sniff.is_picture(head):
                return Fetched(
                    "picture", head + _read_all(answer, picture_bytes - len(head))
                )
            if sniff.video_format(head) is None:
                raise InputError(
                    "at this address is neither a picture nor a video nor a stream of JPEGs"
                )
            wait.until += self.rules.video_seconds - self.rules.seconds
            with private.new_file(video_path) as file:
                file.write(head)
                _copy(answer, file, video_bytes - len(head))
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
    special = (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
    )
    return (
        address.is_global
        and not special
        and not address.is_link_local
        and not address.is_private
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(c.isspace() or not c.isprintable() for c in url):
        raise Problem(
            "address-refused",
            "only http, https and rtsp addresses with a host are fetched",
        )
    if parts.scheme != "rtsp" and (parts.username or parts.password):
        raise Problem(
            "address-refused", "addresses with a user name or password are not fetched"
        )
    return parts


def _look_up(host: str, port: int, wait: Wait) -> list[str]:
    try:
        return look_up(host, port, wait)
    except TimeoutError as exc:
        raise SourceError(
            "the host of this address is not found in time; come again later"
        ) from exc
    except (OSError, UnicodeError) as exc:
        raise SourceError(
            f"nobody knows the host of this address ({type(exc).__name__}); is it spelled right?"
        ) from exc


def _get(target: Target, wait: Wait) -> http.client.HTTPResponse:
    kind = (
        http.client.HTTPSConnection
        if target.parts.scheme == "https"
        else http.client.HTTPConnection
    )
    query = f"?{target.parts.query}" if target.parts.query else ""
    headers = {"User-Agent": "mien", "Accept": "image/*, video/*"}
    try:
        return get(
            kind(target.host, target.port),
            target.ip,
            (target.parts.path or "/") + query,
            headers,
            wait,
        )
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise SourceError(
            f"the address does not answer ({type(exc).__name__}); is its server running?"
        ) from exc


def _good(answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
    if answer.status == 200:
        return answer
    answer.close()
    raise SourceError(f"the address answers {answer.status}, not 200")


def _read_some(answer: http.client.HTTPResponse, count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0:
        try:
            chunk = answer.read1(min(count, _CHUNK))
        except TimeoutError as exc:
            raise SourceError("the address answers too slowly") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise SourceError(f"the address broke off ({type(exc).__name__})") from exc
        if not chunk:
            break
        parts.append(chunk)
        count -= len(chunk)
    return b"".join(parts)


def _read_all(answer: http.client.HTTPResponse, limit: int) -> bytes:
    content = _read_some(answer, limit + 1)
    if len(content) > limit:
        raise Problem("too-large", "the picture at this address is too large")
    return content


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, limit: int) -> None:
    count = 0
    while chunk := _read_some(answer, _CHUNK):
        count += len(chunk)
        if count > limit:
            raise Problem("too-large", "the video at this address is too large")
        file.write(chunk)
