"""All that mien keeps, in one archive and back: the gallery, the unknown, visits, keys, settings, jobs where wanted.

An archive is a ZIP file: `manifest.json` says what each of the numbered files is, with its hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from mien import database, locks, private, store
from mien.errors import GalleryError, InputError
from mien.gallery import CopiesItself, Gallery, kind_of, open_gallery
from mien.gallery.trees import copy_tree, put_tree
from mien.gallery.unknown import (
    file_for as unknown_file,
    is_there,
    open_unknown,
    open_unknown_file,
)
from mien.text import shown
from mien.types import Faces
from mien.watch.store import VisitStore, file_for as visits_file, open_visits
from mien.zoo import DLIB

FORMAT, VERSION = "mien backup", 1
GALLERY, UNKNOWN, VISITS, KEYS, JOBS = "gallery", "unknown", "visits", "keys", "jobs"
SETTINGS = "settings"
_MANIFEST = "manifest.json"
_LONGEST_MANIFEST = 500_000_000
_BLOCK = 1 << 20
_SCRATCH = ".mien-backup-"
_TRIES = 20
_TOLD = Callable[[int, int], None]  # how many bytes are done, and of how many
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES = (  # what reading a damaged archive raises; RuntimeError: it is encrypted
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),
    *(ValueError, KeyError, TypeError),
)
_PLACES = re.compile(r"\s*(gallery|data|cache|models_dir)\s*=")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive: where it belongs ("gallery/people.db"), and by what it is known."""

    path: str
    size: int
    sha256: str

    def check(self) -> None:
        """Raises ValueError where a manifest says something of another type, or a file would be put
        anywhere but below the folder it is unpacked in."""
        path = self.path
        types = (type(path), type(self.size), type(self.sha256))
        if types != (str, int, str) or self.size < 0:
            raise ValueError("its manifest is not ours")
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise ValueError(f"it names {path!r}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds: of which kind of gallery ("" of none), made when and by which mien."""

    kind: str
    made: str
    mien: str
    entries: tuple[Entry, ...] = ()
    format: str = FORMAT
    version: int = VERSION

    def parts(self) -> dict[str, tuple[int, int]]:
        """How many files and bytes each part has."""
        found: dict[str, tuple[int, int]] = {}
        for entry in self.entries:
            part = entry.path.partition("/")[0]
            files, size = found.get(part, (0, 0))
            found[part] = (files + 1, size + entry.size)
        return found

    def goals(self, home: Home) -> dict[str, Path]:
        """Where the parts of an archive belong on this machine, but for the gallery."""
        there = {entry.path for entry in self.entries}
        goals = {
            **_beside(home if self.kind else replace(home, gallery=None)),
            "keys.json": home.data / "keys.json",
            f"{JOBS}.db": home.data / "jobs.db",
            **{f"{SETTINGS}/{name}": file for name, file in home.settings.items()},
        }
        found = {name: goal for name, goal in goals.items() if name in there}
        if any(path.startswith(f"{JOBS}/") for path in there):
            found[JOBS] = home.data / "jobs"
        return found

    @classmethod
    def packed(cls, archive: Path, content: Path, kind: str, told: _TOLD) -> Manifest:
        """Writes the files of a folder into an archive, and what they are."""
        files = sorted(path for path in content.rglob("*") if path.is_file())
        total, done = sum(file.stat().st_size for file in files), 0
        entries = []
        with private.new_file(archive) as raw:
            with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as packed:
                for number, file in enumerate(files):
                    digest, size = hashlib.sha256(), 0
                    with (
                        file.open("rb") as source,
                        packed.open(_member(number), "w", force_zip64=True) as target,
                    ):
                        for block in _blocks(source):
                            digest.update(block)
                            target.write(block)
                            size += len(block)
                            told(done := done + len(block), total)
                    path = file.relative_to(content).as_posix()
                    entries.append(Entry(path, size, digest.hexdigest()))
                now = datetime.now(UTC).isoformat(timespec="seconds")
                made = cls(kind, now, version("mien"), tuple(entries))
                packed.writestr(_MANIFEST, json.dumps(asdict(made), indent=1))
            raw.flush()
            os.fsync(raw.fileno())
        return made

    def put(self, home: Home, content: Path, *, force: bool) -> dict[str, Path | str]:
        """Puts what lies ready where it belongs; the gallery first, which is the largest and may refuse."""
        gallery, goals = None, self.goals(home)
        if not force:
            self.refuse_what_is_there(home, goals)
        put: dict[str, Path | str] = {}
        _check_ready(content)
        if self.kind and home.gallery is not None:
            if "://" not in home.gallery:
                private.make_missing(Path(home.gallery).resolve().parent)
            gallery = _opened(home.gallery)
            _copying(gallery).replace_by(content / GALLERY)
            gallery.close()
            put[GALLERY] = getattr(gallery, "place", home.gallery)
        for name, goal in goals.items():
            source = content / name
            private.make_missing(goal.parent)
            if source.is_dir():
                put_tree(source, goal)
            elif source.suffix == ".db":
                database.copy_sqlite(source, goal)
            elif source.suffix == ".toml":
                text = here(
                    source.read_text("utf-8"), home.gallery if self.kind else None
                )
                store.write_atomically(goal, text.encode(), secret=True, durable=True)
            else:
                store.write_atomically(
                    goal, source.read_bytes(), secret=True, durable=True
                )
            put[name] = goal
        return put

    def refuse_what_is_there(self, home: Home, goals: Mapping[str, Path]) -> None:
        """Raises InputError where something would be overwritten."""
        taken = [str(goal) for goal in goals.values() if _holds_something(goal)]
        if self.kind and home.gallery is not None and _is_used(home.gallery):
            taken.insert(0, shown(home.gallery))
        if taken:
            raise InputError(
                f"there is something already: {', '.join(taken)}; nothing was changed; "
                f"{', '.join(home.ways_out(taken))}"
            )


@dataclass(frozen=True, slots=True)
class Home:
    """Where things are kept on this machine: the gallery's place (None: nobody is known), the data folder, and the
    files of settings by the names that archives know them by."""

    gallery: str | None
    data: Path
    settings: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, gallery: str | None, data: Path) -> Home:
        """With the settings of the working folder, and the user's own."""
        names = ("working.toml", "user.toml")
        files = dict(zip(names, store.settings_files(), strict=False))
        return cls(gallery, data, files)

    def copy_into(self, content: Path, *, jobs: bool) -> str:
        """Copies all that is kept into a folder, each part as of one moment; the kind of the gallery."""
        content.mkdir(0o700)
        kind = ""
        if self.gallery is not None:
            kind = _kind(self.gallery)
            private.make_folder(content / GALLERY)
            _copy_gallery(self.gallery, self.data, content / GALLERY)
        found = _beside(self)
        if jobs:
            found[f"{JOBS}.db"] = self.data / "jobs.db"
        for name, file in found.items():
            if file.is_file():
                database.copy_sqlite(file, content / name)
        if jobs and (self.data / "jobs").is_dir():
            private.make_folder(content / JOBS)
            copy_tree(self.data / "jobs", content / JOBS)
        small = {f"{SETTINGS}/{name}": file for name, file in self.settings.items()}
        small["keys.json"] = self.data / "keys.json"
        private.make_folder(content / SETTINGS)
        for name, file in small.items():
            if file.is_file():
                shutil.copyfile(file, content / name)
        return kind

    def ways_out(self, taken: Sequence[str]) -> Iterator[str]:
        """What helps where something is there already."""
        yield "--force replaces it"
        settings = {str(file) for file in self.settings.values()}
        if not settings.issuperset(taken):
            yield "--gallery names another place"
        if any(not Path(name).is_absolute() for name in settings.intersection(taken)):
            yield "in another working folder the mien.toml of this one stays as it is"

    def check_goal(self, file: Path, *, jobs: bool, force: bool) -> None:
        """Raises InputError where an archive would replace something, or lie in what it keeps."""
        if file.exists() and not force:
            raise InputError(f"{file} is there already; give another name, or --force")
        if file.exists() and not file.is_file():
            raise InputError(f"{file} is no file; give another name")
        kept = [self.data / "jobs"] if jobs else []
        if self.gallery is not None and "://" not in self.gallery:
            kept.append(Path(self.gallery))
        for place in kept:
            if place.is_dir() and file.resolve().is_relative_to(place.resolve()):
                raise InputError(
                    f"{file} lies in {place} and would keep itself; write it elsewhere"
                )


