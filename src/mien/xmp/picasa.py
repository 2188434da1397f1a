"""Who Picasa named: the `.picasa.ini` that it keeps in each folder of photos."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException, ElementTree

from mien.xmp.packet import Area, Region

log = logging.getLogger(__name__)

_FILES = (".picasa.ini", "Picasa.ini")  # the second is of Picasa 2
_FACE = re.compile(r"rect64\(([0-9a-f]{1,16})\),([0-9a-f]{1,16})", re.IGNORECASE)
_UPRIGHT = "rotate(0)"
_CONTACTS = "contacts.xml"  # of Picasa's own folder; older ones name people there alone

Sections = Mapping[str, Mapping[str, str]]


def named_in(photo: Path) -> list[Region]:
    """The people Picasa knows in a photo; a face it found and nobody named is none."""
    folder = photo.parent
    file = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if file is None:
        return []
    sections = _sections(file, file.stat().st_mtime_ns)
    # A line is `8e62b2035b74b477=Name;address;`.
    named = {
        number: line.partition(";")[0].strip()
        for number, line in sections.get("contacts2", {}).items()
    }
    people = _contacts(folder / _CONTACTS)
    people |= {number: name for number, name in named.items() if name}
    about = sections.get(photo.name.casefold(), {})
    told = about.get("faces", "")
    if told and about.get("rotate", _UPRIGHT) != _UPRIGHT:
        # Nobody says of which side up these areas are: a wrong guess would give one person another's face.
        log.warning(
            "%s: turned in Picasa and not saved since; its list of faces is passed over",
            photo,
        )
        return []
    return [
        Region(people[person.lower()], _area(rectangle))
        for rectangle, person in _FACE.findall(told)
        if person.lower() in people
    ]


@lru_cache(maxsize=8)
def _sections(file: Path, changed_ns: int) -> Sections:
    """What stands under each heading: photos' names, `picasa`, `contacts2`."""
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = found.setdefault(line[1:-1].casefold(), {})
        elif "=" in line:
            key, _, value = line.partition("=")
            section[key.strip().lower()] = value.strip()
    return found


def _contacts(file: Path) -> dict[str, str]:
    """Names by number from a copy of Picasa's address book, where one lies beside the photos."""
    if not file.is_file():
        return {}
    try:
        book = ElementTree.parse(file)
    except (ParseError, DefusedXmlException, LookupError, ValueError):
        return {}
    rows = [(row.get("id", ""), row.get("name", "")) for row in book.iter("contact")]
    return {number.lower(): name for number, name in rows if number and name}


def _area(rectangle: str) -> Area:
    """Left, top, right and bottom in 16 bits each; leading zeros are left out."""
    number = int(rectangle, 16)
    x1, y1, x2, y2 = ((number >> shift & 0xFFFF) / 0xFFFF for shift in (48, 32, 16, 0))
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
