from __future__ import annotations

from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from batch import archives
from mien.errors import InputError
from mien.gallery import Photo
from mien.models.attributes.antispoof import LIVE
from mien.server import KeyFile
from mien.types import U8, Faces, Scores

from .harness import EVERYWHERE, Client, Start, encoded, write_clip


@pytest.fixture(params=["people.db", "people", "postgresql"])
def gallery(request: pytest.FixtureRequest) -> str:
    """Where the service keeps people: in its data folder, or in a database."""
    return (
        request.getfixturevalue("postgres_url")
        if request.param == "postgresql"
        else request.param
    )


def test_enrol_recognise_rename_delete(
    start: Start, gallery: str, photo: bytes
) -> None:
    client = start(gallery=gallery)
    made = client.enrol("Ada Lovelace", photo)
    assert made.status_code == 201
    person = made.json()
    assert made.headers["location"] == f"/v1/people/{person['id']}"
    assert (person["name"], person["photos"]) == ("Ada Lovelace", 1)
    assert client.analyze(photo).json()["faces"][0]["name"] == "Ada Lovelace"
    renamed = client.http.patch(
        f"/v1/people/{person['id']}", json={"name": "Ada King/Noël"}
    ).json()
    assert client.analyze(photo).json()["faces"][0]["name"] == "Ada King/Noël"
    assert (
        client.http.get(f"/v1/people/{renamed['id']}").json()["name"] == "Ada King/Noël"
    )
    assert client.http.delete(f"/v1/people/{renamed['id']}").status_code == 204
    assert client.http.get("/v1/people").json() == {"people": []}
    face = client.analyze(photo).json()["faces"][0]
    assert (face["name"], face["distance"]) == (None, None)


@pytest.mark.slow
def test_names_one_face_of_several(
    start: Start, gallery: str, two_faces: bytes
) -> None:
    client = start(gallery=gallery)
    boxes = sorted(face["box"] for face in client.analyze(two_faces).json()["faces"])
    assert len(boxes) == 2
    refused = client.enrol("Left", two_faces)
    assert refused.json()["type"] == "urn:mien:problem:many-faces"
    assert "2 faces found" in refused.json()["detail"]
    assert "form field 'box'" in refused.json()["detail"]
    made = client.enrol("Right", two_faces, box=",".join(map(str, boxes[1])))
    assert made.status_code == 201
    faces = sorted(
        client.analyze(two_faces).json()["faces"], key=lambda face: face["box"]
    )
    assert faces[1]["name"] == "Right"
    assert (
        faces[1]["distance"] < 0.2
    )  # a folder keeps the face cut out, which is found and described anew


@pytest.mark.slow
def test_photos_are_seen_and_removed_one_by_one(
    start: Start, gallery: str, photo: bytes, two_faces: bytes, astronaut: U8
) -> None:
    client = start(gallery=gallery)
    home = f"/v1/people/{client.enrol('Ada', photo).json()['id']}"
    client.http.post(
        f"{home}/photos",
        files={"file": ("beside/mirror.jpg", encoded(astronaut[:, ::-1].copy()))},
    )
    photos = client.http.get(f"{home}/photos").json()["photos"]
    assert len(photos) == 2
    if gallery != "people":  # a folder names its files by itself
        assert [one["source"] for one in photos] == ["photo.jpg", "mirror.jpg"]
    assert all(
        "/" not in one["source"] and 0.3 < one["quality"] <= 1 and one["wrong"] == ""
        for one in photos
    )
    for one in photos:
        assert one["thumbnail"] == f"{home}/photos/{one['sha256']}/thumbnail"
        shown = client.http.get(one["thumbnail"])
        assert (shown.headers["content-type"], shown.headers["cache-control"]) == (
            "image/jpeg",
            "no-store",
        )
        found = client.analyzer.detector(
            cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR)
        )
        assert len(found) == 1
    assert client.http.get(f"{home}/thumbnail").content in {
        client.http.get(p["thumbnail"]).content for p in photos
    }
    for one, left in zip(photos, (1, 0), strict=True):
        place = f"{home}/photos/{one['sha256']}"
        assert client.http.delete(place).status_code == 204
        assert (
            client.http.get(f"{place}/thumbnail").status_code
            == client.http.delete(place).status_code
            == 404
        )
        assert (
            sum(
                person["photos"]
                for person in client.http.get("/v1/people").json()["people"]
            )
            == left
        )
    assert client.analyze(photo).json()["faces"][0]["name"] is None
    assert (
        client.http.get(f"{home}/photos").json()["type"]
        == "urn:mien:problem:person-not-found"
    )


