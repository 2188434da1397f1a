"""Whatever a program has of a picture, as a frame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import InputError
from mien.media import images
from mien.text import shown
from mien.types import Frame

Picture: TypeAlias = (
    str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any]
)
Origin: TypeAlias = str | Path | bytes | None
COLORS = ("bgr", "rgb")


def frame_of(picture: Picture, color: str = "bgr") -> tuple[Frame, Origin]:
    """The frame of a picture, and where it can be had again: a path or a file's bytes.

    Raises:
        InputError: It cannot be read, or is nothing that could be a picture.
    """
    if isinstance(picture, np.ndarray):
        plain = np.asarray(picture)  # a matrix is one no more
        return Frame(images.as_image(plain, color)), None
    if isinstance(picture, Image.Image):
        name = str(getattr(picture, "filename", ""))
        return Frame(images.of_pillow(picture), source=name), None
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        from mien.sources.http import fetch_image  # a client, for addresses alone

        return Frame(fetch_image(picture), source=picture), None
    if isinstance(picture, str):
        _check_name(picture)
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        return Frame(images.read_image(path), source=str(picture)), path
    content = picture if isinstance(picture, bytes) else _read(picture)
    name = str(getattr(picture, "name", ""))
    return Frame(images.read_image(content), source=name), content


def name_of(picture: Picture) -> str:
    """What a picture is called: its path or address, else nothing."""
    if isinstance(picture, str | os.PathLike):
        return str(picture)
    return str(getattr(picture, "name", "") or getattr(picture, "filename", ""))


def _check_name(name: str) -> None:
    """Raises InputError where a name is empty, or an address from which no picture is fetched."""
    if not name:
        raise InputError("a picture's name is empty: an unset variable?")
    if "://" in name:
        raise InputError(
            f"{shown(name)}: pictures are fetched from http and https; of a stream 'stream' gives results"
        )


def check_color(color: str) -> str:
    """The order of the channels, if it is one.

    Raises:
        InputError: It is none.
    """
    if color not in COLORS:
        raise InputError(f"color is {' or '.join(COLORS)}, got {color!r}")
    return color


def _read(file: Any) -> bytes:
    """The content of an open file.

    Raises:
        InputError: It is none, closed, or one of text.
    """
    try:
        content = file.read() if hasattr(file, "read") else file
    except (OSError, ValueError) as exc:
        raise InputError(
            f"the file cannot be read: {exc}; open it with mode 'rb'"
        ) from exc
    if isinstance(content, bytearray | memoryview):
        content = bytes(content)
    if isinstance(content, str):
        raise InputError("the file is open as text; open it with mode 'rb'")
    if not isinstance(content, bytes):
        raise InputError(
            f"{type(file).__name__} is no picture: give a path, an address, bytes, an open file, "
            "a Pillow picture or an array"
        )
    return content
