"""What `mien backup` keeps comes back, elsewhere too; a damaged or newer archive changes nothing, nor does a kill."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from commands import Inside, saying
from mien import backup
from mien.backup import Home
from mien.errors import GalleryError, InputError
from mien.gallery import Gallery, Photo, open_gallery
from mien.gallery.postgres import PostgresGallery
from mien.gallery.postgres_copy import LOG, TABLES
from mien.gallery.trees import copy_tree
from mien.gallery.unknown import open_unknown
from mien.types import Faces
from mien.watch.store import Wanted, open_visits
from mien.zoo import DLIB
from test_about import fill, row


def quiet(done: int, total: int) -> None:
    """Nobody is looking."""


def opened(place: str) -> Gallery:
    return open_gallery(
        place, space=DLIB, describe=lambda content: Faces.empty(), as_it_is=True
    )


def names(place: str) -> list[str]:
    gallery = opened(place)
    found = [person.name for person in gallery.people()]
    gallery.close()
    return found


@pytest.fixture(params=["people", "people.db", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where a gallery is, and where it is brought back to."""
    if request.param != "postgresql":
        return str(tmp_path / "old" / request.param), str(
            tmp_path / "n" / request.param
        )
    url = request.getfixturevalue("postgres_url")
    other = {"options": "-csearch_path=other,public"}
    elsewhere = sa.make_url(url).update_query_dict(other)
    return url, elsewhere.render_as_string(hide_password=False)


def filled(place: str, data: Path) -> None:
    if "://" not in place:
        Path(place).parent.mkdir(exist_ok=True)
    gallery = opened(place)
    fill(gallery, data, "Ada", 10)
    gallery.close()


def make_schema(place: str) -> None:
    if "other" in place:
        url = sa.make_url(place).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA other"))
        engine.dispose()


def test_everything_comes_back_on_another_machine(
    places: tuple[str, str], tmp_path: Path
) -> None:
    old, new = places
    data, settings = tmp_path / "data", tmp_path / "old.toml"
    filled(old, data)
    (data / "keys.json").write_text('{"keys": []}')
    settings.write_text('gallery = "/nowhere/people.db"\nmin_face = 30\n')
    archive = tmp_path / "a.zip"
    home = Home(old, data, {"user.toml": settings})
    made = backup.write(archive, home, told=quiet)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.glob(".mien-backup-*")] == []
    assert backup.check(archive, told=quiet) == made

    make_schema(new)
    there = Home(new, tmp_path / "data2", {"user.toml": tmp_path / "new.toml"})
    backup.restore(archive, there, told=quiet)
    gallery = opened(new)
    if "://" in new or new.endswith(".db"):
        found = gallery.search(row(10)[None], tolerance=0.6)
        assert found.names == ("Ada",)
        gallery.enroll("Bob", [Photo(row(77), "b" * 64)])  # numbers go on
    assert "Ada" in [person.name for person in gallery.people()]
    unknown = open_unknown(gallery, data=there.data)
    assert len(unknown.named("Ada")) == 1
    unknown.close()
    visits = open_visits(gallery, data=there.data)
    (visit,) = visits.visits(Wanted(person="Ada"))
    assert len(visit.pictures) == 1
    assert visits.last_number() == 4, "two visits begun, then filmed"
    assert visits.clip(visit.id) == b"a film of Ada"
    visits.close()
    gallery.close()
    assert (there.data / "keys.json").read_text() == '{"keys": []}'
    said = (tmp_path / "new.toml").read_text()
    assert "min_face = 30" in said
    assert '\n# gallery = "/nowhere/people.db"' in f"\n{said}"
    with pytest.raises(InputError, match="--force replaces it"):
        backup.restore(archive, there, told=quiet)
    backup.restore(archive, there, force=True, told=quiet)
    assert names(new) == ["Ada"]


def test_who_has_the_gallery_open_sees_what_was_brought_back(tmp_path: Path) -> None:
    place, home = tmp_path / "p.db", Home(str(tmp_path / "p.db"), tmp_path / "data")
    gallery = opened(str(place))
    gallery.enroll("Ada", [Photo(row(1), "a" * 64)])
    archive = tmp_path / "a.zip"
    backup.write(archive, home, told=quiet)
    gallery.remove("Ada")
    gallery.enroll("Bob", [Photo(row(2), "b" * 64)])
    assert gallery.search(row(2)[None], tolerance=0.6).names == ("Bob",)
    backup.restore(archive, home, force=True, told=quiet)
    assert gallery.search(row(2)[None], tolerance=0.6).names == (None,)
    assert gallery.search(row(1)[None], tolerance=0.6).names == ("Ada",)
    gallery.close()


