"""Nothing names an attribute, or knows the size of a descriptor, but where the models that are ours are declared."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mien

HOME = Path(mien.__file__).parent
LITERALS = {"emotion", "gender", 128}
MAY = {  # where one may stand, and why
    "zoo.py": "the built-in models",
    "models/attributes/heads.py": "the built-in attributes",
    "models/backbone_head.py": "which emotion network a head was learnt on",
    "types.py": "the public properties of a face",
    "train/export.py": "sizes of what dlib's backbone gives",
    "train/keras/architectures.py": "sizes of networks",
    "train/dataset.py": "the columns of Adience's files",
    "dlib_models/": "dlib's own numbers",
    "models/own.py": "a grey picture",
    "server/routes/analyze.py": "an example in the document; the original's route",
    "text.py": "the end of ASCII",
}
_MAYBE = re.compile("emotion|gender|128|0x80", re.IGNORECASE)
_CLASS = re.compile(r"^ *class (\w+)[(:\[]", re.MULTILINE)
_NAMED = re.compile(r"\b(emotion|gender)", re.IGNORECASE)


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """All files of `src`, the drop-in's too."""
    files = sorted(HOME.parent.rglob("*.py"))
    return {file: file.read_text(encoding="utf-8") for file in files}


def is_literal(node: ast.AST) -> bool:
    plain = isinstance(node, ast.Constant) and type(node.value) in (str, int)
    return plain and node.value in LITERALS


def test_literals_stand_where_built_in_models_are_declared(
    texts: dict[Path, str],
) -> None:
    found = [
        file.relative_to(HOME).as_posix()
        for file, text in texts.items()
        if file.is_relative_to(HOME)
        and _MAYBE.search(text)  # the others need not be parsed
        and any(map(is_literal, ast.walk(ast.parse(text))))
    ]
    assert "models/attributes/heads.py" in found
    assert [place for place in found if not place.startswith(tuple(MAY))] == []
    assert [
        may for may in MAY if not any(place.startswith(may) for place in found)
    ] == []  # nothing is excepted in vain


def test_the_page_names_no_attribute() -> None:
    files = [
        file
        for file in (HOME / "server" / "static").iterdir()
        if file.suffix in {".js", ".html", ".css"}
    ]
    assert len(files) > 10
    named = {
        file.name: _NAMED.findall(file.read_text(encoding="utf-8")) for file in files
    }
    assert {name: words for name, words in named.items() if words} == {}


def test_one_name_is_one_class(texts: dict[Path, str]) -> None:
    """Of everything in `src`: a name that is there twice says what neither of them is.

    But for what the document of the HTTP API says of results: those are the records it says it of.
    """
    where: dict[str, list[str]] = {}
    for file, text in texts.items():
        if file == HOME / "server" / "frames.py":
            continue
        for name in _CLASS.findall(text):
            where.setdefault(name, []).append(file.name)
    assert len(where) > 300
    assert {name: files for name, files in where.items() if len(files) > 1} == {}
