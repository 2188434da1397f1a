"""`mien people reembed`: a gallery described anew by another embedder, from the pictures it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console
from rich.progress import track

from mien import store
from mien.attribute import IDENTITY
from mien.cli import SOME_FAILED, people_files
from mien.cli.options import SharedOptions
from mien.cli.outputs import file_to_write
from mien.errors import GalleryError, InputError
from mien.gallery import FolderGallery, Gallery
from mien.gallery.sql import SqlGallery
from mien.pipeline import Analyzer
from mien.types import F32

_TRIES = 5  # others may enrol meanwhile

T = TypeVar("T")


def run(shared: SharedOptions, left: Path | None) -> None:
    """Describes a gallery anew, and says what could not be.

    Raises:
        GalleryError: It keeps no photos, or others change it all the time.
    """
    opened = shared.open_gallery()
    analyzer = shared.analyzer(only=(IDENTITY,), models={}, gallery=None)
    if isinstance(opened, FolderGallery):
        # Its photos are described when they are read; only what came without one is made anew.
        stay = opened.take_over(lambda picture: analyzer.photo(picture, largest=True))
        count = sum(1 for _ in _bar(opened.enrolled(), None))
        typer.echo(f"{count} photos are described by {opened.space.name}")
        if stay:
            typer.echo(
                f"mien: {stay} descriptors have no picture of a face: they stay, and count for nobody",
                err=True,
            )
    elif isinstance(opened, SqlGallery):
        file = _place_of_left(left, shared.place(), opened.space.name)
        stay = _database(opened, analyzer, file)
    else:
        raise GalleryError(
            f"{type(opened).__name__} keeps no photos to describe anew; enrol them again"
        )
    if stay:
        raise typer.Exit(SOME_FAILED)


def _database(gallery: SqlGallery, analyzer: Analyzer, left: Path) -> int:
    rows: dict[int, F32] = {}
    without: list[int] = []
    examples: dict[str, F32 | None] = {}
    for _ in range(_TRIES):
        new = [
            key for key in gallery.photo_ids() if key not in rows and key not in without
        ]
        for key in _bar(new, len(new)):
            found = _described(gallery.picture(key), analyzer)
            if found is None:
                without.append(key)
            else:
                rows[key] = found
        other = gallery.space.name != analyzer.space.name
        kept = _keep(gallery, without, left) if other else 0
        for one in gallery.counter_examples():
            examples[one.id] = _described(one.thumbnail, analyzer)
        if gallery.reembed(analyzer.space, rows, without, examples):
            _say(gallery, len(rows), len(without), left if kept else None)
            lost = sum(row is None for row in examples.values())
            if lost and other:
                typer.echo(
                    f"mien: {lost} faces that are known not to be somebody have no picture: they are forgotten",
                    err=True,
                )
            return len(without)
    raise GalleryError(
        "others enrol people all the time; stop them, then run it again: nothing was changed"
    )


def _described(picture: bytes, analyzer: Analyzer) -> F32 | None:
    """The descriptor of the face in a small picture; None where there is none."""
    try:
        return analyzer.photo(picture, largest=True).embedding if picture else None
    except InputError:
        return None


def _keep(gallery: SqlGallery, without: Sequence[int], file: Path) -> int:
    """Writes the photos that will leave the gallery into a file; returns how many."""
    going = set(without)
    numbered = zip(gallery.photo_ids(), gallery.enrolled(), strict=False)
    rows = [people_files.exported(one) for key, one in numbered if key in going]
    if rows:
        people_files.write(
            file_to_write("--left", file, suffixes=(".json",)), rows, gallery.space.name
        )
    return len(rows)


def _say(gallery: Gallery, done: int, without: int, file: Path | None) -> None:
    typer.echo(f"{done} photos are described by {gallery.space.name}")
    if file is not None:
        told = f"they are in {file} now, for 'mien people import' into a gallery of their embedder"
    else:
        told = "they stay as they are"
    if without:
        typer.echo(
            f"mien: {without} photos have no picture that shows a face: {told}",
            err=True,
        )


def _bar(items: Iterable[T], total: int | None) -> Iterable[T]:
    return track(
        items, "describing", total=total, console=Console(stderr=True), transient=True
    )


def _place_of_left(given: Path | None, place: str | None, embedder: str) -> Path:
    """Where what leaves a gallery is kept: as named, else beside its file, of a server's in the data folder.

    Raises:
        InputError: Such a file is there already: what it holds may be all there is.
    """
    if given is not None:
        file = given
    elif place is None or "://" in place:
        file = store.data_dir() / f"people-{embedder}.json"
    else:
        file = Path(place).with_name(f"{Path(place).stem}-{embedder}.json")
    if file.exists():
        raise InputError(
            f"{file} is there already; name another with --left FILE.json, or put that one away"
        )
    return file
