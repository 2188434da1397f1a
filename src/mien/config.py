"""Settings: `MIEN_*` in the environment, then `mien.toml` in the working folder, then that in the user's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from mien.gallery import NOBODY, check_there, make_gallery
from mien.models.detectors.base import MIN_FACE
from mien.pipeline import DEFAULT_DETECTOR, DEFAULT_EMBEDDER
from mien.store import data_dir, settings_files

if TYPE_CHECKING:
    from mien.said import ServeSettings


@dataclass(frozen=True)
class Settings:
    """What commands take where no option is given; docs/configuration.md says what each is.

    `cache`, `data` and `offline` are read by `store`, in the same order. What `mien serve` takes is `serve_settings`.
    """

    gallery: str | None = None
    detector: str = DEFAULT_DETECTOR
    embedder: str = DEFAULT_EMBEDDER
    tolerance: float | None = None
    false_names: float | None = None
    min_face: int = MIN_FACE
    device: str = "auto"
    threads: int | None = None
    crops: int = 1
    fast: bool = False
    models_dir: Path | None = None
    cache: Path | None = None
    data: Path | None = None
    offline: bool = False


KEYS = frozenset({*(field.name for field in fields(Settings)), "serve"})
_PLACES = ("cache", "data")  # any text will do for them: nothing has to be checked


def gallery_place(
    given: str | None, *, make: bool = False, data: Path | None = None
) -> str | None:
    """Where the people are: as named, else `$MIEN_GALLERY` or mien.toml, else in the user's data folder.

    None for "none", and where nobody was enrolled in the user's own yet. With `make` it is made where it is missing.

    Raises:
        GalleryError: It was named and is not there, or cannot be made.
    """
    named = given or load_settings().gallery
    if named == NOBODY:
        return None
    own = (data or data_dir()) / "people.db"
    place = named or str(own)
    if make:
        make_gallery(place)
    elif named:
        check_there(named)
    return place if named or own.exists() else None


def load_settings(file: Path | None = None) -> Settings:
    """The settings of this process; with `file`, what it says comes before the other files.

    Raises:
        InputError: A value in the environment or in mien.toml cannot be used.
    """
    if file is None and not _more_is_said():
        return Settings(cache=_named("MIEN_CACHE"), data=_named("MIEN_DATA"))
    from mien.said import read_said  # pydantic, which is slow to load

    read = read_said(Settings, file)
    return Settings(**{one.name: getattr(read, one.name) for one in fields(Settings)})


def serve_settings(file: Path | None = None) -> ServeSettings:
    """What `mien serve` takes where no option is given, from the same places.

    Raises:
        InputError: A value in the environment or in mien.toml cannot be used.
    """
    from mien.said import read_said

    return read_said(Settings, file).serve


def _named(variable: str) -> Path | None:
    place = os.environ.get(variable)
    return Path(place) if place else None


def _more_is_said() -> bool:
    """Whether a file is there, or a variable says more than where things are kept."""
    variables = (name.lower() for name, value in os.environ.items() if value)
    said = {
        name.removeprefix("mien_").partition("__")[0]
        for name in variables
        if name.startswith("mien_")
    }
    return bool(said & KEYS.difference(_PLACES)) or any(
        os.path.lexists(file) for file in settings_files()
    )
