from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner, Result

from face_recognition import face_detection_cli, face_recognition_cli
from face_recognition.commands import image_files_in_folder
from mien.types import U8

BOX = "83,266,170,179"  # dlib's own for the astronaut, not upsampled


@pytest.fixture(scope="module")
def upper(photo: U8) -> U8:
    """The upper part of the photo, in which HOG finds her face alone."""
    return photo[:300]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, upper: U8) -> tuple[Path, Path]:
    """People we know and photos to look at: one face, no face, one face in a folder below, and what is no photo."""
    known, photos = (tmp_path_factory.mktemp(name) for name in ("known", "photos"))
    two = np.hstack([upper, upper])
    for path, pixels in (
        (known / "Eileen, astronaut.png", upper),
        (known / "mirrored.png", upper[:, ::-1]),
        (known / "nobody.JPG", np.zeros((90, 90, 3), np.uint8)),
        (known / "twins.jpeg", two),
        (photos / "one.png", upper),
        (photos / "none.png", np.zeros((90, 90, 3), np.uint8)),
        (photos / "below" / "deep.png", upper),
    ):
        path.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(pixels).save(path)
    (photos / "notes.txt").write_text("no picture")
    return known, photos


def recognise(known: Path, photos: Path, *options: str) -> Result:
    result = CliRunner().invoke(
        face_recognition_cli.main, [str(known), str(photos), *options]
    )
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.slow
def test_names_as_the_original_prints_them(folders: tuple[Path, Path]) -> None:
    known, photos = folders
    lines = recognise(known, photos).output.splitlines()
    warnings = [line for line in lines if line.startswith("WARNING")]
    assert sorted(warnings) == [
        f"WARNING: More than one face found in {known / 'twins.jpeg'}. Only considering the first face.",
        f"WARNING: No faces found in {known / 'nobody.JPG'}. Ignoring file.",
    ]
    assert lines[: len(warnings)] == warnings
    assert f"{photos / 'none.png'},no_persons_found" in lines
    names = [
        line.removeprefix(f"{photos / 'one.png'},")
        for line in lines
        if line.startswith(str(photos / "one"))
    ]
    assert names[: len(set(names))] == [
        Path(f).stem
        for f in image_files_in_folder(str(known))
        if not f.endswith("nobody.JPG")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tolerance", "-1"], "unknown_person"),
        (["--tolerance", "-1", "--show-distance", "true"], "unknown_person,None"),
        (["--show-distance", "1", "--best"], "Eileen, astronaut,0.0"),
        (["--best", "--locations"], "Eileen, astronaut,76,265,166,175"),
    ],
)
def test_one_photo(
    options: list[str], expected: str, folders: tuple[Path, Path]
) -> None:
    known, photos = folders
    lines = recognise(known, photos / "one.png", *options).output.splitlines()
    assert f"{photos / 'one.png'},{expected}" in lines


@pytest.mark.slow
def test_locations_are_of_the_photo_as_it_is(
    tmp_path: Path, folders: tuple[Path, Path], upper: U8
) -> None:
    large = tmp_path / "large.png"
    PIL.Image.fromarray(upper).resize((2048, 1200), PIL.Image.Resampling.BICUBIC).save(
        large
    )
    line = recognise(folders[0], large, "--best", "--locations").output.splitlines()[-1]
    box = [int(edge) for edge in line.split(",")[-4:]]
    assert np.abs(np.array(box) / 4 - (76, 265, 166, 175)).max() < 25


@pytest.mark.slow
def test_json(folders: tuple[Path, Path]) -> None:
    known, photos = folders
    result = recognise(known, photos, "--format", "json", "--best", "--recursive")
    rows = {
        row["image"]: row["faces"]
        for row in map(json.loads, result.stdout.splitlines())
    }
    assert set(rows) == {
        str(photos / name) for name in ("one.png", "none.png", "below/deep.png")
    }
    assert rows[str(photos / "none.png")] == []
    face = rows[str(photos / "below" / "deep.png")][0]
    assert face["location"] == [76, 265, 166, 175]
    assert face["matches"] == [
        {"name": "Eileen, astronaut", "distance": pytest.approx(0, abs=1e-4)}
    ]
    assert "WARNING" in result.stderr


