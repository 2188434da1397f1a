"""`mien backup` and `mien restore`: all that is kept, in one file, and back on this or another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mien import backup
from mien.cli import new_app
from mien.cli.options import GalleryOption
from mien.cli.outputs import console
from mien.config import gallery_place, load_settings
from mien.gallery import NOBODY
from mien.progress import counter
from mien.store import data_dir
from mien.text import shown

backup_app = new_app()
restore_app = new_app()

Archive = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="The archive, as friday.zip.", show_default=False
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="The folder of keys, jobs and people [$MIEN_DATA]."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what is there.", show_default=False)
]


@backup_app.command()
def backup_all(
    file: Archive,
    gallery: GalleryOption = None,
    data: Data = None,
    jobs: Annotated[
        bool,
        typer.Option("--jobs", help="The service's jobs too, with their videos."),
    ] = False,
    force: Force = False,
) -> None:
    """Keep the gallery, the unknown, visits, keys and settings in one file, also while the service runs.

    Example: mien backup friday.zip --gallery people.db
    """
    folder = data or data_dir()
    home = backup.Home.of(gallery_place(gallery, data=data), folder)
    with counter("Backing up") as told:
        made = backup.write(file, home, jobs=jobs, force=force, told=told)
    _show(made)
    typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB, for your eyes only")


@restore_app.command()
def restore_all(
    file: Archive,
    gallery: GalleryOption = None,
    data: Data = None,
    force: Force = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only look whether the file is whole.")
    ] = False,
) -> None:
    """Bring back what `mien backup` kept, on this or another machine. What is there is not replaced unasked.

    Example: mien restore friday.zip --gallery people.db
    """
    if check:
        with counter("Checking") as told:
            _show(backup.check(file, told=told))
        typer.echo(f"{file} is whole")
        return
    folder = data or data_dir()
    made = backup.read_manifest(file)
    home = backup.Home.of(_new_place(gallery, folder, made.kind), folder)
    with counter("Restoring") as told:
        put = backup.restore(file, home, force=force, told=told)
    for what, place in put.items():
        typer.echo(f"{what}: {shown(str(place))}")


def _new_place(given: str | None, data: Path, kind: str) -> str | None:
    """Where a gallery goes: as named, as the settings say, else into the data folder."""
    named = given or load_settings().gallery
    if named:
        return None if named == NOBODY else named
    own = {"sqlite": "people.db", "folder": "people"}.get(kind)
    return None if own is None else str(data / own)


def _show(made: backup.Manifest) -> None:
    """Prints what an archive holds."""
    table = Table("what", "files", "MB", box=None, pad_edge=False)
    for part, (files, size) in made.parts().items():
        what = f"{part} ({made.kind})" if part == backup.GALLERY else part
        table.add_row(what.removesuffix(".db"), str(files), f"{size / 1e6:.1f}")
    console().print(table)
