"""What an archive holds: files, folders, globs, and the object storage that pyarrow's file systems read."""

from __future__ import annotations

import glob
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlunsplit

from pyarrow import fs as arrow_fs

from mien import sources
from mien.errors import InputError, SourceError
from mien.media import images
from mien.sources.base import split_address
from mien.text import printable, shown as masked

_MAGIC = re.compile(r"[*?\[]")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class BatchInput:
    """One photo or video.

    `source` is what the results call it, `root` the input it was found under; `size` is bytes and `mtime_us`
    microseconds since 1970. `path` opens it: on this machine, or in the file system of the address `place`.
    """

    source: str
    root: str
    size: int
    mtime_us: int
    path: str
    place: str = ""

    @property
    def is_video(self) -> bool:
        return sources.is_video(self.path)

    def named(self, error: str) -> str:
        """An error with the file's name as the results call it."""
        if self.source in error:
            return error
        return f"{self.source} {error.removeprefix('the picture ')}"

    @classmethod
    def of_file(cls, path: str, root: str) -> BatchInput:
        """A file of this machine, as it is now. Raises SourceError."""
        try:
            about = Path(path).stat()
        except OSError as exc:
            raise SourceError(f"cannot read {path}: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise SourceError(f"{path!r} is no file name: {exc}") from exc
        source = printable(str(Path(path)))
        return cls(source, root, about.st_size, about.st_mtime_ns // 1000, path)

    @classmethod
    def inside(cls, path: str, root: str) -> BatchInput:
        """A file that a folder or glob holds. One that is not there, as what a link means, fails when it is read, and
        does not keep the others from being read."""
        try:
            return cls.of_file(path, root)
        except SourceError:
            return cls(printable(str(Path(path))), root, 0, 0, path)

    @classmethod
    def all_of_files(cls, given: str) -> list[BatchInput]:
        """Those of a file, folder or glob of this machine."""
        if _MAGIC.search(given) and not Path(given).exists():
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - the pattern may be absolute
            paths: list[str] = []
            for match in matches:
                if Path(match).is_dir():
                    paths += map(str, sources.find_media(Path(match)))
                elif _is_media(match):
                    paths.append(match)
        else:
            paths = sources.expand(given)
        make = cls.of_file if paths == [given] else cls.inside
        return [make(path, root_of(given)) for path in dict.fromkeys(paths)]

    @classmethod
    def all_at(cls, given: str) -> list[BatchInput]:
        """Those at an address, by name."""
        system, path = open_place(given)
        base, pattern = _split_glob(path.rstrip("/"))
        root = shown(given)
        prefix = (
            root.rstrip("/").removesuffix(pattern).rstrip("/")
            if pattern
            else root.rstrip("/")
        )
        matches = _translate(pattern) if pattern else None
        items = []
        for info in _listing(system, base, given):
            rest = info.path[len(base) :]
            inside = rest.lstrip("/")
            if (matches is None or matches.fullmatch(inside)) and (
                not rest or _wanted(inside)
            ):
                items.append(
                    cls(
                        prefix + rest,
                        root,
                        info.size,
                        int(info.mtime_ns or 0) // 1000,
                        info.path,
                        given,
                    )
                )
        return sorted(items, key=lambda item: item.source)


def find_all(inputs: Iterable[str]) -> tuple[list[BatchInput], list[str]]:
    """The photos and videos of all inputs, each once, and why inputs cannot be used."""
    found: dict[str, BatchInput] = {}
    problems: list[str] = []
    for given in inputs:
        try:
            for item in find(given):
                found.setdefault(item.source, item)
        except InputError as exc:
            problems.append(str(exc))
    return list(found.values()), problems


def find(given: str) -> list[BatchInput]:
    """The photos and videos under a file, folder, glob or address, in the order of their names.

    Raises:
        SourceError: There is no such thing, or nothing in it.
    """
    items = (
        BatchInput.all_at(given) if "://" in given else BatchInput.all_of_files(given)
    )
    if not items:
        raise SourceError(f"{shown(given)} holds no photos or videos")
    return items


def root_of(given: str) -> str:
    """What an input is called in the results: without what an address carries of keys and options."""
    return shown(given) if "://" in given else printable(given)


def shown(address: str) -> str:
    """An address without its user, password and query."""
    if "://" not in address:
        return address
    parts = split_address(masked(address))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _is_media(path: str) -> bool:
    return (
        PurePosixPath(path).suffix.lower() in images.SUFFIXES | sources.VIDEO_SUFFIXES
    )


def open_place(address: str) -> tuple[Any, str]:
    """The pyarrow file system of an address, and the path in it.

    Raises:
        SourceError: No file system knows such addresses, or it refuses.
    """
    if address.startswith(("http://", "https://")):
        raise SourceError(
            f"{shown(address)}: fetch web addresses first, or give them to 'mien analyze'"
        )
    parts = split_address(address)
    bare = (
        address
        if not _MAGIC.search(parts.path)
        else urlunsplit(parts._replace(path=_split_glob(parts.path)[0]))
    )
    try:
        system, path = arrow_fs.FileSystem.from_uri(bare)
    except (OSError, ValueError) as exc:
        raise SourceError(f"cannot open {shown(address)}: {exc}") from exc
    pattern = _split_glob(parts.path)[1]
    return system, f"{path.rstrip('/')}/{pattern}" if pattern else path


def _split_glob(path: str) -> tuple[str, str]:
    """A path as the folder before its first wildcard, and the pattern from there on."""
    parts = path.split("/")
    first = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    return "/".join(parts[:first]), "/".join(parts[first:])


def _translate(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` and `?` stay within a name, `**/` crosses folders."""
    ways = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return re.compile(
        "".join(
            ways.get(part) or (part if part.startswith("[") else re.escape(part))
            for part in parts
        )
    )


def _wanted(inside: str) -> bool:
    return _is_media(inside) and not any(
        part.startswith(".") for part in inside.split("/")
    )


def _listing(system: Any, base: str, given: str) -> list[Any]:
    try:
        about = system.get_file_info(base)
        if about.type == arrow_fs.FileType.NotFound:
            raise SourceError(f"cannot read {shown(given)}: no such file")
        if about.type == arrow_fs.FileType.File:
            return [about]
        inside = system.get_file_info(arrow_fs.FileSelector(base, recursive=True))
    except OSError as exc:
        raise SourceError(f"cannot list {shown(given)}: {exc}") from exc
    return [info for info in inside if info.type == arrow_fs.FileType.File]


@lru_cache(maxsize=16)
def _system(place: str) -> Any:
    return open_place(place)[0]


def read(item: BatchInput) -> bytes:
    """A file's bytes.

    Raises:
        InputError: It cannot be read.
    """
    if not item.place:
        return images.read_bytes(Path(item.path))
    try:
        with _system(item.place).open_input_stream(
            item.path, compression=None
        ) as stream:
            return bytes(stream.read())
    except OSError as exc:
        raise InputError(f"cannot read {item.source}: {exc}") from exc


def digest(item: BatchInput) -> str:
    """A file's SHA-256 in hex, read piece by piece.

    Raises:
        InputError: It cannot be read.
    """
    if item.place:
        with local_copy(item) as path:
            return images.sha256_of(path)
    return images.sha256_of(Path(item.path))


@contextmanager
def local_copy(item: BatchInput) -> Iterator[Path]:
    """A file as a path on this machine: itself, or a copy that lasts as long as the block.

    Raises:
        InputError: It cannot be read, or not copied.
    """
    if not item.place:
        yield Path(item.path)
        return
    with tempfile.TemporaryDirectory(prefix="mien-batch-") as folder:
        path = Path(folder) / f"copy{Path(item.path).suffix}"
        try:
            with (
                _system(item.place).open_input_stream(
                    item.path, compression=None
                ) as stream,
                path.open("wb") as file,
            ):
                while chunk := stream.read(_CHUNK):
                    file.write(chunk)
        except OSError as exc:
            raise InputError(f"cannot read {item.source}: {exc}") from exc
        yield path
