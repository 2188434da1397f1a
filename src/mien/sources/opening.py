"""Opens every kind of source. What only films, streams, cameras or addresses need is loaded by the first of them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from mien import plugins
from mien.errors import SourceError
from mien.media import images
from mien.sources.base import MOST_CAMERAS, Source, Timeouts, split_address
from mien.sources.live import Connect, LiveSource
from mien.sources.media import expand, is_folder, is_video
from mien.sources.photos import Photos
from mien.text import shown

POLL_RATE = 2.0  # pictures per second asked of a URL that gives one picture


def open_source(
    uri: str | os.PathLike[str] | int,
    *,
    timeouts: Timeouts | None = None,
    poll_rate: float | None = POLL_RATE,
) -> Source:
    """The frames of a photo, a folder of photos, a video file, a camera (its number), or the URL of a picture, video,
    MJPEG, RTSP or HLS stream. A context manager.

    `poll_rate` is how often a second a URL of one picture is asked again; None takes it once.

    Raises:
        SourceError: There is no such thing, or it does not answer.

    Example:
        >>> with open_source("clip.mp4") as frames:  # or 0, "rtsp://camera/1", "https://…"
        ...     first = next(iter(frames))
        >>> first.index, first.time_s, first.image.shape
        (0, 0.0, (360, 640, 3))
    """
    uri = uri if isinstance(uri, int) else str(uri)
    opener = plugins.load(plugins.SOURCES, _kind_of(uri), what="a source")
    return opener(uri, timeouts=timeouts or Timeouts(), poll_rate=poll_rate)  # type: ignore[no-any-return]


def _kind_of(uri: str | int) -> str:
    """Which row of the table opens a source.

    Raises:
        SourceError: None does.
    """
    if isinstance(uri, int):
        return plugins.CAMERA
    if "://" not in uri:
        return plugins.PATH
    scheme = split_address(uri).scheme or uri.partition("://")[0]  # a_b is none
    known = plugins.named(plugins.SOURCES, scheme) is not None
    if not known or scheme in {plugins.PATH, plugins.CAMERA}:
        raise SourceError(
            f"{shown(uri)}: {scheme} addresses are not supported; use http, https or rtsp"
        )
    return scheme


def open_camera(number: int, *, timeouts: Timeouts, **_: object) -> Source:
    """A camera of this machine.

    Raises:
        SourceError: There is none of this number.
    """
    if not 0 <= number <= MOST_CAMERAS:
        raise SourceError(f"a camera's number is one from 0 to {MOST_CAMERAS}")
    from mien.sources.camera import camera

    return _live(f"camera {number}", partial(camera, number), timeouts)


def open_stream(uri: str, *, timeouts: Timeouts, **_: object) -> Source:
    """A stream that FFmpeg reads."""
    from mien.sources import streams

    return _live(uri, partial(streams.stream, uri, timeouts, paced=False), timeouts)


def open_path(path: str, *, timeouts: Timeouts, **_: object) -> Source:
    """A photo, a folder of photos, or a video file."""
    if is_folder(path):
        return Photos(path, [file for file in expand(path) if not is_video(file)])
    if Path(path).suffix.lower() in images.SUFFIXES:
        return Photos(path, [path])
    from mien.sources.video import VideoFile

    return VideoFile(path, timeouts)


def open_http(url: str, *, timeouts: Timeouts, poll_rate: float | None) -> Source:
    """Whatever is at a URL: a picture, a video, MJPEG or HLS.

    Raises:
        SourceError: It does not answer, or is neither.
    """
    from mien.sources import http

    with http.get(url, timeouts) as answer:
        kind = answer.content_type
        if kind.startswith("image/") and poll_rate is None:
            return Photos(url, [url])
    if kind.startswith("image/"):
        return _live(
            url,
            partial(http.poll, url, timeouts, rate=poll_rate or POLL_RATE),
            timeouts,
        )
    if kind.startswith("multipart/"):
        return _live(url, partial(http.mjpeg, url, timeouts), timeouts)
    if kind in {"text/html", "application/json"}:
        raise SourceError(
            f"{shown(url)} is a page ({kind}), not a picture or video; give the address of the video itself"
        )
    from mien.sources import streams
    from mien.sources.video import VideoFile

    # A video that has an end is a file; one that has none is a stream (HLS without an end comes in bursts).
    with streams.open_stream(url, timeouts) as container:
        endless = container.duration is None
        paced = container.format.name.startswith("hls")
    if not endless:
        return VideoFile(url, timeouts)
    return _live(url, partial(streams.stream, url, timeouts, paced=paced), timeouts)


def _live(name: str, connect: Connect, timeouts: Timeouts) -> LiveSource:
    """Waits for the first picture, so that a wrong address is told at once."""
    source = LiveSource(name, connect, timeouts)
    source.wait_until_up()
    return source
