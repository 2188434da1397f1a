"""All commands with what `--help` says of them: for the site and for manual pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import typer

from mien.cli import app


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command below `mien`, with the words that call it."""
    yield from _below(typer.main.get_command(app), ("mien",))


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        yield (*words, name), found
        if hasattr(found, "list_commands"):
            yield from _below(found, (*words, name))


def parameters(command: Any) -> list[tuple[str, str]]:
    """What can be said to a command: how it is spelt, and what it does."""
    return [
        (spelt(param), plain(getattr(param, "help", None)).replace("\n", " "))
        for param in command.params
        if not getattr(param, "hidden", False)
    ]


def spelt(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar or param.name).upper()
    return ", ".join([*param.opts, *param.secondary_opts])


def plain(text: str | None) -> str:
    """Help without rich's markup."""
    return re.sub(r"\[/?(?:bold|dim|cyan|green|yellow|italic)\]", "", text or "")
