"""What is kept about people can be read by its user alone, whatever the umask; weights by everybody."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import Inside
from mien import private, store
from mien.gallery import FolderGallery, Photo, SqliteGallery
from mien.gallery.unknown import open_unknown_file
from mien.server.jobs.store import Job, JobStore
from mien.server.keys import KeyFile
from mien.server.settings import Limits
from mien.text import shown
from mien.types import Faces
from mien.zoo import DLIB


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def photo(seed: int = 0) -> Photo:
    row = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return Photo(row, f"{seed:064x}", "ada.jpg", b"a photo")


def modes(place: Path) -> dict[str, int]:
    """The mode of everything at and under a place, but for folders that are not ours."""
    return {
        str(path.relative_to(place.parent)): path.stat().st_mode & 0o777
        for path in [place, *place.rglob("*")]
    }


def assert_private(place: Path, *, least: int) -> None:
    found = modes(place)
    assert len(found) >= least
    wrong = {
        name: oct(mode) for name, mode in found.items() if mode not in (0o600, 0o700)
    }
    assert not wrong


def nobody(content: bytes) -> Faces:
    return Faces.empty()


@pytest.mark.usefixtures("umask")
def test_a_data_folder_is_its_users_alone(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    KeyFile(data / "keys.json").add("door", "read")
    jobs = JobStore(data, Limits())
    job_id = jobs.admit("me")
    private.new_file(jobs.path(job_id, "input")).close()
    jobs.add(Job(job_id, "me", "video", "a.mp4"))
    open_unknown_file(
        data / "unknown" / "none.db", space=replace(DLIB, name="e")
    ).close()
    gallery = SqliteGallery(data / "people.db", space=replace(DLIB, name="e"))
    gallery.enroll("Ada", [photo()])
    assert_private(data, least=8)
    assert (data.parent.stat().st_mode & 0o777) == 0o700
    jobs.close()
    gallery.close()


@pytest.mark.usefixtures("umask")
def test_a_folder_gallery_that_we_make_is_its_users_alone(tmp_path: Path) -> None:
    FolderGallery(
        tmp_path / "people", space=replace(DLIB, name="e"), describe=nobody
    ).enroll("Ada", [photo()])
    assert_private(tmp_path / "people", least=3)


@pytest.mark.usefixtures("umask")
def test_descriptors_in_the_cache_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    store.write_entry("descriptors", "key", b"128 numbers")
    assert_private(tmp_path / "descriptors", least=2)


def test_weights_in_the_cache_are_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    before = os.umask(0o022)
    try:
        store.write_entry("descriptors", "key", b"128 numbers")
        store.write_checked(tmp_path / "cache" / "converted" / "net", b"weights")
    finally:
        os.umask(before)
    found = modes(tmp_path / "cache")
    assert found["cache"] == found["cache/converted"] == 0o755
    assert found["cache/converted/net"] == 0o644
    assert found["cache/descriptors"] == 0o700


def test_what_sqlite_puts_beside_a_database_is_private_too(tmp_path: Path) -> None:
    file = private.make_file(tmp_path / "people.db")
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE faces (row BLOB)")
    beside = [Path(f"{file}{end}") for end in ("-wal", "-shm")]
    assert [path.stat().st_mode & 0o777 for path in beside] == [0o600, 0o600]
    connection.close()


def test_what_earlier_versions_left_open_is_closed(tmp_path: Path) -> None:
    gallery = tmp_path / "people.db"
    SqliteGallery(gallery, space=replace(DLIB, name="e")).close()
    gallery.chmod(0o644)
    tmp_path.chmod(0o755)
    JobStore(tmp_path, Limits()).close()
    SqliteGallery(gallery, space=replace(DLIB, name="e")).close()
    assert_private(tmp_path, least=4)


def test_what_was_given_to_a_group_or_holds_others_things_stays_so(
    tmp_path: Path,
) -> None:
    gallery = tmp_path / "people.db"
    SqliteGallery(gallery, space=replace(DLIB, name="e")).close()
    gallery.chmod(0o660)
    (tmp_path / "holiday.jpg").touch()
    tmp_path.chmod(0o755)
    JobStore(tmp_path, Limits()).close()
    SqliteGallery(gallery, space=replace(DLIB, name="e")).close()
    assert gallery.stat().st_mode & 0o777 == 0o660
    assert tmp_path.stat().st_mode & 0o777 == 0o755


ADDRESS = "rtsp://user:pass@word@camera/1?channel=2&pwd=hidden"


@pytest.mark.parametrize("ends", ["done", "killed"])
def test_an_address_with_a_password_goes_when_its_job_ends(
    ends: str, tmp_path: Path
) -> None:
    jobs = JobStore(tmp_path, Limits(job_attempts=1))
    job_id = jobs.admit("me")
    jobs.add(
        Job(job_id, "me", "stream", shown(ADDRESS), {"url": ADDRESS, "seconds": 5})
    )
    taken = jobs.take()
    assert taken is not None
    assert taken.options["url"] == ADDRESS
    jobs.end(job_id) if ends == "done" else jobs.recover()
    assert dict(jobs.get(job_id).options) == {"seconds": 5}
    jobs.close()
    content = (tmp_path / "jobs.db").read_bytes()
    assert b"camera" in content
    assert b"word" not in content
    assert b"hidden" not in content


@pytest.mark.parametrize(
    "command",
    [
        ("blur", "--output", "safe.jpg"),
        ("tag",),
        ("enroll", "--from-tags"),
        ("enroll", "Ada"),
        ("crop", "--into", "faces"),
        ("verify", "ada.jpg"),
        ("find",),
    ],
    ids=lambda command: " ".join(command),
)
def test_where_files_are_read_an_address_is_refused_without_its_password(
    command: tuple[str, ...], inside: Inside, tmp_path: Path
) -> None:
    (tmp_path / "ada.jpg").touch()
    with contextlib.chdir(tmp_path):
        done = inside(*command, ADDRESS)
    assert (done.returncode, "is an address; save it" in done.stderr) == (2, True)
    assert "word" not in done.stdout + done.stderr


def test_results_name_an_address_without_its_password(inside: Inside) -> None:
    done = inside("analyze", "rtsp://me:word@127.0.0.1:1/door?pwd=hidden")
    assert json.loads(done.stdout)["source"] == "rtsp://…@127.0.0.1:1/door?pwd=…"


@pytest.mark.parametrize(
    ("address", "as_shown"),
    [
        (ADDRESS, "rtsp://…@camera/1?channel=2&pwd=…"),
        ("http://camera/a@b.jpg", "http://camera/a@b.jpg"),
        ("http://me@camera?x=a@b", "http://…@camera?x=a@b"),
        (
            "http://camera/v.cgi?user=me&Password=x&token=y#z",
            "http://camera/v.cgi?user=me&Password=…&token=…#z",
        ),
        ("rtsp://me:a/b#c@camera:554/1", "rtsp://…@camera:554/1"),
        ("http://camera:80/a@b.jpg", "http://camera:80/a@b.jpg"),
        ("http://[::1]:80/a@b.jpg", "http://[::1]:80/a@b.jpg"),
        ("postgresql://:a@/p?host=/s", "postgresql://…@/p?host=/s"),
        ("postgresql://ada:top secret@db/p", "postgresql://…@db/p"),
        ("no postgresql+psycopg://ada:12/3#4@db/p", "no postgresql+psycopg://…@db/p"),
        ("party.jpg", "party.jpg"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, as_shown: str) -> None:
    assert shown(address) == as_shown