def test_what_is_kept_about_somebody(client: Client, photo: bytes) -> None:
    home = f"/v1/people/{client.enrol('Ada', photo).json()['id']}"
    told = client.http.get(f"{home}/about").json()
    (kept,) = told["kept"]
    assert told["name"] == "Ada"
    assert (kept["what"], kept["picture"], kept["until"]) == ("photo", True, None)
    assert "/" not in kept["source"]
    assert client.http.delete(home).status_code == 204
    gone = client.http.get(f"{home}/about").json()
    assert gone["type"] == "urn:mien:problem:person-not-found"


def test_what_photos_add(client: Client, photo: bytes, astronaut: U8) -> None:
    blurred = encoded(cv2.GaussianBlur(astronaut, (0, 0), 7))
    made = client.http.post(
        "/v1/people?strict=true",
        files=[
            ("name", (None, "Ada")),
            ("file", ("a.jpg", photo)),
            ("file", ("b.jpg", blurred)),
        ],
    )
    assert made.status_code == 422
    assert made.json()["type"] == "urn:mien:problem:poor-photo"
    assert "b.jpg is blurred" in made.json()["detail"]
    assert client.http.get("/v1/people").json() == {"people": []}
    made = client.enrol("Ada", photo).json()
    (told,) = made["verdicts"]
    assert (told["verdict"], told["quality"] > 0.3) == ("good", True)
    more = client.http.post(
        f"/v1/people/{made['id']}/photos",
        files=[("file", ("a.jpg", photo)), ("file", ("b.jpg", blurred))],
    ).json()
    assert more["photos"] == 2
    verdicts = [(one["source"], one["verdict"]) for one in more["verdicts"]]
    assert verdicts == [("a.jpg", "already there"), ("b.jpg", "blurred")]


def beside(photo: bytes, client: Client) -> Photo:
    """Somebody whom the face of a photo is taken for."""
    row = client.analyzer.photo(photo).embedding
    step = np.random.default_rng(3).normal(size=128)
    near = np.asarray(row + 0.45 * step / np.linalg.norm(step), np.float32)
    return Photo(near, "e" * 64, "eve.jpg")


@pytest.mark.slow
def test_who_a_face_is_not(start: Start, gallery: str, photo: bytes) -> None:
    client = start(gallery=gallery)
    client.analyzer.gallery.enroll("Eve", [beside(photo, client)])
    (eve,) = client.http.get("/v1/people").json()["people"]
    home = f"/v1/people/{eve['id']}/not"
    assert client.analyze(photo).json()["faces"][0]["name"] == "Eve"
    sent = {"file": ("far/party.jpg", photo)}
    said = client.http.post(home, files=sent)
    assert said.status_code == 201
    (face,) = said.json()["faces"]
    assert face["source"] == "party.jpg"
    assert client.analyze(photo).json()["faces"][0]["name"] is None
    assert client.http.get(home).json() == said.json()
    picture = client.http.get(face["thumbnail"])
    assert picture.content.startswith(b"\xff\xd8\xff")
    assert client.http.delete(f"{home}/{face['id']}").status_code == 204
    gone = client.http.delete(f"{home}/{face['id']}").json()
    assert gone["type"] == "urn:mien:problem:photo-not-found"
    assert client.http.get(face["thumbnail"]).status_code == 404
    assert client.analyze(photo).json()["faces"][0]["name"] == "Eve"
    client.enrol("Ada", photo)
    ada = next(
        person["id"]
        for person in client.http.get("/v1/people").json()["people"]
        if person["name"] == "Ada"
    )
    refused = client.http.post(f"/v1/people/{ada}/not", files=sent).json()
    assert "is enrolled as Ada" in refused["detail"]
    assert client.http.post(home, data={"group": "12ab"}).status_code in (404, 415)
    nothing = client.http.post(home, files={"other": ("", b"")})
    assert nothing.json()["type"] == "urn:mien:problem:invalid"


