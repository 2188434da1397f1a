"""MkDocs' hooks: pages that are made from the program itself, and those that lie beside `docs/`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import mien
from mien.cli import app
from mien.zoo import ZOO

ROOT = Path(__file__).parents[1]
BESIDE = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
_ELSEWHERE = re.compile(r"\]\((?!https?:|#|[\w-]+\.(?:md|svg|webp)\b)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is not in `docs/`."""
    pages = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "commands.md": commands(),
        "names.md": python(),
        "models.md": models(),
    }
    for name in BESIDE:
        pages[name] = (ROOT / name).read_text(encoding="utf-8")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(text: str, **_: Any) -> str:
    """A page of the repository as one of the site: links among pages lead there, links to code are words."""
    for beside in BESIDE:
        text = text.replace(f"](../{beside}", f"]({beside}")
    return _ELSEWHERE.sub("]", text.replace("](docs/", "]("))


def commands() -> str:
    """Every command with its options, as `--help` tells them."""
    top = typer.main.get_command(app)
    parts = ["# Commands\n"]
    for words, command in leaves(top, ("mien",)):
        parts.append(f"## {' '.join(words)}\n\n{plain(command.help)}\n")
        parts.append(table(command.params))
    return "\n".join(parts)


def leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """All commands below one, with the words that call them."""
    names = command.list_commands(click.Context(command))
    for name in names:
        found = command.get_command(click.Context(command), name)
        yield (*words, name), found
        if hasattr(found, "list_commands"):
            yield from leaves(found, (*words, name))


def table(params: list[Any]) -> str:
    rows = [row(p) for p in params if not getattr(p, "hidden", False)]
    return "\n".join(["| | |", "|---|---|", *rows, ""]) if rows else ""


def row(param: Any) -> str:
    names = [*param.opts, *param.secondary_opts]
    if param.param_type_name == "argument":
        names = [(param.metavar or param.name).upper()]
    said = plain(getattr(param, "help", None)).replace("\n", " ")
    return f"| {', '.join(f'`{name}`' for name in names)} | {escaped(said)} |"


def plain(text: str | None) -> str:
    """Help without rich's markup."""
    return re.sub(r"\[/?(?:bold|dim|cyan|green|yellow|italic)\]", "", text or "")


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def python() -> str:
    """The public names with their docstrings."""
    parts = [
        "# Names\n",
        "All public names of `import mien`; how they go together is told in [Python](python.md).\n",
    ]
    for name in sorted(mien.__all__):
        thing = getattr(mien, name)
        doc = inspect.getdoc(thing)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)) or not doc:
            continue
        parts.append(f"## {name}\n\n```python\n{signature(name, thing)}\n```\n")
        parts.append(f"```text\n{doc}\n```\n")
        parts += list(methods(thing))
    return "\n".join(parts)


def methods(thing: object) -> Iterator[str]:
    for name, method in vars(thing).items() if inspect.isclass(thing) else ():
        doc = inspect.getdoc(method)
        if inspect.isfunction(method) and not name.startswith("_") and doc:
            yield f"**`{signature(name, method)}`**\n\n```text\n{doc}\n```\n"


def signature(name: str, thing: Any) -> str:
    try:
        return f"{name}{inspect.signature(thing)}"
    except (TypeError, ValueError):
        return name


def models() -> str:
    """The weights with their licences."""
    head = "| name | for | licence | trained on | size | sha256 |"
    rows = [
        f"| `{m.name}` | {m.task} | {escaped(m.licence)} | {escaped(m.trained_on)} "
        f"| {m.size_bytes / 1e6:.1f} MB | `{m.sha256[:12]}…` |"
        for m in ZOO.values()
    ]
    return "\n".join(["# Models\n", head, "|---|---|---|---|---|---|", *rows, ""])
