"""The command line: `mien --help`."""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import os
import sys

import typer
from typer.core import TyperGroup

from mien import plugins
from mien.errors import MienError, PluginError
from mien.text import ESCAPE, did_you_mean

DONE, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

_COMMANDS = {  # name: (module that holds NAME_app, group in the help)
    "analyze": ("mien.cli.analyze", "Look"),
    "live": ("mien.cli.live", "Look"),
    "batch": ("mien.cli.batch", "Look"),
    "report": ("mien.cli.report", "Look"),
    "serve": ("mien.cli.serve", "Look"),
    "enroll": ("mien.cli.people", "People"),
    "people": ("mien.cli.people", "People"),
    "crop": ("mien.cli.crop", "Models of your own"),
    "train": ("mien.cli.train", "Models of your own"),
    "evaluate": ("mien.cli.train", "Models of your own"),
    "retrain": ("mien.cli.retrain", "Models of your own"),
    "models": ("mien.cli.models", "Models and machine"),
    "bench": ("mien.cli.bench", "Models and machine"),
    "doctor": ("mien.cli.doctor", "Models and machine"),
}


def new_app() -> typer.Typer:
    """An empty command of ours."""
    return typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)


def _of_package(plugin: plugins.Plugin):  # type: ignore[no-untyped-def]
    """A command that a package offers: a Typer application, or what makes one. One that cannot be loaded stands in the
    help all the same and says why when it is called."""
    try:
        made = plugin.load()
        made = made if isinstance(made, typer.Typer) else made()
    except PluginError as exc:
        made = _broken(exc)
    command = typer.main.get_command(made)
    command.name = plugin.name
    command.rich_help_panel = "Of other packages"  # type: ignore[attr-defined]
    return command


def _broken(error: PluginError) -> typer.Typer:
    stand_in = new_app()

    @stand_in.command(help=f"Cannot be loaded: {error}")
    def broken() -> None:
        raise error

    return stand_in


class LazyGroup(TyperGroup):
    """Imports a command's module only when that command, or the help that lists all, is asked for."""

    def list_commands(self, ctx: object) -> list[str]:
        ours = [name for name, (module, _) in _COMMANDS.items() if importlib.util.find_spec(module)]
        return [*ours, *(name for name in plugins.found(plugins.COMMANDS) if name not in _COMMANDS)]

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        known = [*_COMMANDS, *plugins.found(plugins.COMMANDS)]
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: object, cmd_name: str):  # type: ignore[no-untyped-def]
        theirs = plugins.found(plugins.COMMANDS).get(cmd_name)
        if cmd_name not in _COMMANDS:
            return None if theirs is None else _of_package(theirs)
        module, group = _COMMANDS[cmd_name]
        command = typer.main.get_command(getattr(importlib.import_module(module), f"{cmd_name}_app"))
        command.name = cmd_name
        command.rich_help_panel = group  # type: ignore[attr-defined]
        return command


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
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say more on stderr."),
) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)


def _speak() -> None:
    """Pipes get UTF-8 whatever the locale; what an output cannot hold (a name's odd bytes) stands there escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors=ESCAPE)


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
        app(standalone_mode=True, prog_name="mien")
    except MienError as exc:
        typer.echo(f"mien: {exc}", err=True)
        sys.exit(UNUSABLE)
    except (ImportError, AttributeError) as exc:
        if not _told_the_cure(exc):
            raise
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone (head, less): not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
