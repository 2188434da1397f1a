"""`mien live`: a camera, file or stream in a window, or measured and recorded without one."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from mien.cli import INTERRUPTED, SOME_FAILED, new_app
from mien.cli.options import (
    KeepUnknown,
    ModelsDir,
    SharedOptions,
    collector,
    models_dir,
    with_shared_options,
)
from mien.cli.outputs import file_to_write
from mien.cli.playing import Play, Record, Stats
from mien.cli.signals import handling
from mien.config import load_settings
from mien.errors import InputError
from mien.models.folder import ModelFolder
from mien.sources import VIDEO_SUFFIXES, is_video, open_source

live_app = new_app()


@live_app.command()
@with_shared_options
def live(
    shared: SharedOptions,
    source: Annotated[
        str,
        typer.Argument(
            help="A camera's number, a file, or the URL of a picture or stream."
        ),
    ] = "0",
    record: Annotated[
        Path | None, typer.Option("--record", help="Write what is shown to an .mp4.")
    ] = None,
    blur: Annotated[
        bool,
        typer.Option(
            "--blur",
            help="In what is recorded (and shown then) nobody can be recognised.",
        ),
    ] = False,
    no_window: Annotated[
        bool,
        typer.Option(
            "--no-window",
            help="Show nothing; a file is played as fast as it can be analysed.",
        ),
    ] = False,
    max_frames: Annotated[
        int | None,
        typer.Option("--max-frames", min=1, help="Stop after so many frames."),
    ] = None,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats", help="At the end, one line of JSON: frames, fps, ms, faces."
        ),
    ] = False,
    require_live: Annotated[
        bool,
        typer.Option(
            "--require-live",
            help="Name only faces that seem alive ('mien models get antispoof').",
        ),
    ] = False,
    models: ModelsDir = None,
    keep_unknown: KeepUnknown = None,
) -> None:
    """Tell who is in front of a camera or in a stream, while they move.

    q quits, space pauses, s saves a picture, e enrols, with --models-dir m goes on to the next model there.

    Example: [bold]mien live --gallery people/[/bold]
    """
    numbered = len(source) <= 4 and source.isdecimal() and not Path(source).exists()
    uri: str | int = int(source) if numbered else source
    _check_record(record, source)
    if blur and record is None:
        raise InputError("--blur is for what is recorded: give --record OUT.mp4 too")
    with ExitStack() as stack:
        # A stopped service leaves complete files too.
        stack.enter_context(handling(signal.default_int_handler, signal.SIGTERM))
        frames = stack.enter_context(open_source(uri))
        if no_window and not (record or stats or keep_unknown):
            typer.echo(
                "mien: nothing is shown or kept; add --record OUT.mp4, --stats or "
                "--keep-unknown, or take 'mien analyze' for a row of each face",
                err=True,
            )
        # The user's own gallery is made for who is enrolled from the window, or kept: opening one takes its time.
        named = shared.gallery or load_settings().gallery
        shared.place(make=bool(named or keep_unknown) or not no_window)
        asked = shared.with_live() if require_live else shared
        analyzer = asked.analyzer()
        stack.callback(analyzer.close)
        folder = models_dir(models)
        choice = None if folder is None else ModelFolder(folder)
        play = Play(
            analyzer,
            frames,
            None if record is None else _film(record, blur=blur),
            choice,
            collector(analyzer, keep_unknown),
            require_live=require_live,
        )
        counted = Stats(most=max_frames)
        _run(play, counted, windowed=not no_window)
    if stats:
        typer.echo(counted.line())
    if play.interrupted:
        raise typer.Exit(INTERRUPTED)
    if play.spare.lost:
        raise typer.Exit(SOME_FAILED)


def _check_record(record: Path | None, source: str) -> None:
    if record is None:
        return
    if not is_video(str(record)):
        raise InputError(
            f"--record {record} is no video; give a name that ends in .mp4"
        )
    from mien.output.video import check_place

    check_place(record)
    file_to_write("--record", record, suffixes=VIDEO_SUFFIXES, inputs=[source])


def _film(place: Path, *, blur: bool) -> Record:
    """What is recorded; the detectors that see to it that nobody is missed are loaded for `blur` alone."""
    if not blur:
        return Record(place)
    from mien.blur.cover import STYLES
    from mien.blur.live import LiveCover
    from mien.blur.whom import FaceFinder, Whom

    return Record(place, LiveCover(FaceFinder(Whom()), STYLES["blur"]))


def _run(play: Play, stats: Stats, *, windowed: bool) -> None:
    if not windowed:
        for _ in play.results(stats):
            pass
        return
    from mien.cli.window import show

    show(play, stats)
