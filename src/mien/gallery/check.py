"""What in a gallery will lead to wrong names, and which tolerance suits it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mien.gallery.base import Enrolled, Remark
from mien.gallery.search import number
from mien.geometry import l2_distances
from mien.space import EmbeddingSpace
from mien.types import F32, F64, I64

_ROWS = 512  # photos compared with all others at a time
_LEAST_PAIRS = (
    20  # photos with a second one of the same person, to suggest a tolerance from
)
_STEPS = 120  # of a tolerance from 0 to the space's own


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people who look alike: the least distance between their photos, and the median of all such distances."""

    first: str
    second: str
    nearest: float
    typical: float


@dataclass(frozen=True, slots=True)
class OddPhoto:
    """A photo that does not look like the person's others: the distances to the nearest of those (NaN: there is none)
    and to the nearest of anybody else, and whose that is. `left_out`: searches pass it over."""

    name: str
    source: str
    own: float
    other: float
    looks_like: str
    left_out: bool


@dataclass(frozen=True, slots=True)
class PoorPhoto:
    """A photo too small, blurred or turned away to count fully."""

    name: str
    source: str
    quality: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tolerance made for a gallery, and the shares of its photos that it decides wrongly: `missed` ones are further
    than it from all others of their person, `mistaken` ones within it of somebody else."""

    tolerance: float
    missed: float
    mistaken: float

    @classmethod
    def of(cls, own: F64, other: F64, step: float) -> Suggestion:
        """The middle of the tolerances that decide the fewest wrongly."""
        steps = np.arange(0, float(max(own.max(), other.max())) + step, step)
        missed = 1 - np.searchsorted(np.sort(own), steps, side="right") / len(own)
        mistaken = np.searchsorted(np.sort(other), steps, side="right") / len(other)
        errors = missed + mistaken
        best = np.flatnonzero(errors <= errors.min() + 1e-9)
        middle = int(best[len(best) // 2])
        return cls(
            round(float(steps[middle]), 4),
            float(missed[middle]),
            float(mistaken[middle]),
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """What photos would help to recognise somebody who has so many."""

    name: str
    photos: int
    suggestions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OneView:
    """How many photos of somebody are kept as numbers alone: imported so, or described long ago, in one view."""

    name: str
    photos: int


@dataclass(frozen=True, slots=True)
class GalleryCheck:
    """What `check` found; `suggestion` is None where too few people have several photos, `remarks`
    are on photos that gave no face, or several, `missing` on photos that would help, where that was asked, `one_view`
    on those that would tell more if they were described anew."""

    people: int
    photos: int
    tolerance: float
    duplicates: tuple[Pair, ...]
    alike: tuple[Pair, ...]
    odd: tuple[OddPhoto, ...]
    poor: tuple[PoorPhoto, ...]
    suggestion: Suggestion | None
    remarks: tuple[Remark, ...] = ()
    missing: tuple[Missing, ...] = ()
    one_view: tuple[OneView, ...] = ()


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Per photo (M,): the distance to the nearest other photo of its person, to the nearest of anybody else, and who
    that is (-1: nobody); and the pairs of people (K, 2) with photos within the tolerance of each other."""

    own: F32
    other: F32
    who: I64
    pairs: I64

    @classmethod
    def of(
        cls, table: F32, persons: I64, tolerance: float, space: EmbeddingSpace
    ) -> _Neighbours:
        """Of descriptors (N, D) and whose they are."""
        count = len(table)
        own, other = np.full((2, count), np.nan, np.float32)
        who, pairs = np.full(count, -1, np.int64), [np.zeros((0, 2), np.int64)]
        for start in range(0, count, _ROWS):
            here = slice(start, min(start + _ROWS, count))
            distances = _apart(table[here], table, space)
            same = persons[here, None] == persons[None, :]
            strangers = np.where(same, np.inf, distances)
            nearest = strangers.argmin(axis=1)
            other[here] = strangers[np.arange(len(nearest)), nearest]
            who[here] = np.where(np.isfinite(other[here]), persons[nearest], -1)
            faces, rows = np.nonzero(strangers <= tolerance)
            pairs.append(
                np.unique(
                    np.sort(
                        np.column_stack([persons[here][faces], persons[rows]]), axis=1
                    ),
                    axis=0,
                )
            )
            same[np.arange(len(same)), np.arange(here.start, here.stop)] = False
            own[here] = np.where(same, distances, np.inf).min(axis=1)
        own[np.isinf(own)] = other[np.isinf(other)] = np.nan
        return cls(own, other, who, np.unique(np.concatenate(pairs), axis=0))

    def suggest(
        self,
        everything: list[Enrolled],
        odd: tuple[OddPhoto, ...],
        duplicates: tuple[Pair, ...],
        *,
        tolerance: float,
        step: float,
    ) -> Suggestion | None:
        """The tolerance that decides the fewest photos wrongly, those that are named wrongly themselves left out."""
        wrong = {
            (photo.name, photo.source)
            for photo in odd
            if photo.left_out or photo.other <= tolerance
        }
        double = {name for pair in duplicates for name in (pair.first, pair.second)}
        sound = np.array(
            [
                row.name not in double and (row.name, row.photo.source) not in wrong
                for row in everything
            ],
            dtype=np.bool_,
        )
        own = self.own[sound & np.isfinite(self.own)].astype(np.float64)
        other = self.other[sound & np.isfinite(self.other)].astype(np.float64)
        if len(own) < _LEAST_PAIRS or len(other) < _LEAST_PAIRS:
            return None
        return Suggestion.of(own, other, step)


