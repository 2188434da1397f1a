"""Settings: `MIEN_*` in the environment, then `mien.toml` in the working folder, then that in the user's folder."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from mien.errors import InputError
from mien.gallery import NOBODY, check_there, make_gallery
from mien.limits import Limits
from mien.models.detectors.base import MIN_FACE
from mien.pipeline import DEFAULT_DETECTOR, DEFAULT_EMBEDDER
from mien.store import data_dir, settings_files


class ServeSettings(BaseModel):
    """What `mien serve` takes where no option is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    urls: bool = False
    url_hosts: tuple[str, ...] = ()
    results: tuple[Path, ...] = ()
    keep_unknown_days: float | None = Field(default=None, gt=0)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: Limits = Field(default_factory=Limits)


class Settings(BaseSettings):
    """What commands take where no option is given; docs/configuration.md says what each is.

    `cache`, `data` and `offline` are read by `store`, in the same order and without the weight of this class.
    """

    model_config = SettingsConfigDict(
        env_prefix="MIEN_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="ignore",
    )

    first_file: ClassVar[Path | None] = None  # read before the others

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
    serve: ServeSettings = ServeSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        first = settings_cls.first_file if issubclass(settings_cls, Settings) else None
        files = [*([] if first is None else [first]), *settings_files()]
        return (
            init_settings,
            env_settings,
            *(TomlConfigSettingsSource(settings_cls, file) for file in files),
        )


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
    try:
        if file is None:
            return Settings()

        class Further(Settings):
            """Which read one more file, right behind the environment."""

            first_file = file

        return Further()
    except ValidationError as exc:
        wrong = (
            f"{'.'.join(map(str, error['loc']))}: {error['msg'].lower()}"
            for error in exc.errors()
        )
        raise InputError(
            f"a setting cannot be used (MIEN_* in the environment, or mien.toml): {'; '.join(wrong)}"
        ) from exc
    except ValueError as exc:
        raise InputError(
            f"a setting cannot be used (MIEN_* in the environment, or mien.toml): {exc}"
        ) from exc
