"""Where weights are on this machine: found, checked against their hash, converted once and kept in the user's cache."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import importlib.util
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs

from mien import private
from mien.errors import InputError, ModelError
from mien.text import why
from mien.zoo import ZOO, ModelSpec, asked_as

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32


def cache_dir() -> Path:
    """The user's cache folder: `$MIEN_CACHE` or mien.toml's `cache`, else the platform's own place."""
    chosen = _setting("cache")
    return (
        Path(chosen) if chosen else _at_home(platformdirs.user_cache_path, "MIEN_CACHE")
    )


def data_dir() -> Path:
    """Where keys, jobs and people are kept where no other place is named: `$MIEN_DATA` or mien.toml's `data`, else
    the platform's own."""
    chosen = _setting("data")
    return (
        Path(chosen) if chosen else _at_home(platformdirs.user_data_path, "MIEN_DATA")
    )


def settings_files() -> list[Path]:
    """Where settings are looked for, in this order: the working folder, the user's own."""
    files = [Path("mien.toml")]
    with contextlib.suppress(RuntimeError):  # of users without a home folder
        files.append(platformdirs.user_config_path("mien") / "mien.toml")
    return files


def _setting(key: str) -> str | None:
    """One of the settings of `config.Settings`, which stands above what reads weights.

    Raises:
        InputError: A mien.toml cannot be read.
    """
    if value := os.environ.get(f"MIEN_{key.upper()}"):
        return value
    for file in filter(os.path.lexists, settings_files()):
        import tomllib  # for who has such a file alone

        try:
            said = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as exc:
            raise InputError(f"cannot read {file}: {why(exc)}") from exc
        if key in said:
            return str(said[key])
    return None


def is_offline() -> bool:
    """Whether nothing may be downloaded: `$MIEN_OFFLINE`, or mien.toml's `offline`."""
    return (_setting("offline") or "").lower() in {"1", "true", "yes", "on"}


def _at_home(place: Callable[[str], Path], instead: str) -> Path:
    try:
        return place("mien")
    except (
        RuntimeError
    ) as exc:  # a user of a container that nobody wrote into its list of users
        raise InputError(
            f"this user has no home folder; set HOME, or {instead}, to a folder of theirs"
        ) from exc


def path_of(spec: ModelSpec) -> Path:
    """The file of these weights on this machine, not checked yet.

    Raises:
        ModelError: The file is not here; the message says how to get it.
    """
    scheme, _, rest = spec.source.partition(":")
    if scheme == "bundled":
        return Path(__file__).with_name("weights") / rest
    path = _package_file(rest) if scheme == "package" else _download_path(spec)
    if not path.is_file():
        if scheme == "package":
            package = rest.partition("/")[0]
            raise ModelError(
                f"{spec.name} comes with the package {package}, which is not installed; run 'pip install {package}'"
            )
        raise ModelError(
            f"{spec.name} is not on this machine; run 'mien models get {asked_as(spec)}' or 'mien models import FILE'"
        )
    return path


def _package_file(rest: str) -> Path:
    package, _, inside = rest.partition("/")
    found = importlib.util.find_spec(package)
    roots = list(found.submodule_search_locations or ()) if found else []
    return Path(roots[0]) / inside if roots else Path(inside)


def _download_path(spec: ModelSpec) -> Path:
    return cache_dir() / "models" / spec.source.rpartition("/")[2]


def read(spec: ModelSpec) -> bytes:
    """The bytes of these weights, checked against size and sha256.

    Raises:
        ModelError: Missing, unreadable or not the published file.
    """
    path = path_of(spec)
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ModelError(
            f"cannot read {path}: {exc.strerror or exc}; reinstall it or check its permissions"
        ) from exc
    spec.verify(data, path)
    return data


def derived(
    spec: ModelSpec, convert: Callable[[bytes], bytes], *, version: int
) -> bytes:
    """What `convert` makes of the weights: made once, then taken from the cache and checked there.

    A damaged entry is made anew; where the cache cannot be written the result is used from memory.
    Raise `version` when `convert` changes.
    """
    path = cache_dir() / "converted" / f"{spec.name}-{spec.sha256[:12]}-v{version}"
    kept = read_checked(path)
    if kept is not None:
        return kept
    made = convert(read(spec))
    write_checked(path, made)
    return made


