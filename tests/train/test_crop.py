"""Crops out of folders, photos and videos: aligned, sharp, once each; originals untouched; safe to run again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import Inside
from mien.cli import SOME_FAILED, UNUSABLE
from mien.errors import InputError
from mien.media import images
from mien.models.detectors.base import load_detector
from mien.train.crop import (
    MANIFEST,
    CropManifest,
    _take_name,
    find_sources,
    only_writer,
)
from mien.train.duplicates import near_duplicates
from mien.types import U8


def write(path: Path, image: U8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_image(path, image)


@pytest.fixture
def downloads(astronaut: U8, face_free: U8, tmp_path: Path) -> Path:
    """Two class folders: a photo, the same saved again, its mirror image, a blurred one, one without a face."""
    place = tmp_path / "down loads"
    write(place / "Glad" / "a.jpg", astronaut)
    write(
        place / "Glad" / "a again.png",
        cv2.resize(astronaut, (480, 480), interpolation=cv2.INTER_AREA),
    )
    write(place / "Glad" / "coffee.jpg", face_free)
    write(place / "Über müde" / "b.png", np.ascontiguousarray(astronaut[:, ::-1]))
    write(place / "Über müde" / "soft.png", cv2.GaussianBlur(astronaut, (0, 0), 5))
    return place


def files(folder: Path) -> list[str]:
    return sorted(
        str(p.relative_to(folder)) for p in folder.rglob("[!.]*") if p.is_file()
    )


@pytest.mark.slow
def test_class_folders_stay_and_what_is_no_use_is_left_out(
    downloads: Path, tmp_path: Path, inside: Inside
) -> None:
    into = tmp_path / "faces"
    before = {
        path: path.read_bytes() for path in downloads.rglob("*") if path.is_file()
    }
    done = inside("crop", downloads, "--into", into, "--size", "160")
    assert done.returncode == 0, done.stderr
    assert files(into) == [
        "Glad/a again.jpg",
        "contact-sheet.jpg",
        MANIFEST,
        "Über müde/b.jpg",
    ]
    assert "nearly the same as another: 1" in done.stderr
    assert "blurred: 1" in done.stderr
    assert "without a face: 1" in done.stderr
    crop = images.read_image(into / "Über müde" / "b.jpg")
    assert crop.shape == (160, 160, 3)
    assert {path: path.read_bytes() for path in before} == before
    sheet = images.read_image(into / "contact-sheet.jpg")
    assert sheet.std() > 20


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with (
        only_writer(tmp_path),
        pytest.raises(InputError, match="another 'mien crop' is writing"),
        only_writer(tmp_path),
    ):
        pass


@pytest.mark.slow
def test_a_name_that_is_free_is_taken_by_one(tmp_path: Path) -> None:
    place = tmp_path / "ada" / "1.jpg"
    with ThreadPoolExecutor(8) as pool:
        taken = set(pool.map(lambda _: _take_name(place), range(24)))
    assert len(taken) == 24
    assert {place, place.with_stem("1-2"), place.with_stem("1-24")} <= taken


def test_running_again_does_only_what_is_new(
    downloads: Path, astronaut: U8, tmp_path: Path, inside: Inside
) -> None:
    into = tmp_path / "faces"
    assert inside("crop", downloads, "--into", into).returncode == 0
    times = {
        name: (into / name).stat().st_mtime_ns
        for name in files(into)
        if name.endswith(".jpg") and "/" in name
    }
    write(
        downloads / "Glad" / "new.png",
        cv2.rotate(astronaut, cv2.ROTATE_180)[::-1, ::-1] // 2 + 60,
    )
    assert (
        inside("crop", downloads, "--into", into, "--keep-duplicates").returncode == 0
    )
    assert inside("crop", downloads, "--into", into).returncode == 0
    assert {name: (into / name).stat().st_mtime_ns for name in times} == times


def test_the_face_lies_in_a_crop_as_training_reads_it(
    astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    assert inside("crop", astronaut_file, "--into", tmp_path / "faces").returncode == 0
    crop = images.read_image(tmp_path / "faces" / "astronaut.jpg")
    (face,) = load_detector("compact")(
        cv2.copyMakeBorder(crop, 100, 100, 100, 100, cv2.BORDER_REPLICATE)
    )
    eyes = (face.landmarks[:2] - 100) / 224 * 150
    assert (
        np.abs(eyes - [[47, 45], [103, 46]]).max() < 6
    )  # where dlib's 150-pixel chip has them


@pytest.mark.slow
def test_broken_pictures_are_named_and_the_others_done(
    downloads: Path, tmp_path: Path, inside: Inside
) -> None:
    (downloads / "Glad" / "broken.jpg").write_text("no picture")
    done = inside("crop", downloads, "--into", tmp_path / "faces")
    assert done.returncode == SOME_FAILED
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "faces" / "Über müde" / "b.jpg").is_file()
    assert (
        inside(
            "crop", downloads / "Glad" / "broken.jpg", "--into", tmp_path / "none"
        ).returncode
        == UNUSABLE
    )


@pytest.mark.slow
def test_crops_are_not_cropped_again(downloads: Path, inside: Inside) -> None:
    into = downloads / "faces"
    assert inside("crop", downloads, "--into", into).returncode == 0
    made = files(into)
    assert inside("crop", downloads, "--into", into).returncode == 0
    assert files(into) == made
    with pytest.raises(InputError, match="inside it"):
        find_sources([str(into / "Glad")], into)


@pytest.mark.slow
def test_people_get_folders_of_their_own(
    astronaut: U8, astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    into, gallery = tmp_path / "faces", tmp_path / "people.db"
    refused = inside(
        "crop", astronaut_file, "--into", into, "--per-person", MIEN_GALLERY=""
    )
    assert (refused.returncode, "--gallery" in refused.stderr) == (UNUSABLE, True)
    assert (
        inside(
            "enroll", "Eileen Collins", astronaut_file, "--gallery", gallery
        ).returncode
        == 0
    )
    done = inside(
        "crop", astronaut_file, "--into", into, "--per-person", "--gallery", gallery
    )
    assert done.returncode == 0, done.stderr
    assert (into / "Eileen Collins" / "astronaut.jpg").is_file()


@pytest.mark.slow
def test_of_a_video_each_look_is_taken_once(
    face_film: Path, tmp_path: Path, inside: Inside
) -> None:
    into = tmp_path / "faces"
    assert inside("crop", face_film, "--into", into, "--every", "5").returncode == 0
    some = [name for name in files(into) if name.startswith("single_face-")]
    assert (
        inside(
            "crop",
            face_film,
            "--into",
            tmp_path / "all",
            "--every",
            "5",
            "--keep-duplicates",
        ).returncode
        == 0
    )
    every = [
        name for name in files(tmp_path / "all") if name.startswith("single_face-")
    ]
    assert len(every) > 10
    assert 1 <= len(some) < len(every)
    names = [
        name
        for line in (into / MANIFEST).read_text().splitlines()
        for name in json.loads(line)["crops"]
    ]
    assert sorted(names) == some


@pytest.mark.slow
def test_a_later_run_knows_the_crops_of_earlier_ones(
    downloads: Path, astronaut: U8, tmp_path: Path, inside: Inside
) -> None:
    into = tmp_path / "faces"
    assert inside("crop", downloads, "--into", into).returncode == 0
    before = files(into)
    write(
        downloads / "Glad" / "third.png",
        cv2.resize(astronaut, (500, 500), interpolation=cv2.INTER_AREA),
    )
    again = inside("crop", downloads, "--into", into)
    assert again.returncode == 0
    assert "nearly the same as another: 1" in again.stderr
    assert files(into) == before


@pytest.mark.slow
def test_crops_that_were_deleted_stay_deleted(
    downloads: Path, tmp_path: Path, inside: Inside
) -> None:
    into = tmp_path / "faces"
    assert inside("crop", downloads, "--into", into).returncode == 0
    (into / "Glad" / "a again.jpg").unlink()
    assert inside("crop", downloads, "--into", into).returncode == 0
    assert [name for name in files(into) if name.startswith("Glad")] == []


@pytest.mark.slow
def test_one_photo_in_two_classes_is_in_both(
    astronaut: U8, tmp_path: Path, inside: Inside
) -> None:
    for name in ("Glad", "Proud"):
        write(tmp_path / "in" / name / "a.png", astronaut)
    assert inside("crop", tmp_path / "in", "--into", tmp_path / "out").returncode == 0
    assert {"Glad/a.jpg", "Proud/a.jpg"} <= set(files(tmp_path / "out"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([0.0], []),
        ([0.0, 0.1, 5.0, 0.2, 9.0, 9.05], [[0, 1, 3], [4, 5]]),
        ([0.0, 1.0, 2.0], []),
    ],
    ids=["none", "one", "chains and pairs", "far apart"],
)
def test_near_duplicates_are_grouped(
    values: list[float], expected: list[list[int]]
) -> None:
    table = np.zeros((len(values), 128), np.float32)
    table[:, 3] = values
    assert [group.tolist() for group in near_duplicates(table, near=0.15)] == expected


def test_the_manifest_grows_by_lines_and_a_cut_one_costs_only_itself(
    tmp_path: Path,
) -> None:
    file = tmp_path / MANIFEST
    CropManifest(file).note("a", ["a.png"])
    before = file.read_bytes()
    file.write_bytes(before + b'{"key": "b", "cro')  # killed meanwhile
    manifest = CropManifest(file)
    assert manifest.crops == {"a": ["a.png"]}
    manifest.note("b", ["b\u2028.png"])
    manifest.note("a", [])
    assert file.read_bytes().startswith(before), "nothing is written anew"
    assert CropManifest(file).crops == {"a": [], "b": ["b\u2028.png"]}
