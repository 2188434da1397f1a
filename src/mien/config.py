"""Settings: `MIEN_*` in the environment, then `mien.toml` in the working folder, then that in the user's folder."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from mien.errors import InputError
from mien.models.detectors import MIN_FACE
from mien.pipeline import DEFAULT_DETECTOR


class Settings(BaseSettings):
    """What commands take where no option is given."""

    model_config = SettingsConfigDict(env_prefix="MIEN_", env_ignore_empty=True, extra="ignore")

    gallery: str | None = None
    detector: str = DEFAULT_DETECTOR
    tolerance: float | None = None
    min_face: int = MIN_FACE
    device: str = "auto"
    threads: int | None = None
    looks: int = 1

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = [Path("mien.toml"), platformdirs.user_config_path("mien") / "mien.toml"]
        return (init_settings, env_settings, *(TomlConfigSettingsSource(settings_cls, file) for file in files))


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        InputError: A value in the environment or in mien.toml cannot be used.
    """
    try:
        return Settings()
    except (ValidationError, ValueError) as exc:
        raise InputError(f"a setting cannot be used (MIEN_* in the environment, or mien.toml): {exc}") from exc
