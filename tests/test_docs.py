"""What stands in the documents is so: commands, files, settings, code; no link is dead, no word misspelt."""

from __future__ import annotations

import ast
import doctest
import json
import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mien.cli import app
from mien.cli.retrain import _parsed as parse_retrain
from mien.server.problems import TITLES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [
    *PAGES,
    *(
        ROOT / f"{name}.md"
        for name in ("ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG")
    ),
]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MADE = {
    "index.md",
    "commands.md",
    "names.md",
    "models.md",
    "http.md",
}  # by docs/site.py
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


def blocks(language: str) -> list[Any]:
    """The blocks of a language in all documents."""
    return [
        pytest.param(code, id=f"{page.name}-{i}")
        for page in TEXTS
        for i, (name, code) in enumerate(_BLOCK.findall(page.read_text("utf-8")))
        if name == language
    ]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_can_be_read(code: str) -> None:
    """What docs/python.md does is run by test_public_examples.py."""
    if ">>>" in code:
        found = doctest.DocTestParser().get_examples(code)
        code = "".join(example.source for example in found)
    assert ast.parse(code).body


@pytest.mark.parametrize("code", blocks("toml"))
def test_settings_can_be_read(code: str) -> None:
    assert tomllib.loads(code)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    """Files that are linked to, and headings within them, are there."""
    links = _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))
    here = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [link for link in here if not is_there(page, link)] == []


def is_there(page: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    target = page.parent / name if name else page
    if target.name in _MADE and not target.exists():
        return target.parent == ROOT / "docs"
    return target.exists() and (not heading or heading in headings(target))


def headings(page: Path) -> set[str]:
    """Headings as links spell them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    bare = (re.sub(r"[^\w\- ]", "", line.lower()) for line in lines)
    return {line.strip().replace(" ", "-") for line in bare}


def test_every_kind_of_problem_is_told_with_its_status() -> None:
    said = (ROOT / "docs" / "server.md").read_text("utf-8")
    told = said[said.index("`type` is one of") : said.index("429 and 503 say")]
    kinds: dict[str, int] = {}
    for names, status in re.findall(r"((?:`[a-z-]+`,?\s+)+)(\d{3})", told):
        kinds |= dict.fromkeys(re.findall(r"`([a-z-]+)`", names), int(status))
    assert kinds == {kind: status for kind, (status, _) in TITLES.items()}


def test_programs_that_are_named_are_there() -> None:
    named = {
        path
        for page in TEXTS
        for path in re.findall(
            r"python ((?:examples|benchmarks|docs)/\w+\.py)", page.read_text("utf-8")
        )
    }
    assert len(named) > 4
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_no_word_is_misspelt() -> None:
    codespell = shutil.which("codespell") or ROOT / ".venv" / "bin" / "codespell"
    if not Path(codespell).exists():
        pytest.skip("codespell is not installed")
    done = subprocess.run(
        [codespell, *TEXTS, *sorted((ROOT / "src" / "mien" / "weights").glob("*.md"))],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout + done.stderr == ""


def test_the_chart_shows_the_numbers_of_the_table() -> None:
    groups = json.loads((ROOT / "benchmarks" / "peers.json").read_text("utf-8"))
    drawn = runpy.run_path(str(ROOT / "docs" / "chart.py"))["drawn"](groups)
    assert drawn == (ROOT / "docs" / "peers.svg").read_text("utf-8")
    table = (ROOT / "README.md").read_text("utf-8")
    for group in groups:
        rows = [row for row in table.splitlines() if f"`{group['command']}`" in row]
        for value in group["values"].values():
            said = re.compile(rf"(?<![\d.]){value:g}(?![\d.]*\d)")
            assert any(said.search(row) for row in rows), (group["title"], value)
