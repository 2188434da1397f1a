"""Packages that overwrite each other are noticed, and OpenCV 4 does."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import face_recognition
from mien import installs, runtime
from mien.cli import _told_the_cure
from mien.errors import InputError, ModelError
from mien.output import lettering
from mien.output.window import Window

OPENCV_4 = "opencv-python-headless==4.14.0.94"


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lays the metadata of installed packages out in front of those that are there."""
    monkeypatch.syspath_prepend(tmp_path)

    def packages(*names: str) -> None:
        for name in names:
            folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )

    return packages


def test_one_of_each_is_right() -> None:
    assert installs.clashes() == ()


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["opencv-python"], "opencv-python"),
        (["opencv-contrib-python"], "opencv-contrib-python"),
        (["onnxruntime", "onnxruntime-gpu"], "onnxruntime-gpu"),
    ],
)
def test_two_in_one_folder_are_told_with_the_cure(
    names: list[str], kept: str, lay
) -> None:
    lay(*names)
    (line,) = installs.clashes()
    assert all(name in line for name in names)
    assert line.endswith(f"--force-reinstall --no-deps {kept}")


def test_the_first_error_tells_it(lay, capsys: pytest.CaptureFixture[str]) -> None:
    assert not _told_the_cure(AttributeError("module 'cv2' has no attribute 'imread'"))
    lay("onnxruntime", "onnxruntime-gpu")
    assert _told_the_cure(
        AttributeError("module 'onnxruntime' has no attribute 'InferenceSession'")
    )
    assert (
        "mien: onnxruntime and onnxruntime-gpu are both installed"
        in capsys.readouterr().err
    )
    if "CUDAExecutionProvider" not in runtime.ort.get_available_providers():
        with pytest.raises(ModelError, match="both installed"):
            runtime._providers("cuda")


def test_a_system_without_window_libraries_is_told_the_cure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = "libxcb.so.1: cannot open shared object file: No such file or directory"
    assert _told_the_cure(ImportError(missing))
    told = capsys.readouterr().err
    assert "OpenCV's windows need libxcb.so.1" in told
    assert (
        "mien does without: run 'pip uninstall -y opencv-python && pip install" in told
    )
    assert not _told_the_cure(ImportError("No module named 'torch'"))


def test_without_sdl2_the_window_is_told_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setitem(sys.modules, "sdl2", None)
    with pytest.raises(
        InputError,
        match="run 'pip install --force-reinstall PySDL2 pysdl2-dll', or use --no-window",
    ):
        Window("mien")


def test_labels_without_opencvs_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_HAS_FONTS", False)
    drawn = []
    for text in ("Zoë 31", "Даша", "????"):
        picture = Image.new("RGB", (160, 40))
        lettering.draw_text(picture, (0, 0), text, 24, (255, 255, 255))
        drawn.append(np.asarray(picture))
    assert drawn[0].any()
    assert (drawn[1] == drawn[2]).all()
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.slow
def test_opencv_4_finds_and_labels_the_same(
    astronaut_file: Path, tmp_path: Path
) -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "cv4"),
        OPENCV_4,
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(
            f"the package index gives no {OPENCV_4}: {done.stderr.strip()[-300:]}"
        )
    code = (
        "import sys, cv2, json; from mien.cli import app\n"
        "print(cv2.__version__, file=sys.stderr)\n"
        f"app(['analyze', {str(astronaut_file)!r}, '--format', 'json', '--draw', sys.argv[1]])"
    )
    boxes = []
    for place in (str(tmp_path / "cv4"), ""):
        path = [place, *filter(None, sys.path)] if place else [*filter(None, sys.path)]
        drawn = tmp_path / f"drawn{len(boxes)}.png"
        environment = {
            "PYTHONPATH": ":".join(path),
            "PATH": "/usr/bin",
            "MIEN_CACHE": str(tmp_path / "cache"),
        }
        run = [sys.executable, "-c", code, str(drawn)]
        done = subprocess.run(
            run, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stderr.startswith("4.14" if place else "")
        boxes.append(done.stdout)
        assert drawn.stat().st_size > 10_000
    four, five = (json.loads(text)[0]["faces"] for text in boxes)
    assert [face["box"] for face in four] == [face["box"] for face in five]
    assert [face["gender"] for face in four] == [face["gender"] for face in five]
    assert [face["age"] for face in four] == pytest.approx(
        [face["age"] for face in five], abs=0.3
    )


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of the original `face_recognition`, which holds files where ours are; by call, for its order."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "face_recognition-1.3.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: face_recognition\nVersion: 1.3.0\n"
    )
    (folder / "RECORD").write_text(
        "face_recognition/__init__.py,,\nface_recognition/api.py,,\n"
    )
    return folder


def test_the_drop_in_alone_is_right() -> None:
    assert installs.drop_in() == ""


def test_the_original_beside_ours_is_told_at_import(original: Path) -> None:
    assert installs.clashes() == (installs.drop_in(),)
    with pytest.warns(
        RuntimeWarning,
        match="1.3.0 is installed in the folder of mien's own.*pip uninstall -y",
    ):
        importlib.reload(face_recognition)


def test_a_module_that_is_not_ours_any_more_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "face_recognition")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "face_recognition").mkdir()
    (tmp_path / "face_recognition" / "__init__.py").write_text("__version__ = '1.2.3'")
    assert "install mien again" in installs.drop_in()


@pytest.mark.slow
def test_the_stub_satisfies_requirements_and_holds_nothing(tmp_path: Path) -> None:
    def pip(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            *arguments,
        ]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, **environment},
            check=False,
        )

    source = shutil.copytree(
        Path(__file__).parents[1] / "packages" / "face_recognition-stub",
        tmp_path / "stub",
    )
    into = str(tmp_path / "site")
    made = pip(
        "install", "--no-deps", "--target", into, str(source)
    )  # the build back-end is fetched
    assert made.returncode == 0, made.stderr
    assert {path.name for path in Path(into).iterdir()} == {
        "face_recognition-1.4.0+mien.dist-info"
    }
    wanted = ("face_recognition", "face-recognition>=1.3", "face_recognition==1.4.0")
    assert pip("install", "--no-index", "--dry-run", *wanted).returncode == 1
    satisfied = pip("install", "--no-index", "--dry-run", *wanted, PYTHONPATH=into)
    assert satisfied.returncode == 0, satisfied.stderr
    assert "Would install" not in satisfied.stdout
    code = "from mien import installs; print(installs.clashes())"
    places = os.pathsep.join([into, str(Path(installs.__file__).parents[1])])
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places},
        check=True,
    )
    assert told.stdout.strip() == "()"
