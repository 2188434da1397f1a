"""`mien enroll` and `mien people`: the gallery."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mien import images, sources, store
from mien.attribute import IDENTITY
from mien.cli import SOME_FAILED, UNUSABLE, new_app, people_check, people_photos
from mien.cli.inputs import content_of, offering_largest
from mien.cli.options import GalleryOption, SharedOptions, with_shared_options
from mien.cli.outputs import console, file_to_write
from mien.cli.unknown import unknown_app
from mien.config import load_settings
from mien.errors import GalleryError, InputError, PersonNotFound, PhotoNotFound
from mien.gallery import (
    Enrolled,
    Gallery,
    KeptPhoto,
    Photo,
    ShowsPhotos,
    check_name,
    remarks,
    showing,
)
from mien.gallery.check import check as check_gallery
from mien.gallery.folder import bare_sha256
from mien.gallery.unknown import tell_unknown
from mien.gallery.weights import GOOD
from mien.pipeline import Analyzer
from mien.space import EmbeddingSpace
from mien.text import did_you_mean, from_json
from mien.types import F32

enroll_app = new_app()
people_app = new_app()

people_app.add_typer(unknown_app, name="unknown")

_FORMAT = "mien people 1"
_LONGEST_PICTURE = 200_000  # characters of a small picture in an exported file


@enroll_app.command()
@with_shared_options
def enroll(
    shared: SharedOptions,
    name: Annotated[
        str, typer.Argument(help="The person's name, any printable characters.")
    ],
    photo: Annotated[
        list[str],
        typer.Argument(
            help="Photos (or folders of photos) with this person alone in each."
        ),
    ],
    largest: Annotated[
        bool, typer.Option("--largest", help="Of several faces take the largest.")
    ] = False,
) -> None:
    """Add a person to the gallery.

    Example: [bold]mien enroll "Ada Lovelace" ada1.jpg ada2.jpg --gallery people.db[/bold]
    """
    place = shared.somewhere(shared.place(make=True))
    analyzer = shared.analyzer(only=(IDENTITY,), models={}, gallery=place)
    files = [Path(found) for given in photo for found in sources.expand(given)]
    shown = track(
        files,
        escape(name),
        console=Console(stderr=True),
        transient=True,
        disable=len(files) < 2,
    )
    results = [_enroll_one(analyzer, name, file, largest) for file in shown]
    reasons = [reason for reason in results if reason]
    for reason in reasons:
        typer.echo(f"mien: {reason}", err=True)
    typer.echo(f"{name}: {len(files) - len(reasons)} of {len(files)} photos in {place}")
    if reasons:
        raise typer.Exit(UNUSABLE if len(reasons) == len(files) else SOME_FAILED)


def _enroll_one(analyzer: Analyzer, name: str, file: Path, largest: bool) -> str | None:
    """Adds one photo; the reason why not, if not."""
    try:
        with offering_largest():
            photo = analyzer.photo(content_of(file), source=str(file), largest=largest)
        _gallery(analyzer).enroll(name, [photo])
        if photo.quality < GOOD:
            typer.echo(
                f"mien: {file} is small, blurred or turned away: it counts less, add a better one",
                err=True,
            )
    except InputError as exc:
        return str(exc)
    return None


def _gallery(analyzer: Analyzer) -> Gallery:
    if analyzer.gallery is None:
        raise GalleryError("no gallery is open")
    return analyzer.gallery


def _open(place: str | None, *, may_be_new: bool = False) -> Gallery:
    return SharedOptions(gallery=place).open_gallery(make=may_be_new)


def _relabel(gallery: Gallery, old: str, new: str | None) -> None:
    """Tells what is kept of unknown people that a name has changed or is forgotten."""
    tell_unknown(
        gallery,
        data=store.data_dir(),
        old=check_name(old),
        new=None if new is None else check_name(new),
    )


@people_app.callback(invoke_without_command=True)
def people(
    ctx: typer.Context,
    gallery: GalleryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the people in the gallery, or change them.

    Example: [bold]mien people --gallery people.db[/bold]
    """
    ctx.obj = gallery
    if ctx.invoked_subcommand is not None:
        return
    opened = _open(gallery)
    everybody = opened.people()
    lost = Counter(
        remark.name for remark in remarks(opened) if not remark.used
    )  # a warning has told each
    if as_json:
        rows = [
            {
                "id": p.id,
                "name": p.name,
                "photos": p.photos - lost[p.name],
                "passed_over": lost[p.name],
            }
            for p in everybody
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table(
        "name", "photos", *(["passed over"] if lost else []), box=None, pad_edge=False
    )
    for person in everybody:
        counts = [person.photos - lost[person.name], lost[person.name] or ""]
        table.add_row(escape(person.name), *map(str, counts[: len(table.columns) - 1]))
    Console().print(
        table if everybody else "nobody yet; 'mien enroll NAME PHOTO' adds a person",
        highlight=False,
    )


@people_app.command()
def remove(
    ctx: typer.Context,
    name: list[str],
    gallery: GalleryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget people and everything kept of them; a folder gallery's photos of them are deleted.

    Example: [bold]mien people remove "Ada Lovelace"[/bold]
    """
    opened = _open(gallery or ctx.obj)
    names = list(dict.fromkeys(map(check_name, name)))
    photos = _photos_of(opened, names)
    if not yes:
        _ask(f"Forget {', '.join(names)} with {_counted(sum(photos.values()))}")
    for one in names:
        opened.remove(one)
        _relabel(opened, one, None)
        typer.echo(f"{one} is forgotten, with {_counted(photos[one])}")


def _photos_of(gallery: Gallery, names: Sequence[str]) -> dict[str, int]:
    """How many photos each of these people has.

    Raises:
        PersonNotFound: One of them is not in the gallery.
    """
    everybody = {person.name: person.photos for person in gallery.people()}
    for name in names:
        if name not in everybody:
            raise PersonNotFound(
                f"nobody in the gallery is called {name}{did_you_mean(name, everybody)}"
            )
    return {name: everybody[name] for name in names}


def _ask(question: str) -> None:
    """Goes on only where somebody says so."""
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to be asked; say --yes to remove without a question"
        )
    if not typer.confirm(f"{question}? This cannot be taken back", err=True):
        raise typer.Exit(UNUSABLE)


def _counted(photos: int) -> str:
    return f"{photos} photo" if photos == 1 else f"{photos} photos"


@people_app.command()
def photos(
    ctx: typer.Context,
    name: str,
    gallery: GalleryOption = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", help="Delete the photo with this number (its first digits do)."
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", help="Write the pictures of the faces into this folder."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List a person's photos, write their pictures into a folder, or remove some of them.

    A database keeps a small picture of each face from its enrolment on; of photos enrolled before it did there is none,
    until they are enrolled once more.

    Example: [bold]mien people photos "Ada Lovelace" --remove 3f0c5b2a[/bold]
    """
    opened = _open(gallery or ctx.obj)
    name = check_name(name)
    album = showing(opened)
    kept = album.photos_of(name)
    if remove:
        _discard(opened, name, people_photos.chosen(kept, remove), yes=yes)
    elif into is not None:
        people_photos.save(album, name, kept, into)
    elif as_json:
        typer.echo(people_photos.as_json(kept))
    else:
        people_photos.show(kept, console())


def _discard(
    gallery: Gallery, name: str, photos: Sequence[KeptPhoto], *, yes: bool
) -> None:
    """Removes photos of a person, who is forgotten with the last."""
    if not yes:
        _ask(f"Remove {_counted(len(photos))} of {name}")
    gallery.discard(name, [photo.sha256 for photo in photos])
    left = sum(person.photos for person in gallery.people() if person.name == name)
    if not left:
        _relabel(gallery, name, None)
    rest = f"{_counted(left)} left" if left else "nothing is left: forgotten"
    typer.echo(f"{name}: {_counted(len(photos))} removed, {rest}")


@people_app.command()
def rename(
    ctx: typer.Context, old: str, new: str, gallery: GalleryOption = None
) -> None:
    """Give a person another name.

    Example: [bold]mien people rename Ada "Ada Lovelace"[/bold]
    """
    opened = _open(gallery or ctx.obj)
    opened.rename(old, new)
    _relabel(opened, old, new)
    typer.echo(f"{check_name(old)} is called {check_name(new)} now")


@people_app.command()
def merge(
    ctx: typer.Context, source: str, into: str, gallery: GalleryOption = None
) -> None:
    """Make one person of two: SOURCE's photos go to INTO.

    Example: [bold]mien people merge "A. Lovelace" "Ada Lovelace"[/bold]
    """
    opened = _open(gallery or ctx.obj)
    opened.merge(source, into)
    _relabel(opened, source, into)
    goal = check_name(into)
    typer.echo(
        f"{check_name(source)} is {goal} now, with {_counted(_photos_of(opened, [goal])[goal])}"
    )


@people_app.command(name="export")
def export_people(
    ctx: typer.Context, file: Path, gallery: GalleryOption = None
) -> None:
    """Write names, descriptors and the small pictures of the faces to a JSON file.

    Example: [bold]mien people export people.json[/bold]
    """
    opened = _open(gallery or ctx.obj)
    file_to_write("FILE", file, suffixes=(".json",))
    everything = list(opened.enrolled())
    rows = [exported(one) | _picture(opened, one) for one in everything]
    write_export(file, rows, opened.space.name)
    typer.echo(
        f"{len(everything)} photos of {len({one.name for one in everything})} people in {file}",
        err=True,
    )


def write_export(
    file: Path, rows: Sequence[Mapping[str, object]], embedder: str
) -> None:
    """Writes photos as `import_people` reads them, for their user's eyes only.

    Raises:
        InputError: The file cannot be written.
    """
    document = {"format": _FORMAT, "embedder": embedder, "photos": rows}
    try:
        store.write_atomically(
            file,
            json.dumps(document, ensure_ascii=False, indent=1).encode(),
            secret=True,
        )
    except OSError as exc:
        raise InputError(f"cannot write {file}: {exc.strerror or exc}") from exc


def exported(one: Enrolled) -> dict[str, object]:
    """A photo as it stands in an exported file."""
    row = [
        float(f"{value:.9g}") for value in one.photo.embedding
    ]  # 9 digits are all that float32 has
    photo = one.photo
    return {
        "name": one.name,
        "sha256": photo.sha256,
        "source": photo.source,
        "quality": photo.quality,
        "embedding": row,
    }


def _picture(gallery: Gallery, one: Enrolled) -> dict[str, str]:
    """The small picture of the face, where there is one."""
    if not isinstance(gallery, ShowsPhotos):
        return {}
    with contextlib.suppress(PhotoNotFound):
        return {
            "thumbnail": base64.b64encode(
                gallery.thumbnail(one.name, one.photo.sha256)
            ).decode()
        }
    return {}


@people_app.command(name="import")
def import_people(
    ctx: typer.Context,
    file: Path,
    gallery: GalleryOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Whose descriptors a .npy file holds.")
    ] = None,
) -> None:
    """Add people from an exported file, a JSON object of names and their descriptors, or a .npy file of one person.

    Example: [bold]mien people import people.json --gallery people.db[/bold]
    """
    opened = _open(gallery or ctx.obj, may_be_new=True)
    is_npy = file.suffix.lower() == ".npy"
    people = (
        _read_npy(file, name, opened.space)
        if is_npy
        else _read_json(file, opened.space)
    )
    shown = track(
        people.items(),
        "people",
        console=Console(stderr=True),
        transient=True,
        disable=len(people) < 1000,
    )
    added = opened.enroll_all(shown)
    typer.echo(f"{added} new photos of {len(people)} people from {file}", err=True)


@people_app.command()
def check(
    ctx: typer.Context,
    gallery: GalleryOption = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="At which it is to be right (default: the embedder's own).", min=0.0
        ),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table | json")] = "table",  # noqa: A002
) -> None:
    """Find people who are one, photos under the wrong name, people too alike; suggest a tolerance.

    Example: [bold]mien people check --gallery people.db[/bold]
    """
    if format not in {"table", "json"}:
        raise InputError(f"--format {format} is unknown; use table or json")
    opened = _open(gallery or ctx.obj)
    given = load_settings().tolerance if tolerance is None else tolerance
    limit = opened.space.tolerance if given is None else given
    found = check_gallery(opened.enrolled(), tolerance=limit, space=opened.space)
    report = replace(found, remarks=remarks(opened))
    if format == "json":
        typer.echo(people_check.as_json(report))
    else:
        people_check.show(report, console())


