"""The folder a batch writes: three Parquet tables in parts, complete after any crash.

    DIR/mien-batch.json      what the rows were made with
    DIR/faces/part-X.parquet     one row per face
    DIR/errors/part-X.parquet    one row per file that failed
    DIR/sources/part-X.parquet   one row per photo or video that was looked at, with or without a face

A part is committed by the rename of its `sources` file, which comes last; what has none is swept away and done again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

import mien
from mien import attribute, locks
from mien.attribute import Attribute
from mien.batch.inputs import BatchInput
from mien.batch.layout import SETTINGS
from mien.errors import InputError, MienError
from mien.models.attributes.heads import BUILT_IN
from mien.output.arrow import face_schema
from mien.output.columns import Told
from mien.space import EmbeddingSpace
from mien.types import F32, I64
from mien.zoo import DLIB

SCHEMA_VERSION = 1
DONE, FAILED = "done", "failed"

_STAMP = [("mien_version", pa.string()), ("schema_version", pa.int16())]
_ABOUT = {b"mien.schema_version": str(SCHEMA_VERSION).encode()}
_ATTRIBUTES, _SPACE = b"mien.attributes", b"mien.embedding_space"
# What reading a damaged part raises; its notes on attributes and space may be no text, or say something else.
_DAMAGES = (OSError, pa.ArrowException, ValueError)
_ODD_NOTES = (LookupError, TypeError, AttributeError, RecursionError)
TOLD = Told(
    tuple(BUILT_IN.values()), DLIB
)  # what is told unless something else is asked for


def faces_schema(told: Told) -> pa.Schema:
    """The columns of `faces`, with the descriptions of the attributes and of the descriptors' space."""
    fields = [
        *face_schema(told),
        ("content_hash", pa.string()),
        ("models", pa.string()),
        *_STAMP,
    ]
    described = {
        _ATTRIBUTES: attribute.to_json(told.attributes),
        _SPACE: json.dumps(told.space.described()),
    }
    return pa.schema(
        fields,
        metadata={**_ABOUT, **{key: text.encode() for key, text in described.items()}},
    )


SOURCES = pa.schema(
    [
        ("source", pa.string()),
        ("root", pa.string()),
        ("kind", pa.string()),
        ("size", pa.int64()),
        ("mtime", pa.timestamp("us", tz="UTC")),
        ("content_hash", pa.string()),
        ("taken_at", pa.timestamp("us")),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("frames", pa.int32()),
        ("faces", pa.int32()),
        ("status", pa.string()),
        *_STAMP,
    ],
    metadata=_ABOUT,
)
ERRORS = pa.schema(
    [("source", pa.string()), ("error", pa.string()), *_STAMP], metadata=_ABOUT
)
TABLES = ("faces", "errors", "sources")  # in the order in which a part is written


@dataclass(frozen=True)
class Row:
    """What became of one item; `error` is None where all went well. `taken_at` is the camera's own clock."""

    item: BatchInput
    content_hash: str | None = None
    taken_at: datetime | None = None
    width: int = 0
    height: int = 0
    frames: int = 0
    faces: int = 0
    error: str | None = None

    def record(self) -> dict[str, object]:
        """Its columns in the table of sources."""
        item = self.item
        measured = {
            key: getattr(self, key)
            for key in ("content_hash", "taken_at", "width", "height", "frames")
        }
        return {
            "source": item.source,
            "root": item.root,
            "kind": "video" if item.is_video else "photo",
            "size": item.size,
            "mtime": item.mtime_us,
            **measured,
            "faces": 0 if self.error is not None else self.faces,
            "status": DONE if self.error is None else FAILED,
        }


@dataclass(frozen=True)
class Outcome:
    """The tables of one part, by name; `size` is the bytes of the files it was made from."""

    part: str
    size: int
    tables: Mapping[str, pa.Table]

    def errors(self) -> list[str]:
        """Why files failed, in words."""
        return [str(text) for text in self.tables["errors"]["error"].to_pylist()]


class EarlierFile(NamedTuple):
    """A file that an earlier run looked at."""

    part: str
    root: str
    size: int
    mtime_us: int
    content_hash: str | None
    failed: bool


