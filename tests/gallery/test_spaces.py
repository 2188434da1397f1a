"""Galleries, unknown faces and checks of another embedder's descriptors: other sizes, another measure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.test_galleries import _VERSION_1, describe, photo
from mien.errors import EmbedderMismatch, InputError
from mien.gallery import Enrolled, Gallery, Photo, SqliteGallery, open_gallery
from mien.gallery.check import check
from mien.gallery.folder import bare_sha256
from mien.gallery.migrations import newest
from mien.gallery.search import match
from mien.gallery.sql import SqlGallery
from mien.gallery.table import Rows, Table
from mien.gallery.unknown import Sighting, UnknownFaces, open_unknown
from mien.space import EmbeddingSpace
from mien.types import F32, Faces
from mien.zoo import DLIB

COSINE = EmbeddingSpace(
    "wide", size=512, metric="cosine", tolerance=0.4, linkage=0.35, duplicate=0.05
)


def direction(seed: int, *, like: F32 | None = None, apart: float = 0.0) -> F32:
    """Numbers of any length; `apart` from others by so much, in the measure of the space."""
    row = np.random.default_rng(seed).normal(size=COSINE.size)
    if like is not None:
        axis = like / np.linalg.norm(like)
        aside = row - (row @ axis) * axis
        row = (1 - apart) * axis + np.sqrt(
            1 - (1 - apart) ** 2
        ) * aside / np.linalg.norm(aside)
    return (row * np.random.default_rng(seed).uniform(0.2, 30)).astype(np.float32)


def bare(row: F32) -> Photo:
    return Photo(row, bare_sha256(row))


def cosine(a: F32, b: F32) -> float:
    return 1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def told(content: bytes) -> Faces:
    """The face of a photo, by another embedder."""
    found = describe(content)
    return replace(found, embeddings=direction(content[-20])[None])


@pytest.fixture(params=["folder", "sqlite", "postgres"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gallery]:
    place = {
        "folder": str(tmp_path / "people"),
        "sqlite": str(tmp_path / "people.db"),
    }.get(request.param)
    opened = open_gallery(
        place or request.getfixturevalue("postgres_url"), space=COSINE, describe=told
    )
    yield opened
    opened.close()


@pytest.mark.slow
def test_every_gallery_searches_by_the_angle(gallery: Gallery) -> None:
    ada, ben = direction(1), direction(2)
    gallery.enroll("Ada", [bare(ada)])
    gallery.enroll("Ben", [bare(ben), bare(direction(3, like=ben, apart=0.1))])
    probes = np.stack(
        [
            direction(4, like=ada, apart=0.39),
            direction(5, like=ben, apart=0.2),
            direction(6),
        ]
    )
    found = gallery.search(probes, tolerance=COSINE.tolerance)
    assert found.names == ("Ada", "Ben", None)
    assert found.distances[0] == pytest.approx(0.39, abs=1e-5)
    assert found.distances[1] <= cosine(probes[1], ben) + 1e-5
    assert found.distances[2] > 0.7
    assert gallery.search(probes[:1], tolerance=0.38).names == (None,)
    lengths = [np.linalg.norm(one.photo.embedding) for one in gallery.enrolled()]
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_a_photo_of_somebody_else_is_left_out_by_the_measure_of_the_space(
    gallery: Gallery,
) -> None:
    ada = direction(1)
    own = [bare(direction(seed, like=ada, apart=0.15)) for seed in range(10, 15)]
    gallery.enroll("Ada", [*own, bare(direction(99))])
    assert sorted(one.weight for one in gallery.enrolled()) == [0, 1, 1, 1, 1, 1]


def test_descriptors_of_another_size_are_not_enrolled(tmp_path: Path) -> None:
    gallery = SqliteGallery(tmp_path / "people.db", space=COSINE)
    with pytest.raises(InputError, match="512 finite numbers"):
        gallery.enroll("Ada", [photo(1)])


@pytest.mark.slow
@pytest.mark.parametrize("size", [8, 512])
def test_the_table_finds_what_comparing_with_all_finds(size: int) -> None:
    rng = np.random.default_rng(size)
    centres = rng.normal(size=(5_000, 1, size))
    rows = (
        (centres + 0.4 * rng.normal(size=(5_000, 4, size)))
        .reshape(-1, size)
        .astype(np.float32)
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    persons = [f"p{i // 4}" for i in range(len(rows))]
    table = Table(size)
    table.change(
        [],
        Rows(np.arange(len(rows)), persons, np.ones(len(rows), np.float32), rows),
        {p: p for p in persons},
    )
    probes = rows[::1_999] + np.float32(0.01)
    found, plain = (
        table.search(probes, tolerance=0.5),
        match(probes, persons, rows, tolerance=0.5),
    )
    assert found.names == plain.names
    np.testing.assert_allclose(found.distances, plain.distances, atol=1e-6)


def test_a_gallery_of_another_space_is_refused_or_taken_for_what_it_is(
    tmp_path: Path,
) -> None:
    place = str(tmp_path / "people.db")
    open_gallery(place, space=COSINE, describe=told).close()
    others = [DLIB, replace(COSINE, size=256), replace(COSINE, metric="euclidean")]
    for space in others:
        with pytest.raises(EmbedderMismatch, match="wide"):
            open_gallery(place, space=space, describe=told)
        assert (
            open_gallery(place, space=space, describe=told, as_it_is=True).space
            == COSINE
        )


def test_a_bound_that_changed_is_noted(tmp_path: Path) -> None:
    place = tmp_path / "people.db"
    SqliteGallery(place, space=COSINE).close()
    SqliteGallery(place, space=replace(COSINE, tolerance=0.3)).close()
    assert SqliteGallery(place, space=DLIB, as_it_is=True).space.tolerance == 0.3


def old_gallery(file: Path) -> None:
    """As version 0.1 made it, of dlib's descriptors."""
    with sqlite3.connect(file) as old:
        old.executescript(_VERSION_1.replace("'test'", "'dlib_resnet'"))
        old.execute("INSERT INTO people (id, name) VALUES ('ada', 'Ada')")
        blob = photo(1).embedding.astype("<f4").tobytes()
        old.execute(
            "INSERT INTO photos (person_id, sha256, source, embedding) VALUES ('ada', 'a', '', ?)",
            (blob,),
        )
    old.close()


