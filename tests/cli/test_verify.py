"""`mien verify`: its words, its JSON, its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import Inside
from mien.cli import DONE, SOME_FAILED, UNUSABLE
from mien.cli.verify import told
from mien.types import U8
from mien.verification import compare
from mien.zoo import DLIB


@pytest.mark.slow
def test_two_photos_of_one_person(
    inside: Inside, astronaut: U8, astronaut_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "smaller.png"
    cv2.imwrite(
        str(other), cv2.resize(astronaut, (384, 384), interpolation=cv2.INTER_AREA)
    )
    done = inside("verify", astronaut_file, other)
    assert done.returncode == DONE, done.stderr
    assert done.stdout.startswith("the same person: distance 0.")
    assert "over 99.9% likely" in done.stdout
    assert "strangers fewer than one in a million are nearer" in done.stdout
    told = json.loads(inside("verify", astronaut_file, other, "--json").stdout)
    assert told["same"]
    strict = inside("verify", astronaut_file, other, "--tolerance", "0.001", "--fast")
    assert (strict.returncode, strict.stdout[:10]) == (SOME_FAILED, "two people")


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (0.3, "one person: over 99.9%; strangers: fewer than one in a million"),
        (0.55, "one person: 99.7%; strangers: one in 12,000"),
        (0.7, "one person: 1.4%; strangers: 3%"),
        (1.0, "one person: under 0.1%; strangers: 90%"),
    ],
)
def test_how_sure_it_is_in_words(distance: float, words: str) -> None:
    found = compare(
        np.zeros(128, np.float32),
        np.eye(1, 128, dtype=np.float32)[0] * distance,
        DLIB,
        tolerance=0.6,
    )
    _, likely, rates = told(found)
    strangers = rates.removeprefix("of pairs of strangers ").split(" are nearer")[0]
    assert f"one person: {likely.split(' likely')[0]}; strangers: {strangers}" == words


def test_standard_input_is_one_photo(inside: Inside) -> None:
    done = inside("verify", "-", "-")
    assert (done.returncode, "name a file for the other" in done.stderr) == (
        UNUSABLE,
        True,
    )


@pytest.mark.slow
def test_what_cannot_be_compared_is_said(
    inside: Inside, astronaut: U8, astronaut_file: Path, tmp_path: Path
) -> None:
    two = tmp_path / "two.png"
    cv2.imwrite(str(two), np.concatenate([astronaut, astronaut], axis=1))
    done = inside("verify", astronaut_file, two)
    assert (
        done.returncode,
        "the second photo" in done.stderr,
        "--largest" in done.stderr,
    ) == (UNUSABLE, True, True)
    assert inside("verify", astronaut_file, two, "--largest").returncode == DONE
    assert (
        inside("verify", astronaut_file, tmp_path / "none.png").returncode == UNUSABLE
    )
