"""What mien installs with itself may be passed on: no licence that would bind programs that use it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("server", "parquet", "postgres", "watch")
FREE = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software|zlib|Zlib|MPL|Mozilla|LGPL|Lesser|CC0|Unlicense|HPND|SIL|OFL"
    r"|Public Domain|EPL|Eclipse"
)
BINDING = re.compile(
    r"(?<!L)(?<!Lesser )\b(A?GPL|General Public)|Proprietary|NonCommercial"
)


def needed() -> dict[str, Distribution]:
    """What is installed of the requirements, and of theirs."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    further = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for e in EXTRAS for r in further[e])]
    found: dict[str, Distribution] = {}
    while wanted:
        one = Requirement(wanted.pop())
        name = one.name.lower().replace("_", "-")
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(one.name)
        except PackageNotFoundError:
            continue
        wanted += found[name].requires or ()
    return found


def said_by(package: Distribution) -> Iterator[str]:
    """What a package says its licence is."""
    about = package.metadata
    yield about.get("License-Expression") or ""
    yield (about.get("License") or "").strip().partition("\n")[0]
    for line in about.get_all("Classifier") or ():
        if line.startswith("License ::"):
            yield line.rpartition("::")[2]


def test_every_licence_is_known_and_lets_one_pass_it_on() -> None:
    told = {name: " ".join(said_by(package)) for name, package in needed().items()}
    assert len(told) > 20
    assert {name for name, said in told.items() if not FREE.search(said)} <= UNSAID
    bound = {n: s for n, s in told.items() if BINDING.search(s) and n not in LESSER}
    assert bound == {}


UNSAID = {"scipy"}  # its first line is its copyright; BSD by its classifier
LESSER = {
    "pi-heif",
    "psycopg",
    "psycopg-binary",
}  # the Lesser GPL: loaded, not linked in


if __name__ == "__main__":
    for name, package in sorted(needed().items()):
        told = "; ".join(dict.fromkeys(filter(None, said_by(package))))
        print(f"{name} {package.version}: {told or 'says nothing: see UNSAID'}")  # noqa: T201
