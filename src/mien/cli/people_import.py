"""`mien people import` of the photos of other programs: Frigate's, double-take's and CompreFace's people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import typer

from mien.cli import SOME_FAILED, UNUSABLE
from mien.cli.people_enroll import Enrolment, PhotoVerdict
from mien.errors import InputError, SourceError
from mien.gallery import Gallery, Photo, check_name
from mien.media.images import SUFFIXES
from mien.pipeline import Analyzer
from mien.progress import progress
from mien.sources.http import Client, with_headers
from mien.sources.wire import Wait
from mien.text import counted, from_json, printable, shown

_UNREVIEWED = "train"  # where Frigate puts faces that nobody has looked at yet
_PAGE, _LIST_BYTES, _PHOTO_BYTES, _WAIT_S = 100, 10_000_000, 50_000_000, 30.0
_MOST_EXAMPLES = 1_000_000
_FACES = "/api/v1/recognition/faces"

Read = Callable[[], bytes]


@dataclass(slots=True)
class Library:
    """Somebody else's people: what program's, and of each person the photos, by what they are called."""

    program: str
    people: dict[str, dict[str, Read]] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)  # what was not taken, and why

    def takes(self, person: str, place: Path | str) -> bool:
        """Whether a name can be somebody's; what lies at a place is told to be left out where it cannot."""
        try:
            check_name(person)
        except InputError as exc:
            self.passed_over.append(f"{printable(str(place))!r}: {exc}")
            return False
        return True

    def add(self, person: str, called: str, read: Read) -> None:
        self.people.setdefault(check_name(person), {})[called] = read

    @classmethod
    def of_folder(cls, given: Path) -> Library:
        """Frigate's or double-take's folder, itself or one that it lies in, or any with a folder for each name."""
        frigate, train = given / "clips" / "faces", given / "train"
        if frigate.is_dir():
            return _read_folders(frigate, cls("Frigate"))
        if train.is_dir() and any(one.is_dir() for one in train.iterdir()):
            library = cls("double-take")
            matches = given / "matches"
            if matches.is_dir():
                library.passed_over.append(f"{matches}: matches nobody has confirmed")
            return _read_folders(train, library)
        of_frigate = train.is_dir() or given.name == "faces"
        return _read_folders(given, cls("Frigate" if of_frigate else "folders"))

    @classmethod
    def of_compreface(cls, address: str, key: str) -> Library:
        """The examples that a CompreFace keeps in the collection that a key is for."""
        if not key:
            raise InputError(
                "set COMPREFACE_KEY to the API key of CompreFace's recognition service"
            )
        root = address.rstrip("/")
        client = Client(with_headers({"x-api-key": key}), redirects=0)
        library = cls("CompreFace")
        for image, subject in _examples(client, root):
            place = f"{root}{_FACES}/{quote(image, safe='')}/img"

            def read(place: str = place) -> bytes:
                return _asked(client, place, _PHOTO_BYTES)

            if not library.takes(subject, image):
                continue
            library.add(subject, f"{image}.jpg", read)
        return library

    def read_person(self, place: Path) -> None:
        """Adds the photos of a folder that is named as its person."""
        # Frigate writes a space of a name as an underscore
        frigate = self.program == "Frigate"
        name = place.name.replace("_", " ") if frigate else place.name
        if not self.takes(name, place):
            return
        for file in sorted(place.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                self.add(name, str(file), file.read_bytes)
            elif file.is_file():
                self.passed_over.append(f"{file}: no photo")

    def tell(self, told: Mapping[str, Sequence[PhotoVerdict]], *, dry: bool) -> None:
        """Says what was left out, and of each person how many photos are good."""
        for reason in self.passed_over:
            typer.echo(f"mien: left out {reason}", err=True)
        for name, photos in told.items():
            used = sum(one.enrolled for one in photos)
            good = sum(one.verdict in ("good", "already there") for one in photos)
            what = "would be taken" if dry else "taken"
            typer.echo(
                f"{name}: {used} of {counted(len(photos), 'photo')} {what}, {good} of them good"
            )
        typer.echo(f"{counted(len(told), 'person')} of {self.program}", err=True)


def is_library(given: str) -> bool:
    """Whether people are taken from a folder or a CompreFace, not from a file."""
    return given.startswith(("http://", "https://")) or Path(given).is_dir()


def open_library(given: str, *, key: str) -> Library:
    """What is at a place; `key` opens a CompreFace.

    Raises:
        MienError: There is nobody, or it cannot be read.
    """
    remote = given.startswith(("http://", "https://"))
    library = (
        Library.of_compreface(given, key) if remote else Library.of_folder(Path(given))
    )
    if not library.people:
        raise InputError(
            f"{shown(given)} holds no photos in folders by name; "
            "give Frigate's clips/faces, double-take's .storage/train, or NAME/PHOTO.jpg"
        )
    return library


def _read_folders(folder: Path, library: Library) -> Library:
    for place in sorted(folder.iterdir()):
        if not place.is_dir():
            library.passed_over.append(f"{place}: no folder of a person")
        elif library.program == "Frigate" and place.name == _UNREVIEWED:
            library.passed_over.append(f"{place}: faces nobody has confirmed")
        else:
            library.read_person(place)
    return library


def _asked(client: Client, url: str, limit: int) -> bytes:
    with client.get(url, Wait(_WAIT_S, lambda: False)) as answer:
        return answer.read_all(limit=limit)


def _examples(client: Client, root: str) -> Iterator[tuple[str, str]]:
    """Every example: its id and whose it is, page by page."""
    page = pages = 0
    seen: set[str] = set()
    while page <= pages:
        url = f"{root}{_FACES}?page={page}&size={_PAGE}"
        try:
            told = from_json(_asked(client, url, _LIST_BYTES))
            found = [
                (str(one["image_id"]), str(one["subject"])) for one in told["faces"]
            ]
            pages = int(told.get("total_pages", 1)) - 1
        except (ValueError, LookupError, TypeError, OverflowError) as exc:
            raise SourceError(
                f"{shown(root)} does not answer as CompreFace does; is the address right?"
            ) from exc
        fresh = [one for one in found if one[0] not in seen]
        if (page < pages and not fresh) or len(seen) > _MOST_EXAMPLES:
            raise SourceError(
                f"{shown(root)} does not come to an end of its examples: "
                f"page {page} of {pages + 1} tells nothing new"
            )
        seen.update(image for image, _ in fresh)
        yield from fresh
        page += 1


def take_over(
    library: Library, analyzer: Analyzer, gallery: Gallery, *, strict: bool, dry: bool
) -> None:
    """Adds everybody to a gallery, or (`dry`) only tells what would become of each photo.

    Raises:
        Exit: Some photos could not be used.
    """
    told: dict[str, list[PhotoVerdict]] = {}
    count = sum(map(len, library.people.values()))
    with progress(library.program, count) as advance:
        for name, photos in library.people.items():

            def photo(
                called: str | int, photos: dict[str, Read] = photos
            ) -> list[Photo]:
                advance()
                return [_photo(analyzer, str(called), photos[str(called)])]

            enrolment = Enrolment(gallery, name, photo, strict=strict, dry=dry)
            told[name] = list(enrolment.add_all(photos))
    library.tell(told, dry=dry)
    every = [one for some in told.values() for one in some]
    refused = sum(not one.enrolled for one in every)
    if refused and not dry:
        raise typer.Exit(UNUSABLE if refused == len(every) else SOME_FAILED)


def _photo(analyzer: Analyzer, called: str, read: Read) -> Photo:
    """A photo made ready to enrol. Raises InputError."""
    try:
        return analyzer.photo(read(), source=called, largest=True)
    except OSError as exc:
        raise InputError(f"cannot read {called}: {exc.strerror or exc}") from exc
    except SourceError as exc:
        raise InputError(str(exc)) from exc
