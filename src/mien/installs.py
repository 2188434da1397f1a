"""Packages that write into one folder, each over the other's files: found by their metadata, told with the cure."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_RUNTIME = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-rocm",
)
_HEADLESS = (
    "mien does without: run 'pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless'; "
    "a program that needs them wants, as root on Debian, 'apt-get install libxcb1 libgl1 libglib2.0-0'"
)
_WINDOW_LIBRARIES = (
    "libxcb",
    "libGL",
    "libX",
    "libSM",
    "libICE",
    "libgthread",
    "libglib",
    "libgobject",
)
_MODULE = "face_recognition/__init__.py"
_FOLDERS = {"cv2": OPENCV, "onnxruntime": _RUNTIME}


def lacking(what: str, package: str, extra: str) -> str:
    """What to say where a library of an extra is not installed."""
    return f"{what} needs {package}; run \"pip install 'mien[{extra}]'\""


_AGAIN = "install mien again with pip's --force-reinstall --no-deps"


def clashes() -> tuple[str, ...]:
    """One line for each folder that several installed packages share, with what mends it."""
    told = []
    for folder, names in _FOLDERS.items():
        there = [name for name in names if _installed(name) is not None]
        if len(there) < 2:
            continue
        # The one that can do what the others can: contributed modules, windows, the GPU.
        kept = max(
            there,
            key=lambda name: (
                name != "onnxruntime",
                "contrib" in name,
                "headless" not in name,
            ),
        )
        told.append(
            f"{' and '.join(there)} are both installed in the folder {folder}, "
            "where each overwrites the other; keep one: "
            f"pip uninstall -y {' '.join(there)} && "
            f"pip install --force-reinstall --no-deps {kept}"
        )
    return tuple(filter(None, (*told, drop_in())))


def drop_in() -> str:
    """What is wrong with our module `face_recognition`, with what mends it; nothing where it is ours alone.

    The original distribution puts its files over ours, and uninstalling either deletes the other's. The stub of that
    name in packages/ holds no files.
    """
    original = _installed("face_recognition")
    files = () if original is None else original.files or ()
    if original is not None and any(str(one) == _MODULE for one in files):
        return (
            f"the distribution face_recognition {original.version} is installed in the folder of mien's own, and "
            f"uninstalling either deletes the other's files; run 'pip uninstall -y face_recognition', then {_AGAIN}"
        )
    spec = importlib.util.find_spec("face_recognition")
    if (
        spec is None
        or spec.origin is None
        or "mien" not in Path(spec.origin).read_text(encoding="utf-8")
    ):
        return f"the module face_recognition is not mien's: another package has taken its place or deleted it; {_AGAIN}"
    return ""


def _installed(name: str) -> Distribution | None:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def cure_of(exc: ImportError | AttributeError) -> tuple[str, ...]:
    """What mends a library that does not load; nothing where that is not known."""
    library = str(exc).partition(":")[0]
    if (
        isinstance(exc, ImportError)
        and ".so" in library
        and library.startswith(_WINDOW_LIBRARIES)
    ):
        return (
            f"OpenCV's windows need {library}, which this system has not; {_HEADLESS}",
        )
    return clashes()
