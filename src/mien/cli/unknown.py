"""`mien people unknown`: who was seen and is in no gallery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mien import store
from mien.cli import new_app
from mien.cli.options import GalleryOption, SharedOptions
from mien.cli.outputs import folder_to_write, local_time, utc_time
from mien.errors import InputError
from mien.gallery import Gallery
from mien.gallery.unknown import LEAST_FACES, Group, open_unknown
from mien.text import counted
from mien.watch.store import VisitStore, are_there, open_visits

if TYPE_CHECKING:
    from mien.gallery.unknown import UnknownFaces

unknown_app = new_app()

_FORMATS = ("table", "json")
_SHOWN = 8  # face ids in a table's row

GroupId = Annotated[str, typer.Argument(metavar="GROUP", help="As listed.")]
Format = Annotated[str, typer.Option("--format", help=" | ".join(_FORMATS))]


@contextmanager
def _opened(
    ctx: typer.Context, gallery: str | None
) -> Iterator[tuple[UnknownFaces, Gallery]]:
    opened = SharedOptions(gallery=gallery or ctx.obj).open_gallery()
    unknown = open_unknown(opened, data=store.data_dir())
    try:
        yield unknown, opened
    finally:
        unknown.close()
        opened.close()


def _visits(gallery: Gallery) -> AbstractContextManager[VisitStore | None]:
    """The visits beside a gallery, whose faces may be among the unknown; None where none are kept."""
    data = store.data_dir()
    there = are_there(gallery, data=data)
    return closing(open_visits(gallery, data=data)) if there else nullcontext()


@unknown_app.callback(invoke_without_command=True)
def unknown(
    ctx: typer.Context,
    gallery: GalleryOption = None,
    format: Format = "table",  # noqa: A002
    least: Annotated[
        int,
        typer.Option("--least", min=1, help="Show groups of at least so many faces."),
    ] = LEAST_FACES,
) -> None:
    """List the groups of faces that nobody owns, kept by --keep-unknown, or decide who they are.

    Example: [bold]mien people unknown --gallery people.db[/bold]
    """
    ctx.obj = gallery or ctx.obj
    if ctx.invoked_subcommand is not None:
        return
    with _opened(ctx, None) as (kept, _):
        groups = kept.groups(least=least)
        _show(groups, format, waiting=kept.waiting() if least >= LEAST_FACES else 0)


@unknown_app.command()
def name(
    ctx: typer.Context,
    group: GroupId,
    name: Annotated[
        str, typer.Argument(help="Of somebody new, or of somebody in the gallery.")
    ],
    gallery: GalleryOption = None,
) -> None:
    """Say who a group is: its faces go to the gallery, and its visits before cameras bear the name.

    'undo' takes it back for a day.

    Example: [bold]mien people unknown name 3f0c5b2a9d7e "Ada Lovelace"[/bold]
    """
    with _opened(ctx, gallery) as (kept, opened), _visits(opened) as visits:
        count = kept.name(group, name, opened, visits)
    typer.echo(f"{name}: {count} new photos", err=True)


@unknown_app.command()
def split(
    ctx: typer.Context,
    group: GroupId,
    face: Annotated[
        list[int],
        typer.Argument(
            metavar="FACE...", help="The numbers of faces that are another's."
        ),
    ],
    gallery: GalleryOption = None,
    format: Format = "table",  # noqa: A002
) -> None:
    """Make a group of its own of some faces of a group.

    Example: [bold]mien people unknown split 3f0c5b2a9d7e 12 15[/bold]
    """
    with _opened(ctx, gallery) as (kept, _):
        _show([kept.split(group, face)], format)


@unknown_app.command()
def merge(
    ctx: typer.Context,
    group: GroupId,
    into: Annotated[
        str, typer.Argument(metavar="INTO", help="The group that is the same person.")
    ],
    gallery: GalleryOption = None,
    format: Format = "table",  # noqa: A002
) -> None:
    """Make one group of two: GROUP's faces go to INTO.

    Example: [bold]mien people unknown merge 3f0c5b2a9d7e 8e1b7c6d5a4f[/bold]
    """
    with _opened(ctx, gallery) as (kept, _):
        _show([kept.merge(group, into)], format)


@unknown_app.command()
def undo(ctx: typer.Context, gallery: GalleryOption = None) -> None:
    """Take back the last name, split or merge of the last day.

    Example: [bold]mien people unknown undo[/bold]
    """
    with _opened(ctx, gallery) as (kept, opened), _visits(opened) as visits:
        done = kept.undo(opened, visits)
    if done is None:
        raise InputError(
            "there is nothing to take back: no name, split or merge of the last day"
        )
    typer.echo(
        f"took back the {done.kind} of {done.group}"
        + (f" as {done.name}" if done.name else ""),
        err=True,
    )


@unknown_app.command()
def forget(
    ctx: typer.Context,
    group: Annotated[
        list[str] | None, typer.Argument(metavar="GROUP...", help="As listed.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every face kept, grouped or not.")
    ] = False,
    gallery: GalleryOption = None,
) -> None:
    """Delete groups of faces for good; this cannot be taken back.

    Example: [bold]mien people unknown forget 3f0c5b2a9d7e[/bold]
    """
    if everything == bool(group):
        raise InputError("name the groups to forget, or say --all")
    with _opened(ctx, gallery) as (kept, _):
        gone = (
            kept.forget_all()
            if everything
            else sum(kept.forget(one) for one in group or ())
        )
    typer.echo(f"{counted(gone, 'face')} deleted", err=True)


@unknown_app.command()
def save(
    ctx: typer.Context,
    group: GroupId,
    into: Annotated[Path, typer.Option("--into", help="The folder to write to.")],
    gallery: GalleryOption = None,
) -> None:
    """Write the small pictures of a group's faces to a folder, as FACE.jpg, to see who it is.

    Example: [bold]mien people unknown save 3f0c5b2a9d7e --into faces/[/bold]
    """
    with _opened(ctx, gallery) as (kept, _):
        faces = kept.group(group).faces
        folder_to_write("--into", into)
        for face in faces:
            if face.thumbnail:
                file = into / f"{face.id}.jpg"
                try:
                    store.write_atomically(file, kept.thumbnail(face.id), secret=True)
                except OSError as exc:
                    raise InputError(
                        f"cannot write {file}: {exc.strerror or exc}"
                    ) from exc
                typer.echo(file)


def _show(groups: Sequence[Group], format: str, *, waiting: int = 0) -> None:  # noqa: A002
    if format not in _FORMATS:
        raise InputError(
            f"--format {format} is unknown; use one of {', '.join(_FORMATS)}"
        )
    if format == "json":
        typer.echo(json.dumps([_record(group) for group in groups], ensure_ascii=False))
        return
    if groups:
        Console().print(_table(groups), highlight=False)
    else:
        typer.echo(
            "nobody; 'mien analyze --keep-unknown DAYS' keeps faces that nobody owns"
        )
    if waiting:
        typer.echo(f"in no group yet: {counted(waiting, 'more face')}", err=True)


def _table(groups: Sequence[Group]) -> Table:
    table = Table(
        "group",
        "faces",
        "first seen",
        "last seen",
        "numbers of faces",
        box=None,
        pad_edge=False,
    )
    for group in groups:
        numbers = " ".join(str(face.id) for face in group.faces[:_SHOWN])
        more = f" +{len(group.faces) - _SHOWN}" if len(group.faces) > _SHOWN else ""
        table.add_row(
            group.id,
            str(len(group.faces)),
            local_time(group.first_seen),
            local_time(group.last_seen),
            numbers + more,
        )
    return table


def _record(group: Group) -> dict[str, Any]:
    faces = [
        {
            "id": face.id,
            "source": face.source,
            "seen": utc_time(face.seen),
            "expires": utc_time(face.expires),
        }
        for face in group.faces
    ]
    return {"id": group.id, "by_hand": group.by_hand, "faces": faces}
