"""`mien enroll` and `mien people`: the gallery."""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from mien import sources, store, suggestions
from mien.about import about as kept_about, forget as forget_person, places
from mien.attribute import IDENTITY
from mien.best_frames import CAMERA_S, best_photos
from mien.cli import (
    SOME_FAILED,
    UNUSABLE,
    new_app,
    people_about,
    people_check,
    people_enroll,
    people_files,
    people_import,
    people_not,
    people_photos,
    people_reembed,
)
from mien.cli.from_tags import enroll_from_tags
from mien.cli.inputs import content_of, offering_largest
from mien.cli.options import (
    EmbedderOption,
    GalleryOption,
    SharedOptions,
    with_shared_options,
)
from mien.cli.outputs import console, file_to_write
from mien.cli.unknown import unknown_app
from mien.config import load_settings
from mien.errors import GalleryError, InputError, PersonNotFound
from mien.gallery import (
    CounterExample,
    DescribesAnew,
    Gallery,
    KeepsCounterExamples,
    KeptPhoto,
    Photo,
    check_name,
    keeping,
    remarks,
    showing,
)
from mien.gallery.check import Missing, OneView, check as check_gallery
from mien.gallery.unknown import tell_unknown
from mien.models.embedders import space_of
from mien.pipeline import Analyzer
from mien.progress import progress
from mien.text import counted, did_you_mean
from mien.watch.store import tell_visits
from mien.zoo import DLIB

enroll_app = new_app()
people_app = new_app()

people_app.add_typer(unknown_app, name="unknown")


@enroll_app.command()
@with_shared_options
def enroll(
    shared: SharedOptions,
    name: Annotated[
        str,
        typer.Argument(
            help="The person's name, any printable characters (one that begins with a dash after --, as last); "
            "with --from-tags a photo or folder."
        ),
    ],
    photo: Annotated[
        list[str] | None,
        typer.Argument(
            help="Photos, folders of them or short videos with this person alone in each.",
            show_default=False,
        ),
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Of several faces take the largest.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse photos that are not good.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Tell what each photo adds as JSON.")
    ] = False,
    camera: Annotated[
        int | None,
        typer.Option(
            "--camera",
            metavar="NUMBER",
            help="Look through a camera for some seconds; the best frames are taken.",
            min=0,
        ),
    ] = None,
    from_tags: Annotated[
        bool,
        typer.Option(
            "--from-tags",
            help="Learn everybody whom digiKam, Lightroom, Picasa or 'mien tag' named in the photos.",
        ),
    ] = False,
    require_live: Annotated[
        bool,
        typer.Option(
            "--require-live",
            help="Refuse pictures of pictures and screens ('mien models get antispoof').",
        ),
    ] = False,
) -> None:
    """Add a person to the gallery, or the people who are named in photos.

    What each photo adds is told: that it is good, or why it counts less.

    Example: [bold]mien enroll "Ada Lovelace" ada1.jpg ada2.jpg --gallery people.db[/bold]
    """
    if not from_tags and not photo and camera is None:
        raise InputError(
            f"give photos of {name} too, or --from-tags to take the names from photos"
        )
    if from_tags and require_live:
        raise InputError(
            "--require-live looks at photos of one person: leave out --from-tags"
        )
    place = shared.somewhere(shared.place(make=True))
    analyzer = shared.analyzer(only=(IDENTITY,), models={}, gallery=place)
    if from_tags:
        enroll_from_tags(analyzer, [name, *(photo or [])], place)
        return
    files: list[str | int] = [
        found for given in photo or [] for found in sources.expand(given)
    ]
    if camera is not None:
        files.append(camera)
    wanted = {"largest": largest, "require_live": require_live}
    enrolment = people_enroll.Enrolment(
        _gallery(analyzer), name, partial(_photos, analyzer, wanted), strict=strict
    )
    shown = track(
        files,
        escape(name),
        console=Console(stderr=True),
        transient=True,
        disable=len(files) < 2,
    )
    told = list(enrolment.add_all(shown))
    people_enroll.show(name, place, told, as_json=as_json)
    refused = sum(not one.enrolled for one in told)
    if refused:
        raise typer.Exit(UNUSABLE if refused == len(told) else SOME_FAILED)


