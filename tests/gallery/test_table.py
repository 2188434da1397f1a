"""The table in memory finds exactly what comparing with everything finds, however it came to be."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mien.gallery.search import match
from mien.gallery.table import Rows, Table
from mien.types import F32


def clustered(rng: np.random.Generator, people: int, photos: int) -> F32:
    """Descriptors (people * photos, 128) that lie as real ones do: off the origin, wide along few axes."""
    spread = np.exp(-np.arange(128) / 40) * 0.12
    centres = 0.12 + rng.normal(size=(people, 1, 128)) * spread
    near = rng.normal(size=(people, photos, 128)) * spread * 0.35
    return np.asarray((centres + near).reshape(-1, 128), np.float32)


def rows_of(
    descriptors: F32, first: int, photos: int, weights: F32 | None = None
) -> Rows:
    ids = np.arange(first, first + len(descriptors))
    persons = [f"p{i // photos}" for i in ids]
    return Rows(
        ids,
        persons,
        np.ones(len(ids), np.float32) if weights is None else weights,
        descriptors,
    )


def same_as_the_plain_way(
    table: Table, probes: F32, owners: list[str], everything: F32, weights: F32
) -> None:
    for tolerance in (0.3, 0.6, np.linspace(0.2, 2, len(probes)).astype(np.float32)):
        found = table.search(probes, tolerance=tolerance)
        plain = match(probes, owners, everything, tolerance=tolerance, weights=weights)
        assert found.names == plain.names
        np.testing.assert_allclose(found.distances, plain.distances, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "people", [10, 5_000], ids=["searched whole", "searched by short forms"]
)
@pytest.mark.parametrize("parts", [1, 7])
def test_search_after_growth_and_changes(people: int, parts: int) -> None:
    rng = np.random.default_rng(people + parts)
    everything = clustered(rng, people, 4)
    weights = rng.choice(np.array([0, 0.8, 0.9, 1], np.float32), len(everything))
    table = Table(128)
    for part in np.array_split(np.arange(len(everything)), parts):
        rows = rows_of(everything[part], int(part[0]), 4, weights[part])
        table.change([], rows, {person: person.upper() for person in rows.persons})
    gone = rng.choice(len(everything), len(everything) // 3, replace=False)
    moved = gone[: len(gone) // 2]  # taken out, and in again elsewhere
    everything[moved] = clustered(rng, len(moved), 1)
    again = Rows(
        moved, [f"p{i // 4}" for i in moved], weights[moved], everything[moved]
    )
    table.change(
        gone.tolist(), again, {person: person.upper() for person in again.persons}
    )
    there = np.setdiff1d(np.arange(len(everything)), gone[len(moved) :])
    owners = [f"P{i // 4}" for i in there]
    strangers = clustered(rng, 6, 1)
    known = everything[rng.choice(there, 14)] + np.float32(0.01)
    same_as_the_plain_way(
        table,
        np.concatenate([known, strangers]),
        owners,
        everything[there],
        weights[there],
    )
    same_as_the_plain_way(table, known[:1], owners, everything[there], weights[there])
    assert len(table) == len(there)


def test_numbers_of_forgotten_people_are_used_again() -> None:
    table = Table(128)
    rng = np.random.default_rng(0)
    for i in range(50):
        rows = Rows(
            np.array([i]), [f"p{i}"], np.ones(1, np.float32), clustered(rng, 1, 1)
        )
        table.change([i - 1], rows, {f"p{i}": f"Name {i}"})
    assert len(table) == 1
    assert [name for name in table._people.names if name] == ["Name 49"]


@pytest.mark.slow
def test_searches_beside_changes_never_see_half_of_one() -> None:
    rng = np.random.default_rng(3)
    base, extra = clustered(rng, 500, 4), clustered(rng, 1, 1)
    table = Table(128)
    table.change([], rows_of(base, 0, 4), {f"p{i}": f"P{i}" for i in range(500)})
    wrong: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            names = table.search(
                np.concatenate([base[:1], extra]), tolerance=0.05
            ).names
            if names[0] != "P0" or names[1] not in {None, "New"}:
                wrong.append(names)

    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(150):
        table.change(
            [],
            Rows(np.array([9999]), ["new"], np.ones(1, np.float32), extra),
            {"new": "New"},
        )
        table.change([9999], rows_of(extra[:0], 0, 1), {})
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
