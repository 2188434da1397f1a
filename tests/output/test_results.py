"""Results in programs and notebooks: drawn, saved, as tables; and whatever a program has of a picture, taken."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from commands import Inside
from mien.errors import GalleryError, InputError
from mien.media import images
from mien.output.results import Result, to_pandas
from mien.pipeline import Analyzer
from mien.types import U8, Faces


@pytest.fixture(scope="module")
def result(analyzer: Analyzer, astronaut_file: Path) -> Result:
    return analyzer.analyze(astronaut_file)


@pytest.mark.slow
def test_whatever_a_program_has_of_a_picture(
    analyzer: Analyzer, result: Result, astronaut: U8, astronaut_file: Path
) -> None:
    rgb = astronaut[..., ::-1]
    with astronaut_file.open("rb") as file:
        found = [analyzer.analyze(file)]
    found += [
        analyzer.analyze(str(astronaut_file)),
        analyzer.analyze(astronaut_file.read_bytes()),
        analyzer.analyze(io.BytesIO(astronaut_file.read_bytes())),
        analyzer.analyze(Image.fromarray(rgb)),
        analyzer.analyze(Image.fromarray(rgb).convert("RGBA")),
        analyzer.analyze(astronaut),
        analyzer.analyze(rgb, color="rgb"),
        analyzer.analyze(rgb.astype(np.float64) / 255, color="rgb"),
    ]
    for other in found:
        assert other.to_dict()["faces"] == result.to_dict()["faces"]
    assert [one.source for one in found[:2]] == [str(astronaut_file)] * 2


def closed() -> io.BytesIO:
    """An open file that is one no more."""
    file = io.BytesIO(b"picture")
    file.close()
    return file


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (12, "int is no picture"),
        (None, "NoneType is no picture"),
        (io.StringIO("text"), "open it with mode 'rb'"),
        (closed(), "cannot be read: .* closed file"),
        ("", "name is empty"),
        (
            "rtsp://me:hunter2@127.0.0.1/1",
            "^rtsp://…@127.0.0.1/1: pictures are fetched",
        ),
        (np.zeros((3, 40, 50), np.uint8), "channels to the end"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(
    analyzer: Analyzer, wrong: Any, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        analyzer.analyze(wrong)


def test_one_that_is_closed_does_not_end_the_others(
    analyzer: Analyzer, astronaut: U8
) -> None:
    results = analyzer.analyze_many([closed(), astronaut], progress=False)
    assert [len(result.faces) for result in results] == [0, 1]


@pytest.mark.parametrize(
    ("given", "jobs", "reason"),
    [
        ("party.jpg", 1, "give a list of pictures"),
        (Path("party.jpg"), 1, "give a list of pictures"),
        ([], 0, "jobs: 1 or more; got 0"),
    ],
)
def test_many_are_a_list(
    analyzer: Analyzer, given: Any, jobs: int, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        next(analyzer.analyze_many(given, jobs=jobs))


def test_a_path_is_played(analyzer: Analyzer, astronaut_file: Path) -> None:
    (result,) = analyzer.stream(astronaut_file)
    assert len(result.faces) == 1


def test_a_gallery_has_a_name(inside: Inside) -> None:
    """An unset variable is neither the folder one is in nor one's own gallery."""
    with pytest.raises(GalleryError, match="unset variable"):
        Analyzer(gallery="", only=["identity"])
    done = inside("people", "forget", "Ada", "--yes", "--gallery", "")
    assert (done.returncode, "unset variable" in done.stderr) == (2, True)


def test_the_order_of_channels_is_checked(analyzer: Analyzer, astronaut: U8) -> None:
    with pytest.raises(InputError, match="color is bgr or rgb, got 'gbr'"):
        analyzer.analyze(astronaut, color="gbr")