def _photos(
    analyzer: Analyzer, wanted: Mapping[str, bool], given: str | int
) -> list[Photo]:
    """A photo as it is enrolled; of a film, or of the camera with this number, the best frames."""
    if isinstance(given, str) and not sources.is_video(given):
        with offering_largest():
            return [analyzer.photo(content_of(given), source=given, **wanted)]
    seconds = CAMERA_S if isinstance(given, int) else math.inf
    photos = best_photos(analyzer, given, seconds=seconds)
    if wanted["require_live"]:
        sure = {"largest": True, "require_live": True}
        for photo in photos:
            analyzer.photo(photo.content, source=photo.source, **sure)
    return photos


def _gallery(analyzer: Analyzer) -> Gallery:
    if analyzer.gallery is None:
        raise GalleryError("no gallery is open")
    return analyzer.gallery


def _open(place: str | None) -> Gallery:
    return SharedOptions(gallery=place).open_gallery()


def _relabel(gallery: Gallery, old: str, new: str | None) -> None:
    """Tells what is kept of unknown people and of visits that a name has changed or is forgotten."""
    names = (check_name(old), None if new is None else check_name(new))
    for tell in (tell_unknown, tell_visits):
        tell(gallery, data=store.data_dir(), old=names[0], new=names[1])


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
    Console().print(table if everybody else _nobody(gallery), highlight=False)


def _nobody(gallery: str | None) -> str:
    place = SharedOptions(gallery=gallery).place_in_words()
    return escape(
        f"nobody in {place} yet; 'mien enroll NAME PHOTO' adds a person, "
        f"--gallery names another place"
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
        _ask(f"Forget {', '.join(names)} with {counted(sum(photos.values()), 'photo')}")
    with places(opened, store.data_dir()) as known:
        for one in names:
            forget_person(known, one)
            typer.echo(f"{one} is forgotten, with {counted(photos[one], 'photo')}")


@people_app.command()
def about(
    ctx: typer.Context,
    name: str,
    gallery: GalleryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List all that is kept about a person: in the gallery and beside it, visits, results of jobs, caches.

    Example: [bold]mien people about "Ada Lovelace"[/bold]
    """
    with places(_open(gallery or ctx.obj), store.data_dir()) as known:
        people_about.show(name, kept_about(known, name), as_json=as_json)


@people_app.command()
def forget(
    ctx: typer.Context,
    name: str,
    gallery: GalleryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Delete all that 'about' lists of a person, for good, and say what it was.

    Example: [bold]mien people forget "Ada Lovelace"[/bold]
    """
    with places(_open(gallery or ctx.obj), store.data_dir()) as known:
        found = kept_about(known, name)
        if not yes:
            _ask(
                f"Delete all that is kept about {name} ({counted(len(found), 'thing')})"
            )
        people_about.show(name, forget_person(known, name), as_json=as_json)
    typer.echo(f"{check_name(name)} is forgotten", err=True)


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
    """Goes on where somebody says so; in a pipe in which no answer comes the command itself says so."""
    question = f"{question}? This cannot be taken back"
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            sure = typer.confirm(question, err=True)
        except typer.Abort:  # Ctrl-C, or the end of what is typed
            raise KeyboardInterrupt from None
    else:
        typer.echo(f"{question} [y/N]: ", err=True, nl=False)
        answer = "" if sys.stdin is None else sys.stdin.readline()
        typer.echo(answer.strip() or "y (nobody is there to be asked)", err=True)
        sure = not answer or answer.strip().lower() in {"y", "yes"}
    if not sure:
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit(UNUSABLE)


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
    if sum((bool(remove), into is not None, as_json)) > 1:
        raise InputError("say one of --remove, --into and --json at a time")
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
        _ask(f"Remove {counted(len(photos), 'photo')} of {name}")
    gallery.discard(name, [photo.sha256 for photo in photos])
    left = sum(person.photos for person in gallery.people() if person.name == name)
    if not left:
        _relabel(gallery, name, None)
    rest = f"{counted(left, 'photo')} left" if left else "nothing is left: forgotten"
    typer.echo(f"{name}: {counted(len(photos), 'photo')} removed, {rest}")


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
    goal = check_name(into)
    if check_name(source) == goal:
        raise InputError("a person cannot be merged into themselves; name another")
    opened = _open(gallery or ctx.obj)
    opened.merge(source, into)
    _relabel(opened, source, into)
    typer.echo(
        f"{check_name(source)} is {goal} now, with {counted(_photos_of(opened, [goal])[goal], 'photo')}"
    )


@people_app.command(name="not")
def not_them(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Who it is not.")],
    photo: Annotated[
        list[str] | None,
        typer.Argument(help="Photos of somebody else, alone in each."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", help="A group of unknown faces ('mien people unknown')."
        ),
    ] = None,
    take_back: Annotated[
        list[str] | None,
        typer.Option("--take-back", help="Forget this again, by its number."),
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Of several faces take the largest.")
    ] = False,
    gallery: GalleryOption = None,
    embedder: EmbedderOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="List as JSON.")] = False,
) -> None:
    """Say who a face is not: it never gets that name again, and faces like it must be nearer. Without a photo: list.

    Example: [bold]mien people not "Ada Lovelace" party.jpg[/bold]
    """
    options = SharedOptions(gallery=gallery or ctx.obj, embedder=embedder)
    if sum(map(bool, (photo, group, take_back))) > 1:
        raise InputError("say one of PHOTO, --group and --take-back at a time")
    if photo:
        people_not.say(options, name, photo, largest=largest)
        return
    opened = options.open_gallery()
    if group is not None:
        people_not.say_group(opened, name, group)
    elif take_back:
        people_not.take_back(opened, name, take_back)
    else:
        people_not.show(keeping(opened).counter_examples(name), as_json=as_json)


