"""The programs in examples/ do what they say."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import pytest

from mien.media import images
from mien.types import U8

pytestmark = pytest.mark.slow  # each loads the networks for itself

PROGRAMS = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def place(
    astronaut: U8, face_film: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with an album, a film, and a gallery of who is in them."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "faces").mkdir()
    for name in (
        "party.jpg",
        "people/Eileen Collins.jpg",
        "album/party.jpg",
        "album/again.png",
        "faces/Eileen/1.jpg",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), astronaut)
    shutil.copy(face_film, folder / "clip.mp4")
    return folder


@pytest.mark.parametrize(
    ("program", "arguments", "told"),
    [
        ("who_is_it", ("album/party.jpg", "people"), "Eileen Collins, 100% sure\n"),
        ("attendance", ("clip.mp4", "people"), "Eileen Collins: 0."),
        ("happiest_moment", ("clip.mp4", "happiest.jpg"), "% at "),
        ("album_table", ("album", "table.csv"), "2 faces in 2 photos\n"),
        ("smile_to_unlock", ("people", "clip.mp4"), "welcome, Eileen Collins\n"),
        ("audience", ("clip.mp4",), "1 people\n"),
        ("same_person", ("album/party.jpg", "album/again.png"), "the same person\n"),
        ("find_in_album", ("album/party.jpg", "album"), "again.png 0.0"),
        ("enroll_folder", ("faces", "new.db"), "Eileen: 1\n"),
        ("moods_over_time", ("clip.mp4", "moods.csv"), " seconds\n"),
    ],
)
def test_a_program_does_what_it_says(
    program: str,
    arguments: tuple[str, ...],
    told: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if program == "album_table":
        pytest.importorskip("pandas", reason="pandas is not installed")
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    runpy.run_path(str(PROGRAMS / f"{program}.py"), run_name="__main__")
    assert told in capsys.readouterr().out
    if program == "happiest_moment":
        assert images.read_image("happiest.jpg").shape == (360, 640, 3)


@pytest.mark.parametrize("notebook", sorted(PROGRAMS.glob("*.ipynb")), ids=str)
def test_a_notebook_runs_from_its_first_cell_to_its_last(
    notebook: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cell shows something but those that only define; what is committed shows nothing yet."""
    pytest.importorskip("pandas", reason="pandas is not installed")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 4
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    for cell in code:
        last = "".join(cell["source"]).splitlines()[-1]
        exec("".join(cell["source"]), names)  # noqa: S102
        if last.isidentifier():
            assert repr(names[last])
    assert len(names["faces" if "faces" in names else "sure"]) > 0  # type: ignore[arg-type]


def test_every_program_is_tested() -> None:
    named = {path.stem for path in PROGRAMS.glob("*.py")}
    tested = test_a_program_does_what_it_says.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert named == {row[0] for row in tested}