@pytest.mark.slow
def test_a_group_of_unknown_faces_is_not_her(
    start: Start, photo: bytes, astronaut: U8
) -> None:
    client = start(keep_unknown_days=1)
    for shift in range(4):
        client.analyze(encoded(np.roll(astronaut, 9 * shift, axis=1)))
    (group,) = client.http.get("/v1/unknown").json()["groups"]
    client.analyzer.gallery.enroll("Eve", [beside(photo, client)])
    (eve,) = client.http.get("/v1/people").json()["people"]
    assert client.analyze(photo).json()["faces"][0]["name"] == "Eve"
    form = {"group": (None, group["id"])}
    said = client.http.post(f"/v1/people/{eve['id']}/not", files=form)
    assert said.status_code == 201, said.text
    assert len(said.json()["faces"]) == 4
    assert client.analyze(photo).json()["faces"][0]["name"] is None
    (there,) = client.http.get("/v1/unknown").json()["groups"]
    assert there["id"] == group["id"]


def test_faces_of_batch_results_are_found_too(
    start: Start, photo: bytes, tmp_path: Path
) -> None:
    result = tmp_path / "holiday"
    strangers = np.random.default_rng(3).normal(size=(2, 128)).astype(np.float32)
    archives.write_faces(result, [strangers])
    client = start(results=(result,))
    ada = client.analyzer.photo(photo).embedding
    archives.write_faces(tmp_path / "more", [strangers, ada[None]])
    for table in ("faces", "sources"):
        for part in (tmp_path / "more" / table).iterdir():
            part.rename(result / table / part.name)  # as a batch goes on
    found = client.http.post("/v1/find", files={"file": photo}).json()["found"]
    assert [(one["place"], one["same"]) for one in found[:2]] == [
        ("holiday", True),
        ("holiday", False),
    ]
    assert (found[0]["source"], found[0]["thumbnail"]) == ("0.jpg", None)
    with pytest.raises(InputError, match="is no result of 'mien batch'"):
        start(results=(tmp_path / "nothing",))


def test_who_has_no_picture_has_none(client: Client) -> None:
    client.service.people.gallery.enroll(
        "Ada", [Photo(np.ones(128, np.float32), "0" * 64, "/home/ada/ada.jpg")]
    )
    (person,) = client.http.get("/v1/people").json()["people"]
    (one,) = client.http.get(f"/v1/people/{person['id']}/photos").json()["photos"]
    assert (one["source"], one["thumbnail"]) == ("ada.jpg", None)
    assert client.http.get(f"/v1/people/{person['id']}/thumbnail").status_code == 204
    missing = client.http.get(f"/v1/people/{person['id']}/photos/{'0' * 64}/thumbnail")
    assert missing.json()["type"] == "urn:mien:problem:photo-not-found"


def test_who_may_see_photos_and_remove_them(
    start: Start, photo: bytes, tmp_path: Path
) -> None:
    client = start(host=EVERYWHERE)
    keys = KeyFile(tmp_path / "keys.json")
    reader, admin = (
        {"authorization": f"Bearer {keys.add(role, role)[1]}"}
        for role in ("read", "admin")
    )
    made = client.http.post(
        "/v1/people", data={"name": "Ada"}, files={"file": photo}, headers=admin
    ).json()
    home = f"/v1/people/{made['id']}"
    (one,) = client.http.get(f"{home}/photos", headers=reader).json()["photos"]
    assert client.http.get(one["thumbnail"], headers=reader).status_code == 200
    for place in (f"{home}/photos", one["thumbnail"], f"{home}/thumbnail"):
        assert client.http.get(place).status_code == 401
    assert (
        client.http.delete(f"{home}/photos/{one['sha256']}", headers=reader).status_code
        == 403
    )
    assert (
        client.http.delete(f"{home}/photos/{one['sha256']}", headers=admin).status_code
        == 204
    )