def test_an_old_gallery_learns_its_space(tmp_path: Path) -> None:
    file = tmp_path / "people.db"
    old_gallery(file)
    gallery = SqliteGallery(file, space=COSINE, as_it_is=True)
    assert gallery.space == DLIB
    assert gallery.search(photo(1).embedding[None], tolerance=0.6).names == ("Ada",)
    assert list(tmp_path.iterdir()) == [file]


def test_a_migration_that_breaks_off_leaves_the_old_gallery_and_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, copy = tmp_path / "people.db", tmp_path / "people.db.before-migration"
    old_gallery(file)
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteGallery, "_weigh", lambda *_: pytest.fail("the power went"))
        with pytest.raises(pytest.fail.Exception):
            SqliteGallery(file, space=DLIB)
    assert file.read_bytes() == before
    for kept in (file, copy):
        with sqlite3.connect(kept) as old:
            assert old.execute(
                "SELECT value FROM about WHERE key = 'version'"
            ).fetchone() == ("1",)
        old.close()
    assert SqliteGallery(file, space=DLIB).people()[0].name == "Ada"
    with sqlite3.connect(file) as now:
        version, size = (
            now.execute("SELECT value FROM about WHERE key = ?", (k,)).fetchone()[0]
            for k in ("version", "size")
        )
    now.close()
    assert (version, size) == (str(newest("sqlite")), "128")
    assert not copy.exists()