def test_a_folder_is_copied_as_of_one_moment(tmp_path: Path) -> None:
    """Somebody is renamed to and fro meanwhile: a copy has them once, with all of their photos."""
    tree, stop = tmp_path / "tree", threading.Event()
    for k in range(30):
        (tree / "A").mkdir(parents=True, exist_ok=True)
        (tree / "A" / f"{k}.jpg").write_bytes(b"photo")

    def rename() -> None:
        here, there = tree / "A", tree / "B"
        while not stop.wait(0.2):
            here.rename(there)
            here, there = there, here

    writer = threading.Thread(target=rename)
    writer.start()
    try:
        for k in range(3):
            copied = tmp_path / f"copy{k}"
            copied.mkdir()
            copy_tree(tree, copied)
            files = list(copied.rglob("*.jpg"))
            assert (len(files), len({file.parent for file in files})) == (30, 1)
    finally:
        stop.set()
        writer.join()


@pytest.mark.slow
@pytest.mark.parametrize("places", ["people.db", "postgresql"], indirect=True)
def test_a_copy_is_of_one_moment_while_others_write(
    places: tuple[str, str], tmp_path: Path
) -> None:
    """Forty photos are enrolled in one call and removed in one call: a copy has both, or none."""
    old, new = places
    filled(old, tmp_path / "data")
    stop, wrong = threading.Event(), []

    def write() -> None:
        gallery, number = opened(old), 0
        while not stop.is_set():
            number += 1
            photos = [Photo(row(1000 + k), f"{k:064x}") for k in range(40)]
            gallery.enroll(f"P{number % 3}", photos)
            if number > 2:
                gallery.remove(f"P{(number + 1) % 3}")
        gallery.close()

    writer = threading.Thread(target=write)
    writer.start()
    make_schema(new)
    try:
        for k in range(3):
            archive = tmp_path / f"{k}.zip"
            backup.write(archive, Home(old, tmp_path / "data"), told=quiet)
            there = Home(new, tmp_path / "data2")
            backup.restore(archive, there, force=True, told=quiet)
            gallery = opened(new)
            counts = {p.name: p.photos for p in gallery.people()}
            wrong += [n for name, n in counts.items() if name != "Ada" and n != 40]
            gallery.close()
    finally:
        stop.set()
        writer.join()
    assert wrong == []


@pytest.mark.parametrize("how", ["cut", "flipped", "newer", "other", "outside"])
def test_a_damaged_or_newer_archive_changes_nothing(how: str, tmp_path: Path) -> None:
    place, data, archive = str(tmp_path / "p.db"), tmp_path / "data", tmp_path / "a.zip"
    filled(place, data)
    backup.write(archive, Home(place, data), told=quiet)
    content = bytearray(archive.read_bytes())
    if how == "cut":
        archive.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 3] ^= 0xFF
        archive.write_bytes(content)
    else:
        change_manifest(archive, how)
    gallery = opened(place)
    gallery.enroll("Later", [Photo(row(5), "c" * 64)])
    gallery.close()
    before = names(place)
    with pytest.raises((InputError, GalleryError)) as told:
        backup.restore(archive, Home(place, data), force=True, told=quiet)
    assert ("update it" if how == "newer" else "damaged") in str(told.value)
    assert names(place) == before
    assert not list(data.glob(".mien-backup-*"))


def change_manifest(archive: Path, how: str) -> None:
    with zipfile.ZipFile(archive) as old:
        files = {name: old.read(name) for name in old.namelist()}
    said = json.loads(files["manifest.json"])
    if how == "newer":
        said["version"] = 99
    elif how == "other":
        said["format"] = "something"
    else:
        said["entries"][0]["path"] = "../../outside"
    files["manifest.json"] = json.dumps(said).encode()
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)


def test_a_gallery_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    place, data, archive = str(tmp_path / "p.db"), tmp_path / "data", tmp_path / "a.zip"
    filled(place, data)
    shutil.copy(place, tmp_path / "q.db")
    with sqlite3.connect(tmp_path / "q.db") as newer:
        newer.execute("UPDATE about SET value = '99' WHERE key = 'version'")
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copy(tmp_path / "q.db", copied / "people.db")
    gallery = opened(place)
    with pytest.raises(GalleryError, match="update it"):
        gallery.replace_by(copied)  # type: ignore[attr-defined]
    gallery.close()
    assert names(place) == ["Ada"]
    assert not archive.exists()


