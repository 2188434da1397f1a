"""Cameras and visits over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from background import until
from mien.media import images
from mien.server.routes import events
from mien.server.routes.events import _changes
from mien.types import U8
from mien.watch.cameras import Camera
from mien.watch.settings import Keeping, WatchFile
from mien.watch.store import Wanted
from watch.conftest import MjpegCamera

from .harness import Client, Start

KEPT = Keeping(keep_days=1, keep_pictures="face", keep_clips=1)


@pytest.fixture
def camera(astronaut: U8) -> Iterator[MjpegCamera]:
    """A camera before which the astronaut stands."""
    moved = [np.roll(astronaut, 4 * i, axis=1) for i in range(8)]
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in moved]
    made = MjpegCamera([*jpegs, *reversed(jpegs)])
    yield made
    made.end()


@pytest.fixture
def watching(start: Start, face_film: Path) -> Client:
    """A service that watches a film by its file, and may watch loopback."""
    fixed = Camera(name="film", source=str(face_film))
    said = WatchFile(cameras=(fixed,), watch=KEPT)
    return start(watch=said, url_hosts=("127.0.0.1",))


def add(client: Client, camera: MjpegCamera, **more: object) -> Any:
    said = {"name": "door", "source": camera.address, **more}
    return client.http.post("/v1/cameras", json=said)


def state_of(client: Client, camera: str) -> Any:
    return client.http.get(f"/v1/cameras/{camera}").json()


def test_a_service_that_watches_nothing_says_so(client: Client) -> None:
    told = client.http.get("/v1/cameras").json()
    assert told == {"watching": False, "cameras": []}
    refused = client.http.get("/v1/events")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:mien:problem:not-watching"
    assert "--watch" in refused.json()["detail"]


@pytest.mark.slow
def test_a_camera_is_added_changed_and_removed(
    watching: Client, camera: MjpegCamera
) -> None:
    added = add(watching, camera)
    assert added.status_code == 201, added.text
    assert added.headers["location"] == "/v1/cameras/door"
    assert added.json()["editable"] is True
    until(lambda: state_of(watching, "door")["state"] == "up")
    place = "/v1/cameras/door/picture"
    (upright,) = until(lambda: _picture(watching, place))
    assert upright.shape == (512, 512, 3)
    assert add(watching, camera).json()["type"] == "urn:mien:problem:camera-exists"
    changed = watching.http.patch("/v1/cameras/door", json={"zones": [_half()]})
    assert changed.status_code == 200, changed.text
    assert changed.json()["zones"][0]["leave_out"]
    (dark,) = until(lambda: _picture(watching, place, dark=True))
    assert dark[:, :200].max() < 30, "it is blackened before anybody looks"
    metrics = watching.http.get("/metrics").text
    assert 'mien_camera_up{camera="door"} 1.0' in metrics
    assert watching.http.delete("/v1/cameras/door").status_code == 204
    assert watching.http.get("/v1/cameras/door").status_code == 404
    listed = watching.http.get("/v1/cameras").json()["cameras"]
    assert [one["id"] for one in listed] == ["film"]
    assert "/" not in listed[0]["source"], "nobody else's business where films are"


def _half() -> dict[str, Any]:
    return {"leave_out": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}


def _picture(client: Client, place: str, *, dark: bool = False) -> list[U8]:
    """The camera's newest picture, where it has one (and, if asked for, a dark one)."""
    answer = client.http.get(place)
    if answer.status_code != 200:
        return []
    image = images.read_image(answer.content)
    return [image] if not dark or image[:, :200].max() < 30 else []


@pytest.mark.slow
def test_added_cameras_are_there_after_a_restart(
    start: Start, camera: MjpegCamera
) -> None:
    options: dict[str, Any] = {"watch": WatchFile(), "url_hosts": ("127.0.0.1",)}
    add(start(**options), camera, flip=True)
    again = start(**options)
    assert state_of(again, "door")["flip"] is True
    until(lambda: state_of(again, "door")["state"] == "up")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"source": "rtsp://192.168.0.20/1"}, "address-refused"),
        ({"source": "http://127.0.0.1:1/x"}, "address-refused"),
        ({"source": "/etc/passwd"}, "address-refused"),
        ({"source": "0"}, "address-refused"),
        ({"source": "file:///etc/passwd"}, "address-refused"),
        ({"password_env": "HOME"}, "invalid"),
        ({"hours": ["late"]}, "unusable-input"),
        (
            {"zones": [{"look": [[0, 0], [2, 0], [1, 1]], "name": "a"}]},
            "unusable-input",
        ),
    ],
)
def test_what_may_not_be_watched_is_refused(
    start: Start, said: dict[str, Any], kind: str
) -> None:
    client = start(watch=WatchFile())
    order = {"name": "x", "source": "rtsp://127.0.0.1/1", **said}
    refused = client.http.post("/v1/cameras", json=order)
    assert refused.json()["type"] == f"urn:mien:problem:{kind}", refused.text


@pytest.mark.slow
def test_a_camera_of_the_file_is_changed_there(watching: Client) -> None:
    for method in ("patch", "delete"):
        more = {"json": {"flip": True}} if method == "patch" else {}
        refused = getattr(watching.http, method)("/v1/cameras/film", **more)
        assert refused.json()["type"] == "urn:mien:problem:camera-fixed"