@people_app.command()
def index(
    ctx: typer.Context,
    gallery: GalleryOption = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take it away: searches are exact again.")
    ] = False,
) -> None:
    """Make a PostgreSQL gallery's index (HNSW), or make it anew: worth it from some 100,000 photos on.

    Searches then compare the 200 photos the index finds nearest, exactly. Others go on working meanwhile.

    Example: [bold]mien people index --gallery postgresql://mien@db/mien[/bold]
    """
    from mien.gallery import PostgresGallery

    opened = _open(gallery or ctx.obj)
    if not isinstance(opened, PostgresGallery):
        raise InputError(
            "only a PostgreSQL gallery has an index; the others are searched exactly in memory"
        )
    opened.drop_index() if drop else opened.create_index()


def _bare(row: F32, file: Path) -> Photo:
    return Photo(row, bare_sha256(row), file.name)


def _read_npy(
    file: Path, name: str | None, space: EmbeddingSpace
) -> dict[str, list[Photo]]:
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as exc:
        raise InputError(f"{file} is no .npy file of descriptors: {exc}") from exc
    return {
        name or file.stem: [_bare(row, file) for row in _checked(rows, file, space)]
    }


def _read_json(file: Path, space: EmbeddingSpace) -> dict[str, list[Photo]]:
    try:
        document = from_json(content_of(file))
    except ValueError as exc:
        raise InputError(f"{file} is no JSON: {exc}") from exc
    people: dict[str, list[Photo]] = {}
    for name, rows, about in _named_rows(document, file, space):
        photos = [
            replace(_bare(row, file), **about) for row in _checked(rows, file, space)
        ]
        people.setdefault(name, []).extend(photos)
    return people


