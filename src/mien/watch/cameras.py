"""One camera as it is written down: where its pictures come from, which part of them is looked at, and when."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from mien.sources.base import MOST_CAMERAS
from mien.text import composed, is_visible

_LONGEST_NAME = 100
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:([a-z,-]+)\s+)?(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)")
_MOST_DIGITS = 18
_DAY = 24 * 60  # minutes


class Strict(BaseModel):
    """A table of the file; a key that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of every week: from minute `start` to minute `end` of these days (0 is Monday), `end` of the next day
    where it is not after `start`."""

    days: frozenset[int]
    start: int
    end: int
    text: str

    def __contains__(self, moment: datetime) -> bool:
        minute = moment.hour * 60 + moment.minute
        day = moment.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return day in self.days
        return (day - 1) % 7 in self.days and minute < self.end


def read_hours(text: object) -> Hours:
    """The span that a text like "22:00-06:00" or "mon-fri 8:00-18:00" names.

    Raises:
        ValueError: It names none.
    """
    if isinstance(text, Hours):
        return text
    found = _HOURS.fullmatch(str(text).strip().lower())
    if found is None:
        raise ValueError(f'{text!r} is no time; write "mon-fri 8:00-18:00"')
    start, end = _minute(found[2], found[3]), _minute(found[4], found[5])
    return Hours(frozenset(_days(found[1] or "mon-sun")), start, end, str(text))


def _minute(hour: str, minute: str) -> int:
    at = int(hour) * 60 + int(minute)
    if int(minute) > 59 or at > _DAY:
        raise ValueError(f"there is no {hour}:{minute}; a day goes from 0:00 to 24:00")
    return at


def _days(text: str) -> Iterable[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        for name in (first, last or first):
            if name not in _DAYS:
                raise ValueError(f"{name!r} is no day; days are {', '.join(_DAYS)}")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        yield from ((start + i) % 7 for i in range((end - start) % 7 + 1))


def within(hours: Iterable[Hours], at: float) -> bool:
    """Whether a time (seconds since 1970) lies in one of the spans, by the clock on the wall; none means always."""
    spans = tuple(hours)
    moment = datetime.fromtimestamp(at)
    return not spans or any(moment in span for span in spans)


WrittenHours = Annotated[
    Hours,
    BeforeValidator(read_hours),
    PlainSerializer(lambda hours: hours.text, return_type=str),
]
Point = tuple[float, float]


class Zone(Strict):
    """A part of the picture, as a polygon of points (x, y), in parts of its width and height: to `look` at, or to
    `leave_out`."""

    name: str = ""
    look: tuple[Point, ...] | None = None
    leave_out: tuple[Point, ...] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.look is None) == (self.leave_out is None):
            raise ValueError("a zone has either look or leave_out, a list of points")
        if len(self.points) < 3:
            raise ValueError("a zone needs three points or more")
        for x, y in self.points:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError(
                    f"the point [{x:g}, {y:g}] lies outside the picture: "
                    "points are parts of its width and height, from 0 to 1"
                )
        if self.look is not None and not self.name:
            raise ValueError("a zone to look at needs a name, which its events bear")
        return self

    @property
    def points(self) -> tuple[Point, ...]:
        return self.look or self.leave_out or ()


class Camera(Strict):
    """One camera: its name, where its pictures come from, how they are turned and what of them is looked at."""

    name: str
    source: int | str
    idle_source: str = ""
    user: str = ""
    password_env: str = ""
    password_file: Path | None = None
    turn: Literal[0, 90, 180, 270] = 0
    flip: bool = False
    zones: tuple[Zone, ...] = ()
    least_face: int = Field(default=0, ge=0)
    require_live: bool = False
    hours: tuple[WrittenHours, ...] = ()

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        kept = composed(name)
        if not is_visible(kept) or len(kept) > _LONGEST_NAME:
            raise ValueError(
                f"a camera's name has 1 to {_LONGEST_NAME} printable characters"
            )
        return kept

    @field_validator("source")
    @classmethod
    def _found(cls, source: int | str) -> int | str:
        if isinstance(source, str) and source.isdecimal():
            source = int(source[:_MOST_DIGITS])
        if isinstance(source, int) and not 0 <= source <= MOST_CAMERAS:
            raise ValueError(f"a camera's number is one from 0 to {MOST_CAMERAS}")
        if source == "":
            raise ValueError("source is a camera's number, a file or an address")
        return source

    @field_validator("idle_source")
    @classmethod
    def _is_a_stream(cls, address: str) -> str:
        if address and "://" not in address:
            raise ValueError("the address of a small stream of the same camera")
        return address

    @model_validator(mode="after")
    def _has_one_password(self) -> Self:
        if self.password_env and self.password_file:
            raise ValueError("give password_env or password_file, not both")
        if (self.password_env or self.password_file) and not self.user:
            raise ValueError("a password needs a user")
        return self

    @property
    def uri(self) -> int | str:
        """What to open: the source with its user and password.

        Raises:
            ValueError: The password is not where it is said to be, or others can read it.
        """
        return self._with_login(self.source)

    @property
    def idle_uri(self) -> str:
        """The same of the stream that is looked at while nothing happens. Raises ValueError."""
        return str(self._with_login(self.idle_source))

    def check_secret(self, file: Path) -> None:
        """Raises ValueError where the password is not there, or where others can read it in the file that names the
        camera."""
        if isinstance(self.uri, int) or self.user:
            return
        others = stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        addresses = (self.uri, self.idle_uri)
        if others and any(urlsplit(address).password for address in addresses):
            raise ValueError(
                f"its source holds a password and others can read {file}; "
                f"run: chmod 600 {file}, or use user and password_env"
            )

    def _with_login(self, source: int | str) -> int | str:
        if not self.user or not isinstance(source, str):
            return source
        parts = urlsplit(source)
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        place = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{login}@{place}").geturl()

    @property
    def password(self) -> str:
        """Raises ValueError where it cannot be had."""
        return secret_of(self.password_env, self.password_file)


def secret_of(environment: str, file: Path | None) -> str:
    """What stands in a variable of the environment, or in a file; "" where neither is named.

    Raises:
        ValueError: It cannot be had.
    """
    if file is not None:
        return read_secret(file)
    if not environment:
        return ""
    found = os.environ.get(environment)
    if found is None:
        raise ValueError(f"the environment has no {environment}, a secret; set it")
    return found


def read_secret(file: Path) -> str:
    """The first line of a file that only its user can read.

    Raises:
        ValueError: It cannot be read, or others can read it too.
    """
    try:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"others can read {file}; run: chmod 600 {file}")
        return (file.read_text("utf-8").splitlines() or [""])[0]
    except OSError as exc:
        raise ValueError(f"cannot read {file}: {exc.strerror or exc}") from exc
