"""`mien crop`: aligned faces out of photos and videos, for a folder to train on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mien.attribute import IDENTITY
from mien.cli import SOME_FAILED, UNUSABLE, new_app
from mien.cli.inputs import refuse_addresses
from mien.cli.options import SharedOptions, with_shared_options
from mien.cli.outputs import folder_to_write
from mien.errors import InputError
from mien.media import images
from mien.progress import progress
from mien.text import counted
from mien.train.crop import CropOptions, Cropper, find_sources, only_writer
from mien.train.sheet import SHEET, contact_sheet

crop_app = new_app()


@crop_app.command()
@with_shared_options
def crop(
    shared: SharedOptions,
    source: Annotated[
        list[str],
        typer.Argument(help="Photos, videos, folders (with all inside them)."),
    ],
    into: Annotated[
        Path,
        typer.Option(
            "--into", help="The folder of the crops; sub-folders stay as they were."
        ),
    ],
    size: Annotated[
        int, typer.Option("--size", min=32, max=2048, help="Side of a crop in pixels.")
    ] = 224,
    padding: Annotated[
        float,
        typer.Option(
            "--padding",
            min=0,
            max=3,
            help="Around the face, in face widths; 0.25 is what train reads.",
        ),
    ] = 0.25,
    every_face: Annotated[
        bool,
        typer.Option("--all", help="All faces of a picture, not only the largest."),
    ] = False,
    sharpness: Annotated[
        float,
        typer.Option(
            "--sharpness", min=0, max=1, help="Leave out faces less sharp than this."
        ),
    ] = 0.3,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Of a video, take every Nth frame.")
    ] = 10,
    keep_duplicates: Annotated[
        bool,
        typer.Option(
            "--keep-duplicates", help="Keep faces that look nearly the same as another."
        ),
    ] = False,
    per_person: Annotated[
        bool,
        typer.Option(
            "--per-person",
            help="One sub-folder per person of the gallery; others in 'unknown'.",
        ),
    ] = False,
) -> None:
    """Cut the faces out of photos and videos, upright and sharp, one folder per class as `mien train` reads them.

    A contact sheet of all crops is written beside them. The originals are not touched; running again does what is new,
    and crops that you delete stay deleted.

    Example: [bold]mien crop downloads/ --into faces/[/bold]
    """
    refuse_addresses(source)
    sources = find_sources(source, into)
    if not sources:
        raise InputError("nothing to crop")
    folder_to_write("--into", into, inputs=source)
    options = CropOptions(
        size, padding, every_face, sharpness, every, keep_duplicates, per_person
    )
    with only_writer(into):
        cropper = Cropper(shared.analyzer(only=(IDENTITY,)), into, options)
        left_out: Counter[str] = Counter()
        bad = 0
        with progress("cropping", len(sources)) as advance:
            for one in sources:
                try:
                    done = cropper(one)
                except InputError as exc:
                    bad += 1
                    typer.echo(f"mien: {exc}", err=True)
                else:
                    left_out.update(
                        done.left_out or ({} if done.crops else {"without a face": 1})
                    )
                advance()
        crops = cropper.crops()
        if crops:
            images.write_image(into / SHEET, contact_sheet(crops, into))
    sheet = f"; look at {into / SHEET}" if crops else ""
    typer.echo(f"{counted(len(crops), 'crop')} in {into}{sheet}", err=True)
    for reason, number in left_out.most_common():
        typer.echo(f"left out, {reason}: {number}", err=True)
    if bad:
        raise typer.Exit(UNUSABLE if bad == len(sources) else SOME_FAILED)
