"""All that is kept about somebody: the one list of places that know people, told and emptied."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mien import store
from mien.errors import PersonNotFound
from mien.gallery import (
    FolderGallery,
    Gallery,
    KeepsCounterExamples,
    Person,
    ShowsPhotos,
    check_name,
)
from mien.gallery.unknown import is_there, open_unknown
from mien.gallery.unknown.store import UnknownFaces
from mien.output import result_files
from mien.text import did_you_mean, from_json
from mien.watch.store import VisitStore, Wanted, are_there, open_visits

_MOST = 1_000_000  # visits that are listed


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that is kept about a person: `what` it is, the picture, stream or file that it is of, since when and
    until when (seconds since 1970; None: not noted, for good), and whether there is a picture of it."""

    what: str
    source: str = ""
    since: float | None = None
    until: float | None = None
    picture: bool = False


class Place(Protocol):
    """Something that knows people by name."""

    def about(self, name: str) -> list[Kept]:
        """What it keeps about a person; nothing of somebody it does not know."""
        ...

    def forget(self, name: str) -> None:
        """Deletes all of it for good."""
        ...


class InGallery:
    """Photos with their descriptors and small pictures, what was cached of them, and who is not this person."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery

    def about(self, name: str) -> list[Kept]:
        if all(person.name != name for person in self.gallery.people()):
            return []
        found = list(self._photos(name))
        if isinstance(self.gallery, FolderGallery):
            found += [
                Kept("cached descriptor", str(file), file.stat().st_mtime)
                for file in self.gallery.cached_of(name)
            ]
        if isinstance(self.gallery, KeepsCounterExamples):
            found += [
                Kept(
                    "who it is not", one.source, one.added, picture=bool(one.thumbnail)
                )
                for one in self.gallery.counter_examples(name)
            ]
        return found

    def _photos(self, name: str) -> Iterator[Kept]:
        if isinstance(self.gallery, ShowsPhotos):
            for one in self.gallery.photos_of(name):
                yield Kept("photo", one.source, one.added, picture=one.thumbnail)
        else:
            for each in self.gallery.enrolled():
                if each.name == name:
                    yield Kept("photo", each.photo.source)

    def forget(self, name: str) -> None:
        with suppress(PersonNotFound):
            self.gallery.remove(name)


class InUnknown:
    """Faces of groups that were given this name: kept for a day, so that it can be taken back."""

    def __init__(self, unknown: UnknownFaces) -> None:
        self.unknown = unknown

    def about(self, name: str) -> list[Kept]:
        return [
            Kept(
                "face of a named group",
                one.source,
                one.seen,
                one.expires,
                one.thumbnail,
            )
            for one in self.unknown.named(name)
        ]

    def forget(self, name: str) -> None:
        self.unknown.relabel(name, None)


class InVisits:
    """Visits that cameras saw."""

    def __init__(self, visits: VisitStore) -> None:
        self.visits = visits

    def about(self, name: str) -> list[Kept]:
        found = self.visits.visits(Wanted(person=name), limit=_MOST)
        visits = [
            Kept("visit", one.camera, one.begins, picture=bool(one.pictures))
            for one in found
        ]
        clips = [
            Kept("clip of a visit", one.camera, one.begins, picture=True)
            for one in found
            if one.clip
        ]
        beside = [
            Kept(
                "seen in another's visit",
                one.camera,
                one.at or one.begins,
                picture=True,
            )
            for one in self.visits.beside(name)
        ]
        return [*visits, *clips, *beside]

    def forget(self, name: str) -> None:
        self.visits.relabel(name, None)


class InResults:
    """Results of the jobs of a service that name the person, and the annotated videos beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def about(self, name: str) -> list[Kept]:
        found = []
        for file in result_files.naming(self.folder, name):
            copy = file.with_name(result_files.ANNOTATED).is_file()
            since = file.stat().st_mtime
            found.append(Kept("result of a job", str(file), since, picture=copy))
        return found

    def forget(self, name: str) -> None:
        for file in result_files.naming(self.folder, name):
            result_files.relabel(file, [(name, None)])
            file.with_name(result_files.ANNOTATED).unlink(missing_ok=True)


class InLeftFiles:
    """Photos that 'mien people reembed' took out of a gallery and put into files."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def about(self, name: str) -> list[Kept]:
        return [
            Kept("photo left by reembed", str(file), file.stat().st_mtime)
            for file in self.files
            for row in self._photos(file)
            if row.get("name") == name
        ]

    def _photos(self, file: Path) -> list[dict[str, Any]]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = from_json(file.read_bytes())
            if file.stem.endswith(f"-{document['embedder']}"):
                return list(document["photos"])
        return []  # what a user keeps beside the gallery

    def forget(self, name: str) -> None:
        for file in self.files:
            photos = self._photos(file)
            stay = [row for row in photos if row.get("name") != name]
            if len(stay) == len(photos):
                continue
            document = {**from_json(file.read_bytes()), "photos": stay}
            text = json.dumps(document, ensure_ascii=False, indent=1)
            store.write_atomically(file, text.encode(), secret=True)


def left_beside(gallery: Gallery, data: Path) -> list[Path]:
    """The files of 'mien people reembed': beside a gallery's file, of a database on a server in the data folder."""
    place = getattr(gallery, "path", None)
    if place is None:
        return sorted(data.glob("people-*.json"))
    return sorted(Path(place).parent.glob(f"{glob.escape(Path(place).stem)}-*.json"))


@contextmanager
def places(gallery: Gallery, data: Path) -> Iterator[list[Place]]:
    """The places that know people, with a gallery and a data folder; made by nobody, none is made here.

    Whatever else is to know people by name belongs into this list.
    """
    closing: list[Callable[[], None]] = []
    found: list[Place] = [
        InGallery(gallery),
        InLeftFiles(left_beside(gallery, data)),
        InResults(data / "jobs"),
    ]
    if is_there(gallery, data=data):
        unknown = open_unknown(gallery, data=data)
        found.append(InUnknown(unknown))
        closing.append(unknown.close)
    if are_there(gallery, data=data):
        visits = open_visits(gallery, data=data)
        found.append(InVisits(visits))
        closing.append(visits.close)
    try:
        yield found
    finally:
        for close in closing:
            close()


def about(known: Sequence[Place], name: str) -> list[Kept]:
    """All that is kept about somebody.

    Raises:
        PersonNotFound: Nothing is.
    """
    name = check_name(name)
    found = [kept for place in known for kept in place.about(name)]
    if not found:
        people: list[Person] = []
        for place in known:
            if isinstance(place, InGallery):
                people += place.gallery.people()
        raise PersonNotFound(
            f"nothing is kept about {name}{did_you_mean(name, [person.name for person in people])}"
        )
    return found


def forget(known: Sequence[Place], name: str) -> list[Kept]:
    """Deletes all that is kept about somebody; returns what it was.

    Raises:
        PersonNotFound: Nothing is.
    """
    found = about(known, name)
    for place in known:
        place.forget(check_name(name))
    return found
