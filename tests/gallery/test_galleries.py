"""One suite for every gallery, and what each of them promises beside."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sqlite3
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st

from commands import saying
from mien.errors import (
    EmbedderMismatch,
    GalleryError,
    InputError,
    PersonExists,
    PersonNotFound,
)
from mien.gallery import (
    Enrolled,
    FolderGallery,
    Gallery,
    Photo,
    SqliteGallery,
    check_name,
    match,
    migrations,
    open_gallery,
)
from mien.gallery.search import Candidates, decide
from mien.text import printable
from mien.types import F32, Faces
from mien.zoo import DLIB


def descriptor(seed: int) -> F32:
    row = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return np.asarray(1.4 * row / np.linalg.norm(row), dtype=np.float32)


def photo(seed: int) -> Photo:
    """A picture file whose pixels tell the seed, so that `describe` below finds its descriptor."""
    done, buffer = cv2.imencode(".png", np.full((4, 4, 3), seed, np.uint8))
    assert done
    content = buffer.tobytes()
    return Photo(
        descriptor(seed), hashlib.sha256(content).hexdigest(), f"{seed}.png", content
    )


def describe(content: bytes) -> Faces:
    """A stand-in for the analyzer that costs nothing: one face, unless the picture is black."""
    seed = int(
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[0, 0, 0]
    )
    if seed == 0:
        return Faces.empty()
    box = np.array([[0, 0, 4, 4]], np.float32)
    return Faces(
        box,
        np.ones(1, np.float32),
        np.zeros((1, 5, 2), np.float32),
        embeddings=descriptor(seed)[None],
    )


def folder(path: Path) -> FolderGallery:
    return FolderGallery(
        path / "people", space=replace(DLIB, name="test"), describe=describe
    )


def sqlite(path: Path) -> SqliteGallery:
    return SqliteGallery(path / "people.db", space=replace(DLIB, name="test"))


def open_at(place: str) -> Gallery:
    return open_gallery(place, space=replace(DLIB, name="test"), describe=describe)


def who(gallery: Gallery, seed: int) -> str | None:
    return gallery.search(descriptor(seed)[None], tolerance=0.6).names[0]


@pytest.mark.slow
def test_nobody_yet(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    assert gallery.people() == []
    matches = gallery.search(descriptor(1)[None], tolerance=0.6)
    assert matches.names == (None,)
    assert np.isnan(matches.distances).all()
    assert gallery.search(np.zeros((0, 128), np.float32), tolerance=0.6).names == ()


@pytest.mark.slow
def test_enrolled_people_are_known_after_reopening(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    assert gallery.enroll("Ada Lovelace", [photo(1), photo(2)]) == 2
    assert gallery.enroll("Ada Lovelace", [photo(2), photo(3)]) == 1
    assert gallery.enroll("Grace Hopper", [photo(4)]) == 1
    assert [(p.name, p.photos) for p in reopen().people()] == [
        ("Ada Lovelace", 3),
        ("Grace Hopper", 1),
    ]
    assert [who(reopen(), seed) for seed in (1, 2, 3, 4, 5)] == ["Ada Lovelace"] * 3 + [
        "Grace Hopper",
        None,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "Jörg Größe",
        "名前",
        "AC/DC",
        "..",
        ".hidden",
        "100 %",
        "a\\b",
        'x"y',
        "O'Neil; --",
    ],
)
def test_names_of_any_printable_characters(
    reopen: Callable[[], Gallery], name: str
) -> None:
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


@pytest.mark.parametrize("name", ["Zoë", "caf\udce9"], ids=["a Mac's", "no UTF-8"])
def test_a_folder_with_a_name_that_a_file_system_wrote_is_one_person(
    tmp_path: Path, name: str
) -> None:
    home = tmp_path / "people" / unicodedata.normalize("NFD", name)
    home.mkdir(parents=True)
    (home / "1.png").write_bytes(photo(1).content)
    gallery = folder(tmp_path)
    (person,) = gallery.people()
    assert person.name == check_name(person.name) == printable(name)
    assert gallery.enroll(person.name, [photo(1), photo(2)]) == 1
    assert [(p.name, p.photos) for p in gallery.people()] == [(person.name, 2)]
    assert {one.name for one in gallery.enrolled()} == {person.name}
    json.dumps(
        [one.photo.source for one in gallery.enrolled()], ensure_ascii=False
    ).encode()
    gallery.rename(person.name, "Ada")
    assert [path.name for path in (tmp_path / "people").iterdir()] == ["Ada"]


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
    assert [who(gallery, seed) for seed in (1, 2, 3)] == [
        "Ada Lovelace",
        "Ada Lovelace",
        "Grace",
    ]


@pytest.mark.slow
def test_photos_of_one_name_that_are_merged_at_once_are_all_kept(
    tmp_path: Path,
) -> None:
    count = 24
    for i in range(1, count + 1):
        home = tmp_path / "people" / f"P{i}"
        home.mkdir(parents=True)
        (home / "1.png").write_bytes(photo(i).content)
    (tmp_path / "people" / "Ada").mkdir()
    (tmp_path / "people" / "Ada" / "1.png").write_bytes(photo(0).content)
    galleries = [folder(tmp_path) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        list(
            pool.map(
                lambda i: galleries[i - 1].merge(f"P{i}", "Ada"), range(1, count + 1)
            )
        )
    kept = {file.read_bytes() for file in (tmp_path / "people" / "Ada").iterdir()}
    assert kept == {photo(i).content for i in range(count + 1)}


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
    reopen: Callable[[], Gallery],
    change: Callable[[Gallery], None],
    error: type[Exception],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [photo(1)])
    gallery.enroll("Grace", [photo(2)])
    with pytest.raises(error):
        change(gallery)
    assert [(p.name, p.photos) for p in reopen().people()] == [("Ada", 1), ("Grace", 1)]


@pytest.mark.parametrize(
    ("distances", "names"),
    [
        ({"Ada": [0.1, 0.35]}, ("Ada", None)),  # perhaps a sister
        ({"Ada": [0.35, 0.1]}, (None, "Ada")),
        ({"Ada": [0.06, 0.17]}, ("Ada", "Ada")),  # a mirror
        ({"Ada": [0.06, 0.17], "Bob": [0.5, 0.5]}, ("Ada", "Ada")),
        ({"Ada": [0.1, 0.35], "Bob": [0.5, 0.5]}, ("Ada", None)),
        ({"Ada": [0.30, 0.32], "Twin": [0.35, 0.36]}, ("Ada", "Twin")),
        ({"Ada": [0.10, 0.20], "Twin": [0.25, 0.22]}, ("Ada", "Twin")),
        ({"Ada": [0.5, 0.45], "Bob": [0.3, 0.55]}, ("Bob", "Ada")),
        ({"Ada": [0.7, 0.61]}, (None, None)),
    ],
    ids=["relative", "nearer second", "mirror", "mirror and another", "relative and another", "twins", "twins at once",
         "different people", "strangers"],
)  # fmt: skip
def test_who_two_faces_of_one_picture_are(
    distances: dict[str, list[float]], names: tuple[str | None, ...]
) -> None:
    table = np.array(list(distances.values()), np.float32).T  # (2, people)
    faces, persons = np.nonzero(table <= 0.6)
    near = Candidates(faces, persons, table[faces, persons], table[faces, persons])
    limits = np.full(2, 0.6, np.float32)
    matches = decide(
        near,
        list(distances),
        limits=limits,
        nearest=table.min(axis=1),
        people=len(distances),
    )
    assert matches.names == names
    for row, name, distance in zip(table, names, matches.distances, strict=True):
        assert distance == (
            row.min() if name is None else row[list(distances).index(name)]
        )


@pytest.mark.slow
@given(st.integers(0, 6), st.integers(0, 8), st.floats(0, 3), st.integers(0, 99))
def test_matching_equals_the_plain_way(
    faces: int, photos: int, tolerance: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probes, table = (
        rng.normal(size=(n, 128)).astype(np.float32) / 8 for n in (faces, photos)
    )
    owners = [f"P{i}" for i in rng.integers(0, 3, photos)]
    matches = match(probes, owners, table, tolerance=tolerance)
    for i, name in enumerate(matches.names):
        distances = np.linalg.norm(table - probes[i], axis=1)
        theirs = [
            d for d, o in zip(distances, owners, strict=True) if name in (None, o)
        ]
        if photos:
            assert matches.distances[i] == pytest.approx(min(theirs), abs=1e-3)
        if name:
            assert matches.distances[i] <= tolerance + 1e-3
            others = [
                j for j, other in enumerate(matches.names) if other == name and j != i
            ]
            assert (
                not others
                or min(matches.distances[[i, *others]]) <= matches.distances[i]
            )


def test_a_folder_with_both_layouts_and_odd_files(tmp_path: Path) -> None:
    people = tmp_path / "people"
    (people / "Grace Hopper").mkdir(parents=True)
    files = {
        "Ada Lovelace.png": 1,
        "Grace Hopper/1.png": 2,
        "Grace Hopper/2.PNG": 3,
        "Nobody.png": 0,
    }
    for place, seed in files.items():
        (people / place).write_bytes(photo(seed).content)
    (people / "notes.txt").write_text("not a photo")
    (people / ".hidden.png").write_bytes(photo(9).content)
    (people / "Empty").mkdir()
    gallery = folder(tmp_path)
    assert [(p.name, p.photos) for p in gallery.people()] == [
        ("Ada Lovelace", 1),
        ("Grace Hopper", 2),
        ("Nobody", 1),
    ]
    assert [who(gallery, seed) for seed in (1, 2, 3, 9)] == [
        "Ada Lovelace",
        "Grace Hopper",
        "Grace Hopper",
        None,
    ]
    (people / "Ada Lovelace.png").write_bytes(photo(7).content)
    assert [who(gallery, seed) for seed in (1, 7)] == [None, "Ada Lovelace"]


def test_a_wrong_embedder_is_refused(tmp_path: Path) -> None:
    sqlite(tmp_path).close()
    with pytest.raises(EmbedderMismatch, match="test"):
        SqliteGallery(tmp_path / "people.db", space=replace(DLIB, name="another"))


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 2000]
)
def test_a_file_that_is_no_gallery_is_refused_and_kept(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "people.db"
    file.write_bytes(content)
    with pytest.raises(GalleryError, match=r"people\.db"):
        SqliteGallery(file, space=replace(DLIB, name="test"))
    assert file.read_bytes() == content


def test_places_that_are_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    for place in (
        str(tmp_path / "photo.jpg"),
        "mysql://host/db",
        str(tmp_path / "no" / "folder" / "people.db"),
    ):
        with pytest.raises(GalleryError):
            open_gallery(place, space=replace(DLIB, name="test"), describe=describe)


def test_deleted_descriptors_leave_no_bytes_in_the_file(tmp_path: Path) -> None:
    gallery = sqlite(tmp_path)
    gallery.enroll("Ada", [photo(1)])
    blob = descriptor(1).tobytes()
    assert blob in (tmp_path / "people.db").read_bytes()
    gallery.remove("Ada")
    gallery.close()
    assert blob not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert sqlite3.connect(tmp_path / "people.db").execute(
        "select count(*) from photos"
    ).fetchone() == (0,)


def test_open_galleries_see_at_once_what_others_change(
    reopen: Callable[[], Gallery],
) -> None:
    ours, theirs = reopen(), reopen()
    assert who(ours, 1) is None
    theirs.enroll("Ada", [photo(1)])
    theirs.enroll("Grace", [photo(2)])
    assert (who(ours, 1), who(ours, 2)) == ("Ada", "Grace")
    theirs.rename("Ada", "Ada Lovelace")
    assert who(ours, 1) == "Ada Lovelace"
    theirs.merge("Grace", "Ada Lovelace")
    assert who(ours, 2) == "Ada Lovelace"
    ours.remove("Ada Lovelace")
    assert (who(theirs, 1), who(theirs, 2)) == (None, None)
    ours.enroll("Somebody else", [photo(1)])
    assert who(theirs, 1) == "Somebody else"


def test_single_photos_are_discarded(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [photo(1), photo(2)])
    assert gallery.discard("Ada", [photo(1).sha256, photo(9).sha256]) == 1
    assert (who(gallery, 1), who(gallery, 2)) == (None, "Ada")
    assert gallery.discard("Ada", [photo(2).sha256]) == 1
    assert gallery.people() == []
    with pytest.raises(PersonNotFound):
        gallery.discard("Ada", [photo(2).sha256])


@pytest.mark.slow
def test_everything_enrolled_can_be_taken_elsewhere_and_back(
    reopen: Callable[[], Gallery], tmp_path: Path, postgres_url: str
) -> None:
    first = reopen()
    first.enroll_all(
        (name, [bare(seed, quality=seed / 10)])
        for name, seed in (("Ada", 1), ("Grace", 2), ("Ada", 3))
    )
    galleries = [first]
    for number, place in enumerate(
        [
            str(tmp_path / "1"),
            postgres_url + "&options=-csearch_path%3Dpublic",
            "3.db",
            "4",
        ]
    ):
        galleries.append(open_at(place if number == 1 else str(tmp_path / place)))
        assert (
            galleries[-1].enroll_all(
                (one.name, [one.photo]) for one in galleries[-2].enrolled()
            )
            == 3
        )
        assert (
            galleries[-1].enroll_all(
                (one.name, [one.photo]) for one in galleries[-2].enrolled()
            )
            == 0
        )
    told = [sorted(map(_told, gallery.enrolled())) for gallery in galleries]
    assert len(told[0]) == 3
    assert all(one == told[0] for one in told)
    assert [who(galleries[-1], seed) for seed in (1, 2, 3)] == ["Ada", "Grace", "Ada"]
    for gallery in galleries[1:]:
        gallery.close()


def _told(one: Enrolled) -> tuple[object, ...]:
    photo = one.photo
    return (
        one.name,
        photo.sha256,
        round(photo.quality, 5),
        photo.embedding.tobytes(),
        round(one.weight, 5),
    )


def bare(
    seed: int, *, quality: float = 1.0, name: int | None = None, aside: float = 0.0
) -> Photo:
    """A descriptor without its picture; `aside` moves it that far away from `descriptor(seed)`."""
    step = np.random.default_rng(1000 + (name or seed)).normal(size=128)
    row = descriptor(seed) + np.asarray(aside * step / np.linalg.norm(step), np.float32)
    return Photo(
        row, hashlib.sha256(row.tobytes()).hexdigest(), f"{seed}", quality=quality
    )


def test_a_photo_of_somebody_else_among_many_is_left_out(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    wrong = bare(2)
    gallery.enroll("Ada", [wrong, *(bare(1, name=n, aside=0.3) for n in (11, 12, 13))])
    assert who(gallery, 2) is None
    assert {one.photo.sha256 for one in gallery.enrolled() if one.weight == 0} == {
        wrong.sha256
    }
    gallery.enroll("Grace", [bare(2, name=7, aside=0.2), bare(2, name=8, aside=0.2)])
    assert (who(gallery, 1), who(gallery, 2)) == ("Ada", "Grace")
    gallery.merge(
        "Ada", "Grace"
    )  # three of five are of one person, two of another: nobody is odd alone
    gallery.discard("Grace", [one.photo.sha256 for one in gallery.enrolled()][2:])
    assert all(one.weight == 1 for one in gallery.enrolled())


def test_a_poor_photo_must_be_nearer(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Good", [bare(1, quality=0.9)])
    gallery.enroll("Poor", [bare(2, quality=0.02)])
    for seed, names in ((1, ["Good", "Good"]), (2, ["Poor", None])):
        probes = [bare(seed, aside=aside).embedding for aside in (0.45, 0.55)]
        assert [
            gallery.search(probe[None], tolerance=0.6).names[0] for probe in probes
        ] == names
        distances = [
            gallery.search(probe[None], tolerance=0.6).distances[0] for probe in probes
        ]
        np.testing.assert_allclose(distances, [0.45, 0.55], atol=1e-4)


def test_faces_of_one_picture_have_different_names(
    reopen: Callable[[], Gallery],
) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    gallery.enroll("Twin", [bare(1, name=5, aside=0.2)])
    probes = np.stack(
        [bare(1, name=9, aside=0.1).embedding, bare(1).embedding, bare(3).embedding]
    )
    matches = gallery.search(probes, tolerance=np.array([0.6, 0.6, 0.6], np.float32))
    assert matches.names == ("Twin", "Ada", None)
    apart = np.linalg.norm(probes[0] - bare(1, name=5, aside=0.2).embedding)
    np.testing.assert_allclose(matches.distances[:2], [apart, 0], atol=1e-4)
    assert matches.distances[2] > 1
    assert gallery.search(
        probes, tolerance=np.array([0.05, 0.6, 5], np.float32)
    ).names == (None, "Ada", "Twin")


def test_the_distance_is_that_to_the_name(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Poor", [bare(1, quality=0.02)])
    gallery.enroll("Good", [bare(1, name=5, aside=0.2)])
    probe = bare(1, name=7, aside=0.42).embedding
    to = {
        one.name: float(np.linalg.norm(probe - one.photo.embedding))
        for one in gallery.enrolled()
    }
    assert to["Poor"] < to["Good"] < to["Poor"] / 0.8  # the nearer photo counts less
    matches = gallery.search(probe[None], tolerance=0.6)
    assert matches.names == ("Good",)
    np.testing.assert_allclose(matches.distances, [to["Good"]], atol=1e-4)


def test_a_mirror_image_is_nobody_else(reopen: Callable[[], Gallery]) -> None:
    gallery = reopen()
    gallery.enroll("Ada", [bare(1)])
    gallery.enroll("Bob", [bare(1, name=5, aside=0.5)])
    probes = np.stack(
        [bare(1, name=8, aside=0.06).embedding, bare(1, name=9, aside=0.17).embedding]
    )
    matches = gallery.search(probes, tolerance=0.6)
    assert matches.names == ("Ada", "Ada")
    np.testing.assert_allclose(matches.distances, [0.06, 0.17], atol=1e-4)


_WORKERS, _PEOPLE = 8, 6


@pytest.mark.slow
def test_eight_processes_enrol_and_nothing_is_lost(place: str) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(_WORKERS)
    workers = [
        context.Process(target=_enroll_some, args=(place, number, start))
        for number in range(_WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * _WORKERS
    gallery = open_at(place)
    people = gallery.people()
    gallery.close()
    shared = [person for person in people if person.name.startswith("Shared")]
    assert [person.photos for person in shared] == [_WORKERS] * _PEOPLE
    assert (
        len({person.name for person in people})
        == len(people)
        == _PEOPLE + _WORKERS * _PEOPLE
    )


def _enroll_some(place: str, number: int, start: object) -> None:
    gallery = open_at(place)
    start.wait(60)  # type: ignore[attr-defined]
    for i in range(_PEOPLE):
        gallery.enroll(f"Shared {i}", [photo(1 + number * _PEOPLE + i)])
        gallery.enroll(f"Own {number} {i}", [photo(100 + number * _PEOPLE + i)])
    gallery.close()


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "people.db"
    with sqlite3.connect(file) as old:
        old.executescript(_VERSION_1)
        for seed, name in ((1, "Ada"), (2, "Grace")):
            old.execute(
                "INSERT INTO people (id, name) VALUES (?, ?)", (name.lower(), name)
            )
            blob = descriptor(seed).astype("<f4").tobytes()
            row = (name.lower(), photo(seed).sha256, f"{seed}.png", blob)
            old.execute(
                "INSERT INTO photos (person_id, sha256, source, embedding) VALUES (?, ?, ?, ?)",
                row,
            )
    old.close()
    gallery = sqlite(tmp_path)
    last = migrations.newest("sqlite")
    assert [(person.id, person.name, person.photos) for person in gallery.people()] == [
        ("ada", "Ada", 1),
        ("grace", "Grace", 1),
    ]
    assert (who(gallery, 1), who(gallery, 2)) == ("Ada", "Grace")
    assert gallery.enroll("Ada", [photo(1), photo(3)]) == 1
    assert (who(gallery, 3), who(sqlite(tmp_path), 3)) == ("Ada", "Ada")
    with sqlite3.connect(file) as now:
        assert now.execute(
            "SELECT value FROM about WHERE key = 'version'"
        ).fetchall() == [(str(last),)]
        now.execute(
            "UPDATE about SET value = ? WHERE key = 'version'", (str(last + 1),)
        )
    now.close()
    with pytest.raises(GalleryError, match=f"version {last + 1}"):
        sqlite(tmp_path)


_VERSION_1 = """
CREATE TABLE about (key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key));
CREATE TABLE people (id TEXT NOT NULL, name TEXT NOT NULL, created DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL,
    PRIMARY KEY (id), UNIQUE (name));
CREATE TABLE photos (id INTEGER NOT NULL, person_id TEXT NOT NULL, sha256 TEXT NOT NULL, source TEXT NOT NULL,
    embedding BLOB NOT NULL, created DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL, PRIMARY KEY (id),
    UNIQUE (person_id, sha256), FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE);
CREATE INDEX ix_photos_person_id ON photos (person_id);
INSERT INTO about VALUES ('version', '1'), ('embedder', 'test'), ('revision', '2');
"""


def enroll_forever(say: Callable[[int], None], place: str) -> None:
    gallery = open_at(place)
    for seed in range(1, 250):
        gallery.enroll(f"P{seed:03d}", [photo(seed)])
        say(seed)


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.02, 0.1, 0.25])
def test_kill_minus_nine_loses_nothing_acknowledged(place: str, wait_s: float) -> None:
    process, said = saying(enroll_forever, place)
    next(said)
    time.sleep(wait_s)
    process.kill()
    acknowledged = 1 + len(list(said))
    process.join()
    gallery = open_at(place)
    people = gallery.people()
    gallery.close()
    assert acknowledged >= 1
    assert len(people) in (acknowledged, acknowledged + 1)
    assert all(person.photos == 1 for person in people)
