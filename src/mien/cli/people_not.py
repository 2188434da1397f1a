"""`mien people not`: faces that are not somebody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien import sources, store
from mien.attribute import IDENTITY
from mien.cli import SOME_FAILED, UNUSABLE
from mien.cli.inputs import content_of, offering_largest, refuse_addresses
from mien.cli.options import SharedOptions
from mien.cli.outputs import local_time, utc_time
from mien.errors import InputError, PhotoNotFound
from mien.gallery import CounterExample, Gallery, Photo, check_name, keeping
from mien.gallery.migrations import mismatch
from mien.gallery.unknown import open_unknown


def say(
    options: SharedOptions, name: str, given: Sequence[str], *, largest: bool
) -> None:
    """Remembers that the faces of photos are not a person; says which photos could not be used."""
    refuse_addresses(given)
    gallery = options.open_gallery()
    keeping(gallery).counter_examples(name)  # is there such a person?
    analyzer = options.analyzer(only=(IDENTITY,), models={}, gallery=None)
    if analyzer.space.name != gallery.space.name:
        kept = gallery.space.name, gallery.space.size
        raise mismatch(options.place_in_words(), *kept, analyzer.space)
    files = [Path(found) for one in given for found in sources.expand(one)]
    failed = 0
    for file in files:
        try:
            with offering_largest():
                face = analyzer.photo(
                    content_of(file), source=str(file), largest=largest
                )
            keeping(gallery).deny(name, [face])
        except InputError as exc:
            typer.echo(f"mien: {exc}", err=True)
            failed += 1
    _told(gallery, name)
    if failed:
        raise typer.Exit(UNUSABLE if failed == len(files) else SOME_FAILED)


def say_group(gallery: Gallery, name: str, group: str) -> None:
    """Remembers that a group of unknown faces is not a person."""
    unknown = open_unknown(gallery, data=store.data_dir())
    try:
        faces: list[Photo] = unknown.photos(group)
    finally:
        unknown.close()
    keeping(gallery).deny(name, faces)
    _told(gallery, name)


def take_back(gallery: Gallery, name: str, numbers: Sequence[str]) -> None:
    """Forgets that some faces are not a person.

    Raises:
        PhotoNotFound: One of them is not listed; nothing is changed then.
    """
    there = {one.id for one in keeping(gallery).counter_examples(name)}
    for number in numbers:
        if number not in there:
            raise PhotoNotFound(
                f"--take-back {number}: there is none such; 'mien people not NAME' lists them"
            )
    keeping(gallery).allow(name, numbers)
    _told(gallery, name)


def _told(gallery: Gallery, name: str) -> None:
    count = len(keeping(gallery).counter_examples(name))
    faces = "1 face is" if count == 1 else f"{count} faces are"
    typer.echo(f"{faces} known not to be {check_name(name)}")


def show(examples: Sequence[CounterExample], *, as_json: bool) -> None:
    """Lists faces that are not somebody."""
    if as_json:
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "source": one.source,
                "added": utc_time(one.added),
                "thumbnail": bool(one.thumbnail),
            }
            for one in examples
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table("number", "not", "seen in", "said", box=None, pad_edge=False)
    for one in examples:
        row = [one.id, one.name, one.source, local_time(one.added)]
        table.add_row(*map(escape, row))
    nobody = "nobody was said not to be them; 'mien people not NAME PHOTO' says so"
    Console().print(table if examples else nobody, highlight=False)
