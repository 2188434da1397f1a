"""A folder of photos as a gallery: `Ada Lovelace.jpg`, or `Ada Lovelace/1.jpg, 2.jpg`.

The photos are the truth; their descriptors are kept in the user's cache, by file content and all that decides them. Of
a photo that came without its picture (imported from another gallery) the folder has a `.npy` file: the descriptor, then
the quality; behind the array, where there was one, the thumbnail.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien import geometry, private, store
from mien.errors import (
    GalleryError,
    InputError,
    PersonExists,
    PersonNotFound,
    PhotoNotFound,
)
from mien.gallery.base import (
    Enrolled,
    KeptPhoto,
    Person,
    Photo,
    Remark,
    as_kept,
    check_name,
)
from mien.gallery.counter import (
    CounterExample,
    CounterRows,
    are_enrolled,
    check_not_enrolled,
)
from mien.gallery.counter_folder import CounterFiles
from mien.gallery.names import file_name, name_of
from mien.gallery.search import match, per_face, told_in
from mien.gallery.trees import copy_tree, leads_out_of, put_tree
from mien.gallery.weights import weigh_people
from mien.media import images
from mien.quality import quality
from mien.space import EmbeddingSpace
from mien.text import did_you_mean, printable
from mien.types import F32, Faces, Matches

log = logging.getLogger(__name__)

Describe = Callable[[bytes], Faces]

_VERSION = 3  # of what is kept
_BESIDE = (
    2 + 4
)  # kept of a photo beside the descriptor: the quality, the number of faces, the box of the largest
_NO_BOX = (np.nan,) * 4
SHA256 = re.compile(r"(descriptor-)?[0-9a-f]{64}")


class FolderGallery:
    """People in a folder, one photo or one sub-folder each.

    A photo in which nobody is found is passed over, of several people in it the largest face counts; `remarks` says so,
    and a warning, in every process that reads the folder.
    Links inside the gallery are followed, those that lead out of it are passed over; what is deleted or moved is the
    link, never what it leads to.
    """

    def __init__(
        self,
        path: Path,
        *,
        space: EmbeddingSpace,
        describe: Describe,
        described_by: str | None = None,
    ) -> None:
        self.path = path
        self.space = space
        self._describe = describe
        self._described_by = described_by
        self._counter = CounterFiles(path, space)
        self._lock = threading.Lock()
        self._known: tuple[list[object], list[Enrolled]] | None = None
        self._remarks: tuple[Remark, ...] = ()
        self._told: set[Path] = set()

    def photos(self) -> dict[str, list[Path]]:
        """The photo files of each person, by name."""
        found: dict[str, list[Path]] = {}
        for entry in sorted(self.path.iterdir()) if self.path.is_dir() else []:
            if entry.name.startswith(".") or self._passes_over(entry):
                continue
            files = (
                self._photos_in(entry)
                if entry.is_dir()
                else [entry]
                if _is_photo(entry)
                else []
            )
            if files:
                found.setdefault(name_of(entry), []).extend(files)
        return found

    def _photos_in(self, folder: Path) -> list[Path]:
        found = [
            path
            for path in sorted(_entries(folder))
            if _is_photo(path) or _is_bare(path)
        ]
        return [path for path in found if not self._passes_over(path)]

    def _passes_over(self, entry: Path) -> bool:
        """Whether an entry is a link that leads out of the gallery; told once."""
        if not leads_out_of(self.path, entry):
            return False
        if entry not in self._told:
            self._told.add(entry)
            log.warning(
                "%s is passed over: it is a link that leads out of the gallery; put the photos there",
                entry,
            )
        return True

    @property
    def _bare_suffix(self) -> str:
        return f".{self.space.name}.npy"

    def people(self) -> list[Person]:
        return [
            Person(id=name, name=name, photos=len(files))
            for name, files in sorted(self.photos().items())
        ]

    def _is_others(self, path: Path) -> bool:
        """Whether a file is the descriptor of another embedder, without its photo."""
        return _is_bare(path) and not path.name.endswith(self._bare_suffix)

    def take_over(self, describe: Callable[[bytes], Photo]) -> int:
        """Describes anew, by the small pictures that stand beside them, what other embedders left without its photo;
        returns how many have none that shows a face and stay as they are."""
        with _on_disk(self.path):
            left = self._counter.take_over(describe)
        for name, files in self.photos().items():
            for file in filter(self._is_others, files):
                picture = _npy_picture(_content(file))
                try:
                    found = describe(picture)
                except InputError:
                    left += 1
                    continue
                sha256 = self._sha256(file, b"")
                self.enroll(
                    name,
                    [replace(found, sha256=sha256, content=b"", thumbnail=picture)],
                )
                with _on_disk(self.path):
                    file.unlink()
        return left

    def enroll(self, name: str, photos: Sequence[Photo]) -> int:
        name = check_name(name)
        home = self.path / file_name(name)
        if leads_out_of(self.path, home):
            raise GalleryError(
                f"{name} is a link that leads out of the gallery; put a folder in its place"
            )
        files = [
            file for file in self.photos().get(name, []) if not self._is_others(file)
        ]
        there = {self._sha256(file, file.read_bytes()) for file in files}
        new = {photo.sha256: photo for photo in photos if photo.sha256 not in there}
        for photo in new.values():
            file, content = (
                home / self._file_for(photo),
                photo.content or _npy(as_kept(photo, self.space)),
            )
            with _on_disk(self.path):
                store.write_atomically(file, content, secret=True)
        if new:
            self._drop_enrolled(name, [photo.embedding for photo in new.values()])
        return len(new)

    def deny(self, name: str, faces: Sequence[Photo]) -> int:
        name = check_name(name)
        self._files_of(name)
        if not faces:
            return 0
        rows = self.space.kept(np.stack([face.embedding for face in faces]))
        check_not_enrolled(name, rows, self.descriptors_of(name), self.space)
        with _on_disk(self.path):
            return self._counter.add(name, faces)

    def allow(self, name: str, ids: Sequence[str]) -> int:
        name = check_name(name)
        self._files_of(name)
        with _on_disk(self.path):
            return self._counter.take_back(name, ids)

    def counter_examples(self, name: str | None = None) -> list[CounterExample]:
        if name is not None:
            self._files_of(name)
        wanted = self.photos().keys() if name is None else {check_name(name)}
        return [one for one in self._counter.read() if one.name in wanted]

    def descriptors_of(self, name: str) -> F32:
        name = check_name(name)
        return self._stacked([one for one in self._read() if one.name == name])

    def _drop_enrolled(self, name: str, rows: Sequence[F32]) -> None:
        """Forgets those of a person's counter-examples that are photos of the person by now: the later word counts."""
        mine = [one for one in self._counter.read() if one.name == name]
        if not mine or not len(rows):
            return
        denied = np.stack([one.embedding for one in mine])
        wrong = are_enrolled(denied, self.space.kept(np.stack(rows)), self.space)
        ids = [one.id for one, is_wrong in zip(mine, wrong, strict=True) if is_wrong]
        with _on_disk(self.path):
            self._counter.take_back(name, ids)

    def enroll_all(self, people: Iterable[tuple[str, Sequence[Photo]]]) -> int:
        return sum(self.enroll(name, photos) for name, photos in people)

    def _file_for(self, photo: Photo) -> str:
        if not photo.content:
            known = (
                photo.sha256
                if SHA256.fullmatch(photo.sha256)
                else bare_sha256(photo.embedding)
            )
            return known + self._bare_suffix
        suffix = Path(photo.source).suffix.lower()
        return f"{photo.sha256[:16]}{suffix if suffix in images.SUFFIXES else '.jpg'}"

    def _sha256(self, file: Path, content: bytes) -> str:
        """What a photo is known by: its hash, also where only its descriptor is here."""
        return (
            file.name.partition(".")[0]
            if _is_bare(file)
            else hashlib.sha256(content).hexdigest()
        )

    def cached_of(self, name: str) -> list[Path]:
        """The cache's entries of a person's photos, by whatever described them."""
        digests = {
            hashlib.sha256(_content(file)).hexdigest() for file in self._files_of(name)
        }
        return [
            entry
            for digest in sorted(digests)
            for entry in store.entries("descriptors", f"{digest}-")
        ]

    def photos_of(self, name: str) -> list[KeptPhoto]:
        files = self._files_of(name)
        counted = {one.photo.source: one for one in self._read()}
        wrong = {remark.source: remark.verdict for remark in self._remarks}
        found = []
        for file in files:
            content, source = _content(file), printable(str(file))
            one = counted.get(source)
            quality, weight = (one.photo.quality, one.weight) if one else (None, 0.0)
            pictured = (
                bool(_npy_picture(content)) if _is_bare(file) else one is not None
            )
            added = _stamp(file)[0] / 1e9
            told = wrong.get(source, "")
            found.append(
                KeptPhoto(
                    self._sha256(file, content),
                    source,
                    added,
                    quality,
                    weight,
                    pictured,
                    told,
                )
            )
        return found

    def thumbnail(self, name: str, sha256: str) -> bytes:
        for file in self._files_of(name):
            content = _content(file)
            if self._sha256(file, content) == sha256:
                if _is_bare(file):
                    picture = _npy_picture(content)
                else:
                    box = self._numbers(self._described(content))[-4:]
                    picture = (
                        images.thumbnail(images.read_image(content), box)
                        if np.isfinite(box).all()
                        else b""
                    )
                if not picture:
                    raise PhotoNotFound(
                        "there is no picture of a face in this photo; put one that shows it in its place"
                    )
                return picture
        raise PhotoNotFound("this person has no such photo; list them again")

    def remove(self, name: str) -> None:
        self._delete(name, self._files_of(name))

    def discard(self, name: str, sha256s: Sequence[str]) -> int:
        named = set(sha256s)
        files = [
            file
            for file in self._files_of(name)
            if self._sha256(file, file.read_bytes()) in named
        ]
        self._check_no_link(files)
        self._delete(name, files)
        return len(files)

    def _delete(self, name: str, files: Sequence[Path]) -> None:
        """Deletes photos of a person, and with the last all that is not them."""
        for file in files:
            store.clear_entries(
                "descriptors", f"{hashlib.sha256(file.read_bytes()).hexdigest()}-"
            )
        for entry in dict.fromkeys(map(self._entry_of, files)):
            with _on_disk(self.path):
                entry.unlink()
        self._remove_empty(files)
        if check_name(name) not in self.photos():
            with _on_disk(self.path):
                self._counter.take_back(check_name(name))

    def _entry_of(self, file: Path) -> Path:
        """What is deleted of a photo: the file, or the link to the folder it is in."""
        return (
            file.parent
            if file.parent != self.path and file.parent.is_symlink()
            else file
        )

    def _check_no_link(self, files: Sequence[Path]) -> None:
        for folder in {
            entry for entry in map(self._entry_of, files) if entry not in files
        }:
            goal = folder.resolve().name
            raise GalleryError(
                f"{folder.name} is a link to {goal}, whose photos these are; change {goal} instead"
            )

    def rename(self, old: str, new: str) -> None:
        self._files_of(old)
        if check_name(new) in self.photos():
            raise PersonExists(
                f"{new} is in the gallery already; 'mien people merge' joins two people"
            )
        self._move(old, check_name(new))

    def merge(self, source: str, target: str) -> None:
        self._files_of(target)
        if check_name(source) != check_name(target):
            self._move(source, check_name(target))
            rows = self.descriptors_of(check_name(target))
            self._drop_enrolled(check_name(target), list(rows))

    def _move(self, source: str, target: str) -> None:
        home = self.path / file_name(target)
        files = self._files_of(source)
        self._check_no_link(files)
        for file in files:
            with _on_disk(self.path):
                private.make_missing(home)
                goal = home / file.name
                _move(file, goal if _is_bare(file) else _take_name(goal))
        self._remove_empty(files)
        with _on_disk(self.path):
            self._counter.move(source, target)

    def _remove_empty(self, files: Iterable[Path]) -> None:
        """Removes the sub-folders that the files were in, as far as nothing else is in them."""
        for folder in {file.parent for file in files} - {self.path}:
            with contextlib.suppress(
                OSError
            ):  # another process has put a photo there just now
                folder.rmdir()

    def _files_of(self, name: str) -> list[Path]:
        everybody = self.photos()
        try:
            return everybody[check_name(name)]
        except KeyError:
            raise PersonNotFound(
                f"nobody in {self.path} is called {name}{did_you_mean(name, everybody)}"
            ) from None

    def enrolled(self) -> Iterator[Enrolled]:
        yield from self._read()

    def descriptors(self) -> tuple[tuple[str, ...], F32]:
        everything = self._read()
        return tuple(one.name for one in everything), self._stacked(everything)

    def _read(self) -> list[Enrolled]:
        """Everything, as the folder is now."""
        files = [
            (name, file) for name, photos in self.photos().items() for file in photos
        ]
        state: list[object] = [(name, str(file), *_stamp(file)) for name, file in files]
        with self._lock:
            if self._known is None or self._known[0] != state:
                found = [(name, file, *self._photo(file)) for name, file in files]
                wrong = [
                    Remark(name, printable(str(file)), why, photo is not None)
                    for name, file, photo, why in found
                    if why
                ]
                self._remarks = (*wrong, *self._too_deep())
                for remark in self._remarks:
                    log.warning(
                        "%s %s", Path(remark.source), remark.verdict
                    )  # a service's log leaves out paths
                photos = [
                    (name, photo) for name, _, photo, _ in found if photo is not None
                ]
                self._known = (
                    state,
                    _weighed(photos, stranger=self.space.stranger),
                )
            return self._known[1]

    def remarks(self) -> tuple[Remark, ...]:
        """What is wrong with the photos, as the folder is now."""
        self._read()
        return self._remarks

    def _too_deep(self) -> list[Remark]:
        """Folders of photos below those of persons: nobody's."""
        reason = "photos count in the gallery itself or in a folder per person in it, this one is too deep"
        deep = [
            folder
            for entry in _entries(self.path)
            if entry.is_dir()
            and not entry.name.startswith(".")
            and not self._passes_over(entry)
            for folder in sorted(Path(place) for place, _, _ in os.walk(entry))
            if folder != entry and any(map(_is_photo, _entries(folder)))
        ]
        return [Remark("", printable(str(folder)), reason) for folder in deep]

    def _photo(self, file: Path) -> tuple[Photo | None, str]:
        """What a file shows, None where that is nothing; and what is wrong with it."""
        try:
            content = file.read_bytes()
        except FileNotFoundError:  # it went just now
            return None, ""
        if not content:  # or its place is taken, and it comes
            return None, "it is empty"
        if self._is_others(file):
            return (
                None,
                "it is a descriptor of another embedder, without its photo; see 'mien people reembed'",
            )
        kept = (
            _npy_numbers(content, self.space.size)
            if _is_bare(file)
            else self._described(content)
        )
        if len(kept) != self._count * 4:
            return None, kept.decode(errors="replace")
        numbers, size = self._numbers(kept), self.space.size
        embedding, worth, count = (
            numbers[:size],
            float(numbers[size]),
            int(numbers[size + 1]),
        )
        wrong = (
            f"{count} faces are in it, of which the largest is taken; cut it to one"
            if count > 1
            else ""
        )
        return Photo(
            embedding, self._sha256(file, content), printable(str(file)), quality=worth
        ), wrong

    @property
    def _count(self) -> int:
        """Of the numbers kept of a photo; or, where it shows nobody, of as many bytes of the reason why."""
        return self.space.size + _BESIDE

    def _numbers(self, kept: bytes) -> F32:
        """What is kept of a photo; all NaN where that is the reason why nothing is."""
        if len(kept) != self._count * 4:
            return np.full(self._count, np.nan, np.float32)
        return np.frombuffer(kept, dtype="<f4").astype(np.float32)

    def _described(self, content: bytes) -> bytes:
        if self._described_by is None:
            return self._largest(content)
        space = f"{self.space.name}.{self.space.size}.{self.space.metric}"
        key = f"{hashlib.sha256(content).hexdigest()}-{space}-{self._described_by}-v{_VERSION}"
        kept = store.read_entry("descriptors", key)
        if kept is None:
            kept = self._largest(content)
            store.write_entry("descriptors", key, kept)
        return kept

    def _largest(self, content: bytes) -> bytes:
        """The largest face's descriptor and quality, the number of faces, its box; the reason where there is none."""
        try:
            faces = self._describe(content)
        except InputError as exc:
            return str(exc).encode()[: self._count]
        if not len(faces) or faces.embeddings is None:
            return b"no face found in it"
        areas = geometry.area(faces.boxes)
        i = int(areas.argmax())
        worth = quality(
            images.read_image(content),
            faces.boxes[i : i + 1],
            faces.landmarks[i : i + 1],
        )
        count = (areas > areas[i] / 16).sum()  # people far behind do not count
        row = self.space.kept(faces.embeddings[i : i + 1])[0]
        return bytes(
            np.concatenate([row, worth, [count], faces.boxes[i]])
            .astype("<f4")
            .tobytes()
        )

    def search(self, embeddings: F32, *, tolerance: float | F32) -> Matches:
        everything = self._read()
        weights = np.array([one.weight for one in everything], np.float32)
        owners = [one.name for one in everything]
        probes, rows = self.space.kept(embeddings), self._stacked(everything)
        limits = per_face(self.space.to_euclidean(tolerance), len(probes))
        denied = self._counter.read()
        against = CounterRows(
            [one.name for one in denied],
            np.array([one.embedding for one in denied], np.float32).reshape(
                -1, self.space.size
            ),
        )
        found = match(
            probes,
            owners,
            rows,
            tolerance=limits,
            weights=weights,
            stricter=against.stricter(probes, limits, self.space),
        )
        return told_in(self.space, found)

    def _stacked(self, everything: Sequence[Enrolled]) -> F32:
        rows = [one.photo.embedding for one in everything]
        return np.array(rows, np.float32).reshape(-1, self.space.size)

    def check_ready(self) -> None:
        try:
            next(self.path.iterdir(), None) if self.path.exists() else None
        except OSError as exc:
            raise GalleryError(
                f"cannot read {self.path}: {exc.strerror or exc}; check its permissions"
            ) from exc

    def copy_to(self, folder: Path) -> None:
        copy_tree(self.path, folder)

    def replace_by(self, folder: Path) -> None:
        with _on_disk(self.path.parent):
            put_tree(folder, self.path.resolve())
        self.close()

    def close(self) -> None:
        self._known = None


