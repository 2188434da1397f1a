"""`mien people check`: what was planted in a gallery is found, and nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mien.gallery import Enrolled, Photo
from mien.gallery.check import check
from mien.gallery.weights import outliers, weigh
from mien.types import F32
from mien.zoo import DLIB

_RNG = np.random.default_rng(7)
_SEEDED = _RNG.bit_generator.state


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same points, whichever ran before it."""
    _RNG.bit_generator.state = _SEEDED


def face(centre: F32, aside: float) -> F32:
    step = _RNG.normal(size=128)
    return np.asarray(centre + aside * step / np.linalg.norm(step), np.float32)


def centres(count: int) -> list[F32]:
    """Points some 0.9 apart, 1.4 from the origin, as dlib's descriptors of different people are."""
    mean = _RNG.normal(size=128)
    mean *= 1.25 / np.linalg.norm(mean)
    return [face(mean, 0.64) for _ in range(count)]


def person(name: str, rows: list[F32], quality: float = 1.0) -> list[Enrolled]:
    weights = weigh(
        np.stack(rows), np.full(len(rows), quality, np.float32), stranger=0.6
    )
    photos = [
        Photo(
            row,
            hashlib.sha256(row.tobytes()).hexdigest(),
            f"{name} {i}",
            quality=quality,
        )
        for i, row in enumerate(rows)
    ]
    return [
        Enrolled(name, photo, float(weight))
        for photo, weight in zip(photos, weights, strict=True)
    ]


def some_people(points: list[F32], photos: int = 4) -> list[Enrolled]:
    return [
        one
        for i, point in enumerate(points)
        for one in person(f"P{i:02d}", [face(point, 0.25) for _ in range(photos)])
    ]


def test_a_sound_gallery_has_nothing_to_mend_and_a_tolerance_between_its_people() -> (
    None
):
    report = check(some_people(centres(12)), tolerance=0.6, space=DLIB)
    assert (report.people, report.photos) == (12, 48)
    assert (report.duplicates, report.alike, report.odd, report.poor) == (
        (),
        (),
        (),
        (),
    )
    assert report.suggestion is not None
    assert 0.4 < report.suggestion.tolerance < 0.8
    assert (report.suggestion.missed, report.suggestion.mistaken) == (0, 0)


def test_one_person_under_two_names() -> None:
    points = centres(12)
    found = check(
        [
            *some_people(points),
            *person("Again", [face(points[3], 0.25) for _ in range(3)]),
        ],
        tolerance=0.6,
        space=DLIB,
    )
    assert [(pair.first, pair.second) for pair in found.duplicates] == [
        ("Again", "P03")
    ]
    assert 0.2 < found.duplicates[0].nearest <= found.duplicates[0].typical < 0.6
    assert found.odd == ()
    assert found.suggestion is not None
    assert found.suggestion.mistaken == 0


def test_people_too_alike_at_a_large_tolerance() -> None:
    points = centres(6)
    halfway = np.asarray(0.35 * points[0] + 0.65 * points[1], np.float32)
    everybody = [
        *some_people(points),
        *person("Sister", [face(halfway, 0.25) for _ in range(4)]),
    ]
    assert ("P01", "Sister") in [
        (pair.first, pair.second)
        for pair in check(everybody, tolerance=0.45, space=DLIB).alike
    ]
    assert check(everybody, tolerance=0.2, space=DLIB).alike == ()


def test_a_photo_under_the_wrong_name() -> None:
    points = centres(10)
    wrong = face(points[4], 0.25)
    rows = [wrong, *(face(points[5], 0.25) for _ in range(5))]
    few = person(
        "Few", [face(points[4], 0.25), *(face(_apart(points), 0.2) for _ in range(1))]
    )
    found = check(
        [*some_people(points[:5]), *person("Mixed", rows), *few],
        tolerance=0.6,
        space=DLIB,
    )
    odd = {(photo.name, photo.source): photo for photo in found.odd}
    assert set(odd) == {("Mixed", "Mixed 0"), ("Few", "Few 0")}
    assert odd["Mixed", "Mixed 0"].left_out
    assert odd["Mixed", "Mixed 0"].looks_like in {"P04", "Few"}
    assert not odd["Few", "Few 0"].left_out
    assert all(photo.other < photo.own for photo in odd.values())


def test_photos_of_two_people_under_one_name() -> None:
    points = centres(4)
    mixed = person("Mixed", [face(points[2], 0.25), face(points[3], 0.25)])
    both = [*some_people(points[:2]), *mixed]
    found = check(both, tolerance=0.6, space=DLIB)
    assert [(photo.name, photo.source) for photo in found.odd] == [
        ("Mixed", "Mixed 0"),
        ("Mixed", "Mixed 1"),
    ]
    assert all(min(photo.own, photo.other) > 0.6 for photo in found.odd)
    assert check(both, tolerance=1.2, space=DLIB).odd == ()


def test_whom_a_tolerance_misses_counts_for_the_one_suggested() -> None:
    points = centres(24)
    old = person("Old", [face(points[20], 0.1), face(points[21], 0.1)])
    found = check([*some_people(points[:12]), *old], tolerance=0.6, space=DLIB)
    assert {photo.name for photo in found.odd} == {"Old"}
    assert found.suggestion is not None
    assert found.suggestion.missed == pytest.approx(2 / 50)


def _apart(points: list[F32]) -> F32:
    return np.asarray(2 * np.mean(points, axis=0) - points[4], np.float32)


def test_poor_photos_and_single_people() -> None:
    found = check(
        person("Ada", [face(centres(1)[0], 0)], quality=0.03), tolerance=0.6, space=DLIB
    )
    assert [(photo.name, photo.quality) for photo in found.poor] == [("Ada", 0.03)]
    assert found.suggestion is None
    assert check([], tolerance=0.6, space=DLIB).people == 0


def test_outliers_need_a_majority_that_agrees() -> None:
    points = centres(8)
    assert not outliers(np.stack(points), stranger=0.6).any()  # nobody agrees
    assert not outliers(
        np.stack([face(points[0], 0.2), face(points[0], 0.2), points[1]]), stranger=0.6
    ).any()  # three are too few
    young, old = ([face(points[i], 0.2) for _ in range(4)] for i in (0, 1))
    assert (
        outliers(np.stack(young + old)[:7], stranger=0.6).tolist()
        == [False] * 4 + [True] * 3
    )
    assert outliers(np.stack([*young, points[1]]), stranger=0.6).tolist() == [
        False
    ] * 4 + [True]
