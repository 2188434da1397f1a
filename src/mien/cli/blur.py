"""`mien blur`: copies of photos and videos in which nobody can be recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from mien.attribute import IDENTITY
from mien.blur.cover import STYLES, CoverStyle, style_of
from mien.blur.film import blur_film
from mien.blur.photo import blur_photo
from mien.blur.whom import FaceFinder, Whom
from mien.cli import SOME_FAILED, UNUSABLE, new_app
from mien.cli.copies import AnalyzeInput, copies_of, inputs_of, jobs_for
from mien.cli.inputs import refuse_addresses
from mien.cli.options import (
    GalleryOption,
    JobsOption,
    SharedOptions,
    ThreadsOption,
    ToleranceOption,
)
from mien.errors import InputError, MienError
from mien.media import images
from mien.pool import in_order, worker_threads
from mien.progress import progress
from mien.runtime import Compute
from mien.sources import is_video
from mien.sources.video import VideoFile
from mien.text import counted

blur_app = new_app()


@blur_app.command()
def blur(
    source: Annotated[
        list[str],
        typer.Argument(help="Photos, videos, folders (with all inside them)."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The copy: a file, or a folder for several."
        ),
    ],
    style: Annotated[
        str,
        typer.Option(
            "--style", help=f"{' | '.join(STYLES)}, or a picture to put there."
        ),
    ] = "blur",
    spared: Annotated[
        list[str] | None,
        typer.Option(
            "--except",
            metavar="NAME",
            help="Everybody but this person of the gallery; again for more.",
        ),
    ] = None,
    people: Annotated[
        list[str] | None,
        typer.Option(
            "--people",
            metavar="NAME",
            help="Nobody but this person of the gallery; again for more.",
        ),
    ] = None,
    unknown: Annotated[
        bool,
        typer.Option("--unknown", help="Only people who are not in the gallery."),
    ] = False,
    strip_metadata: Annotated[
        bool,
        typer.Option(
            "--strip-metadata",
            help="Leave out where, when and with what it was taken, too.",
        ),
    ] = False,
    gallery: GalleryOption = None,
    tolerance: ToleranceOption = None,
    threads: ThreadsOption = None,
    jobs: JobsOption = None,
) -> None:
    """Make faces unrecognisable in copies of photos and videos; everybody's, or all but some people's.

    Faces are looked for more eagerly than elsewhere, and in videos followed forwards and backwards. Thumbnails and
    other pictures hidden in a photo go. Look at the copies before you publish them.

    Example: [bold]mien blur party.jpg --output party-blurred.jpg[/bold]
    """
    whom = _whom(spared, people, unknown)
    cover = style_of(style)
    items, failed = inputs_of(source, copies=output)
    refuse_addresses(source, ": a film is looked through twice")
    if not items:
        raise InputError("; ".join(failed) or "nothing to blur")
    place = copies_of("--output", output, items)
    jobs = jobs_for(items) if jobs is None else jobs
    threads = 1 if jobs > 1 and threads is None else threads
    analyzer = None
    if whom.by_name:
        shared = SharedOptions(gallery=gallery, tolerance=tolerance, threads=threads)
        analyzer = shared.analyzer(only=(IDENTITY,))
    finder = FaceFinder(whom, analyzer, compute=Compute("auto", threads))
    for reason in failed:
        typer.echo(f"mien: {reason}", err=True)
    done = BlurJob(finder, cover, strip_metadata).run(items, place, jobs)
    bad = len(items) - len(done) + len(failed)
    _tell(done, output)
    if bad:
        raise typer.Exit(UNUSABLE if not done else SOME_FAILED)


def _whom(
    spared: Sequence[str] | None, people: Sequence[str] | None, unknown: bool
) -> Whom:
    if bool(spared) + bool(people) + unknown > 1:
        raise InputError("--except, --people and --unknown: give one kind of them")
    only = frozenset(people) if people else None
    return Whom(frozenset(spared or ()), only, unknown)


@dataclass(frozen=True)
class BlurJob:
    """How each input is copied."""

    finder: FaceFinder
    style: CoverStyle
    strip: bool

    def __call__(self, item: AnalyzeInput, place: Path) -> int:
        """Writes the copy of an input; gives how many faces were covered.

        Raises:
            MienError: It cannot be read, or the copy cannot be written.
        """
        if not is_video(item.name):
            content = images.read_bytes(Path(item.name))
            return blur_photo(content, place, self.finder, self.style, strip=self.strip)
        with VideoFile(item.name) as film:
            frames = film.frames
        twice = None if frames is None else 2 * frames
        with progress(Path(item.name).name, twice) as advance:
            return blur_film(item.name, place, self.finder, self.style, advance)

    def run(
        self,
        items: list[AnalyzeInput],
        place: Callable[[AnalyzeInput], Path],
        jobs: int,
    ) -> list[tuple[str, int]]:
        """How many faces were covered in each input that could be copied: photos side by side, films one by one, which
        have all cores to themselves. Of the others it says why not."""

        def copied(item: AnalyzeInput) -> int | MienError:
            try:
                return self(item, place(item))
            except MienError as exc:
                return exc

        done: list[tuple[str, int]] = []
        with worker_threads(jobs) as pool:
            for films, some in groupby(items, key=lambda item: is_video(item.name)):
                group = list(some)
                told: Iterator[int | MienError] = map(copied, group)
                if not films:
                    told = in_order(pool, copied, group, ahead=2 * jobs)
                with (  # a film has a bar of its own
                    progress("photos", len(group))
                    if not films
                    else nullcontext(lambda: None)
                ) as advance:
                    for item, count in zip(group, told, strict=True):
                        if isinstance(count, MienError):
                            typer.echo(f"mien: {_named(count, item.name)}", err=True)
                        else:
                            done.append((item.name, count))
                        advance()
        return done


def _named(error: MienError, name: str) -> str:
    """What went wrong, with the name of the file, which may be one of many."""
    said = images.named(str(error), name)
    return said if name in said else f"{name}: {said}"


def _tell(done: list[tuple[str, int]], output: Path) -> None:
    if not done:
        return
    empty = [name for name, count in done if not count]
    count = sum(count for _, count in done)
    faces = counted(count, "face")
    typer.echo(f"{faces} covered: {output}", err=True)
    for name in empty:
        typer.echo(f"no face covered in {name}", err=True)
