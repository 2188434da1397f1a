"""PostgreSQL's descriptors in memory: what others change is known, whatever order their transactions end in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from gallery.test_galleries import bare, descriptor, open_at, who
from mien.errors import EmbedderMismatch, GalleryError
from mien.gallery import PostgresGallery, keeping, replica
from mien.zoo import DLIB


@pytest.fixture
def opened(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], PostgresGallery]]:
    """Opens the same gallery anew each time; all search in memory from the first face on."""
    monkeypatch.setattr(PostgresGallery, "ask_first", 0)
    each: list[PostgresGallery] = []

    def open_it() -> PostgresGallery:
        gallery = open_at(postgres_url)
        assert isinstance(gallery, PostgresGallery)
        each.append(gallery)
        return gallery

    yield open_it
    for gallery in each:
        gallery.close()


Opened = Callable[[], PostgresGallery]


def test_who_searches_often_is_answered_from_memory_and_the_same(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = opened()
    gallery.ask_first = 3
    gallery.enroll_all((f"P{seed}", [bare(seed)]) for seed in range(30))
    keeping(gallery).deny("P3", [bare(3, aside=0.45)])
    probes = np.stack(
        [bare(seed, aside=0.2 + seed / 50).embedding for seed in range(5)]
    )
    asked = [gallery.search(probes[i : i + 1], tolerance=0.6) for i in range(3)]
    assert not gallery._replica.is_read
    nearest = [apart for apart, _ in gallery.nearest(probes[0], 4)]
    assert gallery._replica.is_read
    monkeypatch.setattr(gallery, "_ask", lambda *_: pytest.fail("asked"))
    told = [gallery.search(probes[i : i + 1], tolerance=0.6) for i in range(5)]
    assert told[3].names == (None,)
    for one, other in zip(asked, told, strict=False):
        assert one.names == other.names
        np.testing.assert_allclose(one.distances, other.distances, atol=1e-5)
    monkeypatch.setattr(gallery, "_fresh", lambda _: None)
    by_database = [apart for apart, _ in gallery.nearest(probes[0], 4)]
    np.testing.assert_allclose(nearest, by_database, atol=1e-5)


def test_a_transaction_that_ends_after_later_ones_is_seen(opened: Opened) -> None:
    ours, theirs = opened(), opened()
    ours.enroll_all([("A", [bare(1)]), ("B", [bare(2)])])
    assert who(ours, 1) == "A"
    with theirs.transaction(write=True) as connection:  # begins first, ends last
        connection.execute(sa.text("UPDATE people SET name = 'Z' WHERE name = 'A'"))
        ours.enroll("C", [bare(3)])
        assert [who(ours, seed) for seed in (1, 2, 3)] == ["A", "B", "C"]
        assert [who(ours, seed) for seed in (1, 2, 3)] == ["A", "B", "C"]
    assert [who(ours, seed) for seed in (1, 2, 3)] == ["Z", "B", "C"]
    assert ours._replica._seen.later == frozenset()


@pytest.mark.slow
def test_who_missed_what_the_log_no_longer_says_reads_everything(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "CHANGES_KEPT", 20)
    ours, theirs = opened(), opened()
    theirs.enroll("A", [bare(1)])
    assert who(ours, 1) == "A"
    theirs.remove("A")
    for seed in range(2, 40):
        theirs.enroll(f"P{seed}", [bare(seed)])
    with theirs.transaction() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM changes")) < 30
    assert [who(ours, seed) for seed in (1, 2, 39)] == [None, "P2", "P39"]


def test_a_copy_of_another_server_begins_a_log_of_its_own(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened()
    first.enroll("A", [bare(1)])
    with first.transaction() as connection:  # numbers of an older server
        connection.execute(sa.text("UPDATE changes SET xid = '900000000000'"))
    ours, theirs = opened(), opened()
    assert who(ours, 1) == "A"
    monkeypatch.setattr(replica.Replica, "_read_all", lambda *_: pytest.fail("again"))
    theirs.enroll("A", [bare(2)])
    assert who(ours, 2) == "A"


def test_what_was_restored_is_known_to_all(opened: Opened, tmp_path: Path) -> None:
    ours, theirs = opened(), opened()
    ours.enroll("A", [bare(1)])
    ours.copy_to(tmp_path)
    ours.remove("A")
    ours.enroll("B", [bare(2)])
    assert (who(ours, 1), who(ours, 2)) == (None, "B")
    for _ in range(2):
        theirs.replace_by(tmp_path)
        assert (who(ours, 1), who(ours, 2)) == ("A", None)
    theirs.enroll("C", [bare(3)])
    assert [who(ours, seed) for seed in (1, 2, 3)] == ["A", None, "C"]


def test_an_index_or_too_many_photos_leave_the_search_to_the_database(
    opened: Opened,
) -> None:
    gallery = opened()
    gallery.enroll_all((f"P{seed}", [bare(seed)]) for seed in range(5))
    gallery.check_ready()
    assert len(gallery._replica.table) == 5
    gallery.in_memory = 5
    gallery.enroll("New", [bare(7)])
    assert who(gallery, 7) == "New"
    assert len(gallery._replica.table) == 0
    gallery.in_memory = 100
    gallery.create_index()
    assert who(gallery, 7) == "New"
    assert not gallery._replica.is_read


def test_another_embedder_is_refused_at_the_next_change(opened: Opened) -> None:
    ours, theirs = opened(), opened()
    ours.enroll("A", [bare(1)])
    assert who(ours, 1) == "A"
    ids = theirs.photo_ids()
    other = replace(DLIB, name="other", size=64)
    theirs.reembed(other, {ids[0]: np.ones(64, np.float32)}, [])
    with pytest.raises(EmbedderMismatch):
        who(ours, 1)
    found = theirs.search(np.ones((1, 64), np.float32), tolerance=0.1)
    assert found.names == ("A",)


def test_a_vector_of_another_length_is_said_to_be_damaged() -> None:
    with pytest.raises(GalleryError, match="damaged"):
        replica._rows([(1, "a", 1.0, b"\0" * 40)], 128)


@pytest.mark.slow
def test_what_many_change_at_once_is_known_when_they_have_ended(
    opened: Opened,
) -> None:
    ours = opened()
    ours.enroll_all((f"P{seed}", [bare(seed)]) for seed in range(40))
    done = threading.Event()

    def change(number: int) -> None:
        gallery = opened()
        for seed in range(number * 10, number * 10 + 10):
            gallery.rename(f"P{seed}", f"Q{seed}")
            gallery.enroll(f"R{seed}", [bare(1000 + seed)])
            if seed % 2:
                gallery.remove(f"R{seed}")

    def search() -> None:
        while not done.is_set():
            assert who(ours, 5) in {"P5", "Q5"}

    with ThreadPoolExecutor(7) as pool:
        looking = [pool.submit(search) for _ in range(3)]
        list(pool.map(change, range(4)))
        done.set()
        for one in looking:
            one.result()
    assert [who(ours, seed) for seed in range(40)] == [f"Q{seed}" for seed in range(40)]
    left = [who(ours, 1000 + seed) for seed in range(40)]
    assert left == [None if seed % 2 else f"R{seed}" for seed in range(40)]
    exact = ours.search(descriptor(5)[None], tolerance=0.6)
    assert exact.names == ("Q5",)
