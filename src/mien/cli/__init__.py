"""The command line: `mien --help`."""

from __future__ import annotations

import copy
import errno
import io
import logging
import os
import sys

import typer
from typer.core import TyperCommand, TyperGroup

from mien import plugins
from mien.errors import MienError, PluginError
from mien.text import ESCAPE, did_you_mean

# Read as NumPy loads. Threads of a matrix product wait for each other by turning: on a busy machine a search of a
# million took 20 times as long by two as by one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DONE, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

# The first line of each command's help stands here too, so that `mien --help` need not import what all commands need.
_COMMANDS: dict[str, tuple[str, str]] = {  # name: (group in the help, what it does)
    "analyze": (
        "Look",
        "Tell who is in photos and videos, how old, which gender, which emotion.",
    ),
    "live": (
        "Look",
        "Tell who is in front of a camera or in a stream, while they move.",
    ),
    "watch": (
        "Look",
        "Watch cameras day and night: who came, when, where, how old, in which mood; a line of JSON each.",
    ),
    "verify": (
        "Look",
        "Tell whether two photos show one person, and how often such an answer is right.",
    ),
    "blur": (
        "Look",
        "Make faces unrecognisable in copies of photos and videos; everybody's, or all but some people's.",
    ),
    "batch": (
        "Look",
        "Analyse archives of photos and videos into Parquet tables. What is done is not done again.",
    ),
    "report": (
        "Look",
        "Tell what a batch result or visits hold: people, ages, emotions over time, in one HTML file or as JSON.",
    ),
    "serve": (
        "Look",
        "The HTTP API and the page, on http://127.0.0.1:8000 unless told otherwise.",
    ),
    "enroll": (
        "People",
        "Add a person to the gallery, or the people who are named in photos.",
    ),
    "tag": (
        "People",
        "Write into photos who is where, as face regions that digiKam, Lightroom and others read.",
    ),
    "find": (
        "People",
        "Find where a face was seen before: in galleries, unknown faces, batch results and photos.",
    ),
    "people": (
        "People",
        "List the people in the gallery, or change them.",
    ),
    "crop": (
        "Models of your own",
        "Cut the faces out of photos and videos, upright and sharp, one folder per class as `mien train` reads them.",
    ),
    "train": (
        "Models of your own",
        "Train a model on folders of faces: for --emotion-model, --age-model, --gender-model everywhere.",
    ),
    "evaluate": (
        "Models of your own",
        "Measure a model on pictures it has not learnt from: accuracy, classes, confusion, calibration.",
    ),
    "retrain": (
        "Models of your own",
        "Train with the options of TensorFlow's old retrain.py.",
    ),
    "backup": (
        "Models and machine",
        "Keep the gallery, the unknown, visits, keys and settings in one file, also while the service runs.",
    ),
    "restore": (
        "Models and machine",
        "Bring back what `mien backup` kept, on this or another machine. What is there is not replaced unasked.",
    ),
    "models": (
        "Models and machine",
        "List the models: what for, licence, size, what they were trained on, and whether they are on this machine.",
    ),
    "bench": (
        "Models and machine",
        "Measure the speed of every part on this machine: medians in milliseconds.",
    ),
    "doctor": (
        "Models and machine",
        "Say what is here and what is missing, with its cure: versions, devices, packages, models, folders, plug-ins.",
    ),
}


def new_app() -> typer.Typer:
    """An empty command of ours."""
    return typer.Typer(
        rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False
    )


def _broken(error: PluginError) -> typer.Typer:
    stand_in = new_app()

    @stand_in.command(help=f"Cannot be loaded: {error}")
    def broken() -> None:
        raise error

    return stand_in


class LazyGroup(TyperGroup):
    """Imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: object) -> list[str]:
        return list(plugins.found(plugins.COMMANDS))

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        asked = bool(args) and not args[0].startswith("-")
        if asked and plugins.named(plugins.COMMANDS, args[0]) is None:
            near = did_you_mean(args[0], self.list_commands(ctx))
            ctx.fail(f"No such command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: object, cmd_name: str):  # type: ignore[no-untyped-def]
        plugin = plugins.named(plugins.COMMANDS, cmd_name)
        if plugin is None:
            return None
        try:
            made = plugin.load()
            made = made if isinstance(made, typer.Typer) else plugin.make()
            if not isinstance(made, typer.Typer):
                raise PluginError(f"{cmd_name!r} of {plugin.package} is no typer.Typer")
        except PluginError as exc:  # it stands in the help, and says why when called
            made = _broken(exc)
        command = typer.main.get_command(made)
        command.name = cmd_name
        group, _ = _COMMANDS.get(cmd_name, ("Of other packages", ""))
        command.rich_help_panel = group  # type: ignore[attr-defined]
        return command

    def format_help(self, ctx, formatter) -> None:  # type: ignore[no-untyped-def]
        """The help that lists all commands imports none of ours: the table says what they do."""
        listing = copy.copy(self)
        listing.get_command = self._listed  # type: ignore[method-assign]
        super(LazyGroup, listing).format_help(ctx, formatter)

    def _listed(self, ctx: object, cmd_name: str):  # type: ignore[no-untyped-def]
        if cmd_name not in _COMMANDS:
            return self.get_command(ctx, cmd_name)
        group, does = _COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=does, rich_help_panel=group)


app = typer.Typer(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},  # of all commands
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Faces in photos, videos and streams: where, who, how old, which gender, which emotion. Offline.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from mien import __version__

        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say more on stderr."),
) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(
        level=level, format="%(levelname)s: %(message)s", stream=sys.stderr
    )


def _speak() -> None:
    """Pipes get UTF-8 whatever the locale; what an output cannot hold (a name's odd bytes) stands there escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                encoding=None if stream.isatty() else "utf-8", errors=ESCAPE
            )


def _told_the_cure(exc: ImportError | AttributeError) -> bool:
    """Says what mends a library that does not load or lacks some of its parts, where that is known."""
    from mien.installs import cure_of

    for line in (found := cure_of(exc)):
        typer.echo(f"mien: {line}", err=True)
    return bool(found)


def main() -> None:
    """Runs a command; an error of ours is one line on stderr, never a traceback."""
    _speak()
    try:
        with plugins.blaming():
            app(standalone_mode=True, prog_name="mien")
    except MienError as exc:
        typer.echo(f"mien: {exc}", err=True)
        if isinstance(exc, PluginError):
            logging.getLogger(__name__).info("this is where:", exc_info=exc)
        sys.exit(UNUSABLE)
    except BrokenPipeError:  # the reader of our output has gone (head, less): no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except OSError as exc:
        if exc.filename is None and exc.errno not in _NO_ROOM:
            raise
        # Whatever the system refuses of a name that was given: it is too long, a loop of links, not ours; or there is
        # no room for what is written.
        place = "write" if exc.filename is None else f"use {exc.filename}"
        typer.echo(f"mien: cannot {place}: {exc.strerror}", err=True)
        sys.exit(UNUSABLE)
    except (ImportError, AttributeError) as exc:
        if not _told_the_cure(exc):
            raise
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
