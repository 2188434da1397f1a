"""What is kept of a folder's photos is kept under all that decides it, and what is deleted is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from gallery.test_galleries import descriptor, photo
from mien import store, zoo
from mien.batch.analysis import models_text
from mien.cli.people import enroll_app, people_app
from mien.gallery import FolderGallery, remarks
from mien.media import images
from mien.models.backbone import described_by
from mien.models.detectors.base import SECOND_STAGES
from mien.pipeline import Analyzer
from mien.train.features import Describer
from mien.types import U8, Faces
from mien.zoo import DLIB, spec_of

DETECTORS = ("compact", "hog", "mmod")


def seeing(seed: int) -> object:
    """What describes every photo alike, and counts how often it is asked."""

    def describe(content: bytes) -> Faces:
        describe.asked += 1  # type: ignore[attr-defined]
        box = np.array([[0, 0, 4, 4]], np.float32)
        return Faces(
            box,
            np.ones(1, np.float32),
            np.zeros((1, 5, 2), np.float32),
            embeddings=descriptor(seed)[None],
        )

    describe.asked = 0  # type: ignore[attr-defined]
    return describe


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Ada.png").write_bytes(photo(1).content)
    return tmp_path / "people"


def descriptors(people: Path, describe: object, by: str | None) -> np.ndarray:
    return FolderGallery(
        people, space=replace(DLIB, name="test"), describe=describe, described_by=by
    ).descriptors()[1]  # type: ignore[arg-type]


def test_another_detector_sees_for_itself(people: Path) -> None:
    first, second = seeing(1), seeing(2)
    for _ in range(2):
        np.testing.assert_array_equal(
            descriptors(people, first, "hog"), descriptor(1)[None]
        )
        np.testing.assert_array_equal(
            descriptors(people, second, "compact"), descriptor(2)[None]
        )
    assert (first.asked, second.asked) == (1, 1)  # type: ignore[attr-defined]


def test_what_nobody_can_tell_apart_is_not_kept(people: Path) -> None:
    describe = seeing(1)
    for _ in range(2):
        descriptors(people, describe, None)
    assert describe.asked == 2  # type: ignore[attr-defined]
    assert not (store.cache_dir() / "descriptors").exists()


def test_deleting_forgets_what_every_detector_saw(people: Path) -> None:
    for by in ("hog", "compact"):
        descriptors(people, seeing(1), by)
    assert len(list((store.cache_dir() / "descriptors").iterdir())) == 2
    FolderGallery(people, space=replace(DLIB, name="test"), describe=seeing(1)).remove(
        "Ada"
    )  # type: ignore[arg-type]
    assert list((store.cache_dir() / "descriptors").iterdir()) == []


def test_the_key_holds_the_detector_its_weights_and_the_smallest_face(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [described_by(name, min_face=40) for name in DETECTORS]
    keys.append(described_by("compact", min_face=20))
    seconds = SECOND_STAGES["compact"]
    for weights in ("compact", *seconds, "dlib_landmarks_5", "dlib_resnet"):
        with monkeypatch.context() as patch:
            patch.setitem(
                zoo.ZOO, weights, replace(zoo.spec_of(weights), sha256="0" * 64)
            )
            keys.append(described_by("compact", min_face=40))
    assert len(set(keys)) == len(keys)
    assert described_by("compact", min_face=40) == keys[0]


def test_training_and_batches_name_every_part_of_a_detector() -> None:
    assert Describer.load().described_by.endswith(described_by("compact", min_face=40))
    assert "verifier@" in models_text({"detector": "compact"})
    assert "verifier@" not in models_text({"detector": "hog"})
    everything = models_text({})
    for name in ("angle", "attributes", "dlib_landmarks_5", "dlib_resnet", "emotion"):
        assert everything.count(f"{name}@{spec_of(name).sha256[:12]}") == 1
    assert "emotion@" not in models_text({"only": ("identity", "age")})
    assert "attributes@" not in models_text({"only": ("emotion",)})


@pytest.mark.slow
def test_a_run_with_another_detector_spoils_nothing(
    analyzer: Analyzer, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    content = (shared / "faults" / "sunglasses-person.jpg").read_bytes()
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Ada.jpg").write_bytes(content)
    other = Analyzer(tmp_path / "people", detector="hog", only=("identity",))
    assert other.gallery is not None
    assert other.gallery.descriptors()[0] == ()  # HOG finds nobody behind sunglasses
    (face,) = (
        analyzer._open(tmp_path / "people")
        .search(analyzer.describe_photo(content).embeddings, tolerance=0.6)
        .names
    )
    assert face == "Ada"


@pytest.fixture
def lost(tmp_path: Path, astronaut: U8, face_free: U8) -> Path:
    """A gallery in which one of Ada's photos counts, and everything else is wrong in another way."""
    people = tmp_path / "people"
    for name, picture in {
        "Ada/1.png": astronaut,
        "Ada/2.png": face_free,
        "Group.png": np.hstack([astronaut, astronaut[:, ::-1]]),
        "family/Bob/1.png": astronaut,
    }.items():
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        images.write_image(people / name, picture)
    (people / "Carl.png").write_bytes(b"no picture")
    return people


@pytest.mark.slow
def test_who_is_lost_is_said_in_every_run(
    analyzer: Analyzer, lost: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # the second time everything is kept already
        caplog.clear()
        opened = analyzer._open(lost)
        assert set(opened.descriptors()[0]) == {"Ada", "Group"}
        found = {
            Path(one.source).relative_to(lost).as_posix(): one
            for one in remarks(opened)
        }
        assert set(found) == {"Ada/2.png", "Group.png", "family/Bob", "Carl.png"}
        assert {name for name, one in found.items() if one.used} == {"Group.png"}
        assert "no face" in found["Ada/2.png"].reason
        assert "2 faces" in found["Group.png"].reason
        assert "too deep" in found["family/Bob"].reason
        assert sorted(record.getMessage() for record in caplog.records) == sorted(
            map(str, found.values())
        )


@pytest.mark.slow
def test_people_and_check_list_who_is_lost(lost: Path) -> None:
    run = CliRunner().invoke
    listed = run(people_app, ["--gallery", str(lost), "--json"])
    rows = {
        row["name"]: (row["photos"], row["passed_over"])
        for row in json.loads(listed.stdout)
    }
    assert rows == {"Ada": (1, 1), "Carl": (0, 1), "Group": (1, 0)}
    table = run(people_app, ["--gallery", str(lost)]).stdout
    assert "passed over" in table
    checked = run(people_app, ["check", "--gallery", str(lost), "--format", "json"])
    assert len(json.loads(checked.stdout)["remarks"]) == 4
    assert "too deep" in run(people_app, ["check", "--gallery", str(lost)]).stdout


@pytest.mark.slow
def test_a_poor_photo_is_told_when_it_is_enrolled(
    tmp_path: Path, astronaut: U8
) -> None:
    images.write_image(tmp_path / "blurred.png", cv2.GaussianBlur(astronaut, (0, 0), 7))
    images.write_image(tmp_path / "sharp.png", astronaut)
    place = ["--gallery", str(tmp_path / "people.db")]
    told = CliRunner().invoke(
        enroll_app,
        ["Ada", str(tmp_path / "blurred.png"), str(tmp_path / "sharp.png"), *place],
    )
    assert told.exit_code == 0
    assert "blurred.png is blurred: it counts less" in told.stderr
    assert "sharp.png" not in told.stderr
