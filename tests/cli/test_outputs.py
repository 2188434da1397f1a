"""Where results go: never onto what is read, refused before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import Inside
from mien.cli.outputs import file_to_write, folder_to_write
from mien.errors import InputError
from mien.media import images
from mien.types import U8


def test_folders_are_made(tmp_path: Path) -> None:
    place = tmp_path / "new" / "newer" / "x.json"
    assert (
        file_to_write(
            "--output", place, suffixes=(".json",), inputs=["http://host/x.json"]
        )
        == place
    )
    assert place.parent.is_dir()
    assert folder_to_write("--into", tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.yaml", "--output .*x.yaml: give a name that ends in .csv or .json"),
        ("x", "ends in .csv or .json"),
        ("folder.csv", "is a folder"),
        ("a.csv", "would write over the input .*a.csv"),
        ("link.csv", "would write over the input .*a.csv"),
        ("folder.csv/../a.csv", "would write over the input"),
        ("a.csv/x.csv", "is a file; give a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.csv").write_text("kept")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(InputError, match=words):
        file_to_write(
            "--output",
            tmp_path / name,
            suffixes=(".json", ".csv"),
            inputs=[tmp_path / "a.csv"],
        )
    assert (tmp_path / "a.csv").read_text() == "kept"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("analyze PHOTO --draw PHOTO", "--draw would write over the input"),
        ("analyze PHOTO --draw PHOTOS", "--draw would write over the input"),
        ("analyze PHOTOS --draw PHOTOS", "--draw would write over the input"),
        ("analyze PHOTO --draw PHOTOS/x.jpgg", "a picture ends in .jpg"),
        ("analyze PHOTO --draw PHOTOS/x.heic", "a picture ends in .jpg"),
        ("analyze PHOTO --draw PHOTOS/x.mp4", "is a photo"),
        ("analyze PHOTO --output PHOTO", "ends in .csv, .json"),
        ("live PHOTO --record PHOTOS/x.jpg", "ends in .mp4"),
        ("batch PHOTOS --output PHOTOS", "--output would write over the input"),
        ("crop PHOTOS --into PHOTOS", "is where the crops go"),
        ("train PHOTOS --output PHOTOS/m.txt", "ends in .onnx"),
        (
            "retrain --image_dir PHOTOS --output_graph m.pb --output_labels PHOTO",
            "--output_labels photos/a.jpg: give a name that ends in .txt",
        ),
        ("report PHOTOS --output PHOTOS/r.pdf", "ends in .html or .json"),
        ("people export PHOTOS/p.txt --gallery PHOTOS", "ends in .json"),
        ("evaluate PHOTO PHOTOS --report PHOTO", "ends in .html"),
    ],
)
def test_every_command_refuses_before_the_work(
    command: str,
    words: str,
    tmp_path: Path,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    images.write_image(photos / "a.jpg", np.zeros((40, 40, 3), np.uint8))
    before = (photos / "a.jpg").read_bytes()
    result = inside(
        *command.replace("PHOTOS", "photos").replace("PHOTO", "photos/a.jpg").split()
    )
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert [path.name for path in photos.iterdir()] == ["a.jpg"]
    assert (photos / "a.jpg").read_bytes() == before


def test_copies_of_one_name_do_not_replace_each_other(
    tmp_path: Path, inside: Inside, face_free: U8
) -> None:
    for folder in "xy":
        (tmp_path / folder).mkdir()
        images.write_image(tmp_path / folder / "a.jpg", face_free[:80, :80])
    drawn = tmp_path / "new" / "drawn"
    given = (tmp_path / folder / "a.jpg" for folder in "xy")
    assert (
        inside("analyze", *given, "--only", "identity", "--draw", drawn).returncode == 0
    )
    assert sorted(path.name for path in drawn.iterdir()) == ["a 2.jpg", "a.jpg"]


@pytest.mark.parametrize("command", ["analyze --draw", "blur --output"])
def test_copies_of_an_earlier_run_are_no_inputs(
    command: str, tmp_path: Path, inside: Inside, face_free: U8
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    images.write_image(photos / "a.jpg", face_free[:80, :80])
    name, option = command.split()
    for _ in range(2):
        result = inside(name, photos, option, photos / "out")
        assert result.returncode == 0, result.stderr
    assert [path.name for path in (photos / "out").rglob("*.jpg")] == ["a.jpg"]
