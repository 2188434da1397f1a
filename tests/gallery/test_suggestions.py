"""Which photos of a person are missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from commands import Inside
from mien.media.images import write_image
from mien.suggestions import PhotoTraits, suggest
from mien.types import U8

_FRONT = PhotoTraits(smiles=False, aside=0.02, light=120.0, width=90.0)
_ALL = [
    _FRONT,
    PhotoTraits(smiles=True, aside=0.3, light=60.0, width=90.0),
]


@pytest.mark.parametrize(
    ("traits", "photos", "said"),
    [
        ([], 0, []),
        ([_FRONT], 1, ["there is only one photo"]),
        ([], 3, []),
        (_ALL, 2, []),
        (
            [_FRONT, _FRONT],
            2,
            [
                "no photo with a smile",
                "no photo with the head turned",
                "all photos are in one light",
            ],
        ),
        (
            [PhotoTraits(True, 0.3, light, 40.0) for light in (50.0, 150.0)],
            2,
            ["only small faces"],
        ),
    ],
)
def test_the_rules(traits: list[PhotoTraits], photos: int, said: list[str]) -> None:
    assert suggest(traits, photos) == said


@pytest.mark.slow
@pytest.mark.parametrize("place", ["people", "people.db"])
def test_the_command_looks_at_what_is_kept(
    inside: Inside, astronaut: U8, tmp_path: Path, place: str
) -> None:
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    dark = np.asarray(astronaut // 3, np.uint8)
    for name, picture in (("one", astronaut), ("other", mirrored), ("dark", dark)):
        write_image(tmp_path / f"{name}.png", picture)
    gallery = ["--gallery", tmp_path / place]
    inside("enroll", "Ada", tmp_path / "one.png", tmp_path / "other.png", *gallery)
    inside("enroll", "Eve", tmp_path / "one.png", tmp_path / "dark.png", *gallery)
    inside("enroll", "Ben", tmp_path / "one.png", *gallery)
    done = inside("people", "check", "--missing", "--format", "json", *gallery)
    told = json.loads(done.stdout)["missing"]
    by_name = {one["name"]: one["suggestions"] for one in told}
    assert by_name["Ben"] == ["there is only one photo"]
    assert "all photos are in one light" in by_name["Ada"]
    assert "all photos are in one light" not in by_name["Eve"]
    assert "no photo with the head turned" in by_name["Eve"]
    assert "no photo with a smile" not in by_name["Ada"]
    shown = inside("people", "check", "--missing", *gallery).stdout
    assert "Photos that would help" in shown
    plain = inside("people", "check", "--format", "json", *gallery).stdout
    assert json.loads(plain)["missing"] == []
