"""All descriptors of a gallery in memory, searched exactly and changed in place."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mien.gallery.counter import Stricter
from mien.gallery.search import Candidates, decide, nobody, per_face
from mien.types import F32, F64, I64, Matches

_BLOCK = 65_536  # rows; 32 MB of descriptors that the system hands out page by page
_SHORT = 40  # numbers of a descriptor's short form: nine tenths of the variance of dlib's descriptors
_WORTH_SHORTENING = 16_384  # rows; fewer are searched at once
_FACES = 16  # searched for in one pass
_EXACT = 8_192  # rows whose distances are computed exactly at a time
_LIKELY = 64  # rows compared before all others
_FARTHEST = 1e15  # a distance that can be squared in float32
_ROUNDING = 1e-3  # of squared distances in float32


@dataclass(frozen=True, slots=True)
class Rows:
    """Descriptors (M, D) with the ids (M,) of their photos, their weights (M,) and whose (M) they are."""

    ids: I64
    persons: Sequence[str]
    weights: F32
    descriptors: F32


class Table:
    """Descriptors in blocks of one size, so that growing copies nothing; threads search it together.

    A search reads a short form of every descriptor (its first principal components, and the length of what they leave
    out): the distance of two short forms is never more than that of the descriptors. Those whose short form is near
    enough are then compared exactly, in float64: nothing is missed. It reads a third of the bytes.

    Distances are Euclidean. Descriptors of a cosine space are of unit length, where these order like the cosine's.

    Args:
        size: Numbers of a descriptor.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = _SharedLock()
        self._used = 0
        self._free: list[int] = []
        self._blocks: list[F32] = []
        self._short: list[F32] = []
        self._squares: F32 = np.zeros(
            0, np.float32
        )  # of the short forms; infinite where there is no row to find
        self._weights: F32 = np.zeros(0, np.float32)
        self._ids: I64 = np.zeros(0, np.int64)
        self._owners: I64 = np.zeros(0, np.int64)
        self._findable = 0  # rows with a weight above 0
        self._people = _PeopleRows()
        self._mean = np.zeros(size, np.float32)
        self._basis: F32 | None = None

    def __len__(self) -> int:
        return self._used - len(self._free)

    def change(self, gone: Sequence[int], rows: Rows, names: dict[str, str]) -> None:
        """Takes the photos `gone` out, then puts `rows` in; `names` has the new name of each person who has one."""
        with self._lock.alone():
            self._remove(gone)
            self._people.rename(names)
            for start in range(0, len(rows.ids), _BLOCK):
                self._add(rows, slice(start, start + _BLOCK))

    def _remove(self, gone: Sequence[int]) -> None:
        if not len(gone) or not self._used:
            return
        slots = np.flatnonzero(
            np.isin(self._ids[: self._used], np.asarray(gone, np.int64))
        )
        self._findable -= int(np.isfinite(self._squares[slots]).sum())
        self._squares[slots], self._ids[slots] = np.inf, -1
        self._people.leave(self._owners[slots])
        for block, inside, _ in _by_block(slots):
            self._blocks[block][inside] = self._short[block][inside] = 0
        self._free.extend(slots.tolist())

    def _add(self, rows: Rows, part: slice) -> None:
        ids, descriptors, weights = (
            rows.ids[part],
            rows.descriptors[part],
            rows.weights[part],
        )
        if (
            self._basis is None
            and self.size > _SHORT
            and len(self) + len(ids) >= _WORTH_SHORTENING
        ):
            self._shorten(descriptors)
        slots = self._take(len(ids))
        short = self._shortened(descriptors)
        self._ids[slots], self._weights[slots] = ids, weights
        self._owners[slots] = self._people.come(rows.persons[part])
        self._findable += int((weights > 0).sum())
        self._squares[slots] = np.where(
            weights > 0, np.einsum("ij,ij->i", short, short), np.inf
        )
        for block, inside, here in _by_block(slots):
            self._blocks[block][inside] = descriptors[here]
            self._short[block][inside] = short[here]

    def _take(self, count: int) -> I64:
        """Slots for new rows: those of removed ones first."""
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        first, self._used = self._used, self._used + count - len(reused)
        while len(self._blocks) * _BLOCK < self._used:
            self._blocks.append(np.zeros((_BLOCK, self.size), np.float32))
            self._short.append(
                self._blocks[-1]
                if self._basis is None
                else np.zeros((_BLOCK, _SHORT), np.float32)
            )
        if len(self._ids) < self._used:
            self._grow(max(self._used, len(self._ids) * 5 // 4, 1024))
        return np.concatenate(
            [np.array(reused, np.int64), np.arange(first, self._used)]
        )

    def _grow(self, size: int) -> None:
        more = size - len(self._ids)
        self._squares = np.pad(self._squares, (0, more), constant_values=np.inf)
        self._weights = np.pad(self._weights, (0, more))
        self._owners = np.pad(self._owners, (0, more))
        self._ids = np.pad(self._ids, (0, more), constant_values=-1)

    def _shorten(self, coming: F32) -> None:
        """Chooses the short form by the rows there are, and gives it to them."""
        known = [
            block[: max(0, self._used - i * _BLOCK)]
            for i, block in enumerate(self._blocks)
        ]
        sample = np.concatenate([*known, coming])[:: max(1, self._used // _BLOCK)]
        self._mean = sample.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov(sample, rowvar=False))
        self._basis = np.ascontiguousarray(axes[:, :-_SHORT:-1], dtype=np.float32)
        self._short = [np.zeros((_BLOCK, _SHORT), np.float32) for _ in self._blocks]
        for i, rows in enumerate(known):
            short = self._shortened(rows)
            self._short[i][: len(rows)] = short
            here = slice(i * _BLOCK, i * _BLOCK + len(rows))
            squares = np.einsum("ij,ij->i", short, short)
            self._squares[here] = np.where(
                np.isinf(self._squares[here]), np.inf, squares
            )

    def _shortened(self, descriptors: F32) -> F32:
        """(M, D) -> (M, S): never further apart than the descriptors are."""
        if self._basis is None:
            return descriptors
        centred = descriptors - self._mean
        kept = centred @ self._basis
        rest = np.einsum("ij,ij->i", centred, centred) - np.einsum(
            "ij,ij->i", kept, kept
        )
        return np.column_stack([kept, np.sqrt(np.maximum(rest, 0))])

    def search(
        self,
        embeddings: F32,
        *,
        tolerance: float | F32,
        stricter: Sequence[Stricter] = (),
    ) -> Matches:
        """Who each row of `embeddings` (N, D) is; all rows are faces of one picture. `stricter` has the tolerance of
        each face for single persons, where that is less."""
        count = len(embeddings)
        with self._lock.shared():
            if not count or not self._findable:
                return nobody(count)
            limits = per_face(tolerance, count)
            parts = [slice(start, start + _FACES) for start in range(0, count, _FACES)]
            found = [
                _Nearest(float(limit), count, self._people.numbered(single))
                for limit, single in zip(limits, stricter or ({},) * count, strict=True)
            ]
            for part in parts:
                self._look_for(embeddings[part], found[part])
            faces = np.repeat(np.arange(count), [len(face.persons) for face in found])
            persons, distances, weighted = (
                np.concatenate([getattr(face, column) for face in found])
                for column in ("persons", "distances", "weighted")
            )
            near = Candidates(faces, persons, distances, weighted)
            nearest = np.array([face.distance for face in found], np.float32)
            return decide(
                near,
                self._people.names,
                limits=limits,
                nearest=nearest,
                people=len(self._people),
            )

    def closest(self, probe: F32, count: int) -> tuple[I64, F64]:
        """The ids of the `count` photos nearest to a descriptor (D,), whatever they weigh, and their distances."""
        with self._lock.shared():
            slots = np.arange(self._used)
            distances = self._distances(probe, slots)
            distances[self._ids[: self._used] < 0] = np.inf  # gone
            best = np.argsort(distances, kind="stable")[:count]
            best = best[np.isfinite(distances[best])]
            return self._ids[best], distances[best]

    def _look_for(self, embeddings: F32, found: Sequence[_Nearest]) -> None:
        """Finds the people nearest to each face, and the distance to the nearest row."""
        short = self._shortened(np.asarray(embeddings, np.float32))
        own = np.einsum("ij,ij->i", short, short)
        for start in range(0, self._used, _BLOCK):
            here = slice(start, min(start + _BLOCK, self._used))
            rows = self._short[start // _BLOCK][: here.stop - start]
            bounds = np.ascontiguousarray(
                (rows @ (-2 * short).T).T
            )  # three times as fast as the other way round
            bounds += self._squares[
                here
            ]  # the square of a distance is at least this and the face's own square
            for i, face in enumerate(found):
                if (
                    not start
                ):  # those that look nearest first, so that few others need be compared
                    likely = bounds[i].argpartition(min(_LIKELY, len(bounds[i]) - 1))[
                        :_LIKELY
                    ]
                    self._compare(
                        embeddings[i], likely[np.isfinite(bounds[i, likely])], face
                    )
                reach = (
                    min(face.reach, _FARTHEST) ** 2 - own[i] + _ROUNDING * (1 + own[i])
                )
                self._compare(
                    embeddings[i], start + np.flatnonzero(bounds[i] <= reach), face
                )

    def _compare(self, probe: F32, slots: I64, face: _Nearest) -> None:
        if len(slots):
            face.add(
                self._owners[slots], self._distances(probe, slots), self._weights[slots]
            )

    def _distances(self, probe: F32, slots: I64) -> F64:
        """The exact distances (C,) of one face to some rows."""
        distances = np.empty(len(slots))
        for start in range(0, len(slots), _EXACT):
            for block, inside, here in _by_block(slots[start : start + _EXACT]):
                apart = self._blocks[block][inside].astype(np.float64) - probe
                distances[start + here] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        return distances


class _Nearest:
    """The `count` people nearest to one face so far, within a limit; those in `stricter`, by number, within theirs."""

    def __init__(self, limit: float, count: int, stricter: dict[int, float]) -> None:
        self.persons = np.zeros(0, np.int64)
        self.weighted = np.zeros(
            0
        )  # the distance to each one's nearest photo over its weight; the nearest first
        self.distances = np.zeros(0)  # to the same photos
        self.distance = np.inf  # to the nearest row of anybody whom it can be
        self._stricter = stricter
        self._limit = limit
        self._count = count

    @property
    def reach(self) -> float:
        """Rows further away change nothing any more."""
        if len(self.persons) == self._count:
            return float(self.weighted[-1])
        return max(self._limit, self.distance)

    def add(self, persons: I64, distances: F64, weights: F32) -> None:
        weighted = distances / weights
        refused = np.zeros(len(persons), np.bool_)
        for person, limit in self._stricter.items():
            refused |= (persons == person) & (weighted > limit)
        nearest = distances[~refused].min(initial=np.inf)
        self.distance = min(self.distance, float(nearest))
        near = (weighted <= self._limit) & ~refused
        persons = np.append(self.persons, persons[near])
        distances = np.append(self.distances, distances[near])
        weighted = np.append(self.weighted, weighted[near])
        order = np.argsort(weighted, kind="stable")
        _, first = np.unique(persons[order], return_index=True)  # each one's nearest
        best = order[np.sort(first)[: self._count]]
        self.persons, self.distances, self.weighted = (
            persons[best],
            distances[best],
            weighted[best],
        )


def _by_block(slots: I64) -> Iterator[tuple[int, I64, I64]]:
    """The blocks that hold some slots: the block, the places inside it, and the places in `slots`."""
    blocks = slots // _BLOCK
    for block in np.unique(blocks):
        here = np.flatnonzero(blocks == block)
        yield int(block), slots[here] % _BLOCK, here


class _PeopleRows:
    """A number for each person, which goes to somebody else when the last photo of the person is gone."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._keys: list[str] = []
        self._photos: list[int] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def rename(self, names: dict[str, str]) -> None:
        for key, name in names.items():
            self.names[self._number(key)] = name

    def numbered(self, limits: Stricter) -> dict[int, float]:
        """What is said of persons by their numbers, as far as they are here."""
        return {
            self._numbers[key]: limit
            for key, limit in limits.items()
            if key in self._numbers
        }

    def come(self, keys: Sequence[str]) -> list[int]:
        """The numbers of the persons of new photos."""
        numbers = [self._number(key) for key in keys]
        for number in numbers:
            self._photos[number] += 1
        return numbers

    def leave(self, numbers: Iterable[int]) -> None:
        """Forgets the persons who have no photos left."""
        for number in map(int, numbers):
            self._photos[number] -= 1
            if not self._photos[number]:
                del self._numbers[self._keys[number]]
                self.names[number] = self._keys[number] = ""
                self._free.append(number)

    def _number(self, key: str) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._free.pop() if self._free else self._grow()
            self._numbers[key], self._keys[number] = number, key
        return number

    def _grow(self) -> int:
        for column in (self.names, self._keys):
            column.append("")
        self._photos.append(0)
        return len(self.names) - 1


class _SharedLock:
    """Held by many readers or by one writer; a waiting writer goes first."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writers = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._writers)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._writers += 1
            self._condition.wait_for(lambda: not self._readers)
            try:  # the condition itself keeps readers and other writers out
                yield
            finally:
                self._writers -= 1
                self._condition.notify_all()
