"""Writes a manual page for each command: python docs/man.py FOLDER, then man -l FOLDER/mien-analyze.1"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import reference

import mien


def page(words: tuple[str, ...], command: Any) -> str:
    """One page in man's language."""
    summary, _, more = reference.plain(command.help).strip().partition("\n")
    name = "-".join(words)
    lines = [
        f'.TH "{name.upper()}" 1 "" "mien {mien.__version__}" "mien"',
        ".SH NAME",
        f"{roff(name)} \\- {roff(summary)}",
        ".SH SYNOPSIS",
        f".B {roff(' '.join(words))}",
        roff(" ".join(["[OPTIONS]", *arguments(command)])),
    ]
    if more.strip():
        lines += [".SH DESCRIPTION", *paragraphs(more)]
    told = reference.parameters(command)
    lines += [".SH OPTIONS"] if told else []
    for spelt, said in told:
        lines += [".TP", f".B {roff(spelt)}", roff(said)]
    lines += [".SH SEE ALSO", ".BR mien (1)", ""]
    return "\n".join(lines)


def overview(pages: list[tuple[tuple[str, ...], Any]]) -> str:
    """The page of `mien` itself."""
    lines = [
        f'.TH "MIEN" 1 "" "mien {mien.__version__}" "mien"',
        ".SH NAME",
        "mien \\- where faces are, who they are, how old, which gender, which emotion",
        ".SH SYNOPSIS",
        ".B mien",
        "COMMAND [OPTIONS] ...",
        ".SH COMMANDS",
    ]
    for words, command in pages:
        summary = reference.plain(command.help).strip().partition("\n")[0]
        lines += [".TP", f".B {roff(' '.join(words))}", roff(summary)]
    return "\n".join([*lines, ""])


def arguments(command: Any) -> list[str]:
    found = [p for p in command.params if p.param_type_name == "argument"]
    return [f"{reference.spelt(p)}{'...' if p.nargs == -1 else ''}" for p in found]


def paragraphs(text: str) -> list[str]:
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    return [line for part in parts if part for line in (".PP", roff(part))]


def roff(text: str) -> str:
    """Text that man shows as it stands."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def main(folder: str) -> None:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    pages = list(reference.commands())
    (place / "mien.1").write_text(overview(pages), encoding="utf-8")
    for words, command in pages:
        file = place / f"{'-'.join(words)}.1"
        file.write_text(page(words, command), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