@pytest.mark.slow
@pytest.mark.parametrize("size", [512, 256])
def test_a_database_is_described_anew_as_a_whole(
    request: pytest.FixtureRequest, tmp_path: Path, size: int
) -> None:
    new = replace(COSINE, name="new", size=size)
    for place in (str(tmp_path / "people.db"), request.getfixturevalue("postgres_url")):
        first, second = (
            open_gallery(place, space=COSINE, describe=told) for _ in range(2)
        )
        assert isinstance(first, SqlGallery)
        rows = {
            name: direction(seed) for seed, name in enumerate(("Ada", "Ben", "Cleo"))
        }
        first.enroll_all([(name, [bare(row)]) for name, row in rows.items()])
        assert second.search(rows["Ben"][None], tolerance=0.1).names == ("Ben",)
        ada, ben, cleo = first.photo_ids()
        assert first.picture(ada) == b""
        described = {ada: direction(51)[:size], ben: direction(52)[:size]}
        described = {key: new.kept(row[None])[0] for key, row in described.items()}
        assert not first.reembed(
            new, described, []
        )  # Cleo came meanwhile: nothing is changed
        assert first.search(rows["Cleo"][None], tolerance=0.1).names == ("Cleo",)
        assert first.reembed(new, described, [cleo])
        assert (first.space, [person.photos for person in first.people()]) == (
            new,
            [1, 1, 0],
        )
        assert first.search(
            np.stack(list(described.values())), tolerance=0.01
        ).names == ("Ada", "Ben")
        second._indexed = (-60.0, False)  # type: ignore[attr-defined]  # PostgreSQL is asked again now
        with pytest.raises(EmbedderMismatch, match="reembed"):
            second.search(rows["Ben"][None], tolerance=0.1)
        with pytest.raises(EmbedderMismatch, match="reembed"):
            second.enroll("Dora", [bare(rows["Ada"])])
        again = open_gallery(place, space=new, describe=told)
        again.enroll("Dora", [bare(direction(53)[:size])])
        assert again.search(direction(53)[None, :size], tolerance=0.01).names == (
            "Dora",
        )
        for gallery in (first, second, again):
            gallery.close()


def sighting(row: F32, number: int) -> Sighting:
    return Sighting(row, f"photo {number}", "", 100.0 + number, 9e9)


def test_unknown_faces_are_grouped_by_the_measure_of_the_space(tmp_path: Path) -> None:
    gallery = SqliteGallery(tmp_path / "people.db", space=COSINE)
    unknown = open_unknown(gallery, data=tmp_path)
    ada, ben = direction(1), direction(2)
    rows = [
        direction(10 + i, like=who, apart=0.12) for who in (ada, ben) for i in range(4)
    ]
    unknown.add([sighting(row, i) for i, row in enumerate(rows)])
    assert [len(group.faces) for group in unknown.groups()] == [4, 4]
    assert UnknownFaces(gallery.engine, space=DLIB).groups() == []
    first = unknown.groups()[0].id
    unknown.name(first, "Somebody", gallery)
    assert (
        gallery.search(np.stack([ada, ben]), tolerance=0.4).names.count("Somebody") == 1
    )


def test_a_check_tells_distances_in_the_measure_of_the_space() -> None:
    ada, ben = (direction(seed) for seed in (1, 2))
    people = {"Ada": ada, "Ada again": direction(3, like=ada, apart=0.1), "Ben": ben}
    rows = [
        Enrolled(
            name, bare(COSINE.kept(direction(seed, like=row, apart=0.02)[None])[0]), 1.0
        )
        for name, row in people.items()
        for seed in range(20, 24)
    ]
    report = check(rows, tolerance=COSINE.tolerance, space=COSINE)
    (pair,) = report.duplicates
    assert (pair.first, pair.second) == ("Ada", "Ada again")
    one, other = (
        [row.photo.embedding for row in rows if row.name == name]
        for name in ("Ada", "Ada again")
    )
    assert pair.nearest == pytest.approx(
        min(cosine(a, b) for a in one for b in other), abs=1e-4
    )


def test_names_of_embedders_can_stand_in_names_of_files() -> None:
    for name in ("", "a/b", "..", "x" * 65, "ä"):
        with pytest.raises(InputError, match="name an embedder"):
            replace(DLIB, name=name)
