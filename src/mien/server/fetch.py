"""Fetching what a client names, without letting it reach what only this machine can: http(s), pinned, bounded."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import SplitResult, urlsplit

from mien import private
from mien.errors import InputError, SourceError
from mien.server import sniff
from mien.server.problems import Problem
from mien.server.settings import ServerSettings
from mien.sources import wire
from mien.sources.http import Answer, Client, TooLong
from mien.sources.wire import Wait

PORTS = {"http": 80, "https": 443, "rtsp": 554}
_NAME = "the address"  # what messages call it: they go to clients
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
class FetchRules:
    """What may be fetched: `hosts` (`host` or `host:port`) also where their addresses are private; at most `redirects`
    of those; all of it within `seconds`, a video within `video_seconds`. Once `over` says so, nobody waits any more."""

    hosts: tuple[str, ...]
    redirects: int
    seconds: float
    video_seconds: float = 300.0
    over: Callable[[], bool] = field(default=lambda: False)


def rules_of(settings: ServerSettings, over: Callable[[], bool]) -> FetchRules:
    """Which addresses a service fetches, and for how long, unless it is over before."""
    limits = settings.limits
    return FetchRules(
        settings.url_hosts,
        limits.url_redirects,
        limits.url_s,
        limits.url_video_s,
        over,
    )


@dataclass(frozen=True, slots=True)
class PinnedAddress:
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

    def __init__(self, rules: FetchRules) -> None:
        self.rules = rules

    def resolve(self, url: str, wait: Wait | None = None) -> PinnedAddress:
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
        return PinnedAddress(parts, host, port, found[0])

    def wait(self) -> Wait:
        """How long is waited for everything, from now on."""
        return Wait(self.rules.seconds, self.rules.over)

    def open(self, url: str, wait: Wait) -> Answer:
        """The answer at an http(s) address, behind its redirects, each checked like the first.

        Raises:
            Problem: It is no address that is fetched, or leads to one.
            SourceError: It does not answer.
        """
        client = Client(self._ask, redirects=self.rules.redirects, name=_NAME)
        return client.get(url, wait)

    def _ask(self, url: str, wait: Wait) -> HTTPResponse:
        """The transport: of checked addresses only, and from the machine that was checked."""
        target = self.resolve(url, wait)
        if target.parts.scheme not in {"http", "https"}:
            raise Problem("address-refused", "a redirect must stay with http or https")
        headers = {"User-Agent": "mien", "Accept": "image/*, video/*"}
        return wire.get(target.parts, [target.ip], headers, wait)

    def fetch(
        self, url: str, *, video_path: Path, picture_bytes: int, video_bytes: int
    ) -> Fetched:
        """What is at an http(s) address, told by its first bytes; a video is written to `video_path`.

        Raises:
            Problem, SourceError, InputError: Refused, lost, too large, or neither picture, video nor stream.
        """
        wait = self.wait()
        with self.open(url, wait) as answer:
            if answer.content_type == "multipart/x-mixed-replace":
                return Fetched("stream")
            head = answer.read(sniff.HEAD_BYTES)
            if sniff.is_picture(head):
                return Fetched(
                    "picture", head + _rest(answer, picture_bytes - len(head))
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
        return wire.look_up(host, port, wait)
    except TimeoutError as exc:
        raise SourceError(
            "the host of this address is not found in time; come again later"
        ) from exc
    except (OSError, UnicodeError) as exc:
        raise SourceError(
            f"nobody knows the host of this address ({type(exc).__name__}); is it spelled right?"
        ) from exc


def _rest(answer: Answer, limit: int) -> bytes:
    try:
        return answer.read_all(limit=limit)
    except TooLong as exc:
        raise Problem("too-large", "the picture at this address is too large") from exc


def _copy(answer: Answer, file: BinaryIO, limit: int) -> None:
    count = 0
    while chunk := answer.read_some():
        count += len(chunk)
        if count > limit:
            raise Problem("too-large", "the video at this address is too large")
        file.write(chunk)
