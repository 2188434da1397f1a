"""A folder of photos as a gallery: `Ada Lovelace.jpg`, or `Ada Lovelace/1.jpg, 2.jpg`.

The photos are the truth; their descriptors are kept in the user's cache, by file content and embedder.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from mien import geometry, images, store
from mien.errors import GalleryError, InputError, PersonExists, PersonNotFound
from mien.gallery.base import Person, Photo, check_name
from mien.gallery.search import match
from mien.types import F32, Faces, Matches

log = logging.getLogger(__name__)

Describe = Callable[[bytes], Faces]


class FolderGallery:
    """People in a folder, one photo or one sub-folder each.

    A photo in which nobody is found is passed over with a warning; of several people in it, the largest face counts.
    """

    def __init__(self, path: Path, *, embedder: str, describe: Describe) -> None:
        self.path = path
        self.embedder = embedder
        self._describe = describe
        self._lock = threading.Lock()
        self._known: tuple[object, tuple[str, ...], F32] | None = None

    def photos(self) -> dict[str, list[Path]]:
        """The photo files of each person, by name."""
        found: dict[str, list[Path]] = {}
        for entry in sorted(self.path.iterdir()) if self.path.is_dir() else []:
            if entry.name.startswith("."):
                continue
            files = _photos_in(entry) if entry.is_dir() else [entry] if _is_photo(entry) else []
            if files:
                found.setdefault(_name_of(entry), []).extend(files)
        return found

    def people(self) -> list[Person]:
        return [Person(id=name, name=name, photos=len(files)) for name, files in sorted(self.photos().items())]

    def enroll(self, name: str, photos: Sequence[Photo]) -> int:
        home = self.path / _file_name(check_name(name))
        there = {hashlib.sha256(file.read_bytes()).hexdigest() for file in self.photos().get(check_name(name), [])}
        new = [photo for photo in photos if photo.sha256 not in there]
        for photo in new:
            if not photo.content:
                raise GalleryError("a folder gallery keeps photos, not bare descriptors; use a .db file for those")
            suffix = Path(photo.source).suffix.lower()
            file = home / f"{photo.sha256[:16]}{suffix if suffix in images.SUFFIXES else '.jpg'}"
            _on_disk(partial(store.write_atomically, file, photo.content), file)
        return len(new)

    def remove(self, name: str) -> None:
        self._delete(name, self._files_of(name))

    def discard(self, name: str, sha256s: Sequence[str]) -> int:
        named = set(sha256s)
        files = [f for f in self._files_of(name) if hashlib.sha256(f.read_bytes()).hexdigest() in named]
        self._delete(name, files)
        return len(files)

    def _delete(self, name: str, files: Sequence[Path]) -> None:
        for file in files:
            store.clear_entry("descriptors", self._key(file.read_bytes()))
            _on_disk(file.unlink, file)
        _on_disk(partial(_remove_empty, self.path / _file_name(name)), self.path)

    def rename(self, old: str, new: str) -> None:
        self._files_of(old)
        if check_name(new) in self.photos():
            raise PersonExists(f"{new} is in the gallery already; 'mien people merge' joins two people")
        self._move(old, check_name(new))

    def merge(self, source: str, target: str) -> None:
        self._files_of(target)
        if check_name(source) != check_name(target):
            self._move(source, check_name(target))

    def _move(self, source: str, target: str) -> None:
        home = self.path / _file_name(target)
        for file in self._files_of(source):
            goal = _free_name(home / file.name)
            _on_disk(partial(goal.parent.mkdir, parents=True, exist_ok=True), goal)
            _on_disk(partial(file.rename, goal), goal)
        _on_disk(partial(_remove_empty, self.path / _file_name(source)), self.path)

    def _files_of(self, name: str) -> list[Path]:
        try:
            return self.photos()[check_name(name)]
        except KeyError:
            raise PersonNotFound(f"nobody in {self.path} is called {name}; 'mien people' lists everybody") from None

    def descriptors(self) -> tuple[tuple[str, ...], F32]:
        files = [(name, file) for name, photos in self.photos().items() for file in photos]
        state = tuple((name, str(file), file.stat().st_mtime_ns, file.stat().st_size) for name, file in files)
        with self._lock:
            if self._known is None or self._known[0] != state:
                self._known = (state, *self._read(files))
            return self._known[1:]

    def _read(self, files: list[tuple[str, Path]]) -> tuple[tuple[str, ...], F32]:
        found = [(name, self._descriptor(file)) for name, file in files]
        rows = [(name, row) for name, row in found if row is not None]
        table = np.stack([row for _, row in rows]) if rows else np.zeros((0, 128), np.float32)
        return tuple(name for name, _ in rows), table

    def _descriptor(self, file: Path) -> F32 | None:
        content = file.read_bytes()
        key = self._key(content)
        kept = store.read_entry("descriptors", key)
        if kept is None:
            kept = self._largest(content, file)
            store.write_entry("descriptors", key, kept)
        return np.frombuffer(kept, dtype="<f4").astype(np.float32) if kept else None

    def _largest(self, content: bytes, file: Path) -> bytes:
        try:
            faces = self._describe(content)
        except InputError as exc:
            log.warning("%s is passed over: %s", file, exc)
            return b""
        if not len(faces) or faces.embeddings is None:
            log.warning("%s is passed over: no face found in it", file)
            return b""
        return bytes(faces.embeddings[geometry.area(faces.boxes).argmax()].astype("<f4").tobytes())

    def _key(self, content: bytes) -> str:
        return f"{hashlib.sha256(content).hexdigest()}-{self.embedder}"

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        owners, table = self.descriptors()
        return match(embeddings, owners, table, tolerance=tolerance)

    def close(self) -> None:
        self._known = None


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES and not path.name.startswith(".") and path.is_file()


def _photos_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _is_photo(path)]


def _name_of(entry: Path) -> str:
    return unquote(entry.name if entry.is_dir() else entry.stem)


def _file_name(name: str) -> str:
    """The name as a file name: only what a file system cannot hold is written as %XX."""
    quoted = name.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def _free_name(path: Path) -> Path:
    counter = 2
    goal = path
    while goal.exists():
        goal = path.with_stem(f"{path.stem} {counter}")
        counter += 1
    return goal


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        shutil.rmtree(folder)


def _on_disk(change: Callable[[], object], path: Path) -> None:
    try:
        change()
    except OSError as exc:
        raise GalleryError(f"cannot write {path}: {exc.strerror or exc}; check its permissions") from exc
