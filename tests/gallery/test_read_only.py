"""A gallery in a file that may be read and not written: who is in it is told, what would change it is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands import MIEN
from gallery.test_galleries import photo, sqlite, who
from mien import database
from mien.errors import GalleryError
from mien.gallery import SqliteGallery
from mien.zoo import DLIB

NOBODY = 65_534
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose way everybody may go, with a gallery of Ada."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        made.chmod(0o755)
        gallery = sqlite(made)
        gallery.enroll("Ada", [photo(1)])
        gallery.close()
        yield made


@contextmanager
def as_a_guest(folder: Path, *, file_mode: int, folder_mode: int) -> Iterator[None]:
    """Somebody who has no other rights than these modes give."""
    (folder / "people.db").chmod(file_mode)
    folder.chmod(folder_mode)
    if AS_ROOT:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if AS_ROOT:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="modes mean something else there")
@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)]
)
def test_it_is_read_and_what_would_change_it_is_refused(
    folder: Path, file_mode: int, folder_mode: int
) -> None:
    before = (folder / "people.db").read_bytes()
    with as_a_guest(folder, file_mode=file_mode, folder_mode=folder_mode):
        gallery = sqlite(folder)
        assert [(p.name, p.photos) for p in gallery.people()] == [("Ada", 1)]
        assert who(gallery, 1) == "Ada"
        for change in (
            lambda: gallery.enroll("Ben", [photo(2)]),
            lambda: gallery.rename("Ada", "Ida"),
            lambda: gallery.remove("Ada"),
        ):
            with pytest.raises(GalleryError, match=r"may be read, not written.*copy"):
                change()
        gallery.close()
    assert (folder / "people.db").read_bytes() == before
    assert [file.name for file in folder.iterdir()] == ["people.db"]


@pytest.mark.skipif(os.name != "posix", reason="modes mean something else there")
def test_what_others_change_meanwhile_is_seen(folder: Path) -> None:
    with as_a_guest(folder, file_mode=0o444, folder_mode=0o555):
        gallery = sqlite(folder)
        assert who(gallery, 2) is None
    owners = sqlite(folder)
    owners.enroll("Ben", [photo(2)])
    owners.close()
    assert who(gallery, 2) == "Ben"
    gallery.close()


@pytest.mark.skipif(os.name != "posix", reason="modes mean something else there")
@pytest.mark.parametrize(
    ("version", "sentence"), [("1", "is of an older mien"), ("99", "update it")]
)
def test_one_of_another_version_is_refused(
    folder: Path, version: str, sentence: str
) -> None:
    with sqlite3.connect(folder / "people.db") as database:
        database.execute("UPDATE about SET value = ? WHERE key = 'version'", (version,))
    database.close()
    with (
        as_a_guest(folder, file_mode=0o444, folder_mode=0o555),
        pytest.raises(GalleryError, match=sentence),
    ):
        sqlite(folder)


@pytest.mark.skipif(os.name != "posix", reason="modes mean something else there")
def test_an_empty_file_is_no_gallery(folder: Path) -> None:
    (folder / "people.db").write_bytes(b"")
    with (
        as_a_guest(folder, file_mode=0o444, folder_mode=0o555),
        pytest.raises(GalleryError, match="is no gallery"),
    ):
        sqlite(folder)


@pytest.mark.slow
def test_on_a_read_only_file_system(tmp_path: Path) -> None:
    """By the commands, in a space of mounts of their own."""
    unshare = shutil.which("unshare")
    mounts = (
        f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"
    )
    here = [unshare or "unshare", "-m", "sh", "-c"]
    if not unshare or subprocess.run([*here, mounts], check=False).returncode:
        pytest.skip("this user may mount nothing")
    gallery = SqliteGallery(tmp_path / "people.db", space=DLIB)
    gallery.enroll("Ada", [photo(1)])
    gallery.close()
    listed, renamed = (
        subprocess.run(
            [*here, f'{mounts} && exec "$@"', "sh", *MIEN, "people", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MIEN_GALLERY": str(tmp_path / "people.db")},
        )
        for arguments in ([], ["rename", "Ada", "Ida"])
    )
    assert (listed.returncode, "Ada" in listed.stdout) == (0, True), listed.stderr
    assert renamed.returncode == 2
    assert "may be read, not written" in renamed.stderr
    assert "Traceback" not in renamed.stderr


@pytest.mark.skipif(os.name != "posix", reason="links and locks are others there")
def test_a_gallery_is_opened_again_without_losing_its_lock(folder: Path) -> None:
    """The locks of SQLite are a process's: closing another descriptor of the file would drop them."""
    gallery = sqlite(folder)
    with gallery.transaction(write=True):
        assert database.may_write(folder / "people.db")
        other = subprocess.run(
            [sys.executable, "-c", _TAKE_LOCK, folder / "people.db"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "database is locked" in other.stderr


_TAKE_LOCK = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None) as connection:
    connection.execute("BEGIN IMMEDIATE")
"""


@pytest.mark.skipif(os.name != "posix", reason="modes mean something else there")
def test_of_a_link_the_folder_counts_that_it_leads_to(folder: Path) -> None:
    links = folder / "links"
    links.mkdir()
    (links / "people.db").symlink_to(folder / "people.db")
    folder.chmod(0o777)
    links.chmod(0o555)
    with as_a_guest(folder, file_mode=0o666, folder_mode=0o777):
        assert database.may_write(links / "people.db")
