"""The people of the gallery as the API shows them."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from mien import geometry
from mien.errors import (
    GalleryError,
    InputError,
    ManyFacesError,
    NoFaceError,
    PersonExists,
    PersonNotFound,
    PhotoNotFound,
)
from mien.finding import Found, GallerySearch, Searchable, UnknownSearch, find
from mien.gallery import (
    CounterExample,
    FolderGallery,
    Gallery,
    KeptPhoto,
    Person,
    Photo,
    ShowsPhotos,
    check_name,
    keeping,
    showing,
)
from mien.gallery.counter import as_denied
from mien.gallery.unknown import NamesVisits, Undone, UnknownFaces
from mien.media import images
from mien.media.apart import Decoders
from mien.pipeline import Analyzer, in_foreground, photo_of
from mien.types import F32, Faces

_ID = re.compile(r"[0-9a-f]{32}")
PEOPLE = "people"  # what the gallery is called among the places that are searched
_SAME_FACE = 0.4  # IoU of the box a client names with the box found again


@dataclass(frozen=True, slots=True)
class Choice:
    """Which face of a photo is meant: the only one; with `largest` the largest; with `box` (4,) the one there.

    `require_live` refuses it where it surely is a picture of a face.
    """

    largest: bool = False
    box: F32 | None = None
    require_live: bool = False

    def among(self, faces: Faces, source: str) -> int:
        """The row of the face that is meant."""
        if not len(faces):
            raise NoFaceError(
                f"no face found in {source}; take one where the face is larger, frontal and well lit"
            )
        if self.box is not None:
            overlaps = geometry.iou(self.box[None], faces.boxes)[0]
            if overlaps.max() < _SAME_FACE:
                raise NoFaceError(
                    f"no face found at that place in {source}; send the box as /v1/analyze gave it"
                )
            return int(overlaps.argmax())
        prominent = int(in_foreground(faces.landmarks).sum())
        if prominent > 1 and not self.largest:
            raise ManyFacesError(
                f"{prominent} faces found in {source}; say which with the form field "
                "'box' (x1,y1,x2,y2), or take the largest: 'largest' is true"
            )
        return int(geometry.area(faces.boxes).argmax())


@dataclass(frozen=True, slots=True)
class Seen:
    """A face that was found: whether it is near enough to be the same, whose it is (id), whether it has a picture."""

    found: Found
    same: bool
    person: str | None
    pictured: bool


class People:
    """Everybody in the gallery, by ids that can stand in an address.

    `relabel(old, new)` is told of every name that changes or (new None) is forgotten; `results` are searched too where
    somebody asks where else a face is; `visits` bear the name of the unknown person who is named.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        *,
        relabel: Callable[[str, str | None], None],
        decoders: Decoders,
        results: Sequence[Searchable] = (),
        visits: NamesVisits | None = None,
    ) -> None:
        self.analyzer = analyzer
        self.results = results
        self.visits = visits
        self.revision = 0  # changes when anybody does
        self._tell = relabel
        self._decoders = decoders
        self._lock = threading.Lock()

    def _relabel(self, old: str, new: str | None) -> None:
        self._tell(old, new)
        self.revision += 1

    @property
    def gallery(self) -> Gallery:
        """The gallery of the analyzer.

        Raises:
            GalleryError: It has none.
        """
        if self.analyzer.gallery is None:
            raise GalleryError("this service has no gallery; start it with --gallery")
        return self.analyzer.gallery

    def all(self) -> list[Person]:
        """Everybody, by name."""
        return [
            Person(public_id(person.id), person.name, person.photos)
            for person in self.gallery.people()
        ]

    def get(self, person_id: str) -> Person:
        """One person. Raises PersonNotFound."""
        found = next((person for person in self.all() if person.id == person_id), None)
        if found is None:
            raise PersonNotFound(
                "nobody in the gallery has this id; GET /v1/people lists everybody"
            )
        return found

    def named(self, name: str) -> Person:
        """One person by name. Raises PersonNotFound."""
        found = next(
            (person for person in self.all() if person.name == check_name(name)), None
        )
        if found is None:
            raise PersonNotFound(
                "nobody in the gallery has this name; GET /v1/people lists everybody"
            )
        return found

    def photo(
        self, content: bytes, source: str, choice: Choice, *, max_pixels: int
    ) -> Photo:
        """A photo made ready to enrol; raises NoFaceError, ManyFacesError, SpoofError, InputError."""
        image = self._decoders.read(content, max_pixels=max_pixels)
        faces = self.analyzer.embed(image, self.analyzer.detector(image))
        i = choice.among(faces, source)
        face = faces[i : i + 1]
        if choice.require_live:
            self.analyzer.check_live(image, face, source=source)
        if choice.box is not None and isinstance(self.gallery, FolderGallery):
            content, source = images.cut_out(image, face.boxes[0]), "face.png"
        return photo_of(image, face, content, source=source)

    def add(self, name: str, photos: Sequence[Photo]) -> Person:
        """A new person. Raises PersonExists."""
        name = check_name(name)
        with self._lock:
            if any(person.name == name for person in self.gallery.people()):
                raise PersonExists(
                    "somebody in the gallery has this name already; add the photo to them instead"
                )
            self.gallery.enroll(name, photos)
            self.revision += 1
            return self.named(name)

    def enroll(self, name: str, photos: Sequence[Photo]) -> None:
        """Adds photos to a person, who is made if new."""
        with self._lock:
            self.gallery.enroll(check_name(name), photos)
            self.revision += 1

    def add_photos(self, person_id: str, photos: Sequence[Photo]) -> tuple[Person, int]:
        """The person with more photos, and how many of them were new. Raises PersonNotFound."""
        with self._lock:
            added = self.gallery.enroll(self.get(person_id).name, photos)
            self.revision += 1
            return self.get(person_id), added

    def photos_of(self, person_id: str) -> list[KeptPhoto]:
        """A person's photos, without where they are on this machine. Raises PersonNotFound."""
        photos = showing(self.gallery).photos_of(self.get(person_id).name)
        return [replace(photo, source=PurePath(photo.source).name) for photo in photos]

    def thumbnail(self, person_id: str, sha256: str) -> bytes:
        """A small JPEG of the face in a photo. Raises PersonNotFound, PhotoNotFound."""
        return showing(self.gallery).thumbnail(self.get(person_id).name, sha256)

    def portrait(self, person_id: str) -> bytes:
        """The face in a person's best photo as a small JPEG; empty where there is none. Raises PersonNotFound."""
        pictured = [photo for photo in self.photos_of(person_id) if photo.thumbnail]
        if not pictured:
            return b""
        best = max(pictured, key=lambda photo: (photo.weight, photo.quality or 0.0))
        return self.thumbnail(person_id, best.sha256)

    def discard(self, person_id: str, sha256: str) -> None:
        """Takes a photo from a person, who is forgotten with the last. Raises PersonNotFound, PhotoNotFound."""
        with self._lock:
            name = self.get(person_id).name
            if not self.gallery.discard(name, [sha256]):
                raise PhotoNotFound("this person has no such photo; list them again")
            if all(person.name != name for person in self.gallery.people()):
                self._tell(name, None)
            self.revision += 1

    def deny(self, person_id: str, faces: Sequence[Photo]) -> list[CounterExample]:
        """Remembers faces that are not a person, as which they are given. Raises PersonNotFound, InputError."""
        with self._lock:
            name = self.get(person_id).name
            keeping(self.gallery).deny(name, faces)
            self.revision += 1
        said = as_denied(faces, self.gallery.space)
        return [one for one in self.denied(person_id) if one.id in said]

    def deny_enrolled(
        self, person_id: str, faces: Sequence[Photo]
    ) -> list[CounterExample]:
        """Denies faces of which some may be enrolled as this person, by mistake: these are taken away first; with the
        last photo the person is forgotten, and nothing is left to deny. Raises PersonNotFound, InputError."""
        with self._lock:
            name = self.get(person_id).name
            self.gallery.discard(name, [face.sha256 for face in faces])
            self.revision += 1
            if all(person.name != name for person in self.gallery.people()):
                self._tell(name, None)
                return []
        return self.deny(person_id, faces)

    def denied(self, person_id: str) -> list[CounterExample]:
        """Faces that are not a person, without where their pictures are. Raises PersonNotFound."""
        found = keeping(self.gallery).counter_examples(self.get(person_id).name)
        return [replace(one, source=PurePath(one.source).name) for one in found]

    def allow(self, person_id: str, example_id: str) -> None:
        """Takes back that a face is not a person. Raises PersonNotFound, PhotoNotFound."""
        with self._lock:
            name = self.get(person_id).name
            if not keeping(self.gallery).allow(name, [example_id]):
                raise PhotoNotFound("there is no such face; list them again")
            self.revision += 1

    def find(self, photo: Photo, unknown: UnknownFaces, count: int) -> list[Seen]:
        """The faces in the gallery, among the unknown and in batch results that are nearest to that of a photo, the
        nearest first. A name of a batch result is told of who is in the gallery now."""
        places: list[Searchable] = [UnknownSearch(unknown), *self.results]
        gallery = self.analyzer.gallery
        if gallery is not None:
            places.append(GallerySearch(gallery, PEOPLE))
        found = [
            one
            for one, _ in find(
                places, photo.embedding, space=self.analyzer.space, count=count
            )
        ]
        ids = (
            {person.name: person.id for person in self.all()}
            if gallery is not None
            else {}
        )
        pictured: set[tuple[str | None, str]] = set()
        if isinstance(gallery, ShowsPhotos):
            for name in {one.name for one in found if one.name and one.place == PEOPLE}:
                pictured |= {
                    (name, kept.sha256)
                    for kept in gallery.photos_of(name)
                    if kept.thumbnail
                }
        return [
            Seen(
                replace(
                    one,
                    source=PurePath(one.source).name,
                    place=PurePath(one.place).name,
                    name=one.name if one.place == PEOPLE or one.name in ids else None,
                ),
                same=one.distance <= self.analyzer.tolerance,
                person=ids.get(one.name or ""),
                pictured=one.group is not None or (one.name, one.key) in pictured,
            )
            for one in found
        ]

    def rename(self, person_id: str, name: str) -> Person:
        """The person under a new name. Raises PersonNotFound, PersonExists."""
        with self._lock:
            old, new = self.get(person_id).name, check_name(name)
            if new != old:
                self.gallery.rename(old, new)
                self._relabel(old, new)
            return self.named(new)

    def merge(self, person_id: str, into_id: str) -> Person:
        """Gives everything of a person to another. Raises PersonNotFound."""
        with self._lock:
            person, into = self.get(person_id), self.get(into_id)
            if person.id == into.id:
                raise InputError(
                    "a person cannot be merged into themselves; name another"
                )
            self.gallery.merge(person.name, into.name)
            self._relabel(person.name, into.name)
            return self.get(into_id)

    def name_unknown(self, unknown: UnknownFaces, group_id: str, name: str) -> Person:
        """The person that a group of unknown faces is from now on, new or known. Raises UnknownNotFound."""
        with self._lock:
            unknown.name(group_id, name, self.gallery, self.visits)
            self.revision += 1
            return self.named(name)

    def undo_unknown(self, unknown: UnknownFaces) -> Undone | None:
        """Takes back what was last done to unknown people; a name given leaves the results of jobs too, with
        a person who has no photos left."""
        with self._lock:
            done = unknown.undo(self.gallery, self.visits)
            if (
                done is not None
                and done.name
                and all(person.name != done.name for person in self.gallery.people())
            ):
                self._relabel(done.name, None)
            self.revision += 1
            return done

    def remove(self, person_id: str) -> None:
        """Forgets a person, their photos, and their name in the results of jobs. Raises PersonNotFound."""
        with self._lock:
            name = self.get(person_id).name
            self._relabel(name, None)
            self.gallery.remove(name)
            self.revision += 1


def public_id(gallery_id: str) -> str:
    """A person's id as it stands in addresses: the gallery's own where it is one, else made from it."""
    return (
        gallery_id
        if _ID.fullmatch(gallery_id)
        else hashlib.sha256(gallery_id.encode()).hexdigest()[:32]
    )
