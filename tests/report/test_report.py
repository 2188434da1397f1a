"""What a report says of tables whose content is known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mien.batch import Archive
from mien.batch.dataset import TOLD, Row, make_outcome
from mien.batch.inputs import BatchInput
from mien.cli.report import report_app
from mien.output import charts
from mien.output.arrow import face_schema, face_table
from mien.output.charts import Series
from mien.output.schemas import FaceRecord, FrameRecord
from mien.report.numbers import summarise
from mien.report.page import to_html

HOSTILE = '<script>alert("x")</script>'
MTIME = int(datetime(2024, 3, 5).timestamp())


def face(score: float = 0.9, **more: object) -> FaceRecord:
    return FaceRecord(
        {"box": (0, 0, 9, 9), "score": score, "landmarks": [(1, 1)] * 5, **more}
    )


def item(source: str) -> BatchInput:
    return BatchInput(source, "in", 1000, MTIME * 1_000_000, source)


@contextmanager
def archive_with(folder: Path) -> Iterator[Archive]:
    with Archive.writing(folder, {}) as archive:
        yield archive


def add(
    archive: Archive,
    source: str,
    frames: list[FrameRecord],
    taken_at: datetime | None = None,
) -> None:
    table = face_table(frames, face_schema(TOLD))
    row = Row(item(source), "hash", taken_at, 10, 10, len(frames), len(table))
    for name in ("content_hash", "models"):
        table = table.append_column(name, pa.array(["x"] * len(table), pa.string()))
    archive.commit(make_outcome([row.item], [row], [table]))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    ada = face(name="Ada", age=31.4, gender="female", emotion="happiness")
    bob = face(name=HOSTILE, age=8.0, gender="male", emotion="neutral")
    nobody = face(age=39.9, gender="male", emotion="anger")
    blurred = face(0.5, name="Ada", age=60.0, gender="male", emotion="fear", track_id=1)
    clear = face(
        0.95, name="Ada", age=30.0, gender="female", emotion="surprise", track_id=1
    )
    with archive_with(tmp_path / "out") as archive:
        add(
            archive,
            "1.jpg",
            [FrameRecord(source="1.jpg", faces=[ada, bob])],
            datetime(2019, 7, 4),
        )
        add(
            archive,
            "2.jpg",
            [FrameRecord(source="2.jpg", faces=[ada, nobody])],
            datetime(2019, 7, 9),
        )
        add(archive, "3.jpg", [FrameRecord(source="3.jpg")])
        film = [
            FrameRecord(source="4.mp4", index=i, faces=[f])
            for i, f in enumerate((blurred, clear, blurred))
        ]
        add(archive, "4.mp4", film)
        broken = Row(item("5.jpg"), error=f"5.jpg {HOSTILE} is damaged")
        archive.commit(make_outcome([broken.item], [broken], []))
    return archive


def test_the_numbers(archive: Archive) -> None:
    report = summarise(archive)
    totals = report.totals
    assert (totals.photos, totals.videos, totals.failed, totals.without_face) == (
        4,
        1,
        1,
        1,
    )
    assert (totals.faces, totals.named, totals.people, totals.bytes) == (5, 4, 2, 5000)
    assert (totals.period, totals.timed_by_exif) == (("2019-07-04", "2024-03-05"), 2)
    ada, bob = report.people
    assert (ada.name, ada.photos, ada.videos, ada.first, ada.last) == (
        "Ada",
        2,
        1,
        "2019-07-04",
        "2024-03-05",
    )
    assert (bob.name, bob.photos, bob.videos) == (HOSTILE, 1, 0)
    assert report.attributes["ages"] == Series(
        ("0-9", "10-19", "20-29", "30-39"),
        ("female", "male"),
        ((0, 1), (0, 0), (0, 0), (3, 1)),
    )
    assert report.attributes["genders"] == Series(
        ("female", "male"), ("faces",), ((3,), (2,))
    )
    emotions = report.attributes["emotions"]
    assert dict(zip(emotions.rows, emotions.counts, strict=True)) == {
        "neutral": (1,), "happiness": (2,), "surprise": (1,), "anger": (1,),
    }  # fmt: skip
    assert report.faces_per_photo == Series(
        ("0", "1", "2"), ("photos",), ((1,), (0,), (2,))
    )
    assert len(report.errors) == 1


def test_emotions_over_time_are_by_the_cameras_clock(archive: Archive) -> None:
    over_time = summarise(archive).attributes["emotions_over_time"]
    assert over_time.rows == ("2019-07-04", "2019-07-09", "2024-03-05")
    assert over_time.labels == ("neutral", "happiness", "surprise", "anger")
    assert over_time.counts == ((1, 1, 0, 0), (0, 1, 0, 1), (0, 0, 1, 0))


def add_photos_of(archive: Archive, days: list[datetime]) -> None:
    """A photo of nobody for each day, all in one part."""
    rows = [Row(item(f"{day:%Y-%m-%d}.jpg"), "hash", day, 10, 10, 0, 0) for day in days]
    archive.commit(make_outcome([row.item for row in rows], rows, []))


def test_many_days_become_months_and_many_months_years(tmp_path: Path) -> None:
    with archive_with(tmp_path) as archive:
        add_photos_of(
            archive,
            [datetime(2020, month, day) for month in (1, 2) for day in range(1, 29)],
        )
        assert summarise(archive).files_over_time.rows == ("2020-01", "2020-02")
        add_photos_of(
            archive,
            [
                datetime(year, month, 1)
                for year in range(2000, 2005)
                for month in range(1, 13)
            ],
        )
        found = summarise(archive).files_over_time
    assert found.rows == ("2000", "2001", "2002", "2003", "2004", "2020")
    assert found.counts == ((12,),) * 5 + ((56,),)


class Page(HTMLParser):
    """Reads a page, and sees that every element that has to be is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_needs_nothing_and_escapes_names(archive: Archive) -> None:
    text = to_html(summarise(archive), "Faces & <friends>")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.tags.count("svg") == page.tags.count("table") == 7
    assert "script" not in page.tags
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"(?:https?:)?//\w", text)
    assert "&lt;script&gt;" in text
    assert "Faces &amp; &lt;friends&gt;" in text
    assert "prefers-color-scheme:dark" in text
    for words in ("2019-07-04 to 2024-03-05", "2 of 5", "1 files"):
        assert words in text


