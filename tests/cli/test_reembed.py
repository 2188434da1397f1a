"""`mien people reembed`: galleries described anew by another embedder, from what they keep."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import mien
from commands import Inside
from mien.cli.people import people_app
from mien.gallery import Gallery, Photo, SqliteGallery, keeping, open_gallery
from mien.gallery.folder import bare_sha256
from mien.media import images
from mien.models.embedders import space_of, take_in
from mien.types import U8
from mien.zoo import DLIB, FaceCrop
from models.test_embedders import COSINE, network


@pytest.fixture
def embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    file = tmp_path / "data" / "embedders" / "projection.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(take_in(network(), "projection", FaceCrop(), COSINE, licence=""))
    return "projection"


def enrolled(place: str, astronaut: U8, tmp_path: Path) -> None:
    """Ada with the small picture of her face, Ben without any."""
    images.write_image(tmp_path / "ada.png", astronaut)
    photo = mien.Analyzer(only=["identity"], threads=1).photo(
        (tmp_path / "ada.png").read_bytes()
    )
    row = np.linspace(0, 0.2, DLIB.size, dtype=np.float32)
    gallery = open_gallery(
        place, space=DLIB, describe=lambda _: pytest.fail("no photo is looked at")
    )
    gallery.enroll(
        "Ada", [Photo(photo.embedding, photo.sha256, thumbnail=photo.thumbnail)]
    )
    gallery.enroll("Ben", [Photo(row, bare_sha256(row))])
    gallery.close()


def reembed(place: str, embedder: str) -> str:
    done = CliRunner().invoke(
        people_app, ["reembed", "--gallery", place, "--embedder", embedder]
    )
    assert done.exit_code == 1, done.output  # Ben could not be described
    return done.output


def names(gallery: Gallery | str, embedder: str, astronaut: U8) -> list[str | None]:
    analyzer = mien.Analyzer(gallery, embedder=embedder, only=["identity"], threads=1)
    return [face.name for face in analyzer.analyze(astronaut).faces]


@pytest.mark.slow
def test_a_database_is_described_by_its_small_pictures(
    tmp_path: Path, astronaut: U8, embedder: str
) -> None:
    place = str(tmp_path / "people.db")
    enrolled(place, astronaut, tmp_path)
    assert "1 photos are described by projection-" in reembed(place, embedder)
    assert names(place, embedder, astronaut) == ["Ada"]
    left = tmp_path / "people-dlib_resnet.json"
    document = json.loads(left.read_text())
    assert (document["embedder"], [photo["name"] for photo in document["photos"]]) == (
        "dlib_resnet",
        ["Ben"],
    )
    again = CliRunner().invoke(
        people_app, ["import", str(left), "--gallery", str(tmp_path / "old.db")]
    )
    assert again.exit_code == 0, again.output
    assert SqliteGallery(tmp_path / "old.db", space=DLIB).people()[0].name == "Ben"


@pytest.mark.slow
def test_a_folder_is_described_by_its_photos_and_small_pictures(
    tmp_path: Path, astronaut: U8, embedder: str
) -> None:
    place = tmp_path / "people"
    enrolled(str(place), astronaut, tmp_path)
    assert "1 photos are described by projection-" in reembed(str(place), embedder)
    assert names(str(place), embedder, astronaut) == ["Ada"]
    name = space_of(embedder).name
    assert [file.name.split(".", 1)[1] for file in sorted(place.glob("*/*"))] == [
        f"{name}.npy",
        "dlib_resnet.npy",
    ]
    gallery = open_gallery(
        str(place),
        space=space_of(embedder),
        describe=lambda _: pytest.fail("no photo is there"),
    )
    gallery.remove("Ben")  # what another embedder left of him goes with him
    assert [file.parent.name for file in place.glob("*/*")] == ["Ada"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["people", "people.db"])
def test_who_a_face_is_not_is_described_anew_too(
    tmp_path: Path, astronaut: U8, embedder: str, place: str
) -> None:
    at = str(tmp_path / place)
    enrolled(at, astronaut, tmp_path)
    gallery = open_gallery(at, space=DLIB, describe=lambda content: None)
    (photo,) = [one.sha256 for one in gallery.photos_of("Ada")]
    picture = gallery.thumbnail("Ada", photo)
    wide = np.linspace(-0.3, 0.3, DLIB.size, dtype=np.float32)
    eve = Photo(wide, "", "eve.jpg", thumbnail=picture)
    ben = Photo(wide[::-1].copy(), "", "unpictured.jpg")
    mirrored = images.read_image(picture)[:, ::-1]
    _, other = cv2.imencode(".jpg", np.ascontiguousarray(mirrored))
    cleo = Photo(wide / 2, "c" * 64, "cleo.jpg", thumbnail=other.tobytes())
    gallery.enroll("Cleo", [cleo])
    keeping(gallery).deny("Cleo", [eve, ben])
    gallery.close()
    said = reembed(at, embedder)
    anew = open_gallery(at, space=space_of(embedder), describe=lambda content: None)
    (left,) = keeping(anew).counter_examples("Cleo")
    assert (left.source, left.thumbnail) == ("eve.jpg", picture)
    assert left.embedding.shape == (space_of(embedder).size,)
    assert np.linalg.norm(left.embedding) == pytest.approx(1, abs=1e-5)
    if place == "people.db":
        assert "1 faces that are known not to be somebody have no picture" in said
    anew.close()


def test_a_gallery_of_another_embedder_takes_nothing_of_ours(
    embedder: str, astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    """Also where the descriptors have as many numbers: they would mean something else."""
    at = ["--gallery", str(tmp_path / "people.db")]
    gallery = SqliteGallery(tmp_path / "people.db", space=space_of(embedder))
    row = np.ones(gallery.space.size, np.float32)
    gallery.enroll("Eve", [Photo(row, "e" * 64, "eve.jpg")])
    gallery.close()
    refused = inside("people", "not", "Eve", astronaut_file, *at)
    assert refused.returncode == 2
    assert f"say --embedder {embedder}, or" in refused.stderr
    taken = inside("people", "not", "Eve", astronaut_file, *at, "--embedder", embedder)
    assert taken.stdout == "1 face is known not to be Eve\n"

    inside("people", "export", tmp_path / "eve.json", *at)
    new = ["--gallery", str(tmp_path / "new.db")]
    lost = inside("people", "import", tmp_path / "eve.json", *new)
    assert (lost.returncode, "--embedder" in lost.stderr) == (2, True)
    assert not (tmp_path / "new.db").exists()  # nor is it bound to another's
    inside("people", "import", tmp_path / "eve.json", *new, "--embedder", embedder)
    assert json.loads(inside("people", "--json", *new).stdout)[0]["name"] == "Eve"
    found = ["find", astronaut_file, "--in", tmp_path / "new.db", "--json"]
    SqliteGallery(tmp_path / "data" / "people.db", space=DLIB).close()
    assert inside(*found, "--embedder", embedder).returncode == 0
