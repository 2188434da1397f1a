"""What the service is told at its start."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

MEGA = 1_000_000


def default_slots() -> int:
    """Analyses at once: the processors this process may use."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one client, and all of them together, may ask for.

    `slots` analyses run at once and `waiting` more stand in line; what comes then is answered 503 at once.
    `requests_per_minute` is per key, 0 for no limit. Where no key is needed all callers count as one. Sizes are bytes,
    times seconds.
    """

    slots: int = field(default_factory=default_slots)
    waiting: int = 64
    waiting_per_key: int = 48
    wait_s: float = 20.0
    requests_per_minute: int = 0
    image_bytes: int = 25 * MEGA
    image_pixels: int = 50 * MEGA
    pixels_at_once: int = 100 * MEGA  # of all pictures being worked on
    held_bytes: int = 800 * MEGA  # of all pictures that have come and wait
    files: int = 16
    field_bytes: int = 8_192
    json_bytes: int = 65_536
    header_s: float = 10.0
    body_idle_s: float = 10.0
    body_rate: float = 8_192.0  # bytes per second, after the first `body_idle_s`
    video_bytes: int = 1000 * MEGA
    video_s: float = 3600.0
    video_frames: int = 120_000
    video_pixels: int = 4096 * 2304
    jobs_waiting: int = 32
    jobs_per_key: int = 16
    jobs_kept_s: float = 24 * 3600.0
    job_s: float = 7200.0  # of work
    job_attempts: int = 30
    live_clients: int = 16
    live_per_key: int = 8
    live_idle_s: float = 60.0  # without a picture
    live_s: float = 3600.0
    live_frame_bytes: int = 4 * MEGA
    live_frame_pixels: int = 4 * MEGA
    events_clients: int = 64
    events_per_key: int = 32
    connections: int = 512
    connections_per_address: int = 256
    send_idle_s: float = 30.0  # without a byte that the other side took
    url_s: float = 20.0  # name, connection, headers and picture together
    url_video_s: float = 300.0
    fetches: int = 8
    fetches_per_key: int = 6
    url_redirects: int = 3
    stream_s: float = 60.0

    @property
    def form_bytes(self) -> int:
        """The largest body of a form with pictures."""
        return self.files * self.image_bytes + MEGA


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the service listens, what it keeps and whom it trusts.

    `hosts` are further names it is reached by, `origins` further web pages that may call it; `urls` turns `/v1/urls`
    on, `url_hosts` (`host` or `host:port`) may then also be private addresses. `models_dir` holds model files to choose
    from. `keep_unknown_days`: for how long the faces nobody owns are kept, None for not at all.
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
    keep_unknown_days: float | None = None
    limits: Limits = field(default_factory=Limits)

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
