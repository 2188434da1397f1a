"""`pip install .` into an empty environment, on every Python there is, without a compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """A Python of that version, with venv: on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, pyenv.glob(f"{version}.*/bin/python")),
    ]
    for candidate in filter(None, candidates):
        if (
            subprocess.run(
                [candidate, "-c", "import venv"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return candidate
    pytest.skip(f"no Python {version} here")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VERSIONS)
def test_installs_and_analyzes(
    version: str, astronaut_file: Path, tmp_path: Path
) -> None:
    if (
        version != VERSIONS[-1]
        and os.environ.get("MIEN_INSTALL_TESTS") != "all"
        and "CI" not in os.environ
    ):
        pytest.skip(
            "one version is enough on a developer's machine; MIEN_INSTALL_TESTS=all tries every one"
        )
    environment = {
        **os.environ,
        "CC": "/bin/false",
        "CXX": "/bin/false",
        "MIEN_CACHE": str(tmp_path / "cache"),
    }
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    pip = [
        binaries / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        ROOT / "constraints.txt",
        ROOT,
    ]
    subprocess.run(pip, check=True, env=environment, cwd=tmp_path)
    command = [binaries / "mien", "analyze", astronaut_file, "--format", "jsonl"]
    result = subprocess.run(
        command,
        check=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    (face,) = json.loads(result.stdout)["faces"]
    assert (face["gender"], face["emotion"]) == ("female", "happiness")
    subprocess.run(
        [binaries / "python", "-c", "import face_recognition, mien"],
        check=True,
        cwd=tmp_path,
    )
    helped = subprocess.run(
        [binaries / "face_recognition", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Show this message and exit." in helped.stdout
