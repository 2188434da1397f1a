""" "This is not X": remembered in every kind of gallery, and obeyed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import saying
from gallery.test_galleries import bare, descriptor, open_at, who
from gallery.test_photos import PICTURE
from mien.errors import InputError, PersonNotFound
from mien.gallery import Gallery, KeepsCounterExamples, Photo, keeping, open_gallery
from mien.gallery.counter import NEARER, CounterRows
from mien.gallery.search import match
from mien.types import F32
from mien.zoo import DLIB


def like(seed: int, distance: float, *, way: int = 0) -> F32:
    """A descriptor so far from that of a seed; of one way all lie on one line."""
    step = descriptor(1000 + way)
    row = descriptor(seed) + distance * step / np.linalg.norm(step)
    return np.asarray(row, np.float32)


def face(row: F32, *, thumbnail: bytes = PICTURE) -> Photo:
    return Photo(row, "0" * 64, "party.jpg", thumbnail=thumbnail)


def named(gallery: Gallery, row: F32) -> str | None:
    return gallery.search(row[None], tolerance=0.6).names[0]


def test_the_face_never_gets_the_name_again_nor_who_is_like_it(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    stranger = like(1, 0.5)
    assert named(gallery, stranger) == "Ada"
    assert keeping(gallery).deny("Ada", [face(stranger)]) == 1
    for seen in (gallery, reopen()):
        assert named(seen, stranger) is None
        assert named(seen, like(1, 0.3)) is None  # 0.2 from the stranger
        assert named(seen, like(1, 0.05)) == "Ada"  # 0.45 from the stranger
        # 0.51 from Ada, 0.71 from the stranger
        assert named(seen, like(1, 0.5, way=1)) == "Ada"


def test_a_face_between_must_be_nearer_to_the_person(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    keeping(gallery).deny("Ada", [face(like(1, 0.95))])
    beyond = 0.95 * NEARER / (1 + NEARER)  # as far from Ada as from the other, times it
    assert named(gallery, like(1, beyond - 0.01)) == "Ada"
    assert named(gallery, like(1, beyond + 0.01)) is None


def test_somebody_else_can_be_named_then(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    gallery.enroll("Eve", [Photo(like(1, 1.0), "e" * 64)])
    seen = like(1, 0.45)
    assert named(gallery, seen) == "Ada"
    keeping(gallery).deny("Ada", [face(seen)])
    found = gallery.search(seen[None], tolerance=0.6)
    assert found.names == ("Eve",)
    assert found.distances[0] == pytest.approx(0.55, abs=1e-3)


def test_the_distance_told_is_not_to_who_it_is_not(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    keeping(gallery).deny("Ada", [face(like(1, 0.5))])
    assert np.isnan(gallery.search(like(1, 0.5)[None], tolerance=0.6).distances[0])
    gallery.enroll("Eve", [Photo(like(1, 1.2), "e" * 64)])
    found = gallery.search(like(1, 0.5)[None], tolerance=0.6)
    assert found.distances[0] == pytest.approx(0.7, abs=1e-3)


def test_listed_and_taken_back(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    assert isinstance(gallery, KeepsCounterExamples)
    gallery.enroll("Ada", [bare(1)])
    assert gallery.counter_examples("Ada") == []
    assert gallery.deny("Ada", [face(like(1, 0.5)), face(like(1, 0.55))]) == 2
    assert gallery.deny("Ada", [face(like(1, 0.5))]) == 0
    first, second = gallery.counter_examples("Ada")
    assert {first.thumbnail, second.thumbnail} == {PICTURE}
    assert (first.name, first.source) == ("Ada", "party.jpg")
    assert len(gallery.counter_examples()) == 2
    assert gallery.allow("Ada", [first.id, "nothing"]) == 1
    assert [one.id for one in gallery.counter_examples()] == [second.id]
    assert gallery.allow("Ada", [second.id]) == 1
    assert named(gallery, like(1, 0.5)) == "Ada"


@pytest.mark.slow
def test_of_nobody_and_of_an_enrolled_picture_is_refused(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = keeping(reopen())
    with pytest.raises(PersonNotFound):
        gallery.deny("Ada", [face(descriptor(1))])
    reopen().enroll("Ada", [bare(1)])
    with pytest.raises(InputError, match="is enrolled as Ada"):
        gallery.deny("Ada", [face(descriptor(1))])
    with pytest.raises(InputError, match="finite"):
        gallery.deny("Ada", [face(np.full(128, np.nan, np.float32))])


def test_who_is_enrolled_after_all_is_no_counter_example(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    keeping(gallery).deny("Ada", [face(descriptor(2)), face(descriptor(3))])
    gallery.enroll("Ada", [bare(2)])
    assert len(keeping(gallery).counter_examples("Ada")) == 1
    assert who(gallery, 2) == "Ada"


def test_they_follow_a_new_name_and_a_merge_and_go_with_the_person(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    gallery.enroll("Countess", [bare(2)])
    keeping(gallery).deny("Countess", [face(like(1, 0.5)), face(descriptor(1))])
    gallery.rename("Countess", "Ada King")
    assert {one.name for one in keeping(gallery).counter_examples()} == {"Ada King"}
    gallery.merge("Ada King", "Ada")
    # what is a photo of the person by now is no counter-example of them
    (left,) = keeping(gallery).counter_examples()
    assert (left.name, named(gallery, like(1, 0.5))) == ("Ada", None)
    gallery.remove("Ada")
    assert keeping(gallery).counter_examples() == []
    gallery.enroll("Ada", [bare(1)])
    assert named(gallery, like(1, 0.5)) == "Ada"


def test_they_go_with_the_last_photo(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    keeping(gallery).deny("Ada", [face(like(1, 0.5))])
    gallery.discard("Ada", [bare(1).sha256])
    gallery.enroll("Ada", [bare(1)])
    assert keeping(gallery).counter_examples("Ada") == []


def test_open_galleries_obey_what_others_say(reopen: Callable[[], Gallery]) -> None:
    """As two servers on one database, or on one folder."""
    mine, other = reopen(), reopen()
    mine.enroll("Ada", [bare(1)])
    assert named(other, like(1, 0.5)) == "Ada"
    keeping(mine).deny("Ada", [face(like(1, 0.5))])
    assert named(other, like(1, 0.5)) is None
    (said,) = keeping(other).counter_examples()
    keeping(other).allow("Ada", [said.id])
    assert named(mine, like(1, 0.5)) == "Ada"


@pytest.mark.slow
def test_a_large_table_obeys_like_the_plain_way() -> None:
    from mien.gallery.table import Rows, Table

    rng = np.random.default_rng(5)
    rows = rng.normal(size=(20_000, 128)).astype(np.float32) * 0.06
    owners = [f"P{i % 9_000}" for i in range(len(rows))]
    table = Table(128)
    names = {name: name for name in owners}
    weights = np.ones(len(rows), np.float32)
    table.change([], Rows(np.arange(len(rows)), owners, weights, rows), names)
    probes = rows[:8] + rng.normal(size=(8, 128)).astype(np.float32) * 0.03
    said = CounterRows(owners[:8:2], probes[::2] + np.float32(0.001))
    limits = np.full(len(probes), 0.6, np.float32)
    for i in range(len(probes)):
        probe, limit = probes[i : i + 1], limits[i : i + 1]
        stricter = said.stricter(probe, limit, DLIB)
        plain = match(probe, owners, rows, tolerance=limit, stricter=stricter)
        found = table.search(probe, tolerance=limit, stricter=stricter)
        assert found.names == plain.names
        assert (found.names[0] == owners[i]) == bool(i % 2)
        np.testing.assert_allclose(found.distances, plain.distances, atol=1e-4)


def test_an_index_obeys(postgres_url: str) -> None:
    from mien.gallery import PostgresGallery

    gallery = open_at(postgres_url)
    assert isinstance(gallery, PostgresGallery)
    gallery.enroll("Ada", [bare(1)])
    gallery.enroll_all((f"P{seed}", [bare(seed)]) for seed in range(2, 40))
    gallery.deny("Ada", [face(like(1, 0.5))])
    gallery.create_index()
    assert gallery.is_indexed()
    assert named(gallery, like(1, 0.5)) is None
    assert named(gallery, like(1, 0.05)) == "Ada"
    gallery.close()


def test_a_damaged_file_is_passed_over_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_at(str(tmp_path / "people"))
    gallery.enroll("Ada", [bare(1)])
    keeping(gallery).deny("Ada", [face(like(1, 0.5))])
    (file,) = (tmp_path / "people" / ".not" / "Ada").iterdir()
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "embedding": [1, 2]}))
    assert named(gallery, like(1, 0.5)) == "Ada"
    assert "is passed over" in caplog.text
    assert file.stat().st_mode & 0o077 == 0


def test_what_is_taken_back_leaves_no_bytes(tmp_path: Path) -> None:
    gallery = open_at(str(tmp_path / "people.db"))
    gallery.enroll("Ada", [bare(1)])
    row = like(1, 0.5)
    keeping(gallery).deny("Ada", [face(row)])
    assert row.tobytes() in (tmp_path / "people.db").read_bytes()
    gallery.remove("Ada")
    gallery.close()
    content = (tmp_path / "people.db").read_bytes()
    assert row.tobytes() not in content
    assert PICTURE not in content


def test_an_older_file_learns_it(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "people.db"
    gallery = open_at(str(file))
    gallery.enroll("Ada", [bare(1)])
    gallery.close()
    with sqlite3.connect(file) as older:
        older.execute("DROP TABLE counter_examples")
        older.execute("UPDATE about SET value = '3' WHERE key = 'version'")
    older.close()
    gallery = open_at(str(file))
    keeping(gallery).deny("Ada", [face(like(1, 0.5))])
    assert (who(gallery, 1), named(gallery, like(1, 0.5))) == ("Ada", None)
    gallery.close()


def test_described_anew_or_said_what_is_lost(tmp_path: Path) -> None:
    from mien.gallery.sql import SqlGallery

    gallery = open_at(str(tmp_path / "people.db"))
    assert isinstance(gallery, SqlGallery)
    gallery.enroll("Ada", [bare(1)])
    gallery.deny("Ada", [face(like(1, 0.5)), face(like(1, 0.4), thumbnail=b"")])
    pictured = {one.id: bool(one.thumbnail) for one in gallery.counter_examples()}
    (key,) = gallery.photo_ids()
    other = replace(DLIB, name="other")
    assert not gallery.reembed(other, {key: descriptor(7)}, [])  # nothing said of them
    anew = {one: descriptor(8) if there else None for one, there in pictured.items()}
    assert gallery.reembed(other, {key: descriptor(7)}, [], anew)
    (left,) = gallery.counter_examples()
    np.testing.assert_array_equal(left.embedding, descriptor(8))
    gallery.close()
    reopened = open_gallery(
        str(tmp_path / "people.db"), space=other, describe=lambda content: None
    )
    assert named(reopened, descriptor(7)) == "Ada"
    reopened.close()


def deny_forever(say: Callable[[int], None], place: str) -> None:
    gallery = open_at(place)
    gallery.enroll("Ada", [bare(1)])
    for step in range(1, 2000):
        gallery.deny("Ada", [face(like(1, 0.45 + step / 1e4))])
        say(step)


@pytest.mark.slow
def test_kill_minus_nine_loses_nothing_that_was_said(place: str) -> None:
    process, said = saying(deny_forever, place)
    for _ in range(5):
        next(said)
    process.kill()
    acknowledged = 5 + len(list(said))
    process.join()
    gallery = open_at(place)
    said = keeping(gallery).counter_examples("Ada")
    assert len(said) in (acknowledged, acknowledged + 1)
    assert all(named(gallery, one.embedding) is None for one in said[:20])
    gallery.close()
