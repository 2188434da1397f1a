"""What commands import: a package that a command does without costs its users time at every start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from mien.types import U8

HEAVY = ("av", "cv2", "fastapi", "numpy", "onnxruntime", "pandas", "pyarrow")
HEAVY = (*HEAVY, "pydantic", "ray", "sqlalchemy", "tensorflow", "wasmtime")
HEAVY = (*HEAVY, "PIL.ImageFont", "mien.blur", "mien.gallery.folder")
# Where the command ends, says which of the packages it imported.
_THEN_TELL = """
import sys
from mien.cli import main
try:
    main()
finally:
    print(*sorted(sys.modules.keys() & set({heavy!r})), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The heavy packages that `mien` with these arguments imports."""
    code = _THEN_TELL.format(heavy=HEAVY)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_the_help_of_all_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) == set()


@pytest.mark.slow
def test_a_photo_needs_no_database_no_table_and_no_server(
    astronaut: U8, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), astronaut)
    found = imported("analyze", str(photo))
    unneeded = {"fastapi", "pandas", "pyarrow", "pydantic", "ray", "sqlalchemy"}
    assert not found & unneeded
    assert "onnxruntime" in found


@pytest.mark.slow
def test_a_stream_needs_no_fonts_no_blur_and_no_gallery(
    face_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    one = ("--no-window", "--stats", "--max-frames", "1")
    found = imported("live", str(face_film), *one)
    assert found == {"av", "cv2", "numpy", "onnxruntime", "wasmtime"}


@pytest.mark.skipif(
    not Path("/proc/self/task").exists() or (os.cpu_count() or 1) < 2,
    reason="OpenBLAS has one thread anyway, or nobody tells how many there are",
)
def test_matrices_are_multiplied_in_one_thread() -> None:
    code = "import os; {first}import numpy; print(len(os.listdir('/proc/self/task')))"
    free = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}

    def threads(first: str) -> int:
        command = [sys.executable, "-c", code.format(first=first)]
        return int(
            subprocess.run(command, env=free, check=True, capture_output=True).stdout
        )

    assert threads("import mien.cli; ") == 1 < threads("")
