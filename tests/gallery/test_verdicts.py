"""What a photo adds to a person, in every kind of gallery."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import Inside
from gallery.test_galleries import bare, photo
from mien.gallery import Gallery
from mien.gallery.verdicts import judge
from mien.media import images
from mien.pipeline import Analyzer
from mien.quality import Quality
from mien.types import U8


def test_of_nobody_yet_and_nothing(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    assert judge(gallery, "Ada", []) == []
    assert judge(gallery, "Ada", [bare(1)]) == ["good"]
    assert judge(gallery, "Ada", [replace(bare(1), poor="blurred")]) == ["blurred"]


def test_what_is_there_and_what_is_far(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1), bare(1, aside=0.3)])
    gallery.enroll("Ben", [bare(2)])
    new = [bare(1), bare(1, aside=0.2), bare(2), photo(3), photo(3)]
    assert judge(gallery, "Ada", new) == [
        "already there",
        "good",
        "far from the others",
        "far from the others",
        "already there",
    ]


def test_the_odd_one_of_several_new_ones(reopen: Callable[[], Gallery]) -> None:
    new = [bare(2), bare(1), bare(1, aside=0.2), bare(1, aside=0.3)]
    assert judge(reopen(), "Ada", new) == ["far from the others", *["good"] * 3]


def test_the_weakest_part_is_said() -> None:
    size, sharpness, frontality = np.array(
        [[0.2, 1, 0.9], [0.9, 0.3, 0.9], [1, 1, 0.1]], np.float32
    )
    parts = Quality(size, sharpness, frontality)
    words = [parts.weakest(i) for i in range(3)]
    assert words == ["too small", "blurred", "turned away"]


@pytest.fixture
def poor(tmp_path: Path, astronaut: U8) -> dict[str, Path]:
    """Photos of the astronaut, by what is wrong with them."""
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 7)
    small = cv2.resize(astronaut, (96, 96), interpolation=cv2.INTER_AREA)
    files = {}
    for name, picture in (("blurred", blurred), ("too small", small)):
        files[name] = tmp_path / f"{name}.png"
        images.write_image(files[name], picture)
    return files


def test_why_a_photo_is_poor(analyzer: Analyzer, poor: dict[str, Path]) -> None:
    for why, file in poor.items():
        assert analyzer.photo(file.read_bytes()).poor == why


@pytest.mark.slow
def test_the_command_tells_and_refuses(
    inside: Inside, astronaut_file: Path, poor: dict[str, Path], tmp_path: Path
) -> None:
    place = ["--gallery", tmp_path / "people.db"]
    refused = inside("enroll", "Ada", poor["blurred"], "--strict", *place)
    assert refused.returncode == 2
    assert "blurred.png is blurred: refused by --strict" in refused.stderr
    assert json.loads(inside("people", "--json", *place).stdout) == []
    done = inside(
        "enroll", "Ada", astronaut_file, poor["blurred"], "--strict", "--json", *place
    )
    assert done.returncode == 1
    told = json.loads(done.stdout)["photos"]
    assert [(one["verdict"], one["enrolled"]) for one in told] == [
        ("good", True),
        ("blurred", False),
    ]
    again = inside("enroll", "Ada", astronaut_file, poor["blurred"], *place)
    assert again.returncode == 0
    assert "already there" in again.stdout
    assert "Ada: 2 of 2 photos" in again.stdout