@people_app.command(name="export")
def export_people(
    ctx: typer.Context, file: Path, gallery: GalleryOption = None
) -> None:
    """Write names, descriptors, the small pictures of the faces, and who is not whom to a JSON file.

    Example: [bold]mien people export people.json[/bold]
    """
    opened = _open(gallery or ctx.obj)
    file_to_write("FILE", file, suffixes=(".json",))
    everything = list(opened.enrolled())
    rows = [
        people_files.exported(one) | people_files.picture(opened, one)
        for one in everything
    ]
    denied = (
        opened.counter_examples() if isinstance(opened, KeepsCounterExamples) else []
    )
    people_files.write(file, rows, opened.space.name, denied)
    typer.echo(
        f"{counted(len(everything), 'photo')} of {counted(len({one.name for one in everything}), 'person')} in {file}",
        err=True,
    )


@people_app.command(name="import")
def import_people(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A file; a folder with photos in folders by name, Frigate's or double-take's; a CompreFace's address."
        ),
    ],
    gallery: GalleryOption = None,
    embedder: EmbedderOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Whose descriptors a .npy file holds.")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Of photos: tell, and change nothing.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse photos that are not good.")
    ] = False,
) -> None:
    """Add people from an exported file, a JSON object of names and their descriptors, or a .npy file of one person; or
    from the photos of Frigate (clips/faces), double-take (.storage), CompreFace, or any folder of folders by name.

    Example: [bold]mien people import /media/frigate --gallery people.db --dry-run[/bold]
    """
    options = SharedOptions(gallery=gallery or ctx.obj, embedder=embedder)
    is_npy = source.lower().endswith(".npy")
    if name is not None and not is_npy:
        raise InputError(
            "--name says whose a .npy file is; other files say it themselves"
        )
    if people_import.is_library(source):
        library = people_import.open_library(
            source, key=os.environ.get("COMPREFACE_KEY", "")
        )
        _take_over(library, options, strict=strict, dry=dry)
        return
    if dry or strict:
        raise InputError("--dry-run and --strict look at photos: give a folder of them")
    file = Path(source)
    denied: list[CounterExample] = []
    # A file that cannot be read makes no gallery: the descriptors of a new one are those of the embedder.
    opened = options.open_gallery() if options.is_there() else None
    embedder = options.embedder or load_settings().embedder
    space = space_of(embedder) if opened is None else opened.space
    if is_npy:
        people = people_files.read_npy(file, name, space)
    else:
        people, denied = people_files.read_json(file, space)
    if opened is None:
        opened = options.open_gallery(make=True)
    shown = track(
        people.items(),
        "people",
        console=Console(stderr=True),
        transient=True,
        disable=len(people) < 1000,
    )
    added = opened.enroll_all(shown)
    people_files.deny_all(opened, denied)
    told = f"{counted(added, 'new photo')} of {counted(len(people), 'person')}"
    typer.echo(f"{told} from {file}", err=True)


