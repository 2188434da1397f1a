"""`mien enroll`: photos that become a person's, and what each of them adds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import typer
from rich.markup import escape
from rich.table import Table

from mien.cli.outputs import console
from mien.errors import InputError
from mien.gallery import FolderGallery, Gallery, Photo, check_name
from mien.gallery.verdicts import FAR, GOOD, THERE, judge
from mien.text import counted, shown

_AT_ONCE = 16  # photos that are judged beside each other, and kept together


@dataclass(frozen=True, slots=True)
class PhotoVerdict:
    """What became of a photo: the verdict on it (or why it cannot be used), its quality, whether it is in the
    gallery now."""

    source: str
    verdict: str
    quality: float | None
    enrolled: bool

    @property
    def advice(self) -> str:
        """What is wrong with a photo that is not good, and what to do."""
        if not self.enrolled:
            return f"is {self.verdict}: refused by --strict; take another"
        if self.verdict == FAR:
            return f"is {self.verdict}: look whether it shows somebody else"
        return f"is {self.verdict}: it counts less, add a better one"


class Enrolment:
    """Adds photos to a person.

    Args:
        gallery: Where the person is, or will be.
        name: The person's.
        photos_of: Makes a file ready to enrol, of a film or a camera (its number) the best frames; raises
            InputError where it cannot.
        strict: Photos that are not good are refused.
        dry: Nothing is kept, only told.
    """

    def __init__(
        self,
        gallery: Gallery,
        name: str,
        photos_of: Callable[[str | int], list[Photo]],
        *,
        strict: bool,
        dry: bool = False,
    ) -> None:
        self.dry = dry
        self.gallery = gallery
        self.name = name
        self.photos_of = photos_of
        self.strict = strict
        self.alike: set[str] = set()  # who was said to look like this person

    def add_all(self, files: Iterable[str | int]) -> Iterator[PhotoVerdict]:
        """Adds photos, some at a time, so that what broke off has kept most; says at once which cannot be used."""
        waiting: list[Photo] = []
        for file in files:
            try:
                waiting += self.photos_of(file)
            except InputError as exc:
                typer.echo(f"mien: {exc}", err=True)
                yield PhotoVerdict(str(file), str(exc), None, enrolled=False)
            if len(waiting) >= _AT_ONCE:
                yield from self._add(waiting)
                waiting = []
        yield from self._add(waiting)

    def _add(self, photos: Sequence[Photo]) -> list[PhotoVerdict]:
        if not photos:
            return []
        verdicts = judge(self.gallery, self.name, photos)
        fit = [verdict in (GOOD, THERE) or not self.strict for verdict in verdicts]
        chosen = [photo for photo, is_fit in zip(photos, fit, strict=True) if is_fit]
        for photo in chosen:
            self._tell_double(photo)
        if chosen and not self.dry:
            self.gallery.enroll(self.name, chosen)
        told = [
            PhotoVerdict(photo.source, verdict, round(photo.quality, 3), is_fit)
            for photo, verdict, is_fit in zip(photos, verdicts, fit, strict=True)
        ]
        for one in told:
            if one.verdict not in (GOOD, THERE):
                typer.echo(f"mien: {one.source} {one.advice}", err=True)
        return told

    def _tell_double(self, photo: Photo) -> None:
        """Says that a photo looks like somebody else who is enrolled: one person may have two names now."""
        if isinstance(self.gallery, FolderGallery):  # it would look at all its photos
            return
        tolerance = self.gallery.space.tolerance
        found = self.gallery.search(photo.embedding[None], tolerance=tolerance)
        other = found.names[0]
        if other is None or other in {check_name(self.name), *self.alike}:
            return
        self.alike.add(other)
        typer.echo(
            f"mien: {photo.source} looks like {other}, too ({found.distances[0]:.2f}): if they are one person, "
            f"'mien people merge' joins the names; if not, 'mien people not' keeps them apart",
            err=True,
        )


def show(name: str, place: str, told: Sequence[PhotoVerdict], *, as_json: bool) -> None:
    """Prints what each photo adds."""
    if as_json:
        photos = [asdict(one) for one in told]
        document = {"name": name, "gallery": shown(place), "photos": photos}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    table = Table("photo", "verdict", box=None, pad_edge=False)
    for one in told:
        if one.quality is not None:  # of others it is said already
            table.add_row(escape(one.source), one.verdict)
    if table.row_count:
        console().print(table, highlight=False)
    count = sum(one.enrolled for one in told)
    typer.echo(f"{name}: {count} of {counted(len(told), 'photo')} in {shown(place)}")
