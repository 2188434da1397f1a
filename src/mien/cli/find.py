"""`mien find`: where a face was seen before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.markup import escape
from rich.table import Table

from mien.attribute import IDENTITY
from mien.batch import is_result
from mien.cli import SOME_FAILED, new_app
from mien.cli.inputs import content_of, offering_largest
from mien.cli.options import SharedOptions, with_shared_options
from mien.cli.outputs import console, file_to_write
from mien.errors import InputError
from mien.finding import (
    Found,
    GallerySearch,
    PhotoSearch,
    Searchable,
    UnknownSearch,
    batch_search,
    find as nearest,
)
from mien.gallery import DATABASE_SUFFIXES, Photo, check_there, open_gallery
from mien.gallery.unknown import open_unknown
from mien.media import images
from mien.output.lettering import draw_text, text_size
from mien.pipeline import Analyzer
from mien.progress import progress
from mien.store import data_dir
from mien.text import percent, shown
from mien.types import U8

find_app = new_app()

PEOPLE, UNKNOWN = "people", "unknown"
_FORMATS = ("table", "json")
_TILE, _COLUMNS, _LETTERS = 180, 5, 14  # pixels, pictures, pixels
_PAPER, _INK, _NO_PICTURE = (250, 250, 250), (40, 40, 40), (225, 225, 225)


@find_app.command()
@with_shared_options
def find(
    shared: SharedOptions,
    photo: Annotated[str, typer.Argument(help="A photo of the face to look for.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="", hidden=True)] = None,
    places: Annotated[
        list[str] | None,
        typer.Option(
            "--in",
            metavar="PLACE...",
            help="Galleries, batch results, photos or folders of them; 'people' and 'unknown' are the gallery's own "
            "(default: both).",
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, max=10_000, help="How many of the nearest.")
    ] = 10,
    largest: Annotated[
        bool, typer.Option("--largest", help="Of several faces look for the largest.")
    ] = False,
    format: Annotated[str, typer.Option("--format", help="table | json")] = "table",  # noqa: A002
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="A picture of all that is found.")
    ] = None,
) -> None:
    """Find where a face was seen before: in galleries, unknown faces, batch results and photos.

    What is nearer than the tolerance is probably the same person. Photos are looked at now; of many make a batch first.

    Example: [bold]mien find ada.jpg --in people.db result/ holiday/ --sheet found.jpg[/bold]
    """
    if format not in _FORMATS:
        raise InputError(
            f"--format {format} is unknown; use one of {', '.join(_FORMATS)}"
        )
    format = "json" if as_json else format  # noqa: A001
    if sheet is not None:
        file_to_write("--sheet", sheet, suffixes=images.WRITABLE, inputs=[photo])
    names = list(dict.fromkeys([*(places or []), *(more or [])]))
    own = shared.gallery is not None or not names or {PEOPLE, UNKNOWN} & set(names)
    # One that is not searched need not be of this embedder.
    place = shared.place() if own else None
    analyzer = shared.analyzer(only=(IDENTITY,), models={}, gallery=place)
    with offering_largest():
        asked = analyzer.photo(content_of(photo), source=photo, largest=largest)
    failures: list[str] = []
    found = _search(analyzer, names, asked, top, failures)
    for reason in failures:
        typer.echo(f"mien: {reason}", err=True)
    if not found and format == "table":
        looked = ", ".join(map(shown, names))
        where = (
            looked or f"{shared.place_in_words()}; --gallery or --in names other places"
        )
        typer.echo(f"no face is kept in {where}")
    else:
        _show([one for one, _ in found], format, tolerance=analyzer.tolerance)
    if sheet is not None:
        images.write_image(sheet, contact_sheet(asked.thumbnail, found))
    if failures:
        raise typer.Exit(SOME_FAILED)


def _search(
    analyzer: Analyzer,
    names: Sequence[str],
    asked: Photo,
    top: int,
    failures: list[str],
) -> list[tuple[Found, Searchable]]:
    names = names or ([PEOPLE, UNKNOWN] if analyzer.gallery is not None else [])
    if not names:
        raise InputError("nobody is enrolled to be found; say where to look with --in")
    places = [_place(analyzer, name, failures) for name in names]
    photos = [place for place in places if isinstance(place, PhotoSearch)]
    with progress("photos", sum(len(place.files) for place in photos)) as advance:
        for place in photos:
            place.looked = advance
        return nearest(places, asked.embedding, space=analyzer.space, count=top)


def _place(analyzer: Analyzer, name: str, failures: list[str]) -> Searchable:
    """What a word after --in means."""
    path = Path(name)
    if name in {PEOPLE, UNKNOWN} and not path.exists():
        if analyzer.gallery is None:
            raise InputError(
                f"--in {name}: there is no gallery; name one with --gallery"
            )
        own = analyzer.gallery
        return (
            GallerySearch(own, name)
            if name == PEOPLE
            else UnknownSearch(open_unknown(own, data=data_dir()), name)
        )
    if "://" in name or path.suffix.lower() in DATABASE_SUFFIXES:
        check_there(name)
        gallery = open_gallery(
            name, space=analyzer.space, describe=analyzer.describe_photo
        )
        return GallerySearch(gallery, shown(name))
    if not path.exists():
        raise InputError(f"--in {name}: there is no such file or folder")
    if is_result(path):
        return batch_search(path, analyzer.space, keep=False)
    place = PhotoSearch(analyzer, name, failed=failures.append)
    if not place.files:
        raise InputError(
            f"--in {name} holds no photos; a gallery is a .db file or postgresql://…, "
            "and of videos 'mien batch' makes a result"
        )
    return place


def _show(found: Sequence[Found], format: str, *, tolerance: float) -> None:  # noqa: A002
    if format == "json":
        rows = [
            {**dataclasses.asdict(one), "same": one.distance <= tolerance}
            for one in found
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table(
        "distance",
        "same",
        "probability",
        "who",
        "picture",
        "at",
        "place",
        box=None,
        pad_edge=False,
    )
    for one in found:
        who = one.name or (f"unknown {one.group}" if one.group else "")
        at = f"{one.time_s:.1f} s" if one.time_s else ""
        same = "yes" if one.distance <= tolerance else "no"
        likely = "" if one.probability is None else percent(one.probability)
        table.add_row(
            *map(
                escape,
                [f"{one.distance:.3f}", same, likely, who, one.source, at, one.place],
            )
        )
    console().print(table)


def contact_sheet(asked: bytes, found: Sequence[tuple[Found, Searchable]]) -> U8:
    """The face asked for, then those found with distance and name (H, W, 3)."""
    tiles = [(asked, "looked for")]
    for one, place in found:
        tiles.append(
            (
                place.picture(one),
                f"{one.distance:.2f} {one.name or Path(one.source).name}",
            )
        )
    rows = -(-len(tiles) // _COLUMNS)
    height = _TILE + 2 * _LETTERS
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * height), _PAPER)
    for i, (picture, words) in enumerate(tiles):
        x, y = i % _COLUMNS * _TILE, i // _COLUMNS * height
        side = _TILE - 8
        tile = Image.new("RGB", (side, side), _NO_PICTURE)
        if picture:
            face = images.open_picture(BytesIO(picture)).convert("RGB")
            face.thumbnail((side, side))
            tile.paste(face, ((side - face.width) // 2, (side - face.height) // 2))
        sheet.paste(tile, (x + 4, y + 4))
        while text_size(words, _LETTERS)[0] > _TILE - 8:
            words = words[:-2] + "…"
        draw_text(sheet, (x + 4, y + _TILE + 2), words, _LETTERS, _INK)
    return np.ascontiguousarray(np.asarray(sheet)[..., ::-1])