def _named_rows(
    document: Any, file: Path, space: EmbeddingSpace
) -> list[tuple[str, Any, dict[str, Any]]]:
    """The name, the descriptors, and what else is known of each photo or of each person's photos."""
    if isinstance(document, dict) and document.get("format") == _FORMAT:
        if document.get("embedder") != space.name:
            theirs = document.get("embedder")
            raise InputError(
                f"{file} holds descriptors of {theirs}, the gallery those of {space.name}"
            )
        try:
            return [
                (str(photo["name"]), photo["embedding"], _about(photo))
                for photo in document["photos"]
            ]
        except (KeyError, TypeError) as exc:
            raise InputError(
                f"{file} is an exported gallery that is damaged: {exc!r}; export it anew"
            ) from exc
    if isinstance(document, dict):
        return [(str(name), rows, {}) for name, rows in document.items()]
    raise InputError(
        f"{file} is neither an exported gallery nor an object of {{name: [descriptors]}}"
    )


def _about(photo: dict[str, Any]) -> dict[str, Any]:
    """What an exported photo says of itself, as far as it can be believed; files of earlier versions say nothing."""
    kinds = {"sha256": str, "source": str, "quality": float}
    known: dict[str, Any] = {
        key: kind(photo[key])
        for key, kind in kinds.items()
        if isinstance(photo.get(key), kind | int)
    }
    picture = photo.get("thumbnail")
    if isinstance(picture, str) and len(picture) <= _LONGEST_PICTURE:
        known["thumbnail"] = _jpeg(picture)
    return known