@pytest.mark.slow
def test_where_else_a_face_is(
    start: Start, gallery: str, photo: bytes, two_faces: bytes, astronaut: U8
) -> None:
    client = start(gallery=gallery, keep_unknown_days=30)
    client.analyze(encoded(astronaut[:, ::-1].copy()))  # nobody is known yet: kept
    person = client.enrol("Ada", photo).json()
    found = client.http.post("/v1/find", files={"file": photo}).json()["found"]
    assert [(one["name"], one["person"], one["same"]) for one in found] == [
        ("Ada", person["id"], True),
        (None, None, True),
    ]
    assert found[0]["distance"] == 0 < found[1]["distance"] < 0.5
    assert found[1]["group"]
    for one in found:
        assert "/" not in one["source"]
        assert client.http.get(one["thumbnail"]).headers["content-type"] == "image/jpeg"
    first = client.http.post(
        "/v1/find",
        files={"file": two_faces},
        data={"largest": "true"},
        params={"top": 1},
    )
    assert len(first.json()["found"]) == 1
    refused = client.http.post("/v1/find", files={"file": two_faces})
    assert refused.json()["type"] == "urn:mien:problem:many-faces"


@pytest.mark.slow
def test_nobody_is_found_where_nobody_is_kept(client: Client, photo: bytes) -> None:
    assert client.http.post("/v1/find", files={"file": photo}).json() == {"found": []}


def test_merge_gives_the_photos(client: Client, photo: bytes, two_faces: bytes) -> None:
    ada = client.enrol("Ada", photo).json()
    other = client.enrol("Other", two_faces, largest="true").json()
    merged = client.http.post(
        f"/v1/people/{other['id']}/merge", json={"into": ada["id"]}
    ).json()
    assert (merged["name"], merged["photos"]) == ("Ada", 2)
    assert [
        person["name"] for person in client.http.get("/v1/people").json()["people"]
    ] == ["Ada"]
    into_itself = client.http.post(
        f"/v1/people/{ada['id']}/merge", json={"into": ada["id"]}
    )
    assert into_itself.status_code == 422


def test_the_same_photo_counts_once(client: Client, photo: bytes) -> None:
    person = client.enrol("Ada", photo).json()
    again = client.http.post(f"/v1/people/{person['id']}/photos", files={"file": photo})
    assert again.status_code == 201
    assert again.json()["photos"] == 1


def test_refusals(client: Client, photo: bytes, no_face: bytes) -> None:
    person = client.enrol("Ada", photo).json()
    del person["verdicts"]  # on the photos just given
    kinds = {
        "person-exists": client.enrol("Ada", photo),
        "no-face": client.enrol("Nobody", no_face),
        "person-not-found": client.http.get("/v1/people/unknown"),
        "unusable-input": client.enrol("  ", photo),
        "invalid": client.http.post("/v1/people", files={"file": photo}),
    }
    assert {kind: answer.json()["type"] for kind, answer in kinds.items()} == {
        kind: f"urn:mien:problem:{kind}" for kind in kinds
    }
    bare = client.http.post("/v1/people", json={"name": "Ada"})
    assert bare.status_code == 415
    assert "picture or film in the form field 'file'" in bare.json()["detail"]
    assert client.enrol("Box", photo, box="1,2,3").status_code == 422
    assert (
        client.enrol("Box", photo, box="0,0,20,20").json()["type"]
        == "urn:mien:problem:no-face"
    )
    assert client.http.get("/v1/people").json()["people"] == [person]


@pytest.mark.slow
def test_two_services_on_one_database_know_the_same_at_once(
    start: Start, postgres_url: str, photo: bytes
) -> None:
    first, second = start(gallery=postgres_url), start(gallery=postgres_url)
    person = first.enrol("Ada", photo).json()
    assert second.analyze(photo).json()["faces"][0]["name"] == "Ada"
    assert second.enrol("Ada", photo).json()["type"] == "urn:mien:problem:person-exists"
    assert (
        second.http.patch(
            f"/v1/people/{person['id']}", json={"name": "Ada King"}
        ).status_code
        == 200
    )
    assert first.analyze(photo).json()["faces"][0]["name"] == "Ada King"
    assert second.http.delete(f"/v1/people/{person['id']}").status_code == 204
    assert first.analyze(photo).json()["faces"][0]["name"] is None