def part_name(items: Iterable[BatchInput]) -> str:
    """The name of the part that holds these files in this state: the same files, the same name."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.source}\0{item.size}\0{item.mtime_us}\n".encode())
    return f"part-{digest.hexdigest()[:16]}.parquet"


def make_outcome(
    items: Iterable[BatchInput],
    rows: Iterable[Row],
    faces: Iterable[pa.Table],
    told: Told = TOLD,
) -> Outcome:
    """The part of these items."""
    items, rows = tuple(items), list(rows)
    schemas = {"faces": faces_schema(told), "errors": ERRORS, "sources": SOURCES}
    unstamped = {
        name: pa.schema([field for field in schema if field.name not in dict(_STAMP)])
        for name, schema in schemas.items()
    }
    failed = [
        {"source": row.item.source, "error": row.error}
        for row in rows
        if row.error is not None
    ]
    tables = {
        "faces": pa.concat_tables([unstamped["faces"].empty_table(), *faces]),
        "errors": pa.Table.from_pylist(failed, schema=unstamped["errors"]),
        "sources": pa.Table.from_pylist(
            list(map(Row.record, rows)), schema=unstamped["sources"]
        ),
    }
    stamped = {name: _stamped(table, schemas[name]) for name, table in tables.items()}
    return Outcome(part_name(items), sum(item.size for item in items), stamped)


def _stamped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for (name, kind), value in zip(
        _STAMP, (mien.__version__, SCHEMA_VERSION), strict=True
    ):
        table = table.append_column(name, pa.repeat(pa.scalar(value, kind), len(table)))
    return table.cast(schema)


class Footer(NamedTuple):
    """What the end of a part says of it, and of which state of the file."""

    state: tuple[int, int]
    metadata: pq.FileMetaData
    schema: pa.Schema

    @property
    def rows(self) -> int:
        return int(self.metadata.num_rows)


class Archive:
    """A batch folder: opened to read as it is, to write with `writing`."""

    def __init__(
        self, folder: Path, unclaimed: Mapping[str, object] | None = None
    ) -> None:
        self.folder = folder
        self.unclaimed = unclaimed  # settings that the first commit will write
        self._footers: dict[Path, Footer] = {}

    @classmethod
    def open(cls, folder: Path) -> Archive:
        """A folder that 'mien batch' has written.

        Raises:
            InputError: It is none, or of a later version.
        """
        archive = cls(folder)
        archive.settings()
        return archive

    @classmethod
    @contextmanager
    def writing(cls, folder: Path, settings: Mapping[str, object]) -> Iterator[Archive]:
        """The folder for one writer at a time, without what an interrupted run left half-done.

        Raises:
            InputError: It was made with other settings, is in use, or holds other things.
            MienError: It cannot be written.
        """
        archive = cls(folder)
        with _writable(folder):
            for table in TABLES:
                (folder / table).mkdir(parents=True, exist_ok=True)
        busy = f"another 'mien batch' is writing {folder}: wait for it or stop it"
        with locks.locked(folder / ".lock", busy=busy):
            archive._check(settings)
            with _writable(folder):
                archive._sweep()
            yield archive

    def settings(self) -> dict[str, Any]:
        """What the rows were made with.

        Raises:
            InputError: This is no folder that 'mien batch' has written.
        """
        path = self.folder / SETTINGS
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise InputError(
                f"{self.folder} is no result of 'mien batch': cannot read {SETTINGS} in it"
            ) from exc
        if about.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"{self.folder} has schema version {about.get('schema_version')}, this mien reads {SCHEMA_VERSION}: "
                "use the mien that made it, or another --output"
            )
        renamed = {"looks": "crops"}  # in archives of mien 0.1
        return {renamed.get(key, key): made for key, made in about["settings"].items()}

    def _check(self, settings: Mapping[str, object]) -> None:
        wanted = json.loads(json.dumps(settings))
        if not (self.folder / SETTINGS).exists():
            self.unclaimed = wanted
            return
        made = self.settings()
        other = [
            f"{key} {made.get(key)}, now {value}"
            for key, value in wanted.items()
            if made.get(key) != value
        ]
        if other:
            raise InputError(
                f"{self.folder} was made with {'; '.join(other)}: give another --output, or remove it"
            )

    def _sweep(self) -> None:
        """Removes parts that were never committed."""
        committed = {
            path.name for path in (self.folder / "sources").glob("part-*.parquet")
        }
        for table in TABLES:
            for path in (self.folder / table).iterdir():
                if (
                    path.name.startswith((".part-", "part-"))
                    and path.name not in committed
                ):
                    path.unlink()

    def known(self) -> dict[str, EarlierFile]:
        """All files that earlier runs looked at, by source.

        Raises:
            MienError: A part is damaged.
        """
        found: dict[str, EarlierFile] = {}
        for path in sorted((self.folder / "sources").glob("part-*.parquet")):
            table = _read(path)
            columns = [table[name].to_pylist() for name in ("source", "root", "size")]
            times = table["mtime"].cast(pa.int64()).to_pylist()
            more = [table[name].to_pylist() for name in ("content_hash", "status")]
            for source, root, size, time, content_hash, status in zip(
                *columns, times, *more, strict=True
            ):
                found[source] = EarlierFile(
                    path.name, root, size, time, content_hash, status == FAILED
                )
        return found

    def commit(self, outcome: Outcome) -> None:
        """Writes a part; after it returns the part outlives any crash, before that it does not exist."""
        if self.unclaimed is not None:
            path = self.folder / SETTINGS
            about = {"schema_version": SCHEMA_VERSION, "settings": self.unclaimed}
            with _writable(path), _replacing(path) as temporary:
                temporary.write_text(
                    json.dumps(about, indent=1, ensure_ascii=False) + "\n",
                    encoding="utf-8",
                )
            self.unclaimed = None
        for name, table in outcome.tables.items():
            self._write(name, outcome.part, table)

    def drop(self, sources: Mapping[str, str]) -> None:
        """Removes the rows of these sources; each is given with its part."""
        for part in sorted(set(sources.values())):
            gone = pa.array(
                [source for source, its in sources.items() if its == part], pa.string()
            )
            for name in (
                TABLES
            ):  # `sources` last: until then the next run finds the part stale again
                path = self.folder / name / part
                if path.exists():
                    table = _read(path)
                    self._write(
                        name,
                        part,
                        table.filter(pc.invert(pc.is_in(table["source"], gone))),
                        rewrite=True,
                    )

    def _write(
        self, name: str, part: str, table: pa.Table, *, rewrite: bool = False
    ) -> None:
        path = self.folder / name / part
        with _writable(path):
            if not len(table) and (rewrite or name == "errors"):
                path.unlink(missing_ok=True)
                return
            columns = table.schema
            vectors = [one.name for one in columns if pa.types.is_nested(one.type)]
            # Of descriptors no two numbers are the same: byte by byte they are smaller by a fifth and faster to read.
            streams = [
                f"{name}.list.element"
                for name in vectors
                if pa.types.is_fixed_size_list(columns.field(name).type)
            ]
            with _replacing(path) as temporary:
                pq.write_table(
                    table,
                    temporary,
                    compression="zstd",
                    use_dictionary=[n for n in table.column_names if n not in vectors],
                    use_byte_stream_split=streams,
                )

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """One of the tables "faces", "sources", "errors", of committed parts only.

        Raises:
            MienError: A part is damaged.
        """
        with self._readable(name):
            names = list(map(str, self._parts(name)))
            # All parts' columns: later versions, and runs with more attributes, have more
            if name != "faces":
                schema = {"errors": ERRORS, "sources": SOURCES}[name]
            else:
                there = [self._footer(Path(path)).schema for path in names]
                usual = faces_schema(TOLD)
                if there:  # their descriptors may be of another space
                    usual = usual.remove(usual.get_field_index("embedding"))
                schema = pa.unify_schemas([*there, usual])
            return pads.dataset(names, schema=schema, format="parquet").to_table(
                columns=columns
            )

    def descriptors(self, space: EmbeddingSpace) -> Iterator[tuple[F32, I64]]:
        """The descriptors (N, D) of all faces, some at a time, each with its row in `faces`.

        Raises:
            InputError: They are of another space, or were not computed.
            MienError: A part is damaged.
        """
        first = 0
        for part in self.described_parts(space):
            table, there = self.descriptors_in(part)
            yield table, first + there
            first += self.rows_in(part)

    def described_parts(self, space: EmbeddingSpace) -> list[Path]:
        """The parts that hold faces, in the order of the rows. Raises InputError where they are of another space."""
        paths = self._parts("faces")
        for path in paths:
            schema = self._footer(path).schema
            if "embedding" not in schema.names:
                raise InputError(
                    f"{self.folder} holds no descriptors: run the batch with identity among --only"
                )
            kept = (schema.metadata or {}).get(_SPACE)
            with self._readable("faces", *_ODD_NOTES):
                embedder = json.loads(kept)["name"] if kept else DLIB.name
            if (
                embedder != space.name
                or schema.field("embedding").type.list_size != space.size
            ):
                raise InputError(
                    f"{self.folder} was made with the embedder {embedder}, not {space.name}: choose it with --embedder"
                )
        return paths

    def descriptors_in(self, part: Path) -> tuple[F32, I64]:
        """The descriptors (N, D) in a part, each with its row in the part."""
        with self._readable("faces"):
            file = pq.ParquetFile(part, metadata=self._footer(part).metadata)
            column = file.read(columns=["embedding"]).column(0).combine_chunks()
        there = np.arange(len(column))
        if column.null_count:
            there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        table = column.flatten().to_numpy()  # without those that are null
        return table.reshape(-1, column.type.list_size), there

    def rows_in(self, part: Path) -> int:
        """How many faces a part has."""
        return self._footer(part).rows

    def state_of(self, part: Path) -> tuple[int, int]:
        """What tells a part from the same one rewritten."""
        return self._footer(part).state

    def count(self, name: str) -> int:
        """How many rows a table has. Raises MienError where a part is damaged."""
        return sum(self._footer(path).rows for path in self._parts(name))

    def faces_at(self, rows: Sequence[int], columns: list[str]) -> list[dict[str, Any]]:
        """What is told of some faces, by their rows in `faces`."""
        paths = self._parts("faces")
        ends = np.cumsum([self._footer(path).rows for path in paths])
        parts = np.searchsorted(ends, rows, side="right")
        told: dict[int, dict[str, Any]] = {}
        for part in np.unique(parts).tolist():
            path = paths[part]
            footer = self._footer(path)
            wanted = [row for row, its in zip(rows, parts, strict=True) if its == part]
            inside = pa.array([row - int(ends[part]) + footer.rows for row in wanted])
            there = [column for column in columns if column in footer.schema.names]
            with self._readable("faces"):
                some = _parquet(path).read(columns=there).take(inside).to_pylist()
            told |= zip(wanted, some, strict=True)
        return [told[row] for row in rows]

    @contextmanager
    def _readable(self, name: str, *odd: type[Exception]) -> Iterator[None]:
        try:
            yield
        except (*_DAMAGES, *odd) as exc:
            raise MienError(
                f"cannot read {self.folder / name}: {exc}; remove the damaged part, run the batch again"
            ) from exc

    def _parts(self, name: str) -> list[Path]:
        """The committed parts of a table."""
        committed = sorted(
            path.name for path in (self.folder / "sources").glob("part-*.parquet")
        )
        paths = [self.folder / name / part for part in committed]
        there = [path for path in paths if path.exists()]
        if name != "faces":
            return there
        # One without faces may have been written by who did not know the space.
        return [path for path in there if self._footer(path).rows > 0]

    def attributes(self) -> tuple[Attribute, ...]:
        """What the faces of this archive were asked for; of archives of version 0.1 the built-in attributes."""
        told: dict[str, Attribute] = {}
        for path in sorted((self.folder / "faces").glob("part-*.parquet")):
            kept = (self._footer(path).schema.metadata or {}).get(_ATTRIBUTES)
            if not kept:
                told |= BUILT_IN
                continue
            with self._readable("faces", *_ODD_NOTES):
                told |= {one.name: one for one in attribute.from_json(kept.decode())}
        return tuple((told or BUILT_IN).values())

    def _footer(self, path: Path) -> Footer:
        """The end of a part, read once as long as the file stays as it is."""
        with self._readable(path.parent.name):
            found = path.stat()
        state = found.st_mtime_ns, found.st_size
        known = self._footers.get(path)
        if known is None or known.state != state:
            file = _parquet(path)
            known = Footer(state, file.metadata, file.schema_arrow)
            self._footers[path] = known
        return known


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except _DAMAGES as exc:
        raise MienError(
            f"{path} is damaged ({exc}): remove it and run again; its files are then done anew"
        ) from exc


def _read(path: Path) -> pa.Table:
    try:
        return _parquet(path).read()
    except _DAMAGES as exc:
        raise MienError(
            f"{path} is damaged ({exc}): remove it and run again; its files are then done anew"
        ) from exc


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A place to write to beside a file, which takes the file's place once it is on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise MienError(
            f"cannot write {path}: {exc.strerror or exc}; free space or choose another place"
        ) from exc
