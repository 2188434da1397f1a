"""Which files are photos and videos, and which of them a folder holds."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mien.errors import SourceError
from mien.media import images

log = logging.getLogger(__name__)

UNREADABLE = frozenset(
    ".jxl .cr3 .crw .raf .orf .rw2 .x3f .psd .svg .eps .tga .exr .hdr .bpg .jxr".split()
)
VIDEO_SUFFIXES = frozenset(
    ".mp4 .mov .m4v .avi .mkv .webm .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv".split()
)


def is_video(uri: str) -> bool:
    """Whether a file's name says that it is a video."""
    return Path(uri).suffix.lower() in VIDEO_SUFFIXES


def find_media(folder: Path) -> Iterator[Path]:
    """The photos and videos in a folder and all folders inside it, in the order of their names.

    Hidden files and folders are left out; a link to a folder is not followed. Pictures of formats that cannot be read
    are passed over with a warning.
    """
    known = images.SUFFIXES | VIDEO_SUFFIXES
    unread: Counter[str] = Counter()
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in known:
                yield Path(root) / name
            elif Path(name).suffix.lower() in UNREADABLE:
                unread[Path(name).suffix.lower()] += 1
    if unread:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in unread.most_common())
        log.warning(
            "%s: passed over, as such pictures cannot be read here: %s", folder, kinds
        )


def is_folder(path: str) -> bool:
    """Whether there is such a folder. Raises SourceError where there can be no such name."""
    try:
        return Path(path).is_dir()
    except OSError as exc:
        raise SourceError(f"cannot read {path}: {exc.strerror or exc}") from exc


def expand(source: str, *, without: Path | None = None) -> list[str]:
    """A folder as the photos and videos inside it, anything else as itself.

    What lies in a folder `without` is left out, as copies of an earlier run, unless it is there that one is to look.

    Raises:
        SourceError: A folder without photos or videos, or no name at all.
    """
    if not source:
        raise SourceError(
            "a source's name is empty: an unset variable? The folder one is in is called ."
        )
    if not is_folder(source):
        return [source]
    found = [
        str(Path(source) / path.relative_to(source))
        for path in find_media(Path(source))
    ]
    if not found:
        raise SourceError(f"{source} holds no photos or videos")
    home = None if without is None else without.resolve()
    if home is None or Path(source).resolve().is_relative_to(home):
        return found
    return [one for one in found if not Path(one).resolve().is_relative_to(home)]
