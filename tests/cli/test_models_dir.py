"""`--models-dir`: the user's own model files in lists and in `mien live`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.cli.playing import Play, Stats
from mien.errors import InputError
from mien.models.folder import ModelFolder
from mien.pipeline import Analyzer
from mien.sources import open_source
from mien.types import U8
from server.harness import model_folder, write_clip, write_head

ON_SCREEN = 12  # frames after which a face is surely shown


def test_own_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_folder(tmp_path / "models")
    monkeypatch.setenv("MIEN_MODELS_DIR", str(folder))
    rows = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    own = {row["name"]: row for row in rows if row["family"] == "own"}
    assert own["moods"]["labels"] == ["Calm", "Wild"]
    assert (own["moods"]["task"], own["moods"]["licence"], own["moods"]["error"]) == (
        "emotion",
        "CC0-1.0",
        None,
    )
    assert "not a network" in own["broken"]["error"]
    monkeypatch.setenv("COLUMNS", "200")
    table = CliRunner().invoke(app, ["models", "--models-dir", str(folder)]).stdout
    assert "classes: Calm, Wild" in table
    monkeypatch.delenv("MIEN_MODELS_DIR")
    assert all(
        row["family"] != "own"
        for row in json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    )


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["models", "--models-dir", str(tmp_path / "none")])
    assert isinstance(result.exception, InputError)
    assert "no folder" in str(result.exception)


@pytest.mark.slow
def test_live_goes_through_the_models_of_a_folder(
    analyzer: Analyzer, astronaut: U8, tmp_path: Path
) -> None:
    write_head(tmp_path / "a.onnx", ["Calm", "Wild"])
    write_head(tmp_path / "ages.onnx", ["33", "70"])
    clip = write_clip(tmp_path / "clip.mp4", astronaut, seconds=7)
    with open_source(str(clip)) as frames:
        play = Play(analyzer, frames, None, ModelFolder(tmp_path))
        seen, said = [], []
        for shown in play.results(Stats()):
            if shown.frame.index % (2 * ON_SCREEN) == ON_SCREEN:
                seen += [face.emotion for face in shown.result.faces]
                said.append(play.next_model())
    assert seen == ["happiness", "Calm", "happiness"]
    assert said == ["emotion by a", "age by ages", "the models of the start"]


def test_live_without_a_folder_says_so(
    analyzer: Analyzer, astronaut_file: Path
) -> None:
    with (
        open_source(str(astronaut_file)) as frames,
        pytest.raises(InputError, match="--models-dir"),
    ):
        Play(analyzer, frames).next_model()
