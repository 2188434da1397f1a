"""What only a PostgreSQL gallery does."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from commands import Inside
from gallery.test_galleries import bare, descriptor, photo, who
from mien.errors import EmbedderMismatch, GalleryError, PersonExists, PersonNotFound
from mien.gallery import PostgresGallery, open_gallery
from mien.zoo import DLIB


def people(gallery: PostgresGallery, count: int) -> None:
    gallery.enroll_all((f"P{seed:04d}", [bare(seed)]) for seed in range(count))


@pytest.mark.slow
def test_the_index_finds_what_comparing_with_all_finds(postgres_url: str) -> None:
    gallery = PostgresGallery(postgres_url, space=replace(DLIB, name="test"))
    people(gallery, 1500)
    probes = np.stack(
        [
            *(bare(seed, aside=0.3).embedding for seed in range(0, 1500, 100)),
            descriptor(9999),
        ]
    )
    exact = gallery.search(probes, tolerance=0.6)
    gallery.create_index()
    assert gallery.is_indexed()
    with gallery.transaction() as connection:
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            connection.scalars(
                sa.text("EXPLAIN " + _by_index()), {"probe": _text(probes[0])}
            )
        )
    assert "photos_embedding_hnsw" in plan
    indexed = gallery.search(probes, tolerance=0.6)
    assert indexed.names == exact.names
    assert exact.names[0] == "P0000"
    assert exact.names[-1] is None
    np.testing.assert_allclose(indexed.distances, exact.distances, atol=1e-5)
    gallery.remove("P0000")
    gallery.enroll("New", [bare(9999)])
    assert (who(gallery, 0), who(gallery, 9999)) == (None, "New")
    gallery.create_index()  # anew
    gallery.drop_index()
    assert not gallery.is_indexed()
    assert who(gallery, 9999) == "New"
    gallery.close()


def _by_index() -> str:
    from mien.gallery import postgres

    return str(postgres.by_index(DLIB.size))


def _text(row: np.ndarray) -> str:
    from mien.gallery.schema import vector_text

    return vector_text(row)


@pytest.mark.slow
def test_opposite_changes_at_once_end_one_way_or_the_other(postgres_url: str) -> None:
    galleries = [
        PostgresGallery(postgres_url, space=replace(DLIB, name="test"))
        for _ in range(4)
    ]
    for round_ in range(10):
        galleries[0].enroll("A", [photo(1)])
        galleries[0].enroll("B", [photo(2)])
        start = threading.Barrier(4)
        changes = [
            lambda g: g.merge("A", "B"),
            lambda g: g.merge("B", "A"),
            lambda g: g.rename("A", "B"),
            lambda g: g.enroll_all([("B", [photo(3)]), ("A", [photo(4)])]),
        ]

        def run(
            gallery: PostgresGallery, change: object, start: threading.Barrier = start
        ) -> None:
            start.wait()
            with contextlib.suppress(PersonNotFound, PersonExists):
                change(gallery)  # type: ignore[operator]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, galleries, changes))
        left = galleries[0].people()
        assert sum(person.photos for person in left) == 4, round_
        for person in left:
            galleries[0].remove(person.name)
    for gallery in galleries:
        gallery.close()


@pytest.mark.slow
def test_opened_by_many_at_once_the_tables_are_made_once(postgres_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(
            pool.map(
                lambda _: PostgresGallery(
                    postgres_url, space=replace(DLIB, name="test")
                ),
                range(8),
            )
        )
    assert [gallery.people() for gallery in opened] == [[]] * 8
    for gallery in opened:
        gallery.close()
    with pytest.raises(EmbedderMismatch):
        PostgresGallery(postgres_url, space=replace(DLIB, name="another"))


def test_two_galleries_in_one_database(postgres_url: str) -> None:
    first = PostgresGallery(postgres_url, space=replace(DLIB, name="test"))
    second = PostgresGallery(
        postgres_url + "&options=-csearch_path%3Dpublic",
        space=replace(DLIB, name="another"),
    )
    first.enroll("Ada", [photo(1)])
    assert second.people() == []
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://mien:secret-word@127.0.0.1:1/people",
            "postgresql://…@127.0.0.1:1/people",
        ),
        (
            "postgresql://127.0.0.1:1/people?user=mien&password=secret-word",
            "postgresql://127.0.0.1:1/people.password=…",
        ),
        ("postgresql://mien:secret-word@127.0.0.1:notaport/people", "address"),
    ],
    ids=["nobody listens", "in the query", "no address"],
)
def test_a_server_that_cannot_be_used_is_named_without_its_password(
    url: str, message: str
) -> None:
    with pytest.raises(GalleryError, match=message) as caught:
        open_gallery(
            url,
            space=replace(DLIB, name="test"),
            describe=lambda _: pytest.fail("asked for"),
        )
    assert "secret-word" not in str(caught.value)


@pytest.mark.slow
def test_commands_name_the_database_without_its_password(
    postgres_url: str, inside: Inside, astronaut_file: Path
) -> None:
    address = sa.make_url(postgres_url).set(password="-".join(["secret", "word"]))
    place = address.render_as_string(hide_password=False)
    told = [
        inside("people", MIEN_GALLERY=place),
        inside("enroll", "Ada", astronaut_file, MIEN_GALLERY=place),
        inside("enroll", "Ada", astronaut_file, "--json", MIEN_GALLERY=place),
        inside("find", astronaut_file, "--in", place, "--format", "json"),
    ]
    assert [done.returncode for done in told] == [0, 0, 0, 0]
    made = inside("people", "index", MIEN_GALLERY=place)
    gone = inside("people", "index", "--drop", MIEN_GALLERY=place)
    assert "index is made" in made.stderr
    assert "index is gone" in gone.stderr
    assert all("postgresql://…@" in done.stdout for done in told)
    assert not any("secret-word" in done.stdout + done.stderr for done in told)


def test_a_connection_that_broke_is_made_anew(postgres_url: str) -> None:
    gallery = PostgresGallery(postgres_url, space=replace(DLIB, name="test"))
    gallery.enroll("Ada", [photo(1)])
    with gallery.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(sa.text(others + " AND datname = current_database()"))
    assert who(gallery, 1) == "Ada"
    gallery.close()
