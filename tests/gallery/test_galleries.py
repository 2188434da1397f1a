"""One suite for every gallery, and what each of them promises beside."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mien.errors import EmbedderMismatch, GalleryError, InputError, PersonExists, PersonNotFound
from mien.gallery import FolderGallery, Gallery, Photo, SqliteGallery, check_name, match, open_gallery
from mien.types import F32, Faces


def descriptor(seed: int) -> F32:
    row = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return np.asarray(1.4 * row / np.linalg.norm(row), dtype=np.float32)


def photo(seed: int) -> Photo:
    """A picture file whose pixels tell the seed, so that `describe` below finds its descriptor."""
    done, buffer = cv2.imencode(".png", np.full((4, 4, 3), seed, np.uint8))
    assert done
    content = buffer.tobytes()
    return Photo(descriptor(seed), hashlib.sha256(content).hexdigest(), f"{seed}.png", content)


def describe(content: bytes) -> Faces:
    """A stand-in for the analyzer that costs nothing: one face, unless the picture is black."""
    seed = int(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[0, 0, 0])
    if seed == 0:
        return Faces.empty()
    box = np.array([[0, 0, 4, 4]], np.float32)
    return Faces(box, np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32), embeddings=descriptor(seed)[None])


def folder(path: Path) -> FolderGallery:
    return FolderGallery(path / "people", embedder="test", describe=describe)


def sqlite(path: Path) -> SqliteGallery:
    return SqliteGallery(path / "people.db", embedder="test")


@pytest.fixture(params=["folder", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new gallery is to be."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / {"folder": "people", "sqlite": "people.db"}[request.param])


def open_at(place: str) -> Gallery:
    return open_gallery(place, embedder="test", describe=describe)


@pytest.fixture
def reopen(place: str) -> Iterator[Callable[[], Gallery]]:
    """Opens the same gallery anew each time."""
    opened: list[Gallery] = []

    def open_it() -> Gallery:
        opened.append(open_at(place))
        return opened[-1]

    yield open_it
    for gallery in opened:
        gallery.close()


def who(gallery: Gallery, seed: int) -> str | None:
    return gallery.search(descriptor(seed)[None], tolerance=0.6).names[0]


def test_nobody_yet(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    assert gallery.people() == []
    matches = gallery.search(descriptor(1)[None], tolerance=0.6)
    assert matches.names == (None,)
    assert np.isnan(matches.distances).all()
    assert gallery.search(np.zeros((0, 128), np.float32), tolerance=0.6).names == ()


def test_enrolled_people_are_known_after_reopening(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    assert gallery.enroll("Ada Lovelace", [photo(1), photo(2)]) == 2
    assert gallery.enroll("Ada Lovelace", [photo(2), photo(3)]) == 1
    assert gallery.enroll("Grace Hopper", [photo(4)]) == 1
    assert [(p.name, p.photos) for p in reopen().people()] == [("Ada Lovelace", 3), ("Grace Hopper", 1)]
    assert [who(reopen(), seed) for seed in (1, 2, 3, 4, 5)] == ["Ada Lovelace"] * 3 + ["Grace Hopper", None]


@pytest.mark.parametrize("name", ["Jörg Größe", "名前", "AC/DC", "..", ".hidden", "100 %", "a\\b", 'x"y', "O'Neil; --"])
def test_names_of_any_printable_characters(reopen: Callable[[], Gallery], name: str) -> None:
    reopen().enroll(name, [photo(1)])
    assert [p.name for p in reopen().people()] == [name]
    assert who(reopen(), 1) == name
    reopen().remove(name)
    assert reopen().people() == []


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "\0", "x" * 201])
def test_other_names_are_refused(reopen: Callable[[], Gallery], name: str) -> None:
    with pytest.raises(InputError):
        reopen().enroll(name, [photo(1)])
    assert reopen().people() == []


def test_names_are_one_however_composed() -> None:
    assert check_name("  Zoe\u0308 ") == "Zo\u00eb"


def test_remove_forgets(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [photo(1)])
    gallery.enroll("Grace", [photo(2)])
    assert who(gallery, 1) == "Ada"
    gallery.remove("Ada")
    assert who(gallery, 1) is None
    assert [p.name for p in reopen().people()] == ["Grace"]
    gallery.enroll("Ada", [photo(3)])
    assert who(gallery, 3) == "Ada"


def test_rename_and_merge(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [photo(1)])
    gallery.enroll("A. Lovelace", [photo(1), photo(2)])
    gallery.enroll("Grace", [photo(3)])
    gallery.rename("Ada", "Ada Lovelace")
    gallery.merge("A. Lovelace", "Ada Lovelace")
    assert [p.name for p in reopen().people()] == ["Ada Lovelace", "Grace"]
    assert [who(gallery, seed) for seed in (1, 2, 3)] == ["Ada Lovelace", "Ada Lovelace", "Grace"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda g: g.remove("Nobody"), PersonNotFound),
        (lambda g: g.rename("Nobody", "X"), PersonNotFound),
        (lambda g: g.merge("Nobody", "Ada"), PersonNotFound),
        (lambda g: g.merge("Ada", "Nobody"), PersonNotFound),
        (lambda g: g.rename("Ada", "Grace"), PersonExists),
    ],
    ids=["remove", "rename", "merge from", "merge into", "rename on another"],
)
def test_changes_that_cannot_be(
    reopen: Callable[[], Gallery], change: Callable[[Gallery], None], error: type[Exception]
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [photo(1)])
    gallery.enroll("Grace", [photo(2)])
    with pytest.raises(error):
        change(gallery)
    assert [(p.name, p.photos) for p in reopen().people()] == [("Ada", 1), ("Grace", 1)]


def test_one_person_bears_one_face_and_the_nearer_keeps_the_name() -> None:
    near, far = descriptor(1) + np.float32(0.01), descriptor(1) + np.float32(0.03)
    matches = match(np.stack([far, near]), ["Ada"], descriptor(1)[None], tolerance=0.6)
    assert matches.names == (None, "Ada")
    assert matches.distances[1] < matches.distances[0] < 0.6


@given(st.integers(0, 6), st.integers(0, 8), st.floats(0, 3), st.integers(0, 99))
def test_matching_equals_the_plain_way(faces: int, photos: int, tolerance: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probes, table = (rng.normal(size=(n, 128)).astype(np.float32) / 8 for n in (faces, photos))
    owners = [f"P{i}" for i in rng.integers(0, 3, photos)]
    matches = match(probes, owners, table, tolerance=tolerance)
    given_names = [name for name in matches.names if name]
    assert len(set(given_names)) == len(given_names)
    for i, name in enumerate(matches.names):
        distances = np.linalg.norm(table - probes[i], axis=1)
        if photos:
            assert matches.distances[i] == pytest.approx(distances.min(), abs=1e-3)
        if name:
            assert min(d for d, o in zip(distances, owners, strict=True) if o == name) <= tolerance + 1e-3


def test_a_folder_with_both_layouts_and_odd_files(tmp_path: Path) -> None:
    people = tmp_path / "people"
    (people / "Grace Hopper").mkdir(parents=True)
    files = {"Ada Lovelace.png": 1, "Grace Hopper/1.png": 2, "Grace Hopper/2.PNG": 3, "Nobody.png": 0}
    for place, seed in files.items():
        (people / place).write_bytes(photo(seed).content)
    (people / "notes.txt").write_text("not a photo")
    (people / ".hidden.png").write_bytes(photo(9).content)
    (people / "Empty").mkdir()
    gallery = folder(tmp_path)
    assert [(p.name, p.photos) for p in gallery.people()] == [("Ada Lovelace", 1), ("Grace Hopper", 2), ("Nobody", 1)]
    assert [who(gallery, seed) for seed in (1, 2, 3, 9)] == ["Ada Lovelace", "Grace Hopper", "Grace Hopper", None]
    (people / "Ada Lovelace.png").write_bytes(photo(7).content)
    assert [who(gallery, seed) for seed in (1, 7)] == [None, "Ada Lovelace"]


def test_a_wrong_embedder_is_refused(tmp_path: Path) -> None:
    sqlite(tmp_path).close()
    with pytest.raises(EmbedderMismatch, match="test"):
        SqliteGallery(tmp_path / "people.db", embedder="another")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 2000])
def test_a_file_that_is_no_gallery_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "people.db"
    file.write_bytes(content)
    with pytest.raises(GalleryError, match=r"people\.db"):
        SqliteGallery(file, embedder="test")
    assert file.read_bytes() == content


def test_places_that_are_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    for place in (str(tmp_path / "photo.jpg"), "mysql://host/db", str(tmp_path / "no" / "folder" / "people.db")):
        with pytest.raises(GalleryError):
            open_gallery(place, embedder="test", describe=describe)


def test_deleted_descriptors_leave_no_bytes_in_the_file(tmp_path: Path) -> None:
    gallery = sqlite(tmp_path)
    gallery.enroll("Ada", [photo(1)])
    blob = descriptor(1).tobytes()
    assert blob in (tmp_path / "people.db").read_bytes()
    gallery.remove("Ada")
    gallery.close()
    assert blob not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert sqlite3.connect(tmp_path / "people.db").execute("select count(*) from photos").fetchone() == (0,)


def test_two_processes_see_each_other_at_once(tmp_path: Path) -> None:
    ours = sqlite(tmp_path)
    assert who(ours, 1) is None
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=_enroll_range, args=(str(tmp_path / "people.db"), 1, 2))
    other.start()
    other.join(60)
    assert other.exitcode == 0
    assert who(ours, 1) == "P1"


def _enroll_range(path: str, first: int, end: int) -> None:
    gallery = SqliteGallery(Path(path), embedder="test")
    for seed in range(first, end):
        gallery.enroll(f"P{seed}", [photo(seed)])


_ENROLL_FOREVER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_galleries import photo
from mien.gallery import SqliteGallery
gallery = SqliteGallery(Path(sys.argv[1]), embedder="test")
for seed in range(1, 250):
    gallery.enroll(f"P{seed:03d}", [photo(seed)])
    print(seed, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.02, 0.1, 0.25])
def test_kill_minus_nine_loses_nothing_acknowledged(tmp_path: Path, wait_s: float) -> None:
    arguments = [sys.executable, "-c", _ENROLL_FOREVER, str(tmp_path / "people.db"), str(Path(__file__).parent)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = 1 + len(process.stdout.read().split())
    process.wait()
    people = sqlite(tmp_path).people()
    assert acknowledged >= 1
    assert len(people) in (acknowledged, acknowledged + 1)
    assert all(person.photos == 1 for person in people)