def test_every_table_of_postgresql_is_in_the_list(
    postgres_url: str, tmp_path: Path
) -> None:
    filled(postgres_url, tmp_path)
    gallery = PostgresGallery(postgres_url, space=DLIB)
    with gallery.transaction() as connection:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'mien'"
        assert set(connection.scalars(sa.text(query))) == {*TABLES, LOG}
    gallery.close()


def test_a_gallery_that_cannot_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strange:
        def close(self) -> None:
            pass

    monkeypatch.setattr(backup, "_opened", lambda place: Strange())
    home = Home(str(tmp_path / "people"), tmp_path)
    with pytest.raises(GalleryError, match="back it up by its own means"):
        backup.write(tmp_path / "a.zip", home, told=quiet)
    assert not (tmp_path / "a.zip").exists()


def test_commands(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place, data = str(tmp_path / "p.db"), tmp_path / "data"
    filled(place, data)
    kept = inside("backup", "a.zip", "--gallery", place, MIEN_DATA=str(data))
    assert (kept.returncode, "for your eyes only" in kept.stdout) == (0, True)
    again = inside("backup", "a.zip", "--gallery", place, MIEN_DATA=str(data))
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    looked = inside("restore", "a.zip", "--check")
    assert "is whole" in looked.stdout
    Path("mien.toml").write_text("[watch]\n", "utf-8")
    full = ("backup", "b.zip", "--gallery", place)
    assert inside(*full, MIEN_DATA=str(data)).returncode == 0
    there = {"MIEN_DATA": str(tmp_path / "third")}
    refused = inside("restore", "b.zip", "--gallery", "third.db", **there).stderr
    assert "already: mien.toml; nothing was changed" in refused
    assert "in another working folder" in refused
    assert "--gallery" not in refused  # that would not help
    Path("mien.toml").unlink()
    here = {"MIEN_DATA": str(tmp_path / "other")}
    back = inside("restore", "a.zip", "--gallery", "back.db", **here)
    assert back.returncode == 0, back.stderr
    assert names(str(tmp_path / "back.db")) == ["Ada"]
    for other in ("folder", "postgresql://me:hunter2@127.0.0.1:1/people"):
        wrong = inside("restore", "a.zip", "--gallery", other, **here)
        assert (wrong.returncode, "of the kind sqlite" in wrong.stderr) == (2, True)
        assert "'people export'" in wrong.stderr
        assert "hunter2" not in wrong.stderr


def restore(say: Callable[[str], None], archive: Path, home: Home) -> None:
    say("ready")
    backup.restore(archive, home, force=True, told=quiet)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["people.db", "people"])
def test_a_kill_in_the_middle_leaves_the_old_or_the_new(
    kind: str, tmp_path: Path
) -> None:
    place, data = str(tmp_path / kind), tmp_path / "data"
    other = str(tmp_path / "new" / kind)
    filled(place, data)
    filled(other, tmp_path / "d")
    gallery = opened(other)
    many = [
        (f"New {k}", [Photo(row(k), f"{k:064x}", content=os.urandom(9_000))])
        for k in range(400)
    ]
    gallery.enroll_all(many)
    gallery.close()
    archive = tmp_path / "a.zip"
    backup.write(archive, Home(other, tmp_path / "d"), told=quiet)
    old, new = names(place), names(other)
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
        process, said = saying(restore, archive, Home(place, data))
        next(said)
        time.sleep(delay)
        process.kill()
        process.join()
        assert names(place) in (old, new)
    backup.restore(archive, Home(place, data), force=True, told=quiet)
    assert names(place) == new
    assert not list(data.glob(".mien-backup-*"))


