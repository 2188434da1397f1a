"""What `MIEN_*` and mien.toml say, checked by pydantic. It is loaded only where they say something."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from mien.errors import InputError
from mien.limits import Limits
from mien.store import settings_files

_WHERE = "a setting cannot be used (MIEN_* in the environment, or mien.toml)"


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


class Said(BaseSettings):
    """What is said for the service; `read_said` adds what is said for commands."""

    model_config = SettingsConfigDict(
        env_prefix="MIEN_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="ignore",
    )

    first_file: ClassVar[Path | None] = None  # read before the others

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
        first = settings_cls.first_file if issubclass(settings_cls, Said) else None
        files = [*([] if first is None else [first]), *settings_files()]
        return (
            init_settings,
            env_settings,
            *(TomlConfigSettingsSource(settings_cls, file) for file in files),
        )


def read_said(settings: type[Any], file: Path | None = None) -> Said:
    """What is said for the fields of a dataclass, and for the service; a `file` comes before the other files.

    Raises:
        InputError: A value in the environment or in mien.toml cannot be used.
    """
    model = _with_fields(settings)  # type: ignore[arg-type]  # a type is hashable
    try:
        if file is None:
            return model()

        class Further(model):  # type: ignore[misc, valid-type]
            """Which read one more file, right behind the environment."""

            first_file = file

        return Further()
    except ValidationError as exc:
        wrong = (
            f"{'.'.join(map(str, error['loc']))}: {error['msg'].lower()}"
            for error in exc.errors()
        )
        raise InputError(f"{_WHERE}: {'; '.join(wrong)}") from exc
    except ValueError as exc:
        raise InputError(f"{_WHERE}: {exc}") from exc


@cache
def _with_fields(settings: type[Any]) -> type[Said]:
    kinds = get_type_hints(settings)
    more: dict[str, Any] = {
        field.name: (kinds[field.name], field.default) for field in fields(settings)
    }
    return create_model(settings.__name__, __base__=Said, **more)
