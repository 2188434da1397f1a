"""Counts the rooms of a house and the imports between them, and walks one picture through it, stop by stop.

python benchmarks/rooms.py src                     # or another version's, unpacked by 'git archive'
python benchmarks/rooms.py src --walk PHOTO FILM   # through `analyze`, `live`, the service and `batch`
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

# Notes each module of mien in which a function is called, in any thread and process, the first time it is.
_HOOK = """
import os, sys, threading
seen = set()
def note(frame, event, _):
    code, name = frame.f_code, str(frame.f_globals.get("__name__"))
    made_by_def = code.co_flags & 1 and not code.co_name.startswith("<")
    if name.startswith("mien") and name not in seen and made_by_def:
        seen.add(name)
        with open(os.environ["MIEN_WALK"], "a") as out:
            out.write(name + "\\n")
sys.setprofile(note)
threading.setprofile(note)
"""
_UPLOAD = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
import mien
from mien.server.app import create_app
from mien.server.settings import ServerSettings
app = create_app(ServerSettings(data=Path(sys.argv[2])), mien.Analyzer())
with TestClient(app, base_url="http://127.0.0.1:8000") as client:
    answer = client.post("/v1/analyze", files={"file": Path(sys.argv[1]).read_bytes()})
    assert answer.status_code == 200, answer.text
"""


def modules(source: Path) -> dict[str, Path]:
    """The modules of mien by their names."""
    files = sorted((source / "mien").rglob("*.py"))
    names = (file.relative_to(source).with_suffix("").parts for file in files)
    dotted = (".".join(name).removesuffix(".__init__") for name in names)
    return dict(zip(dotted, files, strict=True))


def imports(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of mien that one imports, at its top or in its functions."""
    found = set()
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in known else node.module for part in parts}
    return found & known.keys() - {name}


def room_of(name: str) -> str:
    """The folder or module right below mien."""
    return name.split(".")[1] if "." in name else name


def count(source: Path) -> None:
    """Prints modules, rooms, and what imports what."""
    known = modules(source)
    pairs = [(a, b) for a in known for b in imports(a, known)]
    doors = {(room_of(a), room_of(b)) for a, b in pairs}
    doors = {(a, b) for a, b in doors if a != b and "mien" not in (a, b)}
    rooms = {room_of(name) for name in known} - {"mien"}
    both = {frozenset(door) for door in doors if door[::-1] in doors}
    folders = sum((source / "mien" / room).is_dir() for room in rooms)
    print(f"{len(known)} modules in {len(rooms)} rooms, {folders} of them folders")
    print(f"{len(pairs)} imports between modules, {len(doors)} pairs of rooms")
    print(f"{len(both)} pairs of rooms import each other")
    users = Counter(a for a, _ in doors)
    print("rooms that use most others:", users.most_common(5))


def walk(source: Path, name: str, command: list[str], scratch: Path) -> None:
    """Prints the modules in which something is called, in the order of their first call."""
    notes = scratch / f"{name}.txt"
    (scratch / "sitecustomize.py").write_text(_HOOK)
    path = os.pathsep.join((str(scratch), str(source.resolve())))
    environment = {**os.environ, "PYTHONPATH": path, "MIEN_WALK": str(notes)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    stops = list(dict.fromkeys(notes.read_text().split()))
    rooms = list(dict.fromkeys(map(room_of, stops)))
    print(f"{name}: {len(stops)} modules, {len(rooms)} rooms: {', '.join(rooms)}")


def walks(source: Path, photo: Path, film: Path) -> None:
    """One photo, one frame, one upload and one file of an archive."""
    mien = [sys.executable, "-c", "from mien.cli import main; main()"]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        out = str(scratch / "out")
        live = ["live", str(film), "--no-window", "--max-frames", "1"]
        batch = ["batch", str(photo), "--output", out, "--jobs", "1"]
        upload = [sys.executable, "-c", _UPLOAD, str(photo), str(scratch / "data")]
        ways = {
            "photo": [*mien, "analyze", str(photo), "--format", "json"],
            "frame": [*mien, *live],
            "upload": upload,
            "archive": [*mien, *batch],
        }
        for name, command in ways.items():
            walk(source, name, command, scratch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--walk", nargs=2, type=Path, metavar=("PHOTO", "FILM"))
    args = parser.parse_args()
    count(args.source)
    if args.walk:
        walks(args.source, *args.walk)


if __name__ == "__main__":
    main()
