"""What the service is told at its start."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from mien.limits import Limits
from mien.watch.settings import WatchFile

__all__ = ["Limits", "ServerSettings", "is_loopback"]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the service listens, what it keeps and whom it trusts.

    `hosts` are further names it is reached by, `origins` further web pages that may call it; `urls` turns `/v1/urls`
    on, `url_hosts` (`host` or `host:port`) may then also be private addresses. `models_dir` holds model files to choose
    from. `results` are batch results in which faces are found too.
    `keep_unknown_days`: for how long the faces nobody owns are kept, None for not at all.
    `watch` says which cameras are watched, None: none. With `tls_cert` and `tls_key` it speaks https.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    urls: bool = False
    url_hosts: tuple[str, ...] = ()
    keys_needed: bool | None = None
    models_dir: Path | None = None
    results: tuple[Path, ...] = ()
    keep_unknown_days: float | None = None
    limits: Limits = field(default_factory=Limits)
    watch: WatchFile | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def guarded(self) -> bool:
        """Whether a key is needed: as soon as anything but loopback is listened on."""
        return (
            not is_loopback(self.host) if self.keys_needed is None else self.keys_needed
        )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