def read_checked(path: Path) -> bytes | None:
    """A cache entry's payload, or None where it is missing or damaged."""
    try:
        # In two and past the buffer: a slice would copy it, and so would the buffer.
        with path.open("rb", buffering=0) as file:
            digest, payload = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    if hashlib.sha256(payload).digest() == digest:
        return payload
    log.warning("cache entry %s is damaged and is made anew", path.name)
    return None


def write_checked(path: Path, payload: bytes, *, secret: bool = False) -> None:
    """Keeps a cache entry with its hash in front, atomically; a cache that cannot be written is only logged."""
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, hashlib.sha256(payload).digest() + payload, secret=secret
        )
    except OSError as exc:
        log.info(
            "cannot keep %s in the cache (%s); set MIEN_CACHE to a folder that can be written",
            path.name,
            exc,
        )


def write_atomically(
    path: Path, content: bytes, *, secret: bool = False, durable: bool = False
) -> None:
    """Writes a file so that a reader sees the old one or the whole new one, never a part; `durable` ones outlive a
    power cut.

    Who may read it is for the umask to say; what is `secret` is its user's alone, and so are folders made for it.
    """
    if secret:
        private.make_missing(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".mien-{secrets.token_hex(8)}")
    try:
        with private.new_file(temporary) if secret else temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable and os.name == "posix":
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def download(spec: ModelSpec) -> Path:
    """Fetches weights from their official address into the cache, checked by hash. Only `mien models get` calls this.

    Raises:
        ModelError: Offline, unreachable, or the file is not the published one.
    """
    if spec.bundled:
        return path_of(spec)
    if is_offline():
        raise ModelError(
            f"MIEN_OFFLINE is set; fetch {spec.source} elsewhere and run 'mien models import FILE'"
        )
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    target = _download_path(spec)
    try:
        pooch.retrieve(
            spec.source,
            f"sha256:{spec.sha256}",
            fname=target.name,
            path=target.parent,
            progressbar=False,
        )
    except (OSError, ValueError) as exc:
        raise ModelError(
            f"cannot get {spec.name} from {spec.source}: {exc}; fetch it elsewhere and run 'mien models import FILE'"
        ) from exc
    return target


def import_file(file: Path) -> ModelSpec:
    """Puts a file of weights fetched elsewhere in its place; which weights they are is told by their hash.

    Raises:
        ModelError: The file cannot be read, or is none of the published files.
    """
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
    spec = next((row for row in ZOO.values() if row.sha256 == digest), None)
    if spec is None:
        raise ModelError(
            f"{file} is none of the published models (its sha256 is {digest}); 'mien models' lists them"
        )
    if not spec.bundled:
        target = _download_path(spec)
        try:
            write_atomically(target, file.read_bytes())
        except OSError as exc:
            raise ModelError(
                f"cannot write {target}: {exc}; set MIEN_CACHE to a folder that can be written"
            ) from exc
    return spec


def read_entry(folder: str, key: str) -> bytes | None:
    """What the cache holds under a key, or None."""
    return read_checked(cache_dir() / folder / key)


def write_entry(folder: str, key: str, payload: bytes) -> None:
    """Keeps something in the cache under a key; only its user may read it: such entries are made of people's faces."""
    write_checked(cache_dir() / folder / key, payload, secret=True)


def entries(folder: str, prefix: str) -> list[Path]:
    """The files that the cache holds under keys that begin so."""
    return sorted((cache_dir() / folder).glob(glob.escape(prefix) + "*"))


def clear_entries(folder: str, prefix: str) -> None:
    """Forgets all that the cache holds under keys that begin so."""
    for path in entries(folder, prefix):
        path.unlink(missing_ok=True)


def clear(folder: str) -> None:
    """Removes one folder of the cache ("converted", "models", "descriptors")."""
    shutil.rmtree(cache_dir() / folder, ignore_errors=True)
