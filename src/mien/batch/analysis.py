"""What is made of a shard, a handful of photos or one video: the tables that are written for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from mien import zoo
from mien.attribute import IDENTITY
from mien.batch import inputs
from mien.batch.dataset import Outcome, Row, make_outcome
from mien.batch.inputs import BatchInput
from mien.errors import InputError
from mien.media import images
from mien.models import embedders
from mien.models.attributes.heads import BUILT_IN, EMOTION, TRAITS
from mien.models.detectors.base import MIN_FACE, made_of
from mien.output.arrow import face_schema, face_table
from mien.output.schemas import FrameRecord, frame_record
from mien.pipeline import DEFAULT_DETECTOR, DEFAULT_EMBEDDER, PARTS, Analyzer
from mien.sources import open_source
from mien.types import Frame, FrameResult

_FRAMES_PER_TABLE = 256
Choices = Mapping[str, Any]  # the arguments of an Analyzer
USUAL: Choices = {  # of those that decide what rows say, what the Analyzer takes where they are not given
    "gallery": None,
    "detector": DEFAULT_DETECTOR,
    "tolerance": None,
    "min_face": MIN_FACE,
    "only": PARTS,
    "crops": 1,
}
LATER: Choices = {  # the same, of choices that older archives do not know
    "fast": False,
    "false_names": None,
    "embedder": DEFAULT_EMBEDDER,
}


@dataclass(frozen=True)
class Listener:
    """Told how a shard gets on: `begun(i)` before item i, `done(bytes)` as work gets done."""

    begun: Callable[[int], None] = lambda index: None
    done: Callable[[float], None] = lambda size: None


@dataclass
class _Found:
    """What an item turned out to be, filled as it is read."""

    content_hash: str | None = None
    taken_at: datetime | None = None
    width: int = 0
    height: int = 0
    frames: int = 0
    faces: list[pa.Table] = field(default_factory=list)

    def row(self, item: BatchInput, error: str | None) -> Row:
        """What is known of the file once it was looked at."""
        return Row(
            item=item,
            content_hash=self.content_hash,
            taken_at=self.taken_at,
            width=self.width,
            height=self.height,
            frames=self.frames,
            faces=sum(map(len, self.faces)),
            error=error,
        )


class ShardAnalyzer:
    """Analyses shards; loads its models once.

    Args:
        choices: The arguments of the `Analyzer`.
        every: Of a video, take every Nth frame.

    Raises:
        MienError: As the `Analyzer`.
    """

    def __init__(self, choices: Choices, *, every: int = 1) -> None:
        self.analyzer = Analyzer(**choices)
        self.every = every
        self.models = models_text(choices)
        self.schema = face_schema(self.analyzer.told)

    def __call__(
        self, items: tuple[BatchInput, ...], listener: Listener | None = None
    ) -> Outcome:
        """The tables of these items; one that cannot be read becomes an error, the others go on."""
        listener = listener or Listener()
        rows: list[Row] = []
        tables: list[pa.Table] = []
        for index, item in enumerate(items):
            listener.begun(index)
            found, error = _Found(), None
            try:
                self._analyze(item, found, listener)
            except InputError as exc:
                error = item.named(str(exc))
                found.faces.clear()
            rows.append(found.row(item, error))
            tables.extend(
                table.append_column(
                    "content_hash", _repeated(found.content_hash, len(table))
                ).append_column("models", _repeated(self.models, len(table)))
                for table in found.faces
            )
        return make_outcome(items, rows, tables, self.analyzer.told)

    def _analyze(self, item: BatchInput, found: _Found, listener: Listener) -> None:
        if item.is_video:
            self._video(item, found, listener)
        else:
            data = inputs.read(item)
            found.content_hash = hashlib.sha256(data).hexdigest()
            image = images.read_image(data)
            found.taken_at = images.taken_at(data)
            found.height, found.width = image.shape[:2]
            found.frames = 1
            result = self.analyzer.analyze_frame(Frame(image, source=item.source))
            found.faces.append(face_table([self._record(result, item)], self.schema))
            listener.done(item.size)

    def _video(self, item: BatchInput, found: _Found, listener: Listener) -> None:
        with inputs.local_copy(item) as path, _calling(path, item.source):
            found.content_hash = inputs.digest(
                BatchInput(item.source, item.root, item.size, item.mtime_us, str(path))
            )
            records: list[FrameRecord] = []
            for result, share in self._frames(path):
                listener.done(share * item.size)
                found.width, found.height, found.frames = (
                    result.width,
                    result.height,
                    found.frames + 1,
                )
                records.append(self._record(result, item))
                if len(records) == _FRAMES_PER_TABLE:
                    found.faces.append(face_table(records, self.schema))
                    records.clear()
            found.faces.append(face_table(records, self.schema))

    def _frames(self, path: Path) -> Iterator[tuple[FrameResult, float]]:
        """The results of a video, tracked and smoothed, each with the share of the video that it is."""
        with open_source(str(path)) as frames:
            step = self.analyzer.session().step
            share = 1 / frames.frames if frames.frames else 0.0
            for frame in frames:
                if frame.index % self.every == 0:
                    yield step(frame), share * self.every

    def _record(self, result: FrameResult, item: BatchInput) -> FrameRecord:
        record = frame_record(
            result, identity=IDENTITY in self.analyzer.only, embeddings=True
        )
        return replace(record, source=item.source)


@contextmanager
def _calling(path: Path, source: str) -> Iterator[None]:
    """Errors about a copy name what it is a copy of."""
    try:
        yield
    except InputError as exc:
        raise InputError(str(exc).replace(str(path), source)) from exc


def _repeated(value: str | None, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), count)


def models_text(choices: Choices) -> str:
    """Which weights an analyzer of these arguments uses: names with the start of their SHA-256."""
    own: Mapping[str, Path] = choices.get("models", {})
    embedder = choices.get("embedder", DEFAULT_EMBEDDER)
    ours = set(choices.get("only") or PARTS) & BUILT_IN.keys() - own.keys()
    traits = ours & TRAITS.keys()
    names = ["dlib_landmarks_5", "angle"]
    names += ["attributes"] if traits else []
    names += [EMOTION.name] if EMOTION.name in ours else []
    parts = list(made_of(choices.get("detector", DEFAULT_DETECTOR)))
    # Heads read dlib's network, whatever tells who a face is.
    if embedder == DEFAULT_EMBEDDER or traits:
        names.insert(0, DEFAULT_EMBEDDER)
    if embedder != DEFAULT_EMBEDDER:
        parts += embedders.made_of(embedder)
    parts += [f"{name}@{zoo.spec_of(name).sha256[:12]}" for name in names]
    parts += [
        f"{part}:{Path(file).name}@{hashlib.sha256(images.read_bytes(Path(file))).hexdigest()[:12]}"
        for part, file in sorted(own.items())
    ]
    return " ".join(dict.fromkeys(parts))  # a detector may name the angle's too
