"""The numbered SQL files that make a gallery's tables, and what brings an older gallery up to date."""

from __future__ import annotations

import re

import sqlalchemy as sa

from mien import database
from mien.errors import EmbedderMismatch, GalleryError
from mien.space import EmbeddingSpace
from mien.zoo import ZOO

_HASH = re.compile(r"-[0-9a-f]{8}$")  # which file of its name an embedder was


def newest(dialect: str) -> int:
    """The version of a gallery that this mien reads and writes."""
    return len(_files(dialect))


def is_older(connection: sa.Connection) -> bool:
    """Whether there is a gallery that `migrate` would change."""
    return 0 < _version(_about(connection)) < newest(connection.dialect.name)


def space_of(connection: sa.Connection) -> EmbeddingSpace | None:
    """The space of a gallery's descriptors; None where no gallery is yet.

    Raises:
        InputError: What is noted cannot be.
    """
    about = _about(connection)
    name = about.get("embedder")
    if name is None:
        return None
    if "size" not in about:  # made before there were embedders to choose from
        return ZOO[name].space if name in ZOO else None
    numbers = {key: float(about[key]) for key in ("tolerance", "linkage", "duplicate")}
    return EmbeddingSpace(
        name=name,
        size=int(about["size"]),
        metric=about["metric"],  # type: ignore[arg-type]
        **numbers,  # type: ignore[arg-type]
    )


def check_newest(
    connection: sa.Connection, *, place: str, space: EmbeddingSpace
) -> None:
    """What `migrate` checks, of a gallery that may not be changed.

    Raises:
        GalleryError: A newer or older mien made it, or nobody did.
        EmbedderMismatch: It holds the descriptors of another embedder.
    """
    about = _about(connection)
    version = _checked_version(about, connection.dialect.name, place)
    if version == 0:
        raise GalleryError(f"{place} is no gallery, and may not be made one")
    if is_older(connection):
        raise GalleryError(
            f"{place} is of an older mien, and bringing it up to date would write it, which is not allowed; "
            "copy it to where you may write"
        )
    _check_space(about, place, space)


def migrate(connection: sa.Connection, *, place: str, space: EmbeddingSpace) -> int:
    """Makes the tables, or brings those of an older version up to date; the version that was there, 0 of none.

    Runs in the caller's transaction, which must keep others out.

    Raises:
        GalleryError: A newer mien made it.
        EmbedderMismatch: It holds the descriptors of another embedder.
    """
    dialect = connection.dialect.name
    about = _about(connection)
    version, last = _checked_version(about, dialect, place), newest(dialect)
    _check_space(about, place, space)
    for number in range(version + 1, last + 1):
        script = _files(dialect)[number - 1].replace("{size}", str(space.size))
        database.execute(connection, script)
    _note(connection, about, {"version": str(last), **_told_of(space)})
    return version


def check_space(
    connection: sa.Connection, *, place: str, space: EmbeddingSpace
) -> None:
    """Raises EmbedderMismatch where a gallery's descriptors are of another space, by now."""
    _check_space(_about(connection), place, space)


def note_space(connection: sa.Connection, space: EmbeddingSpace) -> None:
    """Writes down what space the descriptors are of from now on."""
    _note(connection, _about(connection), _told_of(space))


def _check_space(about: dict[str, str], place: str, space: EmbeddingSpace) -> None:
    wanted = _told_of(space)
    for key in ("embedder", "size", "metric"):
        if about.get(key, wanted[key]) != wanted[key]:
            kept = about["embedder"], about.get("size", "?")
            raise mismatch(place, *kept, space)


def mismatch(
    place: str, embedder: str, size: object, asked: EmbeddingSpace
) -> EmbedderMismatch:
    """Of a gallery in the space of one embedder, and what was asked of it in another's."""
    theirs, ours = (_HASH.sub("", name) for name in (embedder, asked.name))
    return EmbedderMismatch(
        f"{place} was made with the embedder {embedder} ({size} numbers), not {asked.name} ({asked.size}): "
        f"their descriptors cannot be compared; say --embedder {theirs}, or let "
        f"'mien people reembed --embedder {ours}' describe the photos anew"
    )


def _told_of(space: EmbeddingSpace) -> dict[str, str]:
    fields = space.described()
    return {
        "embedder": str(fields.pop("name")),
        **{key: str(value) for key, value in fields.items()},
    }


def _note(
    connection: sa.Connection, about: dict[str, str], now: dict[str, str]
) -> None:
    """Writes down what is not noted yet."""
    for key in now:
        if about.get(key) == now[key]:
            continue
        connection.execute(sa.text("DELETE FROM about WHERE key = :key"), {"key": key})
        row = {"key": key, "value": now[key]}
        connection.execute(
            sa.text("INSERT INTO about (key, value) VALUES (:key, :value)"), row
        )


def _checked_version(about: dict[str, str], dialect: str, place: str) -> int:
    """Raises GalleryError where a newer mien made it."""
    version, last = _version(about), newest(dialect)
    if version > last:
        raise GalleryError(
            f"{place} has version {version}; this mien reads {last}: update it"
        )
    return version


def _version(about: dict[str, str]) -> int:
    return int(about.get("version", "0"))


def _about(connection: sa.Connection) -> dict[str, str]:
    if not sa.inspect(connection).has_table("about"):
        return {}
    return dict(connection.execute(sa.text("SELECT key, value FROM about")).all())


def _files(dialect: str) -> list[str]:
    return database.scripts(__name__, dialect)
