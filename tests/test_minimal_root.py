"""The wheel's libraries alone are enough: in a root that has Python and the C library, without X, GL or GLib."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import mien

# Those that every Linux wheel may expect (manylinux), less what has to do with screens; and Python's own.
_FORBIDDEN = re.compile(
    r"lib(xcb|X11|Xext|Xrender|GL|EGL|glib|gthread|gobject|SM|ICE|wayland|xkb)"
)
_ENTER = """
set -e
root=$1; shift
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --rbind -o ro "$1" "$root$1"; shift; done; shift
exec chroot "$root" "$@"
"""


def needs(files: Iterable[Path]) -> set[Path]:
    """The system's libraries that these programs and modules load."""
    told = subprocess.run(
        ["ldd", *map(str, files)], capture_output=True, text=True, check=False
    ).stdout
    found = re.findall(r"(?:=> )?(/\S+) \(0x", told)
    return {Path(name) for name in found}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with what Python itself needs of the system."""
    if os.geteuid() or not all(
        map(shutil.which, ("unshare", "chroot", "ldd", "mount"))
    ):
        pytest.skip("a root of its own takes root's rights, unshare, chroot and ldd")
    if subprocess.run(
        ["unshare", "-m", "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("unshare is not allowed here")
    home = tmp_path / "root"
    modules = Path(os.__file__).with_name("lib-dynload").glob("*.so")
    python = [
        Path(sys.executable).resolve(),
        *(one for one in modules if "tkinter" not in one.name),
    ]
    cxx = subprocess.run(
        ["ldconfig", "-p"], capture_output=True, text=True, check=False
    ).stdout
    wheels = re.findall(
        r"=> (/\S+/lib(?:stdc\+\+|gcc_s|rt|dl|pthread|util|m|mvec|resolv)\.so\.\d)$",
        cxx,
        re.M,
    )
    for library in needs(python) | set(map(Path, wheels)):
        place = home / library.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    (home / "tmp").mkdir()
    return home


def within(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command of mien, in that root."""
    ours = str(Path(mien.__file__).parents[1])
    places = {sys.prefix, sys.base_prefix, ours, "/proc"}
    outer = {
        place
        for place in places
        if not any(place.startswith(other + "/") for other in places)
    }
    command = [
        sys.executable,
        "-c",
        "from mien.cli import main; main()",
        *map(str, arguments),
    ]
    environment = {
        "HOME": "/tmp",
        "PYTHONPATH": ours,
        "MIEN_CACHE": "/tmp/cache",
        "MIEN_DATA": "/tmp/data",
    }
    return subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            _ENTER,
            "enter",
            str(root),
            *sorted(outer),
            "--",
            *command,
        ],
        capture_output=True,
        text=True,
        timeout=400,
        env={**environment, "PATH": os.environ["PATH"]},
        check=False,
    )


@pytest.mark.slow
def test_python_and_the_c_library_are_enough(root: Path, astronaut_file: Path) -> None:
    shutil.copy(astronaut_file, root / "tmp" / "ada.png")
    present = [path.name for path in root.rglob("*.so*")]
    assert len(present) > 5
    assert not [name for name in present if _FORBIDDEN.match(name)]
    found = within(
        root, "analyze", "/tmp/ada.png", "--format", "jsonl", "--draw", "/tmp/drawn.jpg"
    )
    assert found.returncode == 0, found.stderr
    (face,) = json.loads(found.stdout)["faces"]
    assert face["gender"] == "female"
    assert (root / "tmp" / "drawn.jpg").stat().st_size > 10_000
    live = within(root, "live", "/tmp/ada.png", "--only", "identity")
    assert (live.returncode, live.stderr.count("\n")) == (2, 1)
    assert "there is no screen (DISPLAY is not set); use --no-window" in live.stderr
