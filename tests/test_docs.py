"""Every `mien …` in the documents is a command that there is, with options that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mien.cli import app
from mien.cli.retrain import _parsed as parse_retrain

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^(?:\$ |[A-Z_]+=\S+ )*(mien [^\n]*)$", re.MULTILINE)
_SPAN = re.compile(r"`(mien [^`]+)`")


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """The command lines of a page, and whether each is whole (in a block of code) or may be a part (in a sentence)."""
    for block in _FENCE.findall(text):
        for line in _LINE.findall(block.replace("\\\n", " ")):
            yield line, True
    for span in _SPAN.findall(_FENCE.sub("", text)):
        yield span.replace("\\|", "|"), False


def commands() -> list[Any]:
    return [
        pytest.param(line, whole, id=f"{page.name}: {line}")
        for page in PAGES
        for line, whole in dict.fromkeys(lines_of(page.read_text(encoding="utf-8")))
    ]


def parse(command: Any, arguments: list[str], parent: Any = None) -> list[str]:
    """Reads a command line as the program does, without running it; the names of the commands it goes through.

    What only tells and ends (--help, --version) is whole too.
    """
    context = command.make_context(
        command.name or "mien", list(arguments), parent=parent
    )
    rest = [*getattr(context, "_protected_args", ()), *context.args]
    if command.name == "retrain":
        parse_retrain(rest)
    if not hasattr(command, "resolve_command") or not rest:
        return [command.name]
    _, sub, rest = command.resolve_command(context, rest)
    return [command.name, *parse(sub, rest, context)]


@pytest.mark.parametrize(("line", "whole"), commands())
def test_a_command_line_can_be_read(line: str, whole: bool) -> None:
    arguments = shlex.split(line, comments=True)[1:]
    arguments = arguments[
        : next(
            (i for i, word in enumerate(arguments) if word in {"|", ">", "<", "&&"}),
            None,
        )
    ]
    try:
        parse(typer.main.get_command(app), arguments)
    except typer.Exit:
        pass
    except Exception as exc:
        if whole or type(exc).__name__ not in {"MissingParameter", "NoArgsIsHelpError"}:
            raise AssertionError(f"{line}: {exc}") from exc


def test_there_are_lines_to_read() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "from-the-original.md"}
    assert len(commands()) > 40


@pytest.mark.parametrize(
    "line",
    [
        "mien analyse a.jpg",
        "mien analyze a.jpg --emotions",
        "mien people forgive Ada",
        "mien train x --output",
        "mien crop a",
    ],
)
def test_a_wrong_line_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"No such|Missing|requires"):
        parse(typer.main.get_command(app), shlex.split(line)[1:])


def test_a_wrong_old_option_is_noticed() -> None:
    with pytest.raises(Exception, match="no option of retrain"):
        parse(typer.main.get_command(app), ["retrain", "--image_directory", "x"])
