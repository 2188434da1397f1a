"""Links in a folder gallery: what they lead to is never deleted, and nothing outside belongs to it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import GalleryError
from mien.gallery import FolderGallery, Photo
from mien.types import Faces
from mien.zoo import DLIB


def nobody(content: bytes) -> Faces:
    return Faces.empty()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of photos that is not in the gallery."""
    place = tmp_path / "holiday"
    place.mkdir()
    (place / "1.jpg").write_bytes(b"one")
    return place


@pytest.fixture
def gallery(tmp_path: Path) -> FolderGallery:
    """Ada with two photos."""
    home = tmp_path / "people" / "Ada"
    home.mkdir(parents=True)
    for name in ("1.jpg", "2.jpg"):
        (home / name).write_bytes(name.encode())
    return FolderGallery(
        tmp_path / "people", space=replace(DLIB, name="e"), describe=nobody
    )


def names(gallery: FolderGallery) -> dict[str, int]:
    return {person.name: person.photos for person in gallery.people()}


def test_links_that_lead_outside_are_passed_over_and_told(
    gallery: FolderGallery, outside: Path, caplog: pytest.LogCaptureFixture
) -> None:
    links = [
        gallery.path / "Eve",
        gallery.path / "Eva.jpg",
        gallery.path / "Ada" / "3.jpg",
        gallery.path / "No.jpg",
    ]
    for link, goal in zip(
        links,
        [outside, outside / "1.jpg", outside / "1.jpg", outside / "none.jpg"],
        strict=True,
    ):
        link.symlink_to(goal)
    (gallery.path / "Round").symlink_to(gallery.path / "Round")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert names(gallery) == {"Ada": 2}
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 5
    assert all("a link that leads out of the gallery" in text for text in told)
    gallery.remove("Ada")
    with pytest.raises(GalleryError, match="leads out of the gallery"):
        gallery.enroll(
            "Eve", [Photo(np.zeros(128, np.float32), "0" * 64, "a.jpg", b"a")]
        )
    assert [file.read_bytes() for file in outside.iterdir()] == [b"one"]


def test_only_the_link_goes(gallery: FolderGallery) -> None:
    (gallery.path / "Countess").symlink_to("Ada")
    (gallery.path / "Lovelace.jpg").symlink_to("Ada/1.jpg")
    assert names(gallery) == {"Ada": 2, "Countess": 2, "Lovelace": 1}
    gallery.remove("Countess")
    gallery.remove("Lovelace")
    assert names(gallery) == {"Ada": 2}
    assert [path.name for path in gallery.path.iterdir()] == ["Ada"]


CHANGES = {
    "discard": lambda gallery: gallery.discard(
        "Countess", [hashlib.sha256(b"1.jpg").hexdigest()]
    ),
    "rename": lambda gallery: gallery.rename("Countess", "Lady"),
    "merge": lambda gallery: gallery.merge("Countess", "Eve"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_photos_behind_a_link_are_not_changed(
    change: str, gallery: FolderGallery
) -> None:
    (gallery.path / "Countess").symlink_to("Ada")
    (gallery.path / "Eve.jpg").write_bytes(b"eve")
    with pytest.raises(GalleryError, match="Countess is a link to Ada"):
        CHANGES[change](gallery)
    assert names(gallery) == {"Ada": 2, "Countess": 2, "Eve": 1}


def test_a_link_to_a_photo_can_be_moved(gallery: FolderGallery) -> None:
    (gallery.path / "Eve").mkdir()
    (gallery.path / "Eve" / "9.jpg").symlink_to("../Ada/1.jpg")
    gallery.rename("Eve", "Eve Smith")
    assert names(gallery) == {"Ada": 2, "Eve Smith": 1}
    assert (gallery.path / "Eve Smith" / "9.jpg").read_bytes() == b"1.jpg"


def test_the_gallery_itself_may_be_behind_a_link(
    gallery: FolderGallery, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(gallery.path)
    assert names(
        FolderGallery(tmp_path / "link", space=replace(DLIB, name="e"), describe=nobody)
    ) == {"Ada": 2}
