"""Keys of the service: made once, shown once, kept as hashes in a file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mien import locks, private, store
from mien.errors import InputError
from mien.text import from_json, is_visible

_LONGEST_NAME = 100
ADMIN = "admin"
ROLES = ("read", "analyse", ADMIN)  # each may do what those before it may
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `hash` is the sha256 of the secret, which is 256 random bits and is not kept."""

    id: str
    name: str
    role: str
    hash: str
    created: str


class KeyFile:
    """The keys in a JSON file, read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int, int] | None, dict[str, Key]] = (None, {})

    def add(self, name: str, role: str) -> tuple[Key, str]:
        """A new key, and its secret.

        Raises:
            InputError: No such role, or the file cannot be written.
        """
        if role not in ROLES:
            raise InputError(f"a key's role is one of {', '.join(ROLES)}, not {role!r}")
        if not is_visible(name) or len(name) > _LONGEST_NAME:
            raise InputError(
                f"a key's name is up to {_LONGEST_NAME} characters on one line, not {name[:40]!r}"
            )
        secret = "mien_" + secrets.token_urlsafe(32)
        key = Key(
            secrets.token_hex(4),
            name,
            role,
            _hash(secret),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with self._changing() as keys:
            keys.append(key)
        return key, secret

    def remove(self, key_id: str) -> None:
        """Ends a key.

        Raises:
            InputError: No key has this id.
        """
        with self._changing() as keys:
            kept = [key for key in keys if key.id != key_id]
            if len(kept) == len(keys):
                raise InputError(
                    f"no key has the id {key_id}; 'mien serve key list' shows them"
                )
            keys[:] = kept

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        return list(self._by_hash().values())

    def find(self, secret: str) -> Key | None:
        """The key with this secret."""
        return self._by_hash().get(_hash(secret))

    def _by_hash(self) -> dict[str, Key]:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - called on every request
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            state = None
        with self._lock:
            if state is None:
                self._known = (None, {})
            elif self._known[0] != state:
                self._known = (state, {key.hash: key for key in self._read()})
            return self._known[1]

    def _read(self) -> list[Key]:
        try:
            return [
                Key(**row) for row in from_json(self.path.read_text("utf-8"))["keys"]
            ]
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise InputError(
                f"{self.path} is no list of keys ({exc}); move it away and make new ones"
            ) from exc

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys as they are now, to be changed and then written; nobody else changes them meanwhile."""
        busy = f"another program has been changing {self.path} for {_WAIT_S:.0f} s; try again"
        try:
            home = private.make_home(self.path.parent)
            with locks.locked(
                home / f"{self.path.name}.lock", busy=busy, wait_s=_WAIT_S
            ):
                keys = self._read() if self.path.exists() else []
                yield keys
                rows = {"keys": [asdict(key) for key in keys]}
                content = json.dumps(rows, indent=1, ensure_ascii=False)
                store.write_atomically(
                    self.path, content.encode(), secret=True, durable=True
                )
        except OSError as exc:
            raise InputError(
                f"cannot write {self.path}: {exc.strerror or exc}; choose another --data folder"
            ) from exc


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
