"""All that is kept about somebody is told, and all of it goes: nothing of it stands in any file any more."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import pytest

from commands import Inside
from mien.about import about, forget, places
from mien.errors import PersonNotFound
from mien.gallery import FolderGallery, Gallery, Photo, keeping, open_gallery
from mien.gallery.unknown import Sighting, open_unknown
from mien.media.images import write_image
from mien.types import F32, U8, Faces
from mien.watch.store import open_visits
from mien.watch.visits import BestView, Event
from mien.zoo import DLIB

NAME = "Ada Löwelace"


def row(seed: int) -> F32:
    return np.random.default_rng(seed).normal(size=128).astype(np.float32) / 9


def jpeg(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


def describe(content: bytes) -> Faces:
    box = np.array([[0, 0, 20, 20]], np.float32)
    points = np.array([[[5, 5], [15, 5], [10, 10], [6, 15], [14, 15]]], np.float32)
    return Faces(
        box, np.ones(1, np.float32), points, embeddings=row(crc32(content))[None]
    )


@pytest.fixture(params=["people", "people.db", "postgresql"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gallery]:
    is_postgres = request.param == "postgresql"
    place = request.getfixturevalue("postgres_url") if is_postgres else request.param
    at = place if is_postgres else str(tmp_path / place)
    opened = open_gallery(at, space=DLIB, describe=describe, described_by="test")
    yield opened
    opened.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def fill(gallery: Gallery, data: Path, name: str, seed: int) -> list[bytes]:
    """Puts somebody wherever people are known; what must be in no file afterwards."""
    picture, denied, seen, visit = (jpeg(seed + k) for k in range(4))
    photo = Photo(row(seed), f"{seed:064x}", "ada.jpg", picture, thumbnail=picture)
    gallery.enroll(name, [photo])
    gallery.search(row(seed)[None], tolerance=0.6)  # a folder's is cached now
    keeping(gallery).deny(name, [Photo(row(seed + 1), "", "eve.jpg", thumbnail=denied)])
    unknown, now = open_unknown(gallery, data=data), time.time()
    sighting = Sighting(
        row(seed + 2), f"{seed}", "party.jpg", now, now + 9e5, 1.0, seen
    )
    unknown.add([sighting])
    (group,) = unknown.groups(least=1)
    unknown.name(group.id, name, gallery)
    unknown.close()
    visits = open_visits(gallery, data=data)
    told = {"who": "known", "person": name}
    best = (BestView(now, 1.0, (0, 0, 1, 1), visit),)
    where = f"door {seed}"
    visits.record(Event("begin", f"v{seed}", where, now, None, now, told, best))
    visits.keep_clip(f"v{seed}", f"a film of {name}".encode())
    told = {"who": "unknown", "person": None}
    visits.record(Event("begin", f"w{seed}", where, now, None, now, told))
    visits.keep_clip(f"w{seed}", f"{name} behind a stranger".encode())
    visits.close()
    job = data / "jobs" / f"job-{seed}"
    job.mkdir(parents=True)
    record = {"time_s": 0.0, "faces": [{"name": name, "distance": 0.1}]}
    (job / "result.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n")
    (job / "annotated.mp4").write_bytes(b"film of " + name.encode())
    seeds = [seed, seed + 1, seed + 2, crc32(picture)]
    rows = [row(each).astype("<f4").tobytes() for each in seeds]
    return [
        name.encode(),
        json.dumps(name)[1:-1].encode(),
        picture,
        denied,
        seen,
        visit,
        f"{name} behind a stranger".encode(),
        *rows,
    ]


def holding(folder: Path, needle: bytes) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if needle in file.read_bytes()]


@pytest.mark.slow
def test_everything_is_told_and_goes(
    gallery: Gallery,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    gone = fill(gallery, data, NAME, 1)
    stays = fill(gallery, data, "Ben", 100)
    with places(gallery, data) as known:
        found = about(known, NAME)
        kinds = {one.what for one in found}
        assert kinds >= {
            "photo",
            "who it is not",
            "face of a named group",
            "visit",
            "clip of a visit",
            "seen in another's visit",
            "result of a job",
        }
        assert ("cached descriptor" in kinds) == isinstance(gallery, FolderGallery)
        pictured = [one.what for one in found if one.picture]
        assert {"photo", "who it is not", "visit", "clip of a visit"} <= set(pictured)
        assert forget(known, NAME) == found
        with pytest.raises(PersonNotFound, match="nothing is kept"):
            about(known, NAME)
        assert {one.what for one in about(known, "Ben")} == kinds
    gallery.close()
    for needle in gone:
        assert holding(tmp_path, needle) == []
    if "postgres" not in type(gallery).__name__.lower():
        assert holding(tmp_path, stays[0])


def test_what_reembed_left_goes_too(tmp_path: Path) -> None:
    gallery = open_gallery(str(tmp_path / "p.db"), space=DLIB, describe=describe)
    left, other = tmp_path / "p-sface.json", tmp_path / "p-notes.json"
    rows = [{"name": name, "embedding": [1.0]} for name in ("Ada", "Ben", "Ada")]
    document = {"format": "mien people 1", "embedder": "sface", "photos": rows}
    for file in (left, other):
        file.write_text(json.dumps(document))
    with places(gallery, tmp_path) as known:
        found = forget(known, "Ada")
        assert [one.what for one in found] == ["photo left by reembed"] * 2
        assert len(about(known, "Ben")) == 1
    assert json.loads(left.read_text()) == {**document, "photos": rows[1:2]}
    assert json.loads(other.read_text()) == document  # an export of the user's
    gallery.close()


def test_nothing_is_made_by_asking(tmp_path: Path) -> None:
    gallery = open_gallery(str(tmp_path / "people"), space=DLIB, describe=describe)
    with places(gallery, tmp_path / "data") as known, pytest.raises(PersonNotFound):
        about(known, "Ada")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_commands(
    inside: Inside, tmp_path: Path, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "ada.png", astronaut)
    place = ["--gallery", tmp_path / "people.db"]
    assert inside("enroll", "Ada", tmp_path / "ada.png", *place).returncode == 0
    told = json.loads(inside("people", "about", "Ada", "--json", *place).stdout)
    (kept,) = told["kept"]
    assert (told["name"], kept["what"], kept["picture"]) == ("Ada", "photo", True)
    assert "photo" in inside("people", "about", "Ada", *place).stdout
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO("n\n"))
        asked = inside("people", "forget", "Ada", *place)
    assert (asked.returncode, "nothing was deleted" in asked.stderr) == (2, True)
    done = inside("people", "forget", "Ada", "--json", *place)
    assert json.loads(done.stdout) == told
    again = inside("people", "forget", "Ada", "--yes", *place)
    assert (again.returncode, "nothing is kept" in again.stderr) == (2, True)
