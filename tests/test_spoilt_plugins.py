"""What goes wrong inside a stranger's part says whose it is; nothing of it is a traceback of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

import mien
from commands import Inside
from mien import errors, plugins
from mien.errors import PluginError
from mien.server.app import _add_routes
from mien.server.problems import TITLES, kind_of
from mien.types import U8, Faces

CODE = """
from dataclasses import replace
import numpy as np
from mien import Attribute, EmbeddingSpace, Faces, Scores

class Stage:
    attributes = (Attribute("odd", labels=("no", "yes")),)
    def __init__(self, compute):
        pass

class Raises(Stage):
    def __call__(self, image, faces):
        raise ValueError("inside")

class Nothing(Stage):
    def __call__(self, image, faces):
        return None

class Wide(Stage):
    def __call__(self, image, faces):
        rows = np.zeros((len(faces), 3), np.float32)
        return faces.with_attributes(Scores(self.attributes[0], rows))

class Unbuilt(Stage):
    def __init__(self, compute):
        raise OSError("no weights")

class Bare:
    def __init__(self, compute):
        pass

class Detector:
    aligns_by = "box"
    def __init__(self, min_face, compute):
        pass

class Blind(Detector):
    def __call__(self, image):
        return []

class Lost(Detector):
    def __call__(self, image):
        boxes = np.full((1, 4), np.nan, np.float32)
        return Faces(boxes, np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))

class Long:
    space = EmbeddingSpace("long", size=8, metric="cosine", tolerance=0.5, linkage=0.4, duplicate=0.1)
    def __init__(self, compute):
        pass
    def __call__(self, image, faces):
        return replace(faces, embeddings=np.ones((len(faces), 9), np.float32))

class Full:
    def __init__(self, path, told):
        pass
    def write(self, record):
        raise ValueError("no room in it")
    def close(self):
        pass

def number():
    return 5

def gallery(place, **wants):
    raise ValueError("no such cloud")
"""

PARTS = {
    plugins.ATTRIBUTES: ["Raises", "Nothing", "Wide", "Unbuilt", "Bare"],
    plugins.DETECTORS: ["Blind", "Lost"],
    plugins.EMBEDDERS: ["Long"],
    plugins.FORMATS: ["Full"],
    plugins.GALLERIES: ["gallery"],
    plugins.COMMANDS: ["number"],
    plugins.ROUTES: ["number"],
}


@pytest.fixture(autouse=True)
def _spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose parts all go wrong, each in its own way."""
    (tmp_path / "spoilt.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(plugins.OFF, raising=False)
    monkeypatch.setattr(
        plugins,
        "_of_packages",
        lambda group: {
            name.lower(): plugins.Plugin(
                group,
                name.lower(),
                "spoilt",
                f"spoilt:{name}",
            )
            for name in PARTS.get(group, ())
        },
    )


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("raises", "the package spoilt failed: ValueError: inside; mend or uninstall"),
        ("nothing", "spoilt.Nothing gives NoneType, not Faces"),
        ("wide", r"the package spoilt failed: .*shape \(1, 3\)"),
        ("unbuilt", "the package spoilt failed: OSError: no weights"),
        ("bare", "makes Bare, which has no 'attributes'"),
    ],
)
def test_an_attribute(part: str, words: str, astronaut: U8) -> None:
    with pytest.raises(PluginError, match=words):
        mien.Analyzer(only=["odd"], attributes=[part]).analyze(astronaut)


@pytest.mark.parametrize(
    ("part", "words"),
    [("blind", "spoilt.Blind gives list"), ("lost", "boxes that are no numbers")],
)
def test_a_detector(part: str, words: str, astronaut: U8) -> None:
    analyzer = mien.Analyzer(only=["age"], detector=part)
    with pytest.raises(PluginError, match=words):
        analyzer.analyze(astronaut)
    with pytest.raises(PluginError, match=words):
        analyzer.session().step(mien.Frame(astronaut))


def test_an_embedder(astronaut: U8) -> None:
    analyzer = mien.Analyzer(only=["identity"], embedder="long")
    with pytest.raises(PluginError, match="9 numbers of a face, its space has 8"):
        analyzer.analyze(astronaut)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("analyze", "PHOTO", "--only", "age", "--format", "full"), "no room in it"),
        (("people", "--gallery", "gallery://x"), "no such cloud"),
        (("number",), "is no typer.Typer"),
    ],
)
def test_commands(
    command: tuple[str, ...], words: str, astronaut_file: Path, inside: Inside
) -> None:
    done = inside(
        *(str(astronaut_file) if word == "PHOTO" else word for word in command)
    )
    assert done.returncode == 2
    assert done.stderr.startswith("mien: ")
    assert words in done.stderr
    assert "spoilt" in done.stderr


def test_routes(caplog: pytest.LogCaptureFixture) -> None:
    part = plugins.found(plugins.ROUTES)["number"]
    assert _add_routes(FastAPI(), part) == []
    assert "spoilt is no APIRouter" in caplog.text


def test_every_error_of_ours_is_an_answer() -> None:
    """An error without one ended a request with another error, which said nothing."""
    kinds = [errors.MienError]
    for one in kinds:
        kinds += one.__subclasses__()
    assert len(kinds) > 10
    assert {kind_of(one("said")) for one in kinds} <= TITLES.keys()
    assert TITLES[kind_of(PluginError("said"))][0] == 503


def test_what_a_program_itself_gives_fails_as_it_does(astronaut: U8) -> None:
    class Mine:
        attributes = (mien.Attribute("mine"),)

        def __call__(self, image: U8, faces: Faces) -> Faces:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        mien.Analyzer(only=["mine"], attributes=[Mine()]).analyze(astronaut)