def detect(*arguments: str) -> list[str]:
    result = CliRunner().invoke(face_detection_cli.main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_detection(folders: tuple[Path, Path]) -> None:
    photos = folders[1]
    one, deep = str(photos / "one.png"), str(photos / "below" / "deep.png")
    assert detect(one) == [f"{one},{BOX}"]
    assert detect(str(photos)) == [f"{one},{BOX}"]
    assert sorted(detect(str(photos), "--recursive")) == sorted(
        [f"{one},{BOX}", f"{deep},{BOX}"]
    )
    assert f"{one},76,265,166,175" in detect(one, "--upsample", "1")
    assert detect(str(photos / "none.png")) == []
    assert json.loads(detect(one, "--format", "json")[0]) == {
        "image": one,
        "faces": [{"location": [83, 266, 170, 179]}],
    }


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        (
            face_recognition_cli.main,
            "known_people_folder",
            "number of CPU cores to use in parallel (can speed up processing lots of images).",
        ),
        (
            face_detection_cli.main,
            "image_to_check",
            'number of CPU cores to use in parallel. -1 means "use all in',
        ),
    ],
)
def test_help_and_usage_errors(command: object, first: str, second: str) -> None:
    shown = CliRunner().invoke(command, ["--help"], terminal_width=200)  # type: ignore[arg-type]
    assert shown.exit_code == 0
    for text in (first.upper(), second, "Show this message and exit."):
        assert text in shown.output
    assert CliRunner().invoke(command, []).exit_code == 2  # type: ignore[arg-type]


def test_what_cannot_be_read_ends_with_1(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    assert CliRunner().invoke(face_detection_cli.main, [str(broken)]).exit_code == 1
    assert (
        CliRunner()
        .invoke(face_recognition_cli.main, [str(tmp_path / "no folder"), str(broken)])
        .exit_code
        == 1
    )


@pytest.mark.parametrize("cpus", ["0", "-2"])
def test_a_single_picture_needs_no_processes(
    cpus: str, folders: tuple[Path, Path]
) -> None:
    known, photos = folders
    one = str(photos / "one.png")
    assert detect(one, "--cpus", cpus) == [f"{one},{BOX}"]
    for command, arguments in (
        (face_recognition_cli, [str(known)]),
        (face_detection_cli, []),
    ):
        refused = CliRunner().invoke(
            command.main, [*arguments, str(photos), "--cpus", cpus]
        )  # type: ignore[attr-defined]
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "use 1 or more, or -1" in refused.stderr


@pytest.mark.slow
def test_programs_may_call_the_commands_functions(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    known, photos = folders
    one, none = str(photos / "one.png"), str(photos / "none.png")
    face_detection_cli.print_result("a.jpg", (1, 2, 3, 4))
    face_detection_cli.test_image(one, "hog")
    face_detection_cli.test_image(one, "hog", 1)
    face_detection_cli.process_images_in_process_pool([none, one], 1, "hog")
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[1], lines[-1]] == [
        "a.jpg,1,2,3,4",
        f"{one},{BOX}",
        f"{one},{BOX}",
    ]
    assert f"{one},76,265,166,175" in lines
    names, encodings = face_recognition_cli.scan_known_people(str(known))
    capsys.readouterr()
    face_recognition_cli.print_result("a.jpg", "Ada", 0.25, True)
    face_recognition_cli.print_result("a.jpg", "Ada", 0.25)
    face_recognition_cli.test_image(one, names[:1], encodings[:1], show_distance=True)
    face_recognition_cli.process_images_in_process_pool(
        [none, one], names, encodings, 1, -1, False
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a.jpg,Ada,0.25", "a.jpg,Ada"]
    assert any(line.startswith(f"{one},{names[0]},") for line in lines)
    assert f"{none},no_persons_found" in lines
    assert f"{one},unknown_person" in lines
    with pytest.raises(ValueError, match="use 1 or more"):
        face_detection_cli.process_images_in_process_pool([one], 0, "hog")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "takes_known", "cpus"),
    [(face_recognition_cli, True, "2"), (face_detection_cli, False, "-1")],
)
def test_processes_print_the_same_lines_and_end(
    command: ModuleType, takes_known: bool, cpus: str, folders: tuple[Path, Path]
) -> None:
    """In a process of its own: workers are started clean, so the caller's main module must be importable."""
    arguments = [
        *map(str, folders if takes_known else folders[1:]),
        "--recursive",
        "--cpus",
    ]
    one = CliRunner().invoke(command.main, [*arguments, "1"])
    run = [sys.executable, "-m", command.__name__, *arguments, cpus]
    many = subprocess.run(run, capture_output=True, text=True, timeout=300, check=True)
    assert one.stdout == many.stdout
    assert one.stdout


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JPEG", "c.png", "d.jpg.bak", "e.txt", "jpg"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f.png").touch()
    names = [
        os.path.relpath(path, tmp_path) for path in image_files_in_folder(str(tmp_path))
    ]
    assert sorted(names) == ["a.jpg", "b.JPEG", "c.png", "d.jpg.bak"]
    assert len(image_files_in_folder(str(tmp_path), recursive=True)) == 5
