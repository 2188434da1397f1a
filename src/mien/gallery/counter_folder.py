"""Counter-examples of a gallery that is a folder: `.not/Ada Lovelace/ID.EMBEDDER.json` in it.

What begins with a dot is nobody's photo: they go where the folder goes, and nobody is enrolled by them.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mien import private, store
from mien.errors import InputError
from mien.gallery.base import Photo
from mien.gallery.counter import CounterExample, as_denied, as_record, from_record
from mien.gallery.names import file_name, name_of
from mien.space import EmbeddingSpace
from mien.text import from_json, printable

log = logging.getLogger(__name__)

HOME = ".not"


class CounterFiles:
    """One file for each face that is not somebody; whose it is not, its folder says."""

    def __init__(self, gallery: Path, space: EmbeddingSpace) -> None:
        self.home = gallery / HOME
        self.space = space
        self._known: tuple[object, list[CounterExample]] = ((), [])

    def _suffix(self) -> str:
        return f".{self.space.name}.json"

    def of(self, name: str) -> list[Path]:
        """The files of a person, of whatever space."""
        return sorted((self.home / file_name(name)).glob("*.json"))

    def read(self) -> list[CounterExample]:
        """All of our space, in the order in which they were said."""
        files = sorted(self.home.glob(f"*/*{self._suffix()}"))
        state = [(file, file.stat().st_mtime_ns) for file in files if file.exists()]
        if self._known[0] != state:
            found = []
            for file in files:
                try:
                    one = from_record(from_json(file.read_bytes()), self.space)
                    found.append(replace(one, name=name_of(file.parent)))
                except FileNotFoundError:  # it went just now
                    continue
                except (ValueError, InputError) as exc:
                    said = "%s is passed over: %s; delete it, or say it anew"
                    log.warning(said, file, exc)
            self._known = state, sorted(found, key=lambda one: (one.added, one.id))
        return self._known[1]

    def add(self, name: str, faces: Sequence[Photo]) -> int:
        """Keeps faces that are not a person; returns how many were new."""
        home, new = self.home / file_name(name), 0
        for number, face in as_denied(faces, self.space).items():
            file = home / (number + self._suffix())
            if file.exists():
                continue
            source, picture = printable(face.source), face.thumbnail
            said = CounterExample(
                number, name, face.embedding, source, time.time(), picture
            )
            content = json.dumps(as_record(said), ensure_ascii=False).encode()
            store.write_atomically(file, content, secret=True, durable=True)
            new += 1
        return new

    def take_back(self, name: str, ids: Collection[str] | None = None) -> int:
        """Deletes some of those of a person (None: all, of whatever space); returns how many there were."""
        gone = [
            file
            for file in self.of(name)
            if ids is None or file.name.partition(".")[0] in ids
        ]
        for file in gone:
            file.unlink(missing_ok=True)
        self._remove_empty(name)
        return len(gone)

    def take_over(self, describe: Callable[[bytes], Photo]) -> int:
        """Describes anew, by their pictures, those that other embedders left; returns how many have none that shows a
        face: they stay."""
        left = 0
        for file in sorted(self.home.glob("*/*.json")):
            if file.name.endswith(self._suffix()):
                continue
            try:
                record = from_json(file.read_bytes())
                picture = base64.b64decode(record["thumbnail"])
                face = describe(picture)
            except (KeyError, TypeError, ValueError, InputError):
                left += 1
                continue
            source = str(record.get("source", ""))
            face = replace(face, source=source, thumbnail=picture)
            self.add(name_of(file.parent), [face])
            file.unlink()
        return left

    def move(self, source: str, target: str) -> None:
        """Makes those of a person another's."""
        for file in self.of(source):
            home = self.home / file_name(target)
            private.make_missing(home)
            file.replace(home / file.name)
        self._remove_empty(source)

    def _remove_empty(self, name: str) -> None:
        for folder in (self.home / file_name(name), self.home):
            with suppress(OSError):  # something is in it, or it was never there
                folder.rmdir()
