"""MkDocs' hooks: pages that are made from the program itself, and those that lie beside `docs/`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import reference
from fastapi import APIRouter, FastAPI
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import mien
from mien import plugins
from mien.zoo import ZOO

ROOT = Path(__file__).parents[1]
BESIDE = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
_ELSEWHERE = re.compile(r"\]\((?!https?:|#|[\w-]+\.(?:md|svg|webp)\b)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is not in `docs/`."""
    pages = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "commands.md": commands(),
        "http.md": http(),
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
    parts = ["# Commands\n"]
    for words, command in reference.commands():
        parts.append(f"## {' '.join(words)}\n\n{reference.plain(command.help)}\n")
        rows = [
            f"| `{spelt.replace(', ', '`, `')}` | {escaped(said)} |"
            for spelt, said in reference.parameters(command)
        ]
        parts.append("\n".join(["| | |", "|---|---|", *rows, ""]) if rows else "")
    return "\n".join(parts)


_ABOUT_ROUTES = """What `mien serve` answers to. Its page `/docs` shows the same with a form to try each route,
without the internet; `/openapi.json` is the document for programs. Keys, limits and shapes: [server.md](server.md).
"""


def http() -> str:
    """Every route with what it takes and gives, from the service's own OpenAPI document."""
    service = FastAPI(title="mien")
    for plugin in plugins.found(plugins.ROUTES).values():
        router = plugin.load()
        service.include_router(router if isinstance(router, APIRouter) else router())
    document = service.openapi()
    parts = ["# Routes\n", _ABOUT_ROUTES]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts.append(f"## {method.upper()} {path}\n\n{route.get('summary', '')}\n")
            parts.append(f"{escaped(route.get('description', ''))}\n")
            rows = [
                f"| `{p['name']}` | {p['in']} | {escaped(p.get('description', ''))} |"
                for p in route.get("parameters", ())
            ]
            parts += ["| | | |", "|---|---|---|", *rows, ""] if rows else []
            answers = ", ".join(f"`{status}`" for status in route["responses"])
            parts.append(f"Answers: {answers}\n")
    return "\n".join(parts)


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
