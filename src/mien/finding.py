"""Where a face was seen before: the nearest in galleries, among unknown faces, in batch results and in photos."""

from __future__ import annotations

import heapq
import importlib.util
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mien import sources
from mien.errors import InputError, PhotoNotFound, UnknownNotFound
from mien.gallery import FindsNearest, Gallery, showing
from mien.gallery.unknown import UnknownFaces
from mien.installs import lacking
from mien.media import images
from mien.pipeline import Analyzer
from mien.space import EmbeddingSpace
from mien.text import printable
from mien.types import F32, I64

if TYPE_CHECKING:
    from mien.batch import Archive

log = logging.getLogger(__name__)

_ROWS = 8_192  # compared at a time: 4 MB
_KEPT = 1_000_000  # faces of a batch result whose descriptors stay in memory
_CORNERS = ["x1", "y1", "x2", "y2"]
_TOLD = ["source", "index", "time_s", "name", *_CORNERS]


@dataclass(frozen=True, slots=True)
class Found:
    """A face near the one asked for: how far, in which of the places that were searched, and in which picture.

    `name` is the person's it is enrolled for, `group` that of unknown faces it is in, `index` and `time_s` tell the
    frame of a film, `box` (4) xyxy where it is in the picture; `key` is what its place knows it by.
    `probability` is how likely it is the same person, where that was measured for the embedder: the more were
    compared, the less.
    """

    distance: float
    place: str
    source: str
    name: str | None = None
    group: str | None = None
    index: int = 0
    time_s: float = 0.0
    box: tuple[float, ...] | None = None
    key: str = ""
    probability: float | None = None


class Searchable(Protocol):
    """Something that faces can be found in. Distances are Euclidean until `find` tells them in the space's measure."""

    def nearest(self, probe: F32, count: int) -> list[Found]:
        """The `count` faces nearest to a descriptor (D,), the nearest first."""
        ...

    def picture(self, found: Found) -> bytes:
        """A small JPEG of a face that was found here; nothing where there is none."""
        ...

    def size(self) -> int:
        """How many there are, of people or else of faces, who may look alike; asked after the search."""
        ...


def find(
    places: Sequence[Searchable], probe: F32, *, space: EmbeddingSpace, count: int
) -> list[tuple[Found, Searchable]]:
    """The faces nearest to a descriptor (D,) in all places together, each with its place, the nearest first."""
    kept = space.kept(probe[None])[0]
    near = [(found, place) for place in places for found in place.nearest(kept, count)]
    best = sorted(near, key=lambda pair: pair[0].distance)[:count]
    apart = np.array([found.distance for found, _ in best], np.float32)
    distances = space.from_euclidean(apart)
    likely: Sequence[float | None] = [None] * len(best)
    if space.rates is not None and best:
        compared = sum(place.size() for place in places)
        likely = np.round(space.rates.probability(distances, compared), 4).tolist()
    told = zip(best, distances.tolist(), likely, strict=True)
    return [
        (replace(found, distance=round(distance, 4), probability=probability), place)
        for (found, place), distance, probability in told
    ]


def _best(
    rows: Iterable[tuple[F32, Sequence[Any] | I64]], probe: F32, count: int
) -> list[tuple[float, Any]]:
    """The distances of the nearest of all rows, and what is told of those."""
    best: list[tuple[float, int, Any]] = []
    number = 0  # parts those that are equally far
    for descriptors, told in rows:
        distances = np.linalg.norm(descriptors - probe, axis=1)
        distances[~np.isfinite(distances)] = np.inf
        few = (
            np.argpartition(distances, count)[:count]
            if count < len(distances)
            else np.arange(len(distances))
        )
        nearest = few[np.argsort(distances[few], kind="stable")]
        known = [
            (float(distances[i]), number + int(i), told[i])
            for i in nearest
            if np.isfinite(distances[i])
        ]
        best = heapq.nsmallest(count, [*best, *known], key=lambda one: one[:2])
        number += len(descriptors)
    return [(distance, one) for distance, _, one in best]


class GallerySearch:
    """The photos of everybody in a gallery."""

    def __init__(self, gallery: Gallery, name: str) -> None:
        self.gallery = gallery
        self.name = name

    def nearest(self, probe: F32, count: int) -> list[Found]:
        if isinstance(self.gallery, FindsNearest):
            best = self.gallery.nearest(probe, count)
        else:
            best = _best(self._rows(), probe, count)
        return [
            Found(
                distance,
                self.name,
                one.photo.source,
                name=one.name,
                key=one.photo.sha256,
            )
            for distance, one in best
        ]

    def _rows(self) -> Iterator[tuple[F32, Sequence[Any]]]:
        some = []
        for one in self.gallery.enrolled():
            some.append(one)
            if len(some) == _ROWS:
                yield np.stack([each.photo.embedding for each in some]), some
                some = []
        if some:
            yield np.stack([each.photo.embedding for each in some]), some

    def size(self) -> int:
        return len(self.gallery.people())

    def picture(self, found: Found) -> bytes:
        try:
            return showing(self.gallery).thumbnail(found.name or "", found.key)
        except PhotoNotFound:
            return b""