def test_a_result_gets_its_picture_again(
    result: Result,
    analyzer: Analyzer,
    astronaut: U8,
    astronaut_file: Path,
    tmp_path: Path,
) -> None:
    drawn = result.draw()
    assert drawn.shape == astronaut.shape
    assert (drawn != astronaut).any()
    assert (analyzer.analyze(astronaut_file.read_bytes()).draw() == drawn).all()
    result.save(tmp_path / "boxes.png")
    assert (images.read_image(tmp_path / "boxes.png") == drawn).all()
    with pytest.raises(InputError, match="keep_image=True"):
        analyzer.analyze(astronaut).draw()
    assert (analyzer.analyze(astronaut, keep_image=True).draw() == drawn).all()
    (crop,) = result.crops(margin=0)
    x1, y1, x2, y2 = result.faces.boxes[0].astype(int)
    assert (crop == astronaut[y1:y2, x1:x2]).all()


def test_a_result_as_data(result: Result) -> None:
    told = result.to_dict()
    assert json.loads(result.to_json()) == told
    assert (told["width"], told["faces"][0]["gender"]) == (512, "female")
    assert "name" not in told["faces"][0]  # there was no gallery
    assert "embedding" not in told["faces"][0]
    assert len(result.to_dict(embeddings=True)["faces"][0]["embedding"]) == 128


def test_a_result_as_a_table(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    table = to_pandas([result, result])
    assert len(table) == 2
    assert table["emotion"].tolist() == ["happiness"] * 2
    assert table[["x1", "y1", "x2", "y2"]].to_numpy()[0] == pytest.approx(
        result.faces.boxes[0]
    )
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        result.to_pandas()


def test_notebooks_show_picture_and_table_and_nobody_reads_descriptors(
    result: Result, analyzer: Analyzer, astronaut: U8
) -> None:
    shown = result._repr_html_()
    assert shown.startswith("<img")
    assert all(told in shown for told in ("image/jpeg;base64,", "female", "happiness"))
    assert "<img" not in analyzer.analyze(astronaut)._repr_html_()
    row = result.faces[0]
    assert row.embedding is not None
    for text in (repr(result), repr(result.faces), repr(row), shown):
        assert "embedding" not in text
        assert f"{row.embedding[0]:.4f}"[:6] not in text
    assert repr(Faces.empty()) == "<Faces: 0>"
    assert repr(result.faces).startswith("<Faces: 1; female")


def test_names_in_tables_are_text(result: Result) -> None:
    from dataclasses import replace

    from mien.types import Matches

    named = replace(
        result.faces, matches=Matches(("<b>Ada</b>",), np.array([0.4], np.float32))
    )
    assert "&lt;b&gt;Ada&lt;/b&gt;" in named._repr_html_()


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_pictures_in_their_order_also_where_one_is_broken(
    analyzer: Analyzer, astronaut_file: Path, face_free: U8, tmp_path: Path, jobs: int
) -> None:
    empty = tmp_path / "empty.jpg"
    cv2.imwrite(str(tmp_path / "coffee.png"), face_free)
    empty.write_bytes(b"")
    given = [astronaut_file, empty, tmp_path / "coffee.png"]
    found = list(analyzer.analyze_many(given, jobs=jobs, progress=False))
    assert [one.source for one in found] == [str(path) for path in given]
    assert [len(one.faces) for one in found] == [1, 0, 0]
    assert found[1].error == f"{empty} is empty (0 bytes)"
    assert found[1].to_dict()["error"] == found[1].error
    assert "0 bytes" in found[1]._repr_html_()
    with pytest.raises(InputError, match="0 bytes"):
        found[1].draw()


def test_a_stream_keeps_its_pictures_only_if_asked(
    analyzer: Analyzer, face_film: Path
) -> None:
    first = next(iter(analyzer.stream(str(face_film))))
    with pytest.raises(InputError, match="keep_image"):
        first.draw()
    kept = next(iter(analyzer.stream(str(face_film), keep_image=True)))
    assert kept.draw().shape == (360, 640, 3)


def test_supervision_takes_the_faces(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        result.faces.to_supervision()
    monkeypatch.undo()
    supervision = pytest.importorskip(
        "supervision", reason="supervision is not installed"
    )
    found = result.faces.to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.xyxy == pytest.approx(result.faces.boxes)
    assert found.data["gender"].tolist() == ["female"]