def check(
    enrolled: Iterable[Enrolled], *, tolerance: float, space: EmbeddingSpace
) -> GalleryCheck:
    """Looks for people who are one, photos under the wrong name, and people too alike; suggests a tolerance.

    Every photo is compared with every other: 10,000 photos take seconds, 100,000 some minutes.
    """
    everything = list(enrolled)
    names, persons = number([one.name for one in everything])
    if not everything:
        return GalleryCheck(0, 0, tolerance, (), (), (), (), None)
    table = np.array([one.photo.embedding for one in everything], np.float32)
    near = _Neighbours.of(table, persons, tolerance, space)
    photos = _CheckedPeople(
        names,
        table,
        space,
        np.split(
            np.argsort(persons, kind="stable"), np.bincount(persons).cumsum()[:-1]
        ),
    )
    pairs = sorted(
        (photos.pair(a, b) for a, b in near.pairs.tolist()),
        key=lambda pair: pair.nearest,
    )
    duplicates = tuple(pair for pair in pairs if pair.typical <= tolerance)
    odd = photos.odd(everything, near, tolerance, duplicates)
    return GalleryCheck(
        people=len(names),
        photos=len(everything),
        tolerance=tolerance,
        duplicates=duplicates,
        alike=tuple(pair for pair in pairs if pair.typical > tolerance),
        odd=odd,
        poor=tuple(
            PoorPhoto(one.name, one.photo.source, one.photo.quality)
            for one in everything
            if 0 < one.weight < 0.999
        ),
        suggestion=near.suggest(
            everything,
            odd,
            duplicates,
            tolerance=tolerance,
            step=space.tolerance / _STEPS,
        ),
    )


def _apart(a: F32, b: F32, space: EmbeddingSpace) -> F32:
    """Distances (N, M) in the measure of the space."""
    return space.from_euclidean(l2_distances(a, b))


@dataclass(frozen=True, slots=True)
class _CheckedPeople:
    """Their names, all descriptors (M, D) of a space, and which of those are each one's."""

    names: list[str]
    table: F32
    space: EmbeddingSpace
    rows: list[I64]

    def pair(self, a: int, b: int) -> Pair:
        distances = _apart(
            self.table[self.rows[a]], self.table[self.rows[b]], self.space
        )
        first, second = sorted((self.names[a], self.names[b]))
        return Pair(first, second, float(distances.min()), float(np.median(distances)))

    def typical(self, photo: int, person: int) -> float:
        """The median distance of a photo to the others of a person; infinite where there are none."""
        others = self.rows[person][self.rows[person] != photo]
        return (
            float(
                np.median(
                    _apart(self.table[photo][None], self.table[others], self.space)
                )
            )
            if len(others)
            else np.inf
        )

    def odd(
        self,
        everything: list[Enrolled],
        near: _Neighbours,
        tolerance: float,
        duplicates: tuple[Pair, ...],
    ) -> tuple[OddPhoto, ...]:
        """Photos that searches leave out, and photos more like somebody else (no duplicate) than like their own; of
        people who have none of these, photos that are like nobody, not even like another of their own."""
        one = {(pair.first, pair.second) for pair in duplicates}
        mine = {
            int(row): person for person, rows in enumerate(self.rows) for row in rows
        }
        found = []
        for i, row in enumerate(everything):
            looks_like = self.names[near.who[i]] if near.who[i] >= 0 else ""
            nearer = near.other[i] < near.own[i] and near.other[i] <= tolerance
            if row.weight > 0 and (
                not nearer or tuple(sorted((row.name, looks_like))) in one
            ):
                continue
            if row.weight > 0 and self.typical(i, mine[i]) <= self.typical(
                i, int(near.who[i])
            ):
                continue  # it is the other person's photo that is odd
            found.append(i)
        told = {everything[i].name for i in found}
        alone = np.flatnonzero((near.own > tolerance) & ~(near.other <= tolerance))
        found += [i for i in alone.tolist() if everything[i].name not in told]
        return tuple(self._odd_photo(everything[i], near, i) for i in found)

    def _odd_photo(self, row: Enrolled, near: _Neighbours, photo: int) -> OddPhoto:
        looks_like = self.names[near.who[photo]] if near.who[photo] >= 0 else ""
        distances = float(near.own[photo]), float(near.other[photo])
        whose = (row.name, row.photo.source, *distances, looks_like)
        return OddPhoto(*whose, left_out=row.weight == 0)
