"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mien.output import charts
from mien.output.charts import Series
from mien.output.pages import block, cards, page, section, table
from mien.report.numbers import BatchReport, PersonCount

_MOST_PEOPLE = 30  # in the picture; the table has them all
_MOST_ERRORS = 200


def to_html(report: BatchReport, title: str) -> str:
    """The whole page."""
    totals = report.totals
    period = f"{totals.period[0]} to {totals.period[1]}, " if totals.period else ""
    counts = {
        "photos": totals.photos,
        "videos": totals.videos,
        "faces": totals.faces,
        "with a name": totals.named,
        "people": totals.people,
        "without a face": totals.without_face,
        "failed": totals.failed,
    }
    sections = [
        cards(f"{period}{totals.bytes / 1e9:.2f} GB", counts),
        _people(report.people),
        *(
            _attribute(name, series, report)
            for name, series in report.attributes.items()
        ),
        section("Photos and videos over time", report.files_over_time, charts.columns),
        section("Faces per photo", report.faces_per_photo, charts.bars),
        _errors(report.errors),
    ]
    return page(title, "\n".join(filter(None, sections)))


def _attribute(name: str, series: Series, report: BatchReport) -> str:
    title = name.replace("_", " ").capitalize()
    if name.endswith("_over_time"):
        files = report.totals.photos + report.totals.videos
        return section(
            title,
            series,
            charts.columns,
            f"Time is the camera's where the file tells it ({report.totals.timed_by_exif:,} of {files:,}), "
            "else the file's own.",
        )
    unit = report.units.get(name)
    return section(
        title,
        series,
        charts.bars,
        f"One per face of a photo and track of a video, in {unit}." if unit else "",
    )


def _people(people: Sequence[PersonCount]) -> str:
    if not people:
        return ""
    most = people[:_MOST_PEOPLE]
    counts = tuple((person.photos, person.videos) for person in most)
    series = Series(tuple(person.name for person in most), ("photo", "video"), counts)
    picture = charts.legend(series.labels) + charts.bars(series, "People")
    rows = (
        (person.name, person.photos, person.videos, person.first, person.last)
        for person in people
    )
    note = "In how many photos and videos each is seen."
    return block(
        "People",
        note,
        picture,
        table(("name", "photos", "videos", "first", "last"), rows),
    )


def _errors(errors: Sequence[str]) -> str:
    if not errors:
        return ""
    listed = "".join(f"<li>{escape(error)}</li>" for error in errors[:_MOST_ERRORS])
    more = len(errors) - _MOST_ERRORS
    rest = (
        f"<p>and {more:,} more: the table <code>errors</code> has them</p>"
        if more > 0
        else ""
    )
    return f"<h2>Failed files</h2><details><summary>{len(errors):,} files</summary><ul>{listed}</ul>{rest}</details>"
