"""The original's published tests, fetched once from the package index, and an environment where dlib cannot be had."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mien.types import U8

ORIGINAL = "face_recognition==1.3.0"
BLOCK = """
import sys

class NoDlib:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("dlib", "_dlib_pybind11"):
            raise ImportError(name + " cannot be imported here")

sys.meta_path.insert(0, NoDlib())
"""


@pytest.fixture(scope="session")
def original_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original's source package, unpacked; nothing of it is kept or imported."""
    folder = tmp_path_factory.mktemp("original")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "face-recognition",
    ]
    done = subprocess.run(
        [*pip, "--dest", str(folder), ORIGINAL],
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        pytest.skip(
            f"the package index gives no {ORIGINAL}: {done.stderr.strip()[-300:]}"
        )
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


@pytest.fixture(scope="session")
def original_tests(
    original_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of the original's tests, away from its package, which would be imported instead of ours."""
    folder = tmp_path_factory.mktemp("alone") / "tests"
    shutil.copytree(original_source / "tests", folder)
    return folder


@pytest.fixture(scope="session")
def without_dlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with which `import dlib` fails."""
    folder = tmp_path_factory.mktemp("without_dlib")
    (folder / "sitecustomize.py").write_text(BLOCK)
    return folder


@pytest.fixture(scope="session")
def photo(astronaut: U8) -> U8:
    """A photo (512, 512, 3) RGB with one face."""
    return np.ascontiguousarray(astronaut[..., ::-1])
