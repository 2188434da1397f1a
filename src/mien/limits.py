"""How much a service takes at most, of one client and of all together."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
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
    `requests_per_minute` is per key, `wrong_keys_per_minute` per address, 0 for no limit. Where no key
    is needed all callers count as one. Sizes are bytes, times seconds.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # a misspelt one is told

    slots: Count = field(default_factory=default_slots)
    waiting: Count = 64
    waiting_per_key: Count = 48
    wait_s: Positive = 20.0
    requests_per_minute: Natural = 0
    wrong_keys_per_minute: Natural = 60
    image_bytes: Count = 25 * MEGA
    image_pixels: Count = 50 * MEGA
    pixels_at_once: Count = 100 * MEGA  # of all pictures being worked on
    held_bytes: Count = 800 * MEGA  # of all pictures that have come and wait
    files: Count = 16
    field_bytes: Count = 8_192
    json_bytes: Count = 65_536
    header_s: Positive = 10.0
    body_idle_s: Positive = 10.0
    body_rate: Positive = 8_192.0  # bytes per second, after the first `body_idle_s`
    video_bytes: Count = 1000 * MEGA
    video_s: Positive = 3600.0
    video_frames: Count = 120_000
    video_pixels: Count = 4096 * 2304
    jobs_waiting: Count = 32
    jobs_per_key: Count = 16
    jobs_kept_s: Positive = 24 * 3600.0
    job_s: Positive = 7200.0  # of work
    job_attempts: Count = 30
    live_clients: Count = 16
    live_per_key: Count = 8
    live_idle_s: Positive = 60.0  # without a picture
    live_s: Positive = 3600.0
    live_frame_bytes: Count = 4 * MEGA
    live_frame_pixels: Count = 4 * MEGA
    events_clients: Count = 64
    events_per_key: Count = 32
    connections: Count = 512
    connections_per_address: Count = 256
    send_idle_s: Positive = 30.0  # without a byte that the other side took
    url_s: Positive = 20.0  # name, connection, headers and picture together
    url_video_s: Positive = 300.0
    fetches: Count = 8
    fetches_per_key: Count = 6
    url_redirects: Natural = 3
    stream_s: Positive = 60.0

    @property
    def form_bytes(self) -> int:
        """The largest body of a form with pictures."""
        return self.files * self.image_bytes + MEGA
