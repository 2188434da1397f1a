"""Files of people: an exported gallery, an object of names and their descriptors, a .npy file of one person."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien import store
from mien.cli.inputs import content_of
from mien.errors import InputError, PhotoNotFound
from mien.gallery import (
    CounterExample,
    Enrolled,
    Gallery,
    Photo,
    ShowsPhotos,
    check_name,
    keeping,
)
from mien.gallery.counter import as_record, from_record
from mien.gallery.folder import SHA256, bare_sha256
from mien.media import images
from mien.space import EmbeddingSpace
from mien.text import from_json
from mien.types import F32

_FORMAT = "mien people 1"
_LONGEST_PICTURE = 200_000  # characters of a small picture in an exported file


def write(
    file: Path,
    rows: Sequence[Mapping[str, object]],
    embedder: str,
    denied: Sequence[CounterExample] = (),
) -> None:
    """Writes photos, and who is `denied` to be whom, as `read_json` reads them, for their user's eyes only.

    Raises:
        InputError: The file cannot be written.
    """
    document: dict[str, object] = {"format": _FORMAT, "embedder": embedder}
    document["photos"] = rows
    if denied:
        document["not"] = [as_record(one) for one in denied]
    try:
        store.write_atomically(
            file,
            json.dumps(document, ensure_ascii=False, indent=1).encode(),
            secret=True,
        )
    except OSError as exc:
        raise InputError(f"cannot write {file}: {exc.strerror or exc}") from exc


def exported(one: Enrolled) -> dict[str, object]:
    """A photo as it stands in an exported file."""
    row = [
        float(f"{value:.9g}") for value in one.photo.embedding
    ]  # 9 digits are all that float32 has
    photo = one.photo
    return {
        "name": one.name,
        "sha256": photo.sha256,
        "source": photo.source,
        "quality": photo.quality,
        "embedding": row,
    }


def picture(gallery: Gallery, one: Enrolled) -> dict[str, str]:
    """The small picture of the face, where there is one."""
    if not isinstance(gallery, ShowsPhotos):
        return {}
    with contextlib.suppress(PhotoNotFound):
        return {
            "thumbnail": base64.b64encode(
                gallery.thumbnail(one.name, one.photo.sha256)
            ).decode()
        }
    return {}


def _bare(row: F32, file: Path) -> Photo:
    return Photo(row, bare_sha256(row), file.name)


def read_npy(
    file: Path, name: str | None, space: EmbeddingSpace
) -> dict[str, list[Photo]]:
    """The descriptors of one person in a .npy file.

    Raises:
        InputError: It is none, or of another size.
    """
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as exc:
        raise InputError(f"{file} is no .npy file of descriptors: {exc}") from exc
    return {
        name or file.stem: [_bare(row, file) for row in _checked(rows, file, space)]
    }


def read_json(
    file: Path, space: EmbeddingSpace
) -> tuple[dict[str, list[Photo]], list[CounterExample]]:
    """The photos of an exported file, or an object of names and their descriptors, by person; and who is not whom.

    Raises:
        InputError: It is neither, damaged, or of another embedder.
    """
    try:
        document = from_json(content_of(file))
    except ValueError as exc:
        raise InputError(f"{file} is no JSON: {exc}") from exc
    people: dict[str, list[Photo]] = {}
    for said, rows, about in _named_rows(document, file, space):
        name = check_name(said)
        photos = [
            replace(_bare(row, file), **about) for row in _checked(rows, file, space)
        ]
        people.setdefault(name, []).extend(photos)
    return people, _denied(document, space)


def _denied(document: Any, space: EmbeddingSpace) -> list[CounterExample]:
    """The counter-examples of an exported file; files of earlier versions have none."""
    if document.get("format") != _FORMAT:
        return []
    found = []
    for record in document.get("not", []):
        example = from_record(record, space)
        picture = str(record.get("thumbnail", ""))
        is_small = len(picture) <= _LONGEST_PICTURE
        found.append(replace(example, thumbnail=_jpeg(picture) if is_small else b""))
    return found


def deny_all(gallery: Gallery, denied: Sequence[CounterExample]) -> None:
    """Remembers all of these; who is enrolled as that person by now is no counter-example."""
    for one in denied:
        face = Photo(one.embedding, "", one.source, thumbnail=one.thumbnail)
        with contextlib.suppress(InputError):
            keeping(gallery).deny(one.name, [face])


def _named_rows(
    document: Any, file: Path, space: EmbeddingSpace
) -> list[tuple[str, Any, dict[str, Any]]]:
    """The name, the descriptors, and what else is known of each photo or of each person's photos."""
    if isinstance(document, dict) and document.get("format") == _FORMAT:
        if document.get("embedder") != space.name:
            theirs = document.get("embedder")
            raise InputError(
                f"{file} holds descriptors of {theirs}, the gallery those of {space.name}; "
                f"for a new gallery of theirs say --embedder, or enrol the photos"
            )
        try:
            return [
                (str(photo["name"]), photo["embedding"], _about(photo))
                for photo in document["photos"]
            ]
        except (KeyError, TypeError) as exc:
            raise InputError(
                f"{file} is an exported gallery that is damaged: {exc!r}; export it anew"
            ) from exc
    if isinstance(document, dict):
        return [(str(name), rows, {}) for name, rows in document.items()]
    raise InputError(
        f"{file} is neither an exported gallery nor an object of {{name: [descriptors]}}"
    )


def _about(photo: dict[str, Any]) -> dict[str, Any]:
    """What an exported photo says of itself, as far as it can be believed; files of earlier versions say nothing."""
    kinds = {"sha256": str, "source": str, "quality": float}
    known: dict[str, Any] = {
        key: kind(photo[key])
        for key, kind in kinds.items()
        if isinstance(photo.get(key), kind | int)
    }
    if not SHA256.fullmatch(known.get("sha256", "")):  # files are named by it
        known.pop("sha256", None)
    picture = photo.get("thumbnail")
    if isinstance(picture, str) and len(picture) <= _LONGEST_PICTURE:
        known["thumbnail"] = _jpeg(picture)
    return known


def _jpeg(text: str) -> bytes:
    """A small picture as it stands in a file; nothing where it is none."""
    with contextlib.suppress(ValueError, InputError):
        content = base64.b64decode(text, validate=True)
        images.read_jpeg(content)
        return content
    return b""


def _checked(rows: Any, file: Path, space: EmbeddingSpace) -> list[F32]:
    try:
        table = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"{file}: descriptors must be lists of {space.size} numbers: {exc}"
        ) from exc
    if table.ndim != 2 or table.shape[1] != space.size or not np.isfinite(table).all():
        raise InputError(
            f"{file}: descriptors must be {space.size} finite numbers each, got shape {table.shape}"
        )
    return list(table)