@pytest.mark.slow
def test_not_ready_without_the_database(
    start: Start, postgres_url: str, postgres_server: sa.Engine, photo: bytes
) -> None:
    client = start(gallery=postgres_url)
    assert client.http.get("/readyz").status_code == 200
    name = sa.make_url(postgres_url).database
    with postgres_server.connect() as connection:
        connection.execute(
            sa.text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        )
        ended = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        )
        connection.execute(ended, {"name": name})
        answers = [client.http.get("/readyz"), client.analyze(photo)]
        assert [(a.status_code, a.json()["type"]) for a in answers] == [
            (503, "urn:mien:problem:gallery-unavailable")
        ] * 2
        connection.execute(
            sa.text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        )
    assert client.http.get("/readyz").status_code == 200


def test_enrolled_is_on_disk(start: Start, photo: bytes) -> None:
    client = start()
    client.enrol("Ada", photo)
    assert [person.name for person in start().analyzer.gallery.people()] == ["Ada"]  # type: ignore[union-attr]


def test_a_spoof_is_refused_where_life_is_required(
    client: Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(image: U8, faces: Faces) -> Faces:
        probs = np.tile(np.array([[0.04, 0.96]], np.float32), (len(faces), 1))
        return faces.with_attributes(Scores(LIVE, probs))

    monkeypatch.setitem(vars(client.analyzer), "liveness", told)
    files = [("file", ("screen.jpg", photo))]

    def send(place: str) -> httpx.Response:
        return client.http.post(place, data={"name": "Ada"}, files=files)

    refused = send("/v1/people?require_live=true")
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:mien:problem:spoof"
    assert "screen.jpg" in refused.json()["detail"]
    home = f"/v1/people/{send('/v1/people').json()['id']}/photos"
    assert send(f"{home}?require_live=true").json()["type"].endswith("spoof")
    assert send(home).status_code == 201
    assert send(f"{home}?require_live=perhaps").json()["type"].endswith("invalid")


def test_without_its_weights_life_cannot_be_required(
    client: Client, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests keep the published weights in the cache that all share.
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "empty"))
    files = [("file", ("photo.jpg", photo))]
    answer = client.http.post(
        "/v1/people?require_live=true", data={"name": "Ada"}, files=files
    )
    assert (answer.status_code, answer.json()["type"]) == (
        503,
        "urn:mien:problem:model-unavailable",
    )
    assert "mien models get antispoof" in answer.json()["detail"]
    assert client.http.get("/v1/people").json() == {"people": []}


@pytest.mark.slow
def test_a_film_s_frames_choose_themselves(client: Client, clip: bytes) -> None:
    film = [("file", ("me.mp4", clip))]
    added = client.http.post("/v1/people", data={"name": "Eileen"}, files=film)
    assert added.status_code == 201, added.text
    verdicts = added.json()["verdicts"]
    assert 1 <= len(verdicts) <= 6
    assert all(one["source"].startswith("me.mp4 at ") for one in verdicts)
    kept = client.http.get(f"/v1/people/{added.json()['id']}/photos").json()["photos"]
    assert len(kept) == len(verdicts)
    assert not list(client.settings.data.glob("film-*")), "the film itself is not kept"


@pytest.mark.slow
def test_a_film_of_nobody_is_said_by_its_name(
    client: Client, face_free: U8, tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "wall.mp4", face_free, seconds=1).read_bytes()
    refused = client.http.post(
        "/v1/people", data={"name": "Wall"}, files=[("file", ("wall.mp4", film))]
    )
    assert refused.json()["type"] == "urn:mien:problem:no-face", refused.text
    assert "no frame of wall.mp4" in refused.json()["detail"]
    broken = client.http.post(
        "/v1/people", data={"name": "Wall"}, files=[("file", ("x.mp4", film[:3000]))]
    )
    assert broken.status_code == 422, broken.text
    assert str(client.settings.data) not in broken.text
