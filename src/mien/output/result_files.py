"""Result files of jobs, one JSON record a line: read, searched for names, and rewritten where a name changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mien import store

RESULT, ANNOTATED = "result.jsonl", "annotated.mp4"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a result file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def naming(folder: Path, name: str) -> list[Path]:
    """The result files in the folders of jobs that name a person."""
    return [file for file in sorted(folder.glob(f"*/{RESULT}")) if _names(file, name)]


def _names(file: Path, name: str) -> bool:
    try:
        content = file.read_bytes()
    except FileNotFoundError:  # it went just now
        return False
    if json.dumps(name, ensure_ascii=False).encode() not in content:
        return False
    faces = (face for record in lines(file) for face in record["faces"])
    return any(face.get("name") == name for face in faces)


def relabel(path: Path, relabels: Sequence[tuple[str, str | None]]) -> bool:
    """Changes names in a result file, None forgets one; whether any stood there."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    if not any(
        json.dumps(old, ensure_ascii=False).encode() in content for old, _ in relabels
    ):
        return False
    changed = list(lines(path))
    for face in (face for record in changed for face in record["faces"]):
        for old, new in relabels:
            if face.get("name") == old:
                face["name"] = new
    text = "".join(
        json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        for record in changed
    )
    store.write_atomically(path, text.encode(), secret=True)
    return True