def _take_over(
    library: people_import.Library, shared: SharedOptions, *, strict: bool, dry: bool
) -> None:
    with TemporaryDirectory() as nowhere:
        if dry and not shared.is_there():  # a try makes no gallery
            shared = replace(shared, gallery=str(Path(nowhere) / "people.db"))
        place = shared.somewhere(shared.place(make=True))
        analyzer = shared.analyzer(only=(IDENTITY,), models={}, gallery=place)
        people_import.take_over(
            library, analyzer, _gallery(analyzer), strict=strict, dry=dry
        )


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
    missing: Annotated[
        bool,
        typer.Option(
            "--missing", help="Look at all photos, and suggest which ones are missing."
        ),
    ] = False,
    format: Annotated[str, typer.Option("--format", help="table | json")] = "table",  # noqa: A002
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Find people who are one, photos under the wrong name, people too alike; suggest a tolerance.

    Example: [bold]mien people check --gallery people.db[/bold]
    """
    if format not in {"table", "json"}:
        raise InputError(f"--format {format} is unknown; use table or json")
    opened = _open(gallery or ctx.obj)
    settings = load_settings()
    # What a gallery says of its space leaves out how often that errs.
    space = DLIB if opened.space.name == DLIB.name else opened.space
    limit = space.bound(
        tolerance=settings.tolerance if tolerance is None else tolerance,
        false_names=settings.false_names if tolerance is None else None,
        people=len(opened.people()),
    )
    found = check_gallery(opened.enrolled(), tolerance=limit, space=opened.space)
    report = replace(found, remarks=remarks(opened), one_view=_one_view(opened))
    if missing:
        options = SharedOptions(gallery=gallery or ctx.obj)
        report = replace(report, missing=_missing(opened, options))
    if as_json or format == "json":
        typer.echo(people_check.as_json(report))
    else:
        people_check.show(report, console())


def _one_view(gallery: Gallery) -> tuple[OneView, ...]:
    """Whose photos would tell more if they were described anew, in two views as dlib's network sees them now."""
    if gallery.space.name != DLIB.name or not isinstance(gallery, DescribesAnew):
        return ()
    return tuple(OneView(name, count) for name, count in gallery.bare().items())


def _missing(gallery: Gallery, options: SharedOptions) -> tuple[Missing, ...]:
    """Which photos are missing, of those of whom some are."""
    analyzer = options.analyzer(only=suggestions.PARTS, gallery=None)
    with progress("people", len(gallery.people())) as advance:
        found = []
        for one in suggestions.missing(gallery, analyzer):
            found.append(one)
            advance()
    return tuple(one for one in found if one is not None)


@people_app.command()
def index(
    ctx: typer.Context,
    gallery: GalleryOption = None,
    drop: Annotated[
        bool,
        typer.Option(
            "--drop", help="Take it away: searches are exact again, in memory."
        ),
    ] = False,
) -> None:
    """Make a PostgreSQL gallery's index (HNSW), or make it anew: for machines with little memory.

    Without it searches read all descriptors into memory (0.8 GB a million) and compare them all. With it the database
    searches, and may miss a photo now and then; it keeps no descriptors here. Others go on working meanwhile.

    Example: [bold]mien people index --gallery postgresql://mien@db/mien[/bold]
    """
    from mien.gallery import PostgresGallery

    opened = _open(gallery or ctx.obj)
    if not isinstance(opened, PostgresGallery):
        raise InputError(
            "only a PostgreSQL gallery has an index; the others are searched exactly in memory"
        )
    if drop:
        opened.drop_index()
        typer.echo("the index is gone: searches are exact, in memory", err=True)
    else:
        opened.create_index()
        typer.echo("the index is made: the database searches", err=True)


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
    people_reembed.run(
        SharedOptions(gallery=gallery or ctx.obj, embedder=embedder), left
    )
