"""Every public name has an example in its docstring, and every example does what it says."""

from __future__ import annotations

import doctest
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import pytest

import mien
from mien.pipeline import Analyzer
from mien.types import U8

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PUBLIC = {
    name: made
    for name in mien.__all__
    if inspect.isclass(made := getattr(mien, name)) or inspect.isfunction(made)
}


def examples() -> Iterator[doctest.DocTest]:
    page = Path(__file__).parents[1] / "docs" / "python.md"
    text = page.read_text(encoding="utf-8").replace("…, happiness", "..., happiness")
    yield doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    finder = doctest.DocTestFinder(exclude_empty=True)
    yield from doctest.DocTestFinder(recurse=False).find(mien, "mien")
    for name, made in PUBLIC.items():
        module: ModuleType | None = inspect.getmodule(made)
        yield from finder.find(made, name, module=module)


@pytest.fixture(scope="module")
def place(
    astronaut: U8, face_film: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a photo, a film, and a gallery of who is in them."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "people").mkdir()
    for name in ("party.jpg", "people/Eileen Collins.jpg"):
        cv2.imwrite(str(folder / name), astronaut)
    shutil.copy(face_film, folder / "clip.mp4")
    return folder


@pytest.fixture(scope="module")
def names(place: Path, astronaut: U8) -> dict[str, Any]:
    """What examples may use."""
    analyzer = Analyzer(gallery=place / "people")
    photo = place / "party.jpg"
    result = analyzer.analyze(photo)
    there = {"photo": photo, "result": result, "faces": result.faces}
    return {**PUBLIC, "analyzer": analyzer, "image": astronaut, **there}


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", [pytest.param(one, id=one.name) for one in examples() if one.examples]
)
def test_an_example_does_what_it_says(
    example: doctest.DocTest,
    names: dict[str, Any],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    example.globs.update(names)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failed = runner.run(example, out=told.append, clear_globs=False)
    assert not failed.failed, "".join(told)


def test_every_public_name_has_an_example() -> None:
    without = [
        name
        for name, made in PUBLIC.items()
        if ">>>" not in (made.__doc__ or "")
        and not (inspect.isclass(made) and issubclass(made, Exception))
    ]
    assert without == []