def _jpeg(text: str) -> bytes:
    """A small picture as it stands in a file; nothing where it is none."""
    with contextlib.suppress(ValueError, InputError):
        content = base64.b64decode(text, validate=True)
        images.read_jpeg(content)
        return content
    return b""


def _checked(rows: Any, file: Path, space: EmbeddingSpace) -> list[F32]:
    try:
        table = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"{file}: descriptors must be lists of {space.size} numbers: {exc}"
        ) from exc
    if table.ndim != 2 or table.shape[1] != space.size or not np.isfinite(table).all():
        raise InputError(
            f"{file}: descriptors must be {space.size} finite numbers each, got shape {table.shape}"
        )
    return list(table)


@people_app.command()
def reembed(
    ctx: typer.Context,
    gallery: GalleryOption = None,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help="Who describes them ('mien models')."),
    ] = None,
    left: Annotated[
        Path | None,
        typer.Option(
            "--left",
            help="Where photos without a picture go (default: beside the gallery).",
        ),
    ] = None,
) -> None:
    """Describe everybody anew by another embedder, from the kept photos: a folder's, a database's small pictures.

    What has no picture that shows a face is said, and kept in a file that 'mien people import' reads.

    Example: [bold]mien people reembed --gallery people.db --embedder sface[/bold]
    """
    from mien.cli.people_reembed import run

    run(SharedOptions(gallery=gallery or ctx.obj, embedder=embedder), left)