def open_folder(
    place: str,
    *,
    space: EmbeddingSpace,
    describe: Describe,
    described_by: str | None = None,
    as_it_is: bool = False,
) -> FolderGallery:
    """A folder's photos are described by whoever asks: `as_it_is` makes no difference."""
    return FolderGallery(
        Path(place), space=space, describe=describe, described_by=described_by
    )


def bare_sha256(embedding: F32) -> str:
    """What a photo is known by of which there is nothing but the descriptor (D,)."""
    return "descriptor-" + hashlib.sha256(embedding.astype("<f4").tobytes()).hexdigest()


def _weighed(photos: list[tuple[str, Photo]], *, stranger: float) -> list[Enrolled]:
    rows = np.array([photo.embedding for _, photo in photos], np.float32)
    qualities = np.array([photo.quality for _, photo in photos], np.float32)
    weights = weigh_people(
        [name for name, _ in photos], rows, qualities, stranger=stranger
    )
    return [
        Enrolled(name, photo, float(weight))
        for (name, photo), weight in zip(photos, weights, strict=True)
    ]


def _stamp(file: Path) -> tuple[int, int]:
    """When a file was written, and its size; zeros when it went just now."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_mtime_ns, state.st_size


def _npy(photo: Photo) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.append(photo.embedding, photo.quality).astype("<f4"))
    return buffer.getvalue() + photo.thumbnail


def _npy_numbers(content: bytes, size: int) -> bytes:
    """What is kept of a photo, from a `.npy` file; the reason where it is none."""
    try:
        numbers = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as exc:
        return f"it is damaged ({exc})".encode()[: size + _BESIDE]
    if numbers.shape != (size + 1,) or not np.isfinite(numbers).all():
        return b"not a descriptor and its quality"
    return bytes(np.concatenate([numbers, [1], _NO_BOX]).astype("<f4").tobytes())


def _npy_picture(content: bytes) -> bytes:
    """The thumbnail behind the array of a `.npy` file."""
    rest = io.BytesIO(content)
    try:
        np.load(rest, allow_pickle=False)
    except (ValueError, EOFError):
        return b""
    return rest.read()


def _content(file: Path) -> bytes:
    """A file's bytes; none where it went just now."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _is_bare(path: Path) -> bool:
    return path.name.endswith(".npy") and not path.name.startswith(".")


def _is_photo(path: Path) -> bool:
    return (
        path.suffix.lower() in images.SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # its last photo was taken out just now
        return []


def _move(file: Path, goal: Path) -> None:
    """Moves a file; of a link the way to its goal, which may be told from where it was."""
    if not file.is_symlink():
        file.replace(goal)
        return
    goal.unlink(missing_ok=True)  # what kept the name for it
    goal.symlink_to(file.resolve())
    file.unlink()


def _take_name(path: Path) -> Path:
    """The path, or the next one that is free: taken by an empty file, so that no other process takes it too."""
    counter, goal = 2, path
    while True:
        try:
            goal.touch(exist_ok=False)
            return goal
        except FileExistsError:
            goal = path.with_stem(f"{path.stem} {counter}")
            counter += 1
        except OSError as exc:
            raise GalleryError(
                f"cannot write in {goal.parent.parent}: {exc.strerror or exc}; check its permissions"
            ) from exc


@contextlib.contextmanager
def _on_disk(gallery: Path) -> Iterator[None]:
    """Raises what the system refuses as an error of ours."""
    try:
        yield
    except OSError as exc:
        raise GalleryError(
            f"cannot write in {gallery}: {exc.strerror or exc}; check its permissions"
        ) from exc