def packed(file: Path, **entry: object) -> Path:
    """An archive that holds one small file, of which its manifest says whatever it likes."""
    said = {"path": "keys.json", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    manifest = {
        "format": backup.FORMAT,
        "version": 1,
        "kind": "",
        "made": "",
        "mien": "1",
    }
    manifest["entries"] = [said | entry]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("files/0", b"x")
        archive.writestr("manifest.json", json.dumps(manifest))
    return file


@pytest.mark.parametrize(
    "wrong", [{"size": "1"}, {"size": None}, {"size": -1}, {"sha256": 5}, {"path": 5}]
)
def test_a_manifest_of_other_types_is_damaged(
    wrong: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no backup, or damaged"):
        backup.check(packed(tmp_path / "a.zip", **wrong), told=quiet)


def test_an_archive_that_was_packed_anew_is_read_or_damaged(tmp_path: Path) -> None:
    """Whoever packs it anew may compress or lock it."""
    good = packed(tmp_path / "good.zip")
    anew = tmp_path / "anew.zip"
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(anew, "w", method) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        if method == zipfile.ZIP_DEFLATED:
            backup.check(anew, told=quiet)
            raw = bytearray(anew.read_bytes())
            at = raw.index(b"files/0") + len(b"files/0")
            raw[at : at + 3] = b"\xff" * 3
            anew.write_bytes(raw)
        with pytest.raises(InputError, match="damaged"):
            backup.check(anew, told=quiet)
    raw = bytearray(good.read_bytes())
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = raw.find(mark)
        while at >= 0:
            raw[at + flags] |= 1
            at = raw.find(mark, at + 1)
    good.write_bytes(raw)
    with pytest.raises(InputError, match="encrypted"):
        backup.check(good, told=quiet)


def test_settings_that_are_no_text_are_refused_before_anything_changes(
    tmp_path: Path,
) -> None:
    settings, old = tmp_path / "old.toml", str(tmp_path / "p.db")
    settings.write_bytes(b"# f\xfcr mich\n")
    filled(old, tmp_path / "data")
    archive = tmp_path / "a.zip"
    backup.write(
        archive, Home(old, tmp_path / "data", {"user.toml": settings}), told=quiet
    )
    new = tmp_path / "n.db"
    there = Home(str(new), tmp_path / "data2", {"user.toml": tmp_path / "new.toml"})
    with pytest.raises(InputError, match="is not written in UTF-8"):
        backup.restore(archive, there, told=quiet)
    assert not new.exists()


def test_a_backup_lies_beside_what_it_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    (folder / "Ada").mkdir(parents=True)
    home = Home(str(folder), tmp_path / "data")
    with pytest.raises(InputError, match="would keep itself"):
        backup.write(folder / "a.zip", home, told=quiet)
    (home.data / "jobs").mkdir(parents=True)
    with pytest.raises(InputError, match="would keep itself"):
        backup.write(home.data / "jobs" / "a.zip", home, jobs=True, told=quiet)


def test_only_files_are_replaced_by_a_backup(tmp_path: Path) -> None:
    pipe, home = tmp_path / "pipe", Home(None, tmp_path / "data")
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is no file"):
        backup.write(pipe, home, force=True, told=quiet)
    assert pipe.is_fifo()
    with pytest.raises(InputError, match="cannot write"):
        backup.write(tmp_path / ("x" * 300), home, told=quiet)


def test_links_that_lead_outside_are_no_part_of_a_copy(tmp_path: Path) -> None:
    """As they are no part of the gallery; a link to nothing once made every backup fail."""
    folder, outside = tmp_path / "people", tmp_path / "secret.jpg"
    (folder / "Ada").mkdir(parents=True)
    outside.write_bytes(b"secret")
    (folder / "Ada" / "1.jpg").write_bytes(b"one")
    for name, goal in {
        "2.jpg": "1.jpg",
        "3.jpg": outside,
        "4.jpg": "gone.jpg",
        "5.jpg": "5.jpg",
    }.items():
        (folder / "Ada" / name).symlink_to(goal)
    (tmp_path / "copy").mkdir()
    copy_tree(folder, tmp_path / "copy")
    found = sorted(file.name for file in (tmp_path / "copy" / "Ada").iterdir())
    assert found == ["1.jpg", "2.jpg"]


def test_two_backups_to_one_new_name_are_never_both_done(tmp_path: Path) -> None:
    """The second one found no such file when it began, and may not replace the first one when it ends."""
    home, goal = Home(None, tmp_path / "data"), tmp_path / "a.zip"
    (home.data).mkdir()
    (home.data / "keys.json").write_text("[]")
    first: list[bytes] = []

    def told(_done: int, _total: int) -> None:
        if not first:
            first.append(b"")
            backup.write(goal, home, told=quiet)
            first[0] = goal.read_bytes()

    with pytest.raises(InputError, match="another backup"):
        backup.write(goal, home, told=told)
    assert goal.read_bytes() == first[0]
    assert not list(tmp_path.glob(".mien-*"))
    backup.write(goal, home, force=True, told=quiet)


def test_a_backup_that_sweeps_takes_no_folder_of_one_that_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making its folder and locking it another may take it for one that was left."""
    home, swept = Home(None, tmp_path / "data"), []
    make = tempfile.mkdtemp

    def taken(*given: str, **named: str) -> str:
        made = make(*given, **named)
        if not swept and named.get("prefix", "").startswith(".mien-"):
            shutil.rmtree(made)
            swept.append(made)
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", taken)
    backup.write(tmp_path / "a.zip", home, told=quiet)
    assert swept
    assert backup.check(tmp_path / "a.zip", told=quiet).entries == ()
