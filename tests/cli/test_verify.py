"""`mien verify`: its words, its JSON, its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import Inside
from mien.cli import DONE, SOME_FAILED, UNUSABLE
from mien.types import U8


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
    assert "100.0% likely" in done.stdout
    told = json.loads(inside("verify", astronaut_file, other, "--json").stdout)
    assert told["same"]
    strict = inside("verify", astronaut_file, other, "--tolerance", "0.001", "--fast")
    assert (strict.returncode, strict.stdout[:10]) == (SOME_FAILED, "two people")


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
