"""`mien people not`: said, listed, taken back, carried to another gallery; streams obey too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from commands import Inside
from mien.gallery import Photo, keeping, open_gallery
from mien.media.images import read_image
from mien.pipeline import Analyzer
from mien.types import F32, U8, Frame
from mien.zoo import DLIB


@pytest.fixture
def beside(analyzer: Analyzer, astronaut: U8) -> F32:
    """Somebody whom the astronaut is taken for, though it is not her."""
    row = analyzer.embed(astronaut, analyzer.detector(astronaut)).embeddings
    assert row is not None
    step = np.random.default_rng(3).normal(size=128)
    return np.asarray(row[0] + 0.45 * step / np.linalg.norm(step), np.float32)


@pytest.fixture
def place(tmp_path: Path, beside: F32) -> str:
    gallery = open_gallery(
        str(tmp_path / "people.db"), space=DLIB, describe=lambda content: None
    )
    gallery.enroll("Eve", [Photo(beside, "e" * 64, "eve.jpg")])
    gallery.close()
    return str(tmp_path / "people.db")


def name_in(inside: Inside, photo: Path, place: str) -> str | None:
    done = inside(
        "analyze", photo, "--gallery", place, "--only", "identity", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[0]["faces"][0]["name"]


@pytest.mark.slow
def test_said_listed_and_taken_back(
    inside: Inside, astronaut_file: Path, place: str
) -> None:
    assert name_in(inside, astronaut_file, place) == "Eve"
    done = inside("people", "not", "Eve", astronaut_file, "--gallery", place)
    assert (done.returncode, done.stdout) == (0, "1 face is known not to be Eve\n")
    assert name_in(inside, astronaut_file, place) is None
    listed = inside("people", "--gallery", place, "not", "Eve", "--json")
    (row,) = json.loads(listed.stdout)
    assert (row["name"], row["source"]) == ("Eve", str(astronaut_file))
    assert row["id"] in inside("people", "--gallery", place, "not", "Eve").stdout
    done = inside("people", "not", "Eve", "--take-back", row["id"], "--gallery", place)
    assert done.returncode == 0, done.stderr
    assert name_in(inside, astronaut_file, place) == "Eve"


@pytest.mark.slow
def test_carried_to_a_folder_and_back(
    inside: Inside, astronaut_file: Path, place: str, tmp_path: Path
) -> None:
    inside("people", "not", "Eve", astronaut_file, "--gallery", place)
    goals = [tmp_path / "folder", tmp_path / "again.db"]
    for number, (source, goal) in enumerate(zip([place, *goals], goals, strict=False)):
        file = tmp_path / f"{number}.json"
        inside("people", "export", file, "--gallery", source)
        done = inside("people", "import", file, "--gallery", goal)
        assert done.returncode == 0, done.stderr
        assert name_in(inside, astronaut_file, str(goal)) is None
        (said,) = json.loads(
            inside("people", "not", "Eve", "--json", "--gallery", goal).stdout
        )
        assert (said["source"], said["thumbnail"]) == (str(astronaut_file), True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Adam", "ada.jpg"], "nobody in"),
        (["Eve", "nothing.jpg"], "nothing.jpg"),
        (["Eve", "--take-back", "12ab"], "--take-back 12ab"),
        (["Eve", "--group", "12ab"], "no group"),
        (["Eve", "a.jpg", "--group", "12ab"], "at a time"),
    ],
)
def test_what_cannot_be_is_refused(
    inside: Inside, place: str, arguments: list[str], said: str
) -> None:
    done = inside("people", "not", *arguments, "--gallery", place)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_track_obeys(analyzer: Analyzer, astronaut_file: Path, place: str) -> None:
    """From the frame on in which it is said."""
    gallery = open_gallery(place, space=DLIB, describe=lambda content: None)
    picture = read_image(astronaut_file)
    stream = Analyzer(gallery, only=["identity"], threads=1).session()
    frames = [Frame(picture, i, i / 10, "film") for i in range(60)]
    before = [stream.step(frame).faces.matches for frame in frames[:20]]
    assert before[-1] is not None
    assert before[-1].names == ("Eve",)
    face = analyzer.photo(astronaut_file.read_bytes())
    keeping(gallery).deny("Eve", [face])
    after = [stream.step(frame).faces.matches for frame in frames[20:]]
    assert after[-1] is not None
    assert after[-1].names == (None,)
    anew = Analyzer(gallery, only=["identity"], threads=1).session()
    seen = [anew.step(frame).faces.matches for frame in frames[:20]]
    assert {name for one in seen if one is not None for name in one.names} == {None}
    gallery.close()
