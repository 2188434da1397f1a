"""Counts over the tables of a batch. A face counts once: each face of a photo, each track of a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mien.attribute import Attribute
from mien.batch import Archive
from mien.output.charts import Series, crossed, labels_of, step_of, steps_between

_COLUMNS = ["source", "face", "track_id", "score", "name"]
_MAX_PERIODS = 48
_MANY_FACES = 10


@dataclass(frozen=True)
class Totals:
    """How much there is; `period` is the first and last time, of EXIF where it is told, else of the file."""

    photos: int
    videos: int
    failed: int
    without_face: int
    bytes: int
    faces: int
    named: int
    people: int
    period: tuple[str, str] | None
    timed_by_exif: int

    @classmethod
    def of(cls, sources: pa.Table, faces: pa.Table) -> Totals:
        """Counted over the sources, and the faces that count once."""
        done = sources.filter(pc.equal(sources["status"], "done"))
        ends = pc.min_max(sources["time"]).as_py()
        period = (_day(ends["min"]), _day(ends["max"])) if len(sources) else None
        return cls(
            photos=_count(pc.equal(sources["kind"], "photo")),
            videos=_count(pc.equal(sources["kind"], "video")),
            failed=len(sources) - len(done),
            without_face=_count(pc.equal(done["faces"], 0)),
            bytes=pc.sum(sources["size"]).as_py() or 0,
            faces=len(faces),
            named=len(faces) - faces["name"].null_count,
            people=pc.count_distinct(faces["name"]).as_py(),
            period=period,
            timed_by_exif=_count(sources["exif"]),
        )


@dataclass(frozen=True)
class PersonCount:
    """Somebody of the gallery: in how many photos and videos, and when first and last."""

    name: str
    photos: int
    videos: int
    first: str
    last: str

    @classmethod
    def all_of(cls, faces: pa.Table) -> tuple[PersonCount, ...]:
        """Named people, those in most photos and videos first."""
        named = faces.filter(faces["name"].is_valid())
        each = named.group_by(["name", "kind", "source"]).aggregate([("time", "min")])
        counted = each.group_by(["name", "kind"]).aggregate(
            [("source", "count"), ("time_min", "min"), ("time_min", "max")]
        )
        by_name: dict[str, list[dict[str, Any]]] = {}
        for row in counted.to_pylist():
            by_name.setdefault(row["name"], []).append(row)
        people = []
        for name, rows in by_name.items():
            kinds = {row["kind"]: row["source_count"] for row in rows}
            first = _day(min(row["time_min_min"] for row in rows))
            last = _day(max(row["time_min_max"] for row in rows))
            photos, videos = kinds.get("photo", 0), kinds.get("video", 0)
            people.append(cls(name, photos, videos, first, last))
        return tuple(
            sorted(people, key=lambda one: (-one.photos - one.videos, one.name))
        )


@dataclass(frozen=True)
class BatchReport:
    """All that the page shows; every series may be empty.

    `attributes` has a series for each attribute by its plural ("ages", "genders"), and one "…_over_time" for each that
    changes from one moment to the next; `units` has the units of numbers.
    """

    totals: Totals
    people: tuple[PersonCount, ...]
    attributes: Mapping[str, Series]
    files_over_time: Series
    faces_per_photo: Series
    errors: tuple[str, ...]
    units: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; every attribute's series stands beside the others."""
        plain = asdict(self)
        del plain["units"]
        return {**plain, **plain.pop("attributes")}


def summarise(archive: Archive) -> BatchReport:
    """Counts what an archive holds.

    Raises:
        MienError: A part of it is damaged.
    """
    sources = _timed(archive.table("sources"))
    attributes = archive.attributes()
    faces = _one_each(archive, attributes).join(
        sources, keys="source", join_type="inner"
    )
    periods = _Periods.of(sources["time"])
    return BatchReport(
        totals=Totals.of(sources, faces),
        people=PersonCount.all_of(faces),
        attributes=_series(faces, attributes, periods),
        units={one.plural: one.unit for one in attributes if one.unit},
        files_over_time=crossed(
            periods.names(sources["time"]),
            sources["kind"].to_pylist(),
            periods.all,
            ("photo", "video"),
        ),
        faces_per_photo=_faces_per_photo(sources),
        errors=tuple(sorted(archive.table("errors")["error"].to_pylist())),
    )