class UnknownSearch:
    """The faces that nobody has named."""

    def __init__(self, unknown: UnknownFaces, name: str = "unknown") -> None:
        self.unknown = unknown
        self.name = name

    def nearest(self, probe: F32, count: int) -> list[Found]:
        descriptors, faces = self.unknown.described()
        return [
            Found(distance, self.name, face.source, group=group, key=str(face.id))
            for distance, (group, face) in _best([(descriptors, faces)], probe, count)
        ]

    def size(self) -> int:
        return len(self.unknown.groups(least=1))

    def picture(self, found: Found) -> bytes:
        try:
            return self.unknown.thumbnail(int(found.key))
        except UnknownNotFound:
            return b""


def batch_search(folder: Path, space: EmbeddingSpace, *, keep: bool) -> BatchSearch:
    """What searches a batch result.

    Raises:
        InputError: It is none, is of another embedder, or cannot be read here.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(lacking("reading a batch result", "pyarrow", "parquet"))
    from mien.batch import Archive

    archive = Archive.open(folder)
    archive.described_parts(space)
    return BatchSearch(archive, str(folder), space=space, keep=keep)


class BatchSearch:
    """The faces of a batch result, read part by part: memory does not grow with the archive.

    With `keep` what was read stays in memory, half a kilobyte a face, up to a million
    faces; parts that were written anew are read anew.
    """

    def __init__(
        self, archive: Archive, name: str, *, space: EmbeddingSpace, keep: bool = False
    ) -> None:
        self.archive = archive
        self.name = name
        self.space = space
        self.keep = keep
        self._kept: dict[Path, tuple[object, F32, I64]] = {}

    def nearest(self, probe: F32, count: int) -> list[Found]:
        rows = self._read() if self.keep else self.archive.descriptors(self.space)
        best = _best(rows, probe, count)
        told = self.archive.faces_at([int(row) for _, row in best], _TOLD)
        return [
            Found(
                distance,
                self.name,
                row["source"],
                name=row.get("name"),
                index=row["index"],
                time_s=row["time_s"],
                box=tuple(row[corner] for corner in _CORNERS),
            )
            for (distance, _), row in zip(best, told, strict=True)
        ]

    def _read(self) -> Iterator[tuple[F32, I64]]:
        """Descriptors as the archive gives them; those that are kept are not read again."""
        parts = self.archive.described_parts(self.space)
        before, now, first = self._kept, {}, 0
        for part in parts:
            state = self.archive.state_of(part)
            known = before.get(part)
            if known is None or known[0] != state:
                known = (state, *self.archive.descriptors_in(part))
            if first < _KEPT:
                now[part] = known
            yield known[1], first + known[2]
            first += self.archive.rows_in(part)
        self._kept = now

    def size(self) -> int:
        return self.archive.count("faces")

    def picture(self, found: Found) -> bytes:
        return _cut(found)


class PhotoSearch:
    """The faces of photos that are looked at now: `looked` is called after each, `failed` told why one cannot be."""

    def __init__(
        self,
        analyzer: Analyzer,
        place: str,
        *,
        failed: Callable[[str], None] = log.warning,
    ) -> None:
        self.analyzer = analyzer
        self.name = place
        self.files = [
            Path(file)
            for file in sources.expand(place)
            if Path(file).suffix.lower() in images.SUFFIXES
        ]
        self.looked: Callable[[], None] = lambda: None
        self._failed = failed
        self._faces = 0  # seen so far

    def nearest(self, probe: F32, count: int) -> list[Found]:
        return [
            replace(found, distance=distance)
            for distance, found in _best(self._rows(), probe, count)
        ]

    def _rows(self) -> Iterator[tuple[F32, Sequence[Found]]]:
        for file in self.files:
            try:
                faces = self.analyzer.describe_photo(images.read_bytes(file))
            except InputError as exc:
                self._failed(str(exc) if str(file) in str(exc) else f"{file}: {exc}")
            else:
                if len(faces) and faces.embeddings is not None:
                    self._faces += len(faces)
                    boxes = [tuple(map(float, box)) for box in faces.boxes]
                    kept = self.analyzer.space.kept(faces.embeddings)
                    yield (
                        kept,
                        [
                            Found(0.0, self.name, printable(str(file)), box=box)
                            for box in boxes
                        ],
                    )
            self.looked()

    def size(self) -> int:
        return self._faces

    def picture(self, found: Found) -> bytes:
        return _cut(found)


def _cut(found: Found) -> bytes:
    """The face out of its photo, where that is still there; of films nothing."""
    file = Path(found.source)
    if (
        found.box is None
        or file.suffix.lower() not in images.SUFFIXES
        or not file.is_file()
    ):
        return b""
    try:
        return images.thumbnail(
            images.read_image(file), np.array(found.box, np.float32)
        )
    except InputError:
        return b""
