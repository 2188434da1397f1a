"""Packages that write into one folder, each over the other's files: found by their metadata, told with the cure."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_RUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm")
_HEADLESS = (
    "run 'pip uninstall -y opencv-python && pip install opencv-python-headless' (all but the window of mien live "
    "works then), or as root on Debian 'apt-get install libxcb1 libgl1 libglib2.0-0'"
)
_WINDOW_LIBRARIES = ("libxcb", "libGL", "libX", "libSM", "libICE", "libgthread", "libglib", "libgobject")
_FOLDERS = {"cv2": _OPENCV, "onnxruntime": _RUNTIME}


def clashes() -> tuple[str, ...]:
    """One line for each folder that several installed packages share, with what mends it."""
    return tuple(filter(None, (_clash(folder, names) for folder, names in _FOLDERS.items())))


def _clash(folder: str, names: Iterable[str]) -> str:
    there = [name for name in names if _installed(name)]
    if len(there) < 2:
        return ""
    kept = _kept(there)
    return (
        f"{' and '.join(there)} are both installed in the folder {folder}, where each overwrites the other; keep one: "
        f"pip uninstall -y {' '.join(there)} && pip install --force-reinstall --no-deps {kept}"
    )


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _kept(there: list[str]) -> str:
    """The one that can do what the others can: with the contributed modules, with windows, for the GPU."""
    return max(there, key=lambda name: (name != "onnxruntime", "contrib" in name, "headless" not in name))


def cure_of(exc: ImportError | AttributeError) -> tuple[str, ...]:
    """What mends a library that does not load; nothing where that is not known."""
    library = str(exc).partition(":")[0]
    if isinstance(exc, ImportError) and ".so" in library and library.startswith(_WINDOW_LIBRARIES):
        return (f"OpenCV's windows need {library}, which this system has not; {_HEADLESS}",)
    return clashes()
