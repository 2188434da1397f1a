"""Where pictures come from: `open_source(uri)` gives the frames of a photo, a folder, a video, a camera or a stream."""

from __future__ import annotations

from mien.sources.base import Source, Timeouts
from mien.sources.media import VIDEO_SUFFIXES, expand, find_media, is_video
from mien.sources.opening import open_source
from mien.sources.photos import Photos

__all__ = [
    "VIDEO_SUFFIXES",
    "Photos",
    "Source",
    "Timeouts",
    "expand",
    "find_media",
    "is_video",
    "open_source",
]