# -- there


def write(
    file: Path, home: Home, *, jobs: bool = False, force: bool = False, told: _TOLD
) -> Manifest:
    """Writes an archive of all that is kept, for its user's eyes only; who uses it meanwhile is not disturbed.

    Raises:
        InputError: There is such a file and not `force`, or it cannot be written.
        GalleryError: Something cannot be read, or the gallery is of a kind that makes no copies.
    """
    try:
        home.check_goal(file, jobs=jobs, force=force)
        private.make_missing(file.parent)
        with _scratch(file.parent) as scratch:
            kind = home.copy_into(scratch / "content", jobs=jobs)
            made = Manifest.packed(scratch / "archive", scratch / "content", kind, told)
            _put_archive(scratch / "archive", file, force=force)
    except OSError as exc:
        raise InputError(f"cannot write {file}: {exc.strerror or exc}") from exc
    return made


def _put_archive(made: Path, file: Path, *, force: bool) -> None:
    """Gives a finished archive its name. Raises InputError where another backup took it meanwhile and not `force`."""
    if force:
        made.replace(file)
        return
    try:
        os.link(made, file)  # unlike a rename, it never replaces
    except FileExistsError as exc:
        raise InputError(
            f"{file} was written by another backup meanwhile; give another name, or --force"
        ) from exc
    except OSError:  # a file system without links
        if file.exists():
            raise
        made.replace(file)