def test_bars_are_as_long_as_their_counts() -> None:
    series = Series(("a", "b"), ("female", "male"), ((10, 30), (0, 20)))
    widths = [
        float(width)
        for width in re.findall(
            r'<rect [^>]*width="([\d.]+)"', charts.bars(series, "x")
        )
    ]
    assert widths == pytest.approx(
        [widths[2] / 2, widths[2] * 1.5, widths[2]], rel=1e-3
    )
    heights = [
        float(height)
        for height in re.findall(
            r'<rect [^>]*height="([\d.]+)"', charts.columns(series, "x")
        )
    ]
    assert heights == pytest.approx(
        [heights[2] / 2, heights[2] * 1.5, heights[2]], rel=1e-2
    )
    assert (
        charts.bars(Series((), (), ()), "x")
        == charts.columns(Series(("a",), ("b",), ((0,),)), "x")
        == ""
    )


def test_an_archive_without_faces_has_a_report(tmp_path: Path) -> None:
    with archive_with(tmp_path / "out") as archive:
        add(archive, "1.jpg", [FrameRecord(source="1.jpg")])
    report = summarise(archive)
    assert (
        report.totals.faces,
        report.people,
        report.attributes["ages"].rows,
        report.attributes["emotions"].rows,
    ) == (
        0,
        (),
        (),
        (),
    )
    page = Page()
    page.feed(to_html(report, "Faces"))
    assert page.tags.count("svg") == 2


def test_the_command(archive: Archive, tmp_path: Path) -> None:
    run = CliRunner().invoke
    out = tmp_path / "report.html"
    assert (
        run(
            report_app, [str(archive.folder), "-o", str(out), "--title", "Party"]
        ).exit_code
        == 0
    )
    assert "<h1>Party</h1>" in out.read_text(encoding="utf-8")
    listed = run(report_app, [str(archive.folder), "--format", "json"])
    assert json.loads(listed.stdout)["people"][0] == {
        "name": "Ada", "photos": 2, "videos": 1, "first": "2019-07-04", "last": "2024-03-05",
    }  # fmt: skip
    assert "no result of 'mien batch'" in str(
        run(report_app, [str(tmp_path)]).exception
    )
    assert "is unknown" in str(
        run(report_app, [str(archive.folder), "--format", "yaml"]).exception
    )
