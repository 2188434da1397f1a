"""What a mien.toml says about watching, checked as a whole before anything starts."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from mien.config import KEYS
from mien.errors import InputError
from mien.text import did_you_mean, shown, why
from mien.watch.cameras import Camera, Strict, WrittenHours, secret_of
from mien.watch.visits import LONGEST_CLIP_S

T = TypeVar("T", bound=BaseModel)

_MOST_DAYS = 36_500
_EXAMPLE = '[[cameras]] with name = "door" and source = "rtsp://…"'


class Keeping(Strict):
    """What is kept: visits for `keep_days` (None: no more of them; 0: nor those that are kept), pictures of them, clips
    from `keep_clips` seconds before they began to as many after (None: none), strangers' descriptors for `keep_unknown`
    days. Who is not seen for `absence_s` has gone."""

    keep_days: float | None = Field(default=None, ge=0, le=_MOST_DAYS)
    keep_pictures: Literal["none", "face", "frame"] = "none"
    keep_clips: float | None = Field(default=None, ge=1, le=LONGEST_CLIP_S)
    keep_unknown: float | None = Field(default=None, gt=0, le=_MOST_DAYS)
    absence_s: float = Field(default=10.0, ge=1, le=3600)

    @model_validator(mode="after")
    def _keeps_visits(self) -> Self:
        if self.keep_clips is not None and not self.keep_days:
            raise ValueError("keep_clips keeps clips with visits: say keep_days, too")
        return self


class Webhook(Strict):
    """An address that gets what rules say, signed with a secret: as JSON, or (`format = "text"`) once for each visit as
    a line of text, with the best `picture` that is kept by choice, as ntfy takes it."""

    name: str
    url: str
    format: Literal["json", "text"] = "json"
    picture: bool = False
    secret_env: str = ""
    secret_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_web(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{shown(url)} is no http or https address")
        return url

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.picture and self.format == "json":
            raise ValueError('picture = true goes with format = "text"')
        return self

    @property
    def secret(self) -> str:
        """Raises ValueError where it cannot be had."""
        return secret_of(self.secret_env, self.secret_file)


class Mqtt(Strict):
    """A broker that gets every event, and who is where."""

    host: str
    port: int = Field(default=1883, ge=1, le=65535)
    user: str = ""
    password_env: str = ""
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    prefix: str = Field(default="mien", pattern=r"^[\w/-]+$")
    discovery: str = Field(default="homeassistant", pattern=r"^[\w/-]*$")

    @property
    def password(self) -> str:
        """Raises ValueError where it cannot be had."""
        return secret_of(self.password_env, self.password_file)


class Rule(Strict):
    """Which visits are told to which webhooks: of whom ("anybody", "known", "unknown", or names), before which cameras,
    when, at most once in `every_minutes` for the same person and camera, after so many `sightings`."""

    name: str = ""
    who: Literal["anybody", "known", "unknown"] | tuple[str, ...] = "anybody"
    cameras: tuple[str, ...] = ()
    hours: tuple[WrittenHours, ...] = ()
    every_minutes: float = Field(default=0, ge=0)
    sightings: int = Field(default=0, ge=0)
    tell: tuple[str, ...] = ()

    def is_about(self, who: object, person: str | None) -> bool:
        """Whether somebody is one of those it is about; nobody knows yet of whom it is unsure."""
        if self.who == "anybody":
            return True
        if isinstance(self.who, str):
            return who == self.who
        return person in self.who


class WatchFile(Strict):
    """All that is written down."""

    cameras: tuple[Camera, ...] = ()
    watch: Keeping = Keeping()
    webhooks: tuple[Webhook, ...] = ()
    rules: tuple[Rule, ...] = ()
    mqtt: Mqtt | None = None

    def check_cameras(self, file: Path) -> None:
        """Raises InputError where its cameras that are right one by one cannot be watched together."""
        if not self.cameras:
            raise InputError(f"{file} names no camera; add {_EXAMPLE}")
        _check_names("cameras", [camera.name for camera in self.cameras], file)
        for camera in self.cameras:
            try:
                camera.check_secret(file)
            except ValueError as exc:
                raise InputError(f"{file}: camera {camera.name!r}: {exc}") from exc
            source = camera.source
            if (
                isinstance(source, str)
                and "://" not in source
                and not Path(source).exists()
            ):
                raise InputError(
                    f"{file}: camera {camera.name!r}: there is no file {source}"
                )

    def check_telling(self, file: Path) -> None:
        """Raises InputError where a rule names what there is not, or a secret cannot be had."""
        _check_names("webhooks", [hook.name for hook in self.webhooks], file)
        there = {
            "cameras": [camera.name for camera in self.cameras],
            "tell": [hook.name for hook in self.webhooks],
        }
        for number, rule in enumerate(self.rules, start=1):
            for key, known in there.items():
                for name in getattr(rule, key):
                    if name not in known:
                        what = "camera" if key == "cameras" else "webhook"
                        raise InputError(
                            f"{file}: rule {rule.name or number}: there is no {what} "
                            f"{name!r}{did_you_mean(name, known)}"
                        )
        if self.rules and not self.webhooks:
            raise InputError(f"{file}: rules tell webhooks, and there is none; add one")
        secrets = {
            f"webhook {hook.name!r}": (hook.secret_env, hook.secret_file)
            for hook in self.webhooks
        }
        if self.mqtt is not None:
            secrets["mqtt"] = (self.mqtt.password_env, self.mqtt.password_file)
        for whose, (environment, secret_file) in secrets.items():
            try:
                secret_of(environment, secret_file)
            except ValueError as exc:
                raise InputError(f"{file}: {whose}: {exc}") from exc


def find_file(given: Path | None) -> Path:
    """The file named, else mien.toml in the working folder, else that in the user's.

    Raises:
        InputError: There is none.
    """
    places = [Path("mien.toml"), platformdirs.user_config_path("mien") / "mien.toml"]
    if given is not None:
        places = [given]
    for place in places:
        if place.is_file():
            return place
        if place.exists():
            raise InputError(f"{place} is no file; name a mien.toml")
    raise InputError(
        f"there is no {' and no '.join(map(str, places))}; write one with {_EXAMPLE}"
    )


def read_file(file: Path, *, cameras_needed: bool = True) -> WatchFile:
    """What a file says; without `cameras_needed` they may be added later.

    Raises:
        InputError: It cannot be read, or something in it cannot be: all that is wrong, a line each; or clips are to be
            kept and nothing here codes video.
    """
    try:
        said = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise InputError(f"cannot read {file}: {why(exc)}") from exc
    own = {name: said[name] for name in said if name not in KEYS}
    try:
        found = WatchFile.model_validate(own)
    except ValidationError as exc:
        wrong = [_sentence(error, own) for error in exc.errors()]
        raise InputError("\n".join(f"{file}: {line}" for line in wrong)) from exc
    if found.watch.keep_clips is not None:
        from mien.output.video import check_encoder

        check_encoder()
    found = _found_beside(found, file.parent)
    if found.cameras or cameras_needed:
        found.check_cameras(file)
    found.check_telling(file)
    return found


def _found_beside(said: T, folder: Path) -> T:
    """A table with its files found from the folder of the file that names them."""
    changes: dict[str, object] = {}
    for name in type(said).model_fields:
        value = getattr(said, name)
        film = name == "source" and isinstance(value, str) and "://" not in value
        if isinstance(value, Path):
            changes[name] = folder / value
        elif film:
            changes[name] = str(folder / value)
        elif isinstance(value, BaseModel):
            changes[name] = _found_beside(value, folder)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            changes[name] = tuple(_found_beside(one, folder) for one in value)
    return said.model_copy(update=changes)


def _check_names(what: str, names: Sequence[str], file: Path) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise InputError(f"{file}: two {what} are called {doubled[0]!r}; rename one")


def _sentence(error: Any, said: Mapping[str, Any]) -> str:
    """What pydantic found, with the place as the user wrote it."""
    *place, last = error["loc"]
    if isinstance(last, int):  # one of a list is named by what it is
        place.append(last)
    where, model = _place(place, said)
    if error["type"] == "extra_forbidden":
        known = model.model_fields if model is not None else ()
        near = did_you_mean(str(last), known)
        return f"{where}there is no key {last!r}{near}"
    message = error["msg"].removeprefix("Value error, ")
    if isinstance(last, int) or (error["type"] == "value_error" and not place):
        return f"{where}{message}"
    return f"{where}{last}: {message}"


def _place(path: Sequence[str | int], said: Any) -> tuple[str, type[BaseModel] | None]:
    """The names along a path, and the table it leads to."""
    words: list[str] = []
    model: type[BaseModel] | None = WatchFile
    for step in path:
        inside = isinstance(said, Mapping | Sequence) and not isinstance(said, str)
        try:
            said = said[step] if inside else None
        except (KeyError, IndexError):
            said = None
        if isinstance(step, int):
            name = said.get("name") if isinstance(said, Mapping) else None
            words[-1:] = [f"{words[-1].removesuffix('s')} {name or step + 1}"]
        else:
            model = _model_of(model, step)
            words.append(step)
    return "".join(f"{word}: " for word in words), model


def _model_of(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """The table that stands under a key of another one."""
    if model is None or key not in model.model_fields:
        return None
    annotation = model.model_fields[key].annotation
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