def _copy_gallery(place: str, data: Path, folder: Path) -> None:
    gallery = _opened(place)
    try:
        if "://" in place and is_there(gallery, data=data):
            # What lives in its database is brought up to date, so that its version is noted.
            open_unknown(gallery, data=data).close()
            open_visits(gallery, data=data).close()
        _copying(gallery).copy_to(folder)
    finally:
        gallery.close()


# -- and back


def read_manifest(file: Path) -> Manifest:
    """What an archive says that it holds.

    Raises:
        InputError: It is none, damaged, or of a newer mien.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            if packed.getinfo(_MANIFEST).file_size > _LONGEST_MANIFEST:
                raise ValueError("its manifest is too long")
            if any(one.compress_type not in _METHODS for one in packed.infolist()):
                raise ValueError("it is compressed in another way than ZIP's usual one")
            said = json.loads(packed.read(_MANIFEST))
        if said["format"] != FORMAT:
            raise ValueError("it is another program's")
        if said["version"] > VERSION:
            theirs = said.get("mien", "?")
            raise InputError(f"{file} was made by a newer mien ({theirs}): update it")
        entries = tuple(Entry(**entry) for entry in said.pop("entries"))
        for entry in entries:
            entry.check()
        return Manifest(**said, entries=entries)
    except OSError as exc:
        raise InputError(f"cannot read {file}: {exc.strerror or exc}") from exc
    except _DAMAGES as exc:
        raise InputError(
            f"{file} is no backup, or damaged ({exc}); take another copy of it"
        ) from exc


def check(file: Path, *, told: _TOLD) -> Manifest:
    """Reads an archive to its end and compares every hash. Raises as `restore`."""
    made = read_manifest(file)
    try:
        _unpack(file, made, None, told)
    except OSError as exc:
        raise InputError(f"cannot read {file}: {exc.strerror or exc}") from exc
    return made


def restore(
    file: Path, home: Home, *, force: bool = False, told: _TOLD
) -> dict[str, Path | str]:
    """Brings back what an archive holds, to the places of this machine; returns what was put where.

    All of it is checked and made ready before the first thing is changed; each thing is then changed as a whole.

    Raises:
        InputError: The archive is damaged or newer, something is there already and not `force`, or a service runs.
        GalleryError: The gallery's place is of another kind, or cannot be written.
    """
    made = read_manifest(file)
    there = None if home.gallery is None else _kind(home.gallery)
    if made.kind and there != made.kind:
        new = {"sqlite": "FILE.db", "folder": "FOLDER"}.get(made.kind, "ADDRESS")
        raise GalleryError(
            f"this backup holds a gallery of the kind {made.kind}, {shown(home.gallery or 'none')} is another; "
            f"name its new place with --gallery {new}, from where 'people export' and 'import' carry people on"
        )
    private.make_home(home.data)
    busy = f"a service works in {home.data}; stop it, then restore"
    try:
        with (
            locks.locked(home.data / "jobs.lock", busy=busy),
            _scratch(home.data) as scratch,
        ):
            content = scratch / "content"
            content.mkdir(0o700)
            _unpack(file, made, content, told)
            return made.put(home, content, force=force)
    except OSError as exc:
        raise InputError(f"cannot restore {file}: {exc.strerror or exc}") from exc


def _unpack(file: Path, made: Manifest, content: Path | None, told: _TOLD) -> None:
    """Compares every file with its hash, and writes it into a folder, if one is given."""
    total, done = sum(entry.size for entry in made.entries), 0
    try:
        with zipfile.ZipFile(file) as packed:
            for number, entry in enumerate(made.entries):
                digest, size = hashlib.sha256(), 0
                with (
                    packed.open(_member(number)) as source,
                    _target(content, entry.path) as target,
                ):
                    for block in _blocks(source):
                        if (size := size + len(block)) > entry.size:
                            break
                        digest.update(block)
                        target.write(block)
                        told(done := done + len(block), total)
                if (size, digest.hexdigest()) != (entry.size, entry.sha256):
                    raise ValueError(f"{entry.path} is not what it was")
    except _DAMAGES as exc:
        raise InputError(
            f"{file} is damaged ({exc}); nothing was changed; take another copy of it"
        ) from exc


def _holds_something(place: Path) -> bool:
    if place.is_dir():
        return any(place.iterdir())
    return place.exists() and place.stat().st_size > 0


def _is_used(place: str) -> bool:
    if "://" not in place:
        return _holds_something(Path(place))
    gallery = _opened(place)
    used = bool(gallery.people())
    gallery.close()
    return used


def _check_ready(content: Path) -> None:
    """Looks at what lies ready before anything is changed: databases that are damaged or newer are refused, older ones
    brought up to date, and settings have to be text."""
    for file in content.glob("*.db"):
        database.check_sqlite(file)
    if (content / f"{UNKNOWN}.db").exists():
        open_unknown_file(content / f"{UNKNOWN}.db", space=DLIB).close()
    if (content / f"{VISITS}.db").exists():
        VisitStore(content / f"{VISITS}.db").close()
    for file in (content / SETTINGS).glob("*.toml"):
        try:
            file.read_text("utf-8")
        except UnicodeDecodeError as exc:
            raise InputError(
                f"{SETTINGS}/{file.name} is not written in UTF-8; nothing was changed; "
                f"mend it where it was backed up, and back up anew"
            ) from exc


def here(text: str, gallery: str | None) -> str:
    """Settings of another machine as this one can use them: places on its disk are put out of use, and told; the
    gallery is the one that was brought back."""
    lines, table = [], False
    for line in text.splitlines():
        table = table or line.lstrip().startswith("[")
        if table or not _PLACES.match(line) or _leads_somewhere(line):
            lines.append(line)
        else:
            lines.append(f"# {line}  # as it was where this was backed up")
    if gallery is not None and "://" not in gallery:
        place = json.dumps(str(Path(gallery).resolve()), ensure_ascii=False)
        lines.insert(0, f"gallery = {place}")
        lines[1:] = [
            f"# {line}" if re.match(r"\s*gallery\s*=", line) else line
            for line in lines[1:]
        ]
    return "\n".join(lines) + "\n"


def _leads_somewhere(line: str) -> bool:
    """Whether the place that a setting names is on this machine too, or is on none."""
    with suppress(tomllib.TOMLDecodeError):
        (value,) = tomllib.loads(line).values()
        return "://" in str(value) or Path(str(value)).expanduser().exists()
    return True


# -- what both need


def _opened(place: str) -> Gallery:
    """A gallery of whatever space, in which nobody is looked at."""

    def describe(_content: bytes) -> Faces:
        return Faces.empty()

    return open_gallery(place, space=DLIB, describe=describe, as_it_is=True)


def _beside(home: Home) -> dict[str, Path]:
    """The files of what is kept beside the gallery; a database keeps some or all of it inside."""
    if home.gallery is not None and "://" in home.gallery:
        return {}
    place = None if home.gallery is None else Path(home.gallery)
    found = {f"{VISITS}.db": visits_file(place, home.data)}
    if place is None or _kind(str(place)) == "folder":
        found[f"{UNKNOWN}.db"] = unknown_file(place, home.data)
    return found


def _kind(place: str) -> str:
    kind = kind_of(place)
    return "postgresql" if kind == "postgres" else kind


def _copying(gallery: Gallery) -> CopiesItself:
    if not isinstance(gallery, CopiesItself):
        raise GalleryError(
            f"{type(gallery).__name__} makes no copies of itself: back it up by its own means, "
            f"and the rest with --gallery none"
        )
    return gallery


def _member(number: int) -> str:
    return f"files/{number}"


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block


@contextmanager
def _target(content: Path | None, path: str) -> Iterator[BinaryIO]:
    file = Path(os.devnull) if content is None else content / path
    private.make_missing(file.parent)
    with file.open("wb") as target:
        yield target
        if content is not None:
            target.flush()
            os.fsync(target.fileno())


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for this run; what a killed run left is deleted."""
    for left in folder.glob(f"{_SCRATCH}*"):
        with suppress(InputError), locks.locked(left / "lock", busy=""):
            shutil.rmtree(left, ignore_errors=True)
    with ExitStack() as stack:
        yield _locked_scratch(folder, stack)


def _locked_scratch(folder: Path, stack: ExitStack) -> Path:
    """A new folder that goes with the stack; another where a run that sweeps took it before it was locked."""
    for _ in range(_TRIES):
        made = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
        stack.callback(shutil.rmtree, made, ignore_errors=True)
        with suppress(InputError):
            stack.enter_context(locks.locked(made / "lock", busy=""))
            if (made / "lock").exists():
                return made
    raise InputError(f"cannot lock a folder in {folder}; check its permissions")
