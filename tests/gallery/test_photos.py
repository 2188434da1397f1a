"""The photos of a person, looked at and removed one by one, in every kind of gallery."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from gallery.test_galleries import _VERSION_1, bare, describe, descriptor, photo
from mien.errors import PersonNotFound, PhotoNotFound
from mien.finding import GallerySearch
from mien.gallery import (
    DescribesAnew,
    FolderGallery,
    Gallery,
    Photo,
    ShowsPhotos,
    SqliteGallery,
)
from mien.zoo import DLIB

PICTURE = cv2.imencode(".jpg", np.full((16, 16, 3), 99, np.uint8))[1].tobytes()


def seen(seed: int) -> Photo:
    """A photo with the small picture of its face."""
    return replace(photo(seed), thumbnail=PICTURE + bytes([seed]))


def test_listed_shown_and_removed(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    assert isinstance(gallery, ShowsPhotos)
    before = time.time() - 2
    gallery.enroll("Ada", [seen(1), replace(seen(2), quality=0.5)])
    first, second = sorted(
        gallery.photos_of("Ada"), key=lambda one: one.sha256 != photo(1).sha256
    )
    assert (first.sha256, second.sha256) == (photo(1).sha256, photo(2).sha256)
    assert before < first.added < time.time() + 2
    assert (first.thumbnail, first.wrong) == (True, "")
    assert (
        cv2.imdecode(np.frombuffer(gallery.thumbnail("Ada", first.sha256), np.uint8), 1)
        is not None
    )
    assert gallery.discard("Ada", [first.sha256]) == 1
    assert [one.sha256 for one in gallery.photos_of("Ada")] == [second.sha256]
    with pytest.raises(PhotoNotFound):
        gallery.thumbnail("Ada", first.sha256)
    with pytest.raises(PersonNotFound):
        gallery.photos_of("Grace")


def test_pictures_follow_a_merge_and_go_with_the_person(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [seen(1)])
    gallery.enroll("Countess", [seen(2)])
    gallery.merge("Countess", "Ada")
    gallery.rename("Ada", "Ada King")
    assert [one.thumbnail for one in gallery.photos_of("Ada King")] == [True, True]
    assert gallery.thumbnail("Ada King", photo(2).sha256).startswith(b"\xff\xd8\xff")
    gallery.remove("Ada King")
    with pytest.raises(PersonNotFound):
        gallery.thumbnail("Ada King", photo(2).sha256)


def test_a_picture_without_its_photo_stays_with_the_descriptor(
    reopen: Callable[[], Gallery],
) -> None:
    """As after an import from another gallery."""
    gallery = reopen()
    gallery.enroll("Ada", [replace(bare(1), thumbnail=PICTURE), bare(2)])
    kept = {one.sha256: one.thumbnail for one in gallery.photos_of("Ada")}
    assert sorted(kept.values()) == [False, True]
    (shown,) = (sha256 for sha256, there in kept.items() if there)
    gallery.merge("Ada", "Ada")
    assert gallery.thumbnail("Ada", shown) == PICTURE
    assert len(list(gallery.enrolled())) == 2
    with pytest.raises(PhotoNotFound):
        gallery.thumbnail(
            "Ada", next(sha256 for sha256, there in kept.items() if not there)
        )


def test_deleted_pictures_leave_no_bytes(tmp_path: Path) -> None:
    gallery = SqliteGallery(tmp_path / "people.db", space=replace(DLIB, name="test"))
    gallery.enroll("Ada", [seen(1), seen(2)])
    assert PICTURE in (tmp_path / "people.db").read_bytes()
    gallery.discard("Ada", [photo(1).sha256])
    assert PICTURE in (tmp_path / "people.db").read_bytes()
    gallery.remove("Ada")
    gallery.close()
    assert PICTURE not in (tmp_path / "people.db").read_bytes()


def test_an_older_file_has_no_pictures_until_photos_are_enrolled_again(
    tmp_path: Path,
) -> None:
    with sqlite3.connect(tmp_path / "people.db") as old:
        old.executescript(_VERSION_1)
        old.execute("INSERT INTO people (id, name) VALUES ('ada', 'Ada')")
        row = ("ada", photo(1).sha256, "1.png", descriptor(1).astype("<f4").tobytes())
        old.execute(
            "INSERT INTO photos (person_id, sha256, source, embedding) VALUES (?, ?, ?, ?)",
            row,
        )
    old.close()
    gallery = SqliteGallery(tmp_path / "people.db", space=replace(DLIB, name="test"))
    assert [one.thumbnail for one in gallery.photos_of("Ada")] == [False]
    with pytest.raises(PhotoNotFound, match="once more"):
        gallery.thumbnail("Ada", photo(1).sha256)
    assert gallery.enroll("Ada", [seen(1)]) == 0
    assert gallery.thumbnail("Ada", photo(1).sha256) == seen(1).thumbnail


def test_numbers_alone_are_told_until_the_photo_comes_and_is_described_anew(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    if not isinstance(gallery, DescribesAnew):
        pytest.skip("a folder describes its photos itself")
    gallery.enroll("Ada", [photo(1), seen(2)])
    gallery.enroll("Ben", [seen(3)])
    assert gallery.bare() == {"Ada": 1}
    better = replace(seen(1), embedding=descriptor(9))
    assert (
        gallery.enroll("Ada", [better, replace(seen(2), embedding=descriptor(8))]) == 0
    )
    assert gallery.bare() == {}
    kept = {one.photo.sha256: one.photo.embedding for one in gallery.enrolled()}
    assert np.array_equal(kept[photo(1).sha256], descriptor(9))
    assert np.array_equal(kept[photo(2).sha256], descriptor(2))  # it had its picture


def test_a_folder_tells_what_is_wrong_with_a_photo(tmp_path: Path) -> None:
    gallery: Gallery = FolderGallery(
        tmp_path, space=replace(DLIB, name="test"), describe=describe
    )
    gallery.enroll("Ada", [photo(1), photo(0)])  # nobody is in the second
    found = {one.sha256: one for one in gallery.photos_of("Ada")}
    nobody = found[photo(0).sha256]
    assert (nobody.quality, nobody.weight, nobody.thumbnail) == (None, 0.0, False)
    assert "no face found" in nobody.wrong
    with pytest.raises(PhotoNotFound, match="no picture of a face"):
        gallery.thumbnail("Ada", nobody.sha256)


def test_the_nearest_photos_whatever_they_weigh(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    rows = {seed: bare(1, name=seed, aside=seed / 10) for seed in (1, 2, 3, 4)}
    gallery.enroll("Ada", [rows[3], rows[1]])
    gallery.enroll("Grace", [rows[2], rows[4], bare(9)])
    found = GallerySearch(gallery, "place").nearest(descriptor(1), 3)
    assert [(one.name, one.key) for one in found] == [
        ("Ada", rows[1].sha256),
        ("Grace", rows[2].sha256),
        ("Ada", rows[3].sha256),
    ]
    assert [one.distance for one in found] == pytest.approx([0.1, 0.2, 0.3], abs=1e-3)
    gallery.discard("Ada", [rows[1].sha256])
    assert [
        one.name for one in GallerySearch(gallery, "place").nearest(descriptor(1), 99)
    ] == [
        "Grace",
        "Ada",
        "Grace",
        "Grace",
    ]
