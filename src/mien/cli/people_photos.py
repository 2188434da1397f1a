"""How `mien people photos` shows the photos of a person."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien import store
from mien.cli.outputs import folder_to_write, local_time, utc_time
from mien.errors import InputError, PhotoNotFound
from mien.gallery import KeptPhoto, ShowsPhotos

_SHOWN = 12  # digits of a photo's number


def as_json(photos: Sequence[KeptPhoto]) -> str:
    """The photos as a JSON list."""
    rows = [
        dataclasses.asdict(photo) | {"added": utc_time(photo.added)} for photo in photos
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def show(photos: Sequence[KeptPhoto], console: Console) -> None:
    """Prints the photos as a table for people."""
    table = Table(
        "photo",
        "file",
        "added",
        "quality",
        "counts",
        "picture",
        box=None,
        pad_edge=False,
    )
    for photo in photos:
        worth = "" if photo.quality is None else f"{photo.quality:.2f}"
        counts = photo.wrong or (
            "no, unlike the others" if not photo.weight else f"{photo.weight:.2f}"
        )
        row = [
            number(photo),
            photo.source,
            local_time(photo.added),
            worth,
            counts,
            "yes" if photo.thumbnail else "no",
        ]
        table.add_row(*map(escape, row))
    console.print(table)
    if any(not photo.thumbnail and not photo.wrong for photo in photos):
        typer.echo(
            "of some no picture of the face was kept; enrol the photo once more to have one",
            err=True,
        )


def number(photo: KeptPhoto) -> str:
    """What a photo is called in lists: enough of its hash to tell it from others."""
    return photo.sha256.removeprefix("descriptor-")[:_SHOWN]


def chosen(photos: Sequence[KeptPhoto], numbers: Sequence[str]) -> list[KeptPhoto]:
    """The photos with these numbers.

    Raises:
        PhotoNotFound: There is none, or several begin so.
    """
    found = []
    for wanted in numbers:
        starts = [
            p
            for p in photos
            if wanted
            and p.sha256.removeprefix("descriptor-").startswith(wanted.lower())
        ]
        if len({photo.sha256 for photo in starts}) != 1:
            why = (
                "several photos begin so; give more of it"
                if starts
                else "'mien people photos NAME' lists them"
            )
            raise PhotoNotFound(f"--remove {wanted}: {why}")
        found.append(starts[0])
    return list(dict.fromkeys(found))


def save(
    gallery: ShowsPhotos, name: str, photos: Sequence[KeptPhoto], into: Path
) -> None:
    """Writes the pictures of a person's faces to a folder, as NUMBER.jpg."""
    folder_to_write("--into", into)
    for photo in photos:
        if not photo.thumbnail:
            typer.echo(
                f"mien: no picture of {photo.source} was kept; enrol it once more",
                err=True,
            )
            continue
        plain = "".join(filter(str.isalnum, number(photo)))  # a name, and no way
        file = into / f"{plain}.jpg"
        try:
            store.write_atomically(
                file, gallery.thumbnail(name, photo.sha256), secret=True
            )
        except OSError as exc:
            raise InputError(f"cannot write {file}: {exc.strerror or exc}") from exc
        typer.echo(file)
