"""Unknown people over HTTP, with real faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien.server import KeyFile, create_app
from mien.types import U8

from .harness import EVERYWHERE, LIVE, Client, Start, takes

GALLERIES = pytest.mark.parametrize("gallery", ["people.db", "people"])


def see(client: Client, photos: list[bytes]) -> None:
    for photo in photos:
        assert client.analyze(photo).status_code == 200


def listed(client: Client) -> list[dict[str, object]]:
    return client.http.get("/v1/unknown").json()["groups"]


@pytest.mark.slow
def test_nothing_is_kept_unless_asked_for(client: Client, astronaut: U8) -> None:
    see(client, takes(astronaut, 3))
    assert client.http.get("/v1/unknown").json() == {
        "days": None,
        "waiting": 0,
        "groups": [],
    }
    assert client.http.get("/v1/server").json()["keep_unknown_days"] is None


def test_known_people_are_not_kept(
    start: Start, astronaut: U8, photo: bytes, no_face: bytes
) -> None:
    client = start(keep_unknown_days=30)
    client.enrol("Ada", photo)
    see(client, [*takes(astronaut, 3), no_face])
    assert client.http.get("/v1/unknown").json() == {
        "days": 30,
        "waiting": 0,
        "groups": [],
    }


@pytest.mark.slow
@GALLERIES
def test_seen_named_recognised_undone(
    start: Start, gallery: str, astronaut: U8, photo: bytes
) -> None:
    client = start(gallery=gallery, keep_unknown_days=30)
    see(client, takes(astronaut, 2))
    assert client.http.get("/v1/unknown").json() == {
        "days": 30,
        "waiting": 2,
        "groups": [],
    }
    (pair,) = client.http.get("/v1/unknown", params={"least": 2}).json()["groups"]
    see(client, takes(astronaut, 3))
    (group,) = listed(client)
    assert (group["id"], len(group["faces"])) == (pair["id"], 3)
    assert client.http.get(f"/v1/unknown/{group['id']}").json() == group
    picture = client.http.get(f"/v1/unknown/faces/{group['faces'][0]['id']}")
    assert (picture.headers["content-type"], picture.headers["cache-control"]) == (
        "image/jpeg",
        "no-store",
    )
    assert (
        max(cv2.imdecode(np.frombuffer(picture.content, np.uint8), 1).shape[:2]) <= 224
    )
    person = client.http.post(
        f"/v1/unknown/{group['id']}/name", json={"name": "Ada"}
    ).json()
    assert (person["name"], person["photos"]) == ("Ada", 3)
    face = client.analyze(photo).json()["faces"][0]
    assert face["name"] == "Ada"
    assert face["distance"] < 0.4
    assert listed(client) == []
    undone = client.http.post("/v1/unknown/undo").json()
    assert undone == {"kind": "name", "group": group["id"], "name": "Ada"}
    assert client.http.get("/v1/people").json() == {"people": []}
    assert client.analyze(photo).json()["faces"][0]["name"] is None
    assert group["id"] in {g["id"] for g in listed(client)}


@pytest.mark.slow
def test_split_merge_undo_delete(start: Start, astronaut: U8, tmp_path: Path) -> None:
    client = start(keep_unknown_days=30)
    see(client, takes(astronaut, 5))
    (group,) = listed(client)
    chosen = [face["id"] for face in group["faces"][:2]]
    made = client.http.post(
        f"/v1/unknown/{group['id']}/split", json={"faces": chosen}
    ).json()
    assert [face["id"] for face in made["faces"]] == chosen
    assert [len(g["faces"]) for g in listed(client)] == [3, 2]
    merged = client.http.post(
        f"/v1/unknown/{made['id']}/merge", json={"into": group["id"]}
    ).json()
    assert (merged["id"], len(merged["faces"]), merged["by_hand"]) == (
        group["id"],
        5,
        True,
    )
    assert client.http.post("/v1/unknown/undo").json()["kind"] == "merge"
    assert client.http.post("/v1/unknown/undo").json()["kind"] == "split"
    assert (
        client.http.post("/v1/unknown/undo").json()["type"]
        == "urn:mien:problem:nothing-to-undo"
    )
    assert listed(client) == [group]
    assert client.http.delete(f"/v1/unknown/{group['id']}").status_code == 204
    assert listed(client) == []
    assert client.http.get(f"/v1/unknown/faces/{chosen[0]}").status_code == 404
    assert b"\xff\xd8\xff" not in (tmp_path / "people.db").read_bytes()


@pytest.mark.slow
def test_deleting_a_person_deletes_what_was_kept_of_them(
    start: Start, astronaut: U8, tmp_path: Path
) -> None:
    client = start(keep_unknown_days=30)
    see(client, takes(astronaut, 3))
    person = client.http.post(
        f"/v1/unknown/{listed(client)[0]['id']}/name", json={"name": "Ada"}
    ).json()
    assert b"\xff\xd8\xff" in (tmp_path / "people.db").read_bytes()
    client.http.delete(f"/v1/people/{person['id']}")
    assert b"\xff\xd8\xff" not in (tmp_path / "people.db").read_bytes()
    assert client.http.post("/v1/unknown/undo").status_code == 409


def test_refusals(start: Start, astronaut: U8) -> None:
    client = start(keep_unknown_days=30)
    see(client, takes(astronaut, 3))
    place = f"/v1/unknown/{listed(client)[0]['id']}"
    kinds = {
        "unknown-not-found": client.http.get("/v1/unknown/nothing"),
        "unusable-input": client.http.post(
            f"{place}/merge", json={"into": place.rpartition("/")[2]}
        ),
        "invalid": client.http.post(f"{place}/split", json={"faces": []}),
    }
    assert {kind: answer.json()["type"] for kind, answer in kinds.items()} == {
        kind: f"urn:mien:problem:{kind}" for kind in kinds
    }
    assert client.http.post(f"{place}/name", json={"name": " "}).status_code == 422
    assert client.http.get("/v1/unknown/faces/x").status_code == 422
    assert len(listed(client)) == 1


def test_roles(start: Start, astronaut: U8, tmp_path: Path) -> None:
    client = start(host=EVERYWHERE, keep_unknown_days=30)
    keys = KeyFile(tmp_path / "keys.json")
    headers = {
        role: {"authorization": f"Bearer {keys.add(role, role)[1]}"}
        for role in ("read", "analyse", "admin")
    }
    for photo in takes(astronaut, 3):
        client.http.post(
            "/v1/analyze", files={"file": photo}, headers=headers["analyse"]
        )
    (group,) = client.http.get("/v1/unknown", headers=headers["read"]).json()["groups"]
    place, face = (
        f"/v1/unknown/{group['id']}",
        f"/v1/unknown/faces/{group['faces'][0]['id']}",
    )
    assert (
        client.http.get(face).status_code
        == client.http.get("/v1/unknown").status_code
        == 401
    )
    for role, expected in (("read", 403), ("analyse", 403)):
        changes = [
            client.http.post(
                f"{place}/name", json={"name": "Ada"}, headers=headers[role]
            ),
            client.http.post(
                f"{place}/split", json={"faces": [1]}, headers=headers[role]
            ),
            client.http.post(
                f"{place}/merge", json={"into": "x"}, headers=headers[role]
            ),
            client.http.post("/v1/unknown/undo", headers=headers[role]),
            client.http.delete(place, headers=headers[role]),
        ]
        assert [answer.status_code for answer in changes] == [expected] * 5
        assert client.http.get(face, headers=headers[role]).status_code == 200
    assert client.http.delete(place, headers=headers["admin"]).status_code == 204


@pytest.mark.slow
def test_live_and_videos_keep_somebody_once_in_a_while(
    start: Start, astronaut: U8, clip: bytes
) -> None:
    client = start(keep_unknown_days=30)
    with client.http.websocket_connect(LIVE) as socket:
        for photo in takes(astronaut, 5):
            socket.send_bytes(photo)
            socket.receive_json()
    assert client.http.get("/v1/unknown").json()["waiting"] == 1
    client.wait(
        client.http.post("/v1/videos", files={"file": ("clip.mp4", clip)}).json()["id"]
    )
    assert client.http.get("/v1/unknown").json()["waiting"] == 2


def test_keeping_needs_identity(start: Start) -> None:
    client = start()
    client.analyzer.only = frozenset({"age"})
    with pytest.raises(InputError, match="identity"):
        create_app(replace(client.settings, keep_unknown_days=30), client.analyzer)
