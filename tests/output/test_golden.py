"""What is told of the built-in attributes is told as in version 0.1, to the letter, but for fields that came after.

The files in `golden/` were written by version 0.1 from the faces that `faces` makes.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from mien.batch.dataset import TOLD
from mien.models.attributes.heads import AGE, EMOTION, GENDER
from mien.output.arrow import face_schema, face_table, picture_table
from mien.output.csv import CsvSink
from mien.output.drawing import label_lines
from mien.output.json import JsonlSink
from mien.output.schemas import FaceRecord, FrameRecord, error_record, frame_record
from mien.output.sink import Sink
from mien.output.summary import VideoSummary
from mien.output.table import _table
from mien.server import frames
from mien.types import F32, Faces, FrameResult, Matches, Scores

GOLDEN = Path(__file__).with_name("golden")
NEW = {
    "age_interval",
    "gender_sure",
    "emotion_sure",
    "quality",
    "angle",
    "name_probability",
}


def distribution(mean: float, spread: float) -> F32:
    probs = np.exp(-0.5 * ((np.arange(101) - mean) / spread) ** 2)
    return np.asarray(probs / probs.sum(), np.float32)


def faces() -> Faces:
    boxes = np.float32(
        [[10, 20, 110, 140], [200.26, 30, 260, 101.04], [300, 40, 340, 88]]
    )
    unit = np.float32([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    found = Faces(
        boxes,
        np.float32([0.98765, 0.8, 0.7]),
        np.stack([unit * (box[2:] - box[:2]) + box[:2] for box in boxes]).astype(
            np.float32
        ),
        track_ids=np.array([1, 2, 3], np.int64),
        embeddings=np.linspace(-0.5, 0.5, 3 * 128, dtype=np.float32).reshape(3, 128),
        matches=Matches(
            ("Ada Lovelace", None, None), np.float32([0.41234, 0.7, np.nan])
        ),
    )
    moods = [
        [0.1, 0.8, 0.02, 0.02, 0.02, 0.02, 0.01, 0.01],
        [0.9, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01],
    ]
    return found.with_attributes(
        Scores(
            AGE,
            np.stack([distribution(31.4, 4), distribution(5, 1), distribution(64, 8)]),
        ),
        Scores(GENDER, np.float32([[0.97, 0.03], [0.4, 0.6], [0.5001, 0.4999]])),
        Scores(EMOTION, np.float32([*moods, [0.125] * 8])),
    )


def results() -> list[FrameResult]:
    found = faces()
    shown = (found, found[np.zeros(3, bool)])
    return [
        FrameResult("party.mp4", i, i * 0.5, 640, 480, some)
        for i, some in enumerate(shown)
    ]


@pytest.fixture(scope="module")
def records() -> list[FrameRecord]:
    told = [frame_record(result, embeddings=True) for result in results()]
    return [*told, error_record("torn.jpg", ValueError("torn"))]


def written(open_sink: Callable[[TextIO], Sink], records: list[FrameRecord]) -> str:
    out = io.StringIO()
    sink = open_sink(out)
    for record in records:
        sink.write(record)
    sink.close()
    return out.getvalue()


def older(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in NEW}


def test_numbers_of_numpy_are_numbers_in_json() -> None:
    """As a source of somebody else's may count."""
    numbers = np.int64(3), np.float32(0.5), np.int64(640), np.uint16(480)
    result = FrameResult("own", *numbers, faces()[np.zeros(3, bool)])  # type: ignore[arg-type]
    told = json.loads(frame_record(result).to_json())
    assert list(told.values()) == ["own", 3, 0.5, 640, 480, []]


def test_json(records: list[FrameRecord]) -> None:
    lines = [json.loads(line) for line in written(JsonlSink, records).splitlines()]
    golden = [
        json.loads(line) for line in (GOLDEN / "faces.jsonl").read_text().splitlines()
    ]
    assert [
        {**line, "faces": [older(face) for face in line["faces"]]} for line in lines
    ] == golden
    assert [list(older(face)) for face in lines[0]["faces"]] == [
        list(face) for face in golden[0]["faces"]
    ]


def test_the_document_of_the_api_says_the_same(records: list[FrameRecord]) -> None:
    assert len(records) > 1
    for record in records:
        told = json.loads(record.to_json())
        assert (
            frames.FrameRecord(**told).model_dump(exclude_unset=True, mode="json")
            == told
        )


def test_what_is_no_number_is_null() -> None:
    face = FaceRecord({"pose": [math.nan, 1.0], "probs": {"a": math.inf}})
    (told,) = json.loads(FrameRecord("a.jpg", faces=[face]).to_json())["faces"]
    assert told == {"pose": [None, 1.0], "probs": {"a": None}}


def test_csv(records: list[FrameRecord]) -> None:
    rows = list(
        csv.DictReader(io.StringIO(written(lambda out: CsvSink(out, TOLD), records)))
    )
    golden = list(csv.DictReader(io.StringIO((GOLDEN / "faces.csv").read_text())))
    assert [older(row) for row in rows] == golden
    assert list(older(rows[0])) == list(golden[0])


@pytest.mark.parametrize("name", ["face_table", "picture_table"])
def test_parquet(records: list[FrameRecord], name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    made: dict[str, Callable[[], pa.Table]] = {
        "face_table": lambda: face_table(records, face_schema(TOLD)),
        "picture_table": lambda: picture_table(records, TOLD),
    }
    table = made[name]()
    assert (
        older({field.name: str(field.type) for field in table.schema})
        == golden["schema"]
    )
    assert [
        json.loads(json.dumps(older(row))) for row in table.to_pylist()[:4]
    ] == golden["rows"]


def test_the_table_on_a_terminal(records: list[FrameRecord]) -> None:
    console = Console(file=io.StringIO(), width=160)
    console.print(_table(records, TOLD))
    assert console.file.getvalue() == (GOLDEN / "table.txt").read_text()  # type: ignore[attr-defined]


def test_labels() -> None:
    assert [label_lines(face) for face in faces()] == json.loads(
        (GOLDEN / "labels.json").read_text()
    )


def test_the_summary_of_a_video() -> None:
    summary = VideoSummary("party.mp4")
    for result in results():
        summary.add(result)
    assert summary.to_dict() == json.loads((GOLDEN / "summary.json").read_text())