def _timed(sources: pa.Table) -> pa.Table:
    """The sources with `time`: of EXIF, else of the file (UTC)."""
    time = pc.coalesce(sources["taken_at"], sources["mtime"].cast(pa.timestamp("us")))
    kept = sources.select(["source", "kind", "size", "faces", "status"])
    return kept.append_column("time", time).append_column(
        "exif", sources["taken_at"].is_valid()
    )


def _one_each(archive: Archive, attributes: Sequence[Attribute]) -> pa.Table:
    """The best row of every face of a photo and every track of a video."""
    wanted = ["name", *(attribute.name for attribute in attributes)]
    faces = archive.table("faces", [*_COLUMNS, *wanted[1:]])
    alone = pc.subtract(-1, faces["face"].cast(pa.int64()))
    keyed = faces.append_column("key", pc.coalesce(faces["track_id"], alone)).sort_by(
        [("score", "descending")]
    )
    best = keyed.group_by(["source", "key"], use_threads=False).aggregate(
        [(name, "first") for name in wanted]
    )
    return best.rename_columns(
        [name.removesuffix("_first") for name in best.column_names]
    )


def _series(
    faces: pa.Table, attributes: Sequence[Attribute], periods: _Periods
) -> dict[str, Series]:
    """What is counted of each attribute; numbers are parted by the first label that does not change."""
    parting = next(
        (one for one in attributes if not one.is_number and not one.momentary), None
    )
    series: dict[str, Series] = {}
    for one in attributes:
        if one.is_number:
            series[one.plural] = _by_steps(faces, one, parting)
            continue
        # How often each value occurs: one row per value.
        values = faces[one.name]
        counts = Counter(value for value in values.to_pylist() if value is not None)
        rows = labels_of(counts, one.labels)
        series[one.plural] = Series(
            rows, ("faces",), tuple((counts[row],) for row in rows)
        )
        if one.momentary:
            labels, times = faces[one.name].to_pylist(), periods.names(faces["time"])
            series[f"{one.plural}_over_time"] = crossed(
                times, labels, periods.all, one.labels
            )
    return series


def _count(mask: Any) -> int:
    return pc.sum(mask).as_py() or 0


def _day(time: datetime) -> str:
    return time.date().isoformat()


def _by_steps(faces: pa.Table, number: Attribute, parting: Attribute | None) -> Series:
    """Numbers by tens ("0-9", "10-19"), parted by a label where there is one."""
    rows = [
        None if value is None else step_of(value)
        for value in faces[number.name].to_pylist()
    ]
    wanted = steps_between(["0-9", *(row for row in rows if row is not None)])
    if all(row is None for row in rows):
        return Series((), (), ())
    if parting is None or faces[parting.name].null_count == len(faces):
        return crossed(rows, ["faces"] * len(rows), wanted, ("faces",))
    return crossed(rows, faces[parting.name].to_pylist(), wanted, parting.labels)


def _faces_per_photo(sources: pa.Table) -> Series:
    photos = sources.filter(
        pc.and_(pc.equal(sources["status"], "done"), pc.equal(sources["kind"], "photo"))
    )
    counts = Counter(
        min(int(count), _MANY_FACES) for count in photos["faces"].to_pylist()
    )
    rows = range(max(counts, default=-1) + 1)
    names = tuple(f"{row} or more" if row == _MANY_FACES else str(row) for row in rows)
    return Series(names, ("photos",), tuple((counts[row],) for row in rows))


@dataclass(frozen=True)
class _Periods:
    """Days, months or years: the finest of which not too many are needed."""

    form: str
    all: tuple[str, ...]

    @classmethod
    def of(cls, times: Any) -> _Periods:
        for form in ("%Y-%m-%d", "%Y-%m"):
            periods = cls(
                form, tuple(sorted(set(pc.strftime(times, format=form).to_pylist())))
            )
            if len(periods.all) <= _MAX_PERIODS:
                return periods
        return cls(
            "%Y", tuple(sorted(set(pc.strftime(times, format="%Y").to_pylist())))
        )

    def names(self, times: Any) -> list[str | None]:
        return list(pc.strftime(times, format=self.form).to_pylist())
