"""What is released, a wheel and an sdist, in an empty environment on every Python there is, without a compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = {"3.11": "*.whl", "3.12": "*.tar.gz", "3.13": "*.whl"}
NEWEST = "3.13"

USER = """
import mien

analyzer = mien.Analyzer(only=("age",))
for face in analyzer.analyze("party.jpg").faces:
    name: str | None = face.name
    age: float | None = face.age
wrong: int = analyzer.analyze("party.jpg")
"""


def interpreter(version: str) -> str:
    """A Python of that version, with venv: on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, pyenv.glob(f"{version}.*/bin/python")),
    ]
    for candidate in filter(None, candidates):
        if not subprocess.run(
            [candidate, "-c", "import venv"], capture_output=True, check=False
        ).returncode:
            return candidate
    pytest.skip(f"no Python {version} here")


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("release")
    tools, made = folder / "tools", folder / "dist"
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--target", tools, "hatchling"], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-d", made]
    paths = {**os.environ, "PYTHONPATH": str(tools)}
    subprocess.run(build, check=True, cwd=ROOT, env=paths, capture_output=True)
    return made


@pytest.mark.slow
def test_what_is_in_a_release(released: Path) -> None:
    """Types, weights with their cards, licence; no picture of anybody, nothing of this machine."""
    (wheel,), (sdist,) = released.glob("*.whl"), released.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (about,) = (name for name in names if name.endswith("/METADATA"))
        told = HeaderParser().parsestr(opened.read(about).decode())
    assert {"mien/py.typed", "mien/weights/attributes.onnx"} <= set(names)
    assert {"mien/server/static/index.html", "face_recognition/__init__.py"} <= {*names}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for key in ("Summary", "Keywords", "License-Expression", "Requires-Python"):
        assert told[key]
    assert told["Description-Content-Type"] == "text/markdown"
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "SECURITY.md"} <= inside
    both = [*names, *inside]
    assert [name for name in both if name.endswith((".jpg", ".jpeg", ".dat"))] == []


@pytest.mark.slow(60)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", KINDS)
def test_installs_and_analyzes(
    version: str, released: Path, astronaut_file: Path, tmp_path: Path
) -> None:
    wanted = os.environ.get("MIEN_INSTALL_TESTS") == "all" or "CI" in os.environ
    if version != NEWEST and not wanted:
        pytest.skip(
            "one version is enough on a developer's machine; MIEN_INSTALL_TESTS=all tries every one"
        )
    environment = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        "CC": "/bin/false",
        "CXX": "/bin/false",
        "MIEN_CACHE": str(tmp_path / "cache"),
    }
    (package,) = released.glob(KINDS[version])
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"

    def run(*words: object) -> str:
        return subprocess.run(
            [binaries / str(words[0]), *map(str, words[1:])],
            check=True,
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    pinned = ("--constraint", ROOT / "constraints.txt")
    pip = ("python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(*pip, *pinned, package)
    (face,) = json.loads(run("mien", "analyze", astronaut_file, "--format", "jsonl"))[
        "faces"
    ]
    assert (face["gender"], face["emotion"]) == ("female", "happiness")
    run("python", "-c", "import face_recognition, mien")
    assert "Show this message and exit." in run("face_recognition", "--help")
    environment |= {"_MIEN_COMPLETE": "complete_bash"}
    environment |= {"COMP_WORDS": "mien ana", "COMP_CWORD": "1"}
    assert run("mien").split() == ["analyze"]
    program = tmp_path / "user.py"
    program.write_text(USER, encoding="utf-8")
    checker = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    python = ["--python-executable", binaries / "python"]
    checked = subprocess.run(
        [*checker, *python, program], capture_output=True, text=True, cwd=tmp_path
    )
    assert checked.stdout.count("error:") == 1, checked.stdout
    assert "user.py:8: error: Incompatible types in assignment" in checked.stdout
