"""`mien tag`: who is where, written where other programs read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mien import sources
from mien.attribute import IDENTITY
from mien.cli import SOME_FAILED, UNUSABLE, new_app
from mien.cli.copies import inputs_of
from mien.cli.inputs import refuse_addresses
from mien.cli.options import SharedOptions, with_shared_options
from mien.errors import InputError, MienError
from mien.media import images
from mien.pipeline import Analyzer
from mien.progress import progress
from mien.types import Frame
from mien.xmp.tags import Mark, TaggedPhoto, Written

tag_app = new_app()


@tag_app.command()
@with_shared_options
def tag(
    shared: SharedOptions,
    photo: Annotated[
        list[str], typer.Argument(help="Photos, folders (with all inside them).")
    ],
    in_file: Annotated[
        bool,
        typer.Option(
            "--in-file",
            help="Into the JPEG or PNG itself, its pixels untouched; default: a sidecar (.xmp) beside it.",
        ),
    ] = False,
) -> None:
    """Write into photos who is where, as face regions that digiKam, Lightroom and others read.

    Faces the gallery names are marked. What somebody else marked, named, corrected or deleted stays as it is.

    Example: [bold]mien tag holiday/ --gallery people.db[/bold]
    """
    refuse_addresses(photo)
    items, failed = inputs_of(photo)
    names = [item.name for item in items if not sources.is_video(item.name)]
    if not names:
        raise InputError("; ".join(failed) or "no photos to tag")
    if shared.place() is None:
        raise InputError(
            "tagging needs a gallery that knows people: --gallery, or 'mien enroll' first"
        )
    analyzer = shared.analyzer(only=(IDENTITY,), models={})
    for reason in failed:
        typer.echo(f"mien: {reason}", err=True)
    written: list[Written] = []
    with progress("tagging", len(names)) as advance:
        for name in names:
            try:
                written.append(_tag_one(analyzer, Path(name), in_file))
            except MienError as exc:
                typer.echo(f"mien: {exc}", err=True)
            advance()
    _tell(written)
    if bad := len(names) - len(written) + len(failed):
        raise typer.Exit(UNUSABLE if bad == len(names) + len(failed) else SOME_FAILED)


def _tag_one(analyzer: Analyzer, path: Path, in_file: bool) -> Written:
    photo = TaggedPhoto(path)
    image = images.read_image(photo.content)
    result = analyzer.analyze_frame(Frame(image, source=str(path)))
    sides = np.array([result.width, result.height] * 2, np.float32)
    return photo.write(
        [
            Mark(face.name, face.box / sides)
            for face in result.faces
            if face.name is not None
        ],
        in_file=in_file,
    )


def _tell(written: list[Written]) -> None:
    for one in written:
        for doing, names in (("marked", one.marked), ("renamed to", one.renamed)):
            for name in names:
                typer.echo(f"{one.place}: {doing} {name}")
    left = sum(len(one.left) for one in written)
    if written and not any(one.marked or one.renamed or one.left for one in written):
        typer.echo("nobody known is in these photos: nothing is marked", err=True)
    if left:
        typer.echo(
            f"{left} faces were marked, or unmarked, already: left as they are",
            err=True,
        )