@pytest.mark.slow
def test_a_visit_is_listed_named_and_forgotten(watching: Client) -> None:
    (visit,) = until(lambda: _ended(watching))
    assert visit["camera"] == "film"
    assert visit["who"] in {"unsure", "unknown"}
    assert visit["pictures"]
    place = f"/v1/events/{visit['id']}"
    face = images.read_image(watching.http.get(f"{place}/pictures/0").content)
    assert min(face.shape[:2]) >= 32
    filmed = f"{place}/clip"
    until(lambda: watching.http.get(place).json()["clip"] == filmed)
    film = watching.http.get(filmed)
    assert film.headers["content-type"] == "video/mp4"
    assert film.content[4:8] == b"ftyp"
    named = watching.http.post(f"{place}/name", json={"name": "Eileen"})
    assert named.status_code == 200, named.text
    assert (named.json()["who"], named.json()["person"]) == ("known", "Eileen")
    people = watching.http.get("/v1/people").json()["people"]
    assert [one["name"] for one in people] == ["Eileen"]
    theirs = watching.http.get("/v1/events", params={"person": "Eileen"}).json()
    assert [one["id"] for one in theirs["events"]] == [visit["id"]]
    counts = watching.http.get("/v1/events/counts", params={"zone": "Asia/Tokyo"})
    assert [one["name"] for one in counts.json()["people"]] == ["Eileen"]
    assert sum(map(sum, counts.json()["by_hour"]["counts"])) == 1
    assert sum(map(sum, counts.json()["attributes"]["ages"]["counts"])) == 1
    unheard = watching.http.get("/v1/events/counts", params={"zone": "Nowhere/Else"})
    assert unheard.json()["type"] == "urn:mien:problem:invalid"
    nobody = watching.http.get("/v1/events", params={"person": "Ada"}).json()
    assert nobody["events"] == []
    assert watching.http.delete(f"/v1/people/{people[0]['id']}").status_code == 204
    for gone in (place, filmed):
        assert watching.http.get(gone).status_code == 404, "forgotten with the person"


@pytest.mark.slow
def test_a_visit_that_was_not_who_it_says(watching: Client, shared: Path) -> None:
    """Named by mistake, its pictures are not that person's any more, nor faces like them; who was made by the mistake
    alone is gone."""
    somebody = (shared / "fixtures" / "photos" / "002_A.jpg").read_bytes()
    watching.enrol("Ada", somebody)
    (visit,) = until(lambda: _ended(watching))
    place = f"/v1/events/{visit['id']}"
    for name in ("Ada", "Nobody's"):
        watching.http.post(f"{place}/name", json={"name": name})
        denied = watching.http.post(f"{place}/not")
        assert denied.status_code == 200, denied.text
        assert bool(denied.json()["faces"]) == (name == "Ada")
        after = watching.http.get(place).json()
        assert (after["who"], after["person"]) == ("unknown", None)
        (ada,) = watching.http.get("/v1/people").json()["people"]
        assert (ada["name"], ada["photos"]) == ("Ada", 1)
    again = watching.http.post(f"{place}/not")
    assert again.status_code == 422, "it bears no name that could be wrong"


def _ended(client: Client) -> list[Any]:
    events = client.http.get("/v1/events").json()["events"]
    return [event for event in events if event["end"]]


def test_what_is_followed_and_what_is_listed_are_not_mixed(start: Start) -> None:
    http = start(watch=WatchFile(cameras=(), watch=KEPT)).http
    for said in ("after=3", "follow=true&before=3", "follow=1&since=2026-01-01T00:00Z"):
        answer = http.get(f"/v1/events?{said}")
        assert (answer.status_code, "follow" in answer.text) == (422, True)


def test_a_name_that_should_be_a_list_of_names_is_told_so(start: Start) -> None:
    http = start(watch=WatchFile(cameras=(), watch=KEPT)).http
    rule = {"name": "her", "who": "Ada", "url": "https://ntfy.example/x"}
    told = http.post("/v1/rules", json=rule).json()["detail"]
    assert told == (
        "body.who: Input should be 'anybody', 'known' or 'unknown'; "
        "body.who: Input should be a valid list"
    )


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted(person="Ada"), True),
        (Wanted(person="Ben"), False),
        (Wanted(camera="yard"), False),
        (Wanted("Ada", "door"), True),
    ],
)
def test_of_whom_a_listener_hears(wanted: Wanted, fits: bool) -> None:
    assert wanted.fits("Ada", "door") is fits


def test_a_listener_hears_of_one_camera(start: Start) -> None:
    service = start(watch=WatchFile(cameras=(), watch=KEPT)).service

    class Visit(SimpleNamespace):
        def model_dump_json(self) -> str:
            return json.dumps(vars(self))

    visits = [
        Visit(number=number, person=None, camera=camera)
        for number, camera in enumerate(["yard", "door", "yard"], start=1)
    ]

    async def first() -> list[str]:
        told = _changes(service, service.watching.store, 0, Wanted(camera="door"))
        return [await anext(told), await anext(told)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_told_since", lambda *_: visits)
        opening, visit = asyncio.run(first())
    assert opening.startswith(":")
    assert '"camera": "door"' in visit


@pytest.mark.slow
def test_visits_are_told_as_they_happen(watching: Client) -> None:
    until(lambda: watching.http.get("/v1/events").json()["events"])
    told: list[Any] = []
    with watching.http.stream(
        "GET", "/v1/events", params={"follow": True, "after": 0, "camera": "film"}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
                watching.http.app.state.service.stopping.set()  # type: ignore[attr-defined]
    assert told
    assert told[0]["camera"] == "film"
