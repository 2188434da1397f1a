"""Where a face was seen before: in galleries, among unknown faces, in batch results and in photos."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from batch import archives
from commands import Inside
from mien.batch import Archive
from mien.errors import InputError, MienError
from mien.finding import BatchSearch, GallerySearch, UnknownSearch, find
from mien.gallery import Photo, SqliteGallery
from mien.gallery.unknown import Sighting, open_unknown
from mien.media import images
from mien.types import F32, U8
from mien.zoo import DLIB, SFACE

JPEG = cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()


def person(seed: int, aside: float = 0.0) -> F32:
    """A descriptor, and others so far from it."""
    random = np.random.default_rng(seed)
    row, step = random.normal(size=(2, 128))
    return np.asarray(
        1.4 * row / np.linalg.norm(row) + aside * step / np.linalg.norm(step),
        np.float32,
    )


def everywhere(tmp_path: Path) -> list[GallerySearch | UnknownSearch | BatchSearch]:
    gallery = SqliteGallery(tmp_path / "p.db", space=DLIB)
    gallery.enroll("Ada", [Photo(person(1, 0.3), "a" * 64, "ada.jpg", thumbnail=JPEG)])
    gallery.enroll("Grace", [Photo(person(2), "b" * 64, "grace.jpg")])
    unknown = open_unknown(gallery, data=tmp_path)
    until = time.time() + 99
    unknown.add([Sighting(person(1, 0.2), "p1", "door.jpg", until, until, 1.0, JPEG)])
    archives.write_faces(
        tmp_path / "result",
        [np.stack([person(3), person(1, 0.1)]), np.stack([person(1, 0.4)])],
    )
    batch = Archive.open(tmp_path / "result")
    return [
        GallerySearch(gallery, "p.db"),
        UnknownSearch(unknown),
        BatchSearch(batch, "result", space=DLIB),
    ]


def test_the_nearest_of_all_places_together(tmp_path: Path) -> None:
    places = everywhere(tmp_path)
    found = find(places, person(1), space=DLIB, count=4)
    assert [one.distance for one, _ in found] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4], abs=1e-3
    )
    told = [(one.place, one.source, one.name) for one, _ in found]
    assert told[0][1].endswith("/1.jpg")
    assert told[1:3] == [("unknown", "door.jpg", None), ("p.db", "ada.jpg", "Ada")]
    assert [place.picture(one) for one, place in found] == [b"", JPEG, JPEG, b""]
    assert found[0][0].box == (9, 9, 9, 9)
    assert found[1][0].group
    assert len(find(places, person(1), space=DLIB, count=99)) == 6


def test_the_more_are_compared_the_less_a_distance_says(tmp_path: Path) -> None:
    places = everywhere(tmp_path)
    assert [place.size() for place in places] == [2, 1, 3]
    probe = person(1, -0.12)
    few = find(places, probe, space=DLIB, count=6)
    near = next(one for one, _ in few if one.distance > 0.5)
    assert 0.9 < near.probability < 1
    assert few[-1][0].probability < 0.05
    crowd = np.random.default_rng(4).normal(size=(5_000, 128)) / 8
    archives.write_faces(tmp_path / "crowd", [crowd.astype(np.float32)])
    batch = BatchSearch(Archive.open(tmp_path / "crowd"), "crowd", space=DLIB)
    many = find([*places, batch], probe, space=DLIB, count=6)
    same = next(one for one, _ in many if one.source == near.source)
    assert same.distance == near.distance
    assert same.probability < near.probability


def test_places_without_faces(tmp_path: Path) -> None:
    gallery = SqliteGallery(tmp_path / "p.db", space=DLIB)
    places = [
        GallerySearch(gallery, "p.db"),
        UnknownSearch(open_unknown(gallery, data=tmp_path)),
    ]
    assert find(places, person(1), space=DLIB, count=3) == []


def test_descriptors_of_another_embedder_are_refused(tmp_path: Path) -> None:
    archives.write_faces(tmp_path / "result", [np.stack([person(1)])])
    place = BatchSearch(Archive.open(tmp_path / "result"), "result", space=SFACE)
    with pytest.raises(
        InputError, match="was made with the embedder dlib_resnet, not sface"
    ):
        place.nearest(np.zeros(SFACE.size, np.float32), 3)


def test_what_is_kept_in_memory_is_read_anew_where_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "result"
    archives.write_faces(folder, [np.stack([person(n)]) for n in range(3)])
    archive = Archive.open(folder)
    place = BatchSearch(archive, "result", space=DLIB, keep=True)
    first = find([place], person(1), space=DLIB, count=3)
    assert first[0][0].source == "1/0.jpg"
    assert place.size() == 3
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "descriptors_in", lambda *_: pytest.fail("again"))
        again = find([place], person(1), space=DLIB, count=3)
    assert [one for one, _ in again] == [one for one, _ in first]
    gone = next(
        part
        for part in archive.described_parts(DLIB)
        if archive.descriptors_in(part)[0][0] == pytest.approx(person(1))
    )
    archive.drop({"1/0.jpg": gone.name})
    left = [one.source for one, _ in find([place], person(1), space=DLIB, count=3)]
    assert sorted(left) == ["0/0.jpg", "2/0.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_a_hundred_thousand_faces_of_a_batch_result(
    tmp_path: Path, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).normal(size=(100_000, 128)).astype(np.float32) / 8
    archives.write_faces(tmp_path / "result", np.split(rows, 10))
    archive = Archive.open(tmp_path / "result")
    place = BatchSearch(archive, "result", space=DLIB, keep=keep)
    read, parts = Archive.descriptors_in, []
    monkeypatch.setattr(
        Archive,
        "descriptors_in",
        lambda self, part: parts.append(part) or read(self, part),
    )
    for _ in range(3):
        found = find([place], rows[50_000], space=DLIB, count=10)
    assert (found[0][0].distance, len(found)) == (0, 10)
    exact = np.sort(np.linalg.norm(rows.astype(float) - rows[50_000], axis=1))[:10]
    assert [one.distance for one, _ in found] == pytest.approx(exact, abs=1e-4)
    assert len(parts) == (10 if keep else 30), "what is kept is read once"


@pytest.mark.slow
def test_the_command(
    inside: Inside, astronaut: U8, face_free: U8, astronaut_file: Path, tmp_path: Path
) -> None:
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    images.write_image(holiday / "mirror.jpg", np.ascontiguousarray(astronaut[:, ::-1]))
    images.write_image(holiday / "coffee.jpg", face_free)
    (holiday / "broken.jpg").write_bytes(b"none")
    place = tmp_path / "p.db"
    assert (
        inside("enroll", "Eileen", astronaut_file, "--gallery", place).returncode == 0
    )
    sheet = tmp_path / "found.jpg"
    done = inside(
        "find",
        astronaut_file,
        "--in",
        place,
        holiday,
        "--format",
        "json",
        "--sheet",
        sheet,
    )
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr
    first, second = json.loads(done.stdout)
    assert (first["name"], first["distance"], first["same"]) == ("Eileen", 0, True)
    assert (second["source"], second["same"]) == (str(holiday / "mirror.jpg"), True)
    assert 0 < second["distance"] < 0.5
    drawn = images.read_image(sheet)
    assert drawn.shape == (208, 900, 3)
    tiles = [drawn[10:170, x : x + 160] for x in (10, 190, 370)]
    assert all(tile.std() > 20 for tile in tiles)
    assert (
        np.abs(tiles[0].astype(int) - tiles[1]).mean()
        < 10
        < np.abs(tiles[0].astype(int) - tiles[2]).mean()
    )


def test_a_place_named_twice_is_searched_once(
    inside: Inside, astronaut_file: Path
) -> None:
    twice = inside(
        "find", astronaut_file, "--in", astronaut_file, astronaut_file, "--json"
    )
    (only,) = json.loads(twice.stdout)
    assert only["distance"] == 0


def test_where_no_face_is_kept_is_said(
    inside: Inside, astronaut_file: Path, tmp_path: Path
) -> None:
    place = str(tmp_path / "p.db")
    SqliteGallery(Path(place), space=DLIB).close()
    told = inside("find", astronaut_file, "--gallery", place).stdout
    assert told == f"no face is kept in {place}; --gallery or --in names other places\n"
    told = inside("find", astronaut_file, "--in", place).stdout
    assert told == f"no face is kept in {place}\n"
    for as_json in (["--format", "json"], ["--json"]):
        told = inside("find", astronaut_file, "--in", place, *as_json).stdout
        assert json.loads(told) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gallery", "none"], "say where to look with --in"),
        (["--in", "nowhere"], "--in nowhere: there is no such file or folder"),
        (["--in", "people", "--gallery", "none"], "there is no gallery"),
        (["--in", "gone.db"], "there is no gallery at gone.db"),
        (["--format", "xml"], "--format xml is unknown"),
        (["--sheet", "x.txt"], "give a name that ends in"),
    ],
)
def test_what_cannot_be_searched_is_said(
    arguments: list[str], said: str, inside: Inside, astronaut_file: Path
) -> None:
    done = inside("find", astronaut_file, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    "notes",
    [
        {b"mien.attributes": b"\xff[]"},
        {b"mien.attributes": b"[3]"},
        {b"mien.attributes": b"[" * 100_000},
        {b"mien.embedding_space": b'"\xe5'},
        {b"mien.embedding_space": b"[]"},
    ],
    ids=lambda notes: next(iter(notes)).decode(),
)
def test_a_part_whose_notes_are_damaged_is_said(
    tmp_path: Path, notes: dict[bytes, bytes]
) -> None:
    archives.write_faces(tmp_path / "result", [np.stack([person(1)])])
    (part,) = (tmp_path / "result" / "faces").glob("*.parquet")
    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata(notes), part)
    archive = Archive.open(tmp_path / "result")
    with pytest.raises(MienError, match="remove"):
        _ = (
            archive.attributes()
            if b"mien.attributes" in notes
            else archive.described_parts(DLIB)
        )
