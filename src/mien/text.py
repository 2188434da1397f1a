"""Names and paths as text: what a file system or a person gave, as every output can hold it."""

from __future__ import annotations

import codecs
import difflib
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

ESCAPE = (
    "mien.escape"  # how outputs write what their encoding lacks; a name for `errors=`
)
_JOINERS = str.maketrans(
    "", "", "\u200c\u200d\ufe0e\ufe0f"
)  # invisible, but Persian and emoji are written with them
_BLANKS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
)  # "printable", and unseen
_SECRET = re.compile(
    r"([?&][^=&#\s]*(?:pass|pwd|secret|token|key|auth|sig)[^=&#\s]*=)[^&#\s]*",
    re.IGNORECASE,
)
_LOGIN = re.compile(  # user and password; one that holds a slash is no port
    r"(\w+://)(?:[^/?#\s]*@|[^/?#\s:@\[]*:(?!\d*(?:[/?#]|$))\S*@)"
)
# Databases take passwords of anything, blanks and slashes too.
_DATABASE_LOGIN = re.compile(r"(postgres(?:ql)?(?:\+\w+)?://).*@", re.IGNORECASE)


def printable(text: str) -> str:
    """The text as UTF-8 can hold it: bytes of a file name that are no UTF-8 stand there as \\xNN."""
    return text.encode("utf-8", ESCAPE).decode("utf-8")


def composed(name: str) -> str:
    """A name as it is kept: accents composed with their letters (NFC; a Mac's file names are not), trimmed."""
    return unicodedata.normalize("NFC", printable(name)).strip()


def shown(address: str) -> str:
    """An address as messages and results show it: without its password, wherever in it that stands; a path as it is."""
    if "://" not in address:
        return address
    without = _LOGIN.sub(r"\1…@", _DATABASE_LOGIN.sub(r"\1…@", address))
    return _SECRET.sub(r"\1…", without)


def counted(count: int, one: str) -> str:
    """A number of things in English, "1 photo", "2 photos"; people are "1 person", "2 people"."""
    if count == 1:
        return f"1 {one}"
    return f"{count} {'people' if one == 'person' else one + 's'}"


def percent(share: float, digits: int = 0) -> str:
    """An estimated share in percent, which never is all or nothing."""
    least = 10 ** -(digits + 2)
    if share < least:
        return f"under {least:.{digits}%}"
    if share > 1 - least:
        return f"over {1 - least:.{digits}%}"
    return f"{share:.{digits}%}"


def is_visible(name: str) -> bool:
    """Whether a name shows something, and nothing in it (but joiners inside of it) is invisible."""
    shown = name.translate(_JOINERS)
    return bool(shown) and shown.isprintable() and not _BLANKS & set(shown)


def from_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: It is none, or nested so deeply that nobody means it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to add to "there is no such name": the known one that is most like it, if one is."""
    by_case = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(word.casefold(), by_case, n=1)
    return f"; did you mean {by_case[near[0]]!r}?" if near else ""


def why(error: Exception) -> str:
    """What an error says, without the number and the name that one of the system repeats."""
    return str(getattr(error, "strerror", None) or error)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    escaped = []
    for character in error.object[error.start : error.end]:
        # What Python makes of a file name's byte that is no UTF-8.
        byte = ord(character) - 0xDC00
        if 0x80 <= byte <= 0xFF:
            escaped.append(f"\\x{byte:02x}")
        else:
            escaped.append(character.encode("ascii", "backslashreplace").decode())
    return "".join(escaped), error.end


codecs.register_error(ESCAPE, _escaped)
