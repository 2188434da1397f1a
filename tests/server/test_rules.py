"""Rules over HTTP: added, tried out, refused, and what is told by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from background import served, until
from mien.server.routes.events import _latest
from mien.watch.cameras import Camera
from mien.watch.settings import Keeping, Rule, WatchFile, Webhook
from mien.watch.visits import Event
from watch.test_telling import Receiver, receiver

from .harness import Client, Start

__all__ = ["receiver"]  # a fixture

HOOK = Webhook(name="house", url="http://user:secret@127.0.0.1:1/x")
SAID = WatchFile(
    watch=Keeping(keep_days=1),
    webhooks=(HOOK,),
    rules=(Rule(name="strangers", who="unknown"),),
)


@pytest.fixture
def watching(start: Start) -> Client:
    return start(watch=SAID, url_hosts=("127.0.0.1",))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def begin(request: pytest.FixtureRequest) -> Callable[[], Client]:
    """Starts the service, again too, where rules and visits are kept in either database."""
    place: dict[str, Any] = {}
    if request.param == "postgres":
        place["gallery"] = request.getfixturevalue("postgres_url")
    start: Start = request.getfixturevalue("start")  # ends before its database does
    return lambda: start(watch=SAID, url_hosts=("127.0.0.1",), **place)


def add(client: Client, url: str, **more: object) -> Any:
    said = {"name": "door", "who": ["Ada"], "url": url, **more}
    return client.http.post("/v1/rules", json=said)


def happen(client: Client, person: str, time: int = 1) -> None:
    """Lets somebody come (for the so-manieth time), as the watcher tells it."""
    told = {"who": "known", "person": person, "count": 9, "zone": None}
    event = Event("begin", f"{person} {time}", "film", 1.8e9, None, 1.8e9, told)
    client.service.watching.watch._tell(event)


def test_rules_of_the_file_are_shown_without_secrets(watching: Client) -> None:
    (rule,) = watching.http.get("/v1/rules").json()["rules"]
    assert (rule["id"], rule["name"], rule["editable"]) == (
        "file-1",
        "strangers",
        False,
    )
    assert "secret" not in json.dumps(rule)
    refused = watching.http.delete("/v1/rules/file-1")
    assert refused.json()["type"] == "urn:mien:problem:rule-fixed"
    (why,) = watching.http.post("/v1/rules/file-1/test").json()["told"].values()
    assert "refused" in why


def test_a_rule_is_added_tried_out_speaks_and_goes(
    receiver: Receiver, begin: Callable[[], Client]
) -> None:
    watching = begin()
    added = add(watching, receiver.url)
    assert added.status_code == 201, added.text
    place = added.headers["location"]
    told = watching.http.post(f"{place}/test").json()["told"]
    assert list(told.values()) == [None]
    assert json.loads(receiver.got[0][1])["visit"]["event"] == "test"
    happen(watching, "Ben")
    happen(watching, "Ada")
    until(lambda: receiver.visits[1:] == ["Ada 1"])
    again = begin()
    happen(again, "Ada", 2)
    until(lambda: receiver.visits[2:] == ["Ada 2"])
    assert again.http.delete(place).status_code == 204
    assert len(again.http.get("/v1/rules").json()["rules"]) == 1
    receiver.mode = "failing"
    happen(again, "Ada", 3)
    assert again.service.watching.store.waiting("added") == []


def test_a_rule_is_changed(receiver: Receiver, begin: Callable[[], Client]) -> None:
    watching = begin()
    place = add(watching, "http://127.0.0.1:1/away").headers["location"]
    happen(watching, "Ada")
    changes = {"who": ["Ben"], "url": receiver.url}
    changed = watching.http.patch(place, json=changes)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["who"], changed.json()["name"]) == (["Ben"], "door")
    until(lambda: receiver.visits == ["Ada 1"])
    happen(watching, "Ada", 2)
    happen(watching, "Ben")
    until(lambda: receiver.visits[1:] == ["Ben 1"])
    again = begin()
    assert again.http.get("/v1/rules").json()["rules"][1]["who"] == ["Ben"]
    happen(again, "Ben", 2)
    until(lambda: receiver.visits[2:] == ["Ben 2"])


@pytest.mark.parametrize(
    ("place", "changes", "kind"),
    [
        ("file-1", {"who": "known"}, "rule-fixed"),
        ("added-0", {"who": "known"}, "rule-not-found"),
        (None, {"url": "http://169.254.169.254/latest"}, "address-refused"),
        (None, {"cameras": ["nowhere"]}, "unusable-input"),
        (None, {"hours": ["late"]}, "unusable-input"),
        (None, {"secret_env": "HOME"}, "invalid"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    watching: Client, place: str | None, changes: dict[str, Any], kind: str
) -> None:
    added = add(watching, "http://127.0.0.1:1/x").json()
    refused = watching.http.patch(f"/v1/rules/{place or added['id']}", json=changes)
    assert refused.json()["type"] == f"urn:mien:problem:{kind}", refused.text
    assert watching.http.get("/v1/rules").json()["rules"][1] == added


def test_an_address_that_became_private_is_not_told(
    watching: Client, receiver: Receiver, start: Start
) -> None:
    place = add(watching, receiver.url).headers["location"]
    stricter = start(watch=SAID)
    (why,) = stricter.http.post(f"{place}/test").json()["told"].values()
    assert "private" in why
    assert receiver.tries == 0


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"url": "http://127.0.0.1/x"}, "address-refused"),
        ({"url": "http://169.254.169.254/latest"}, "address-refused"),
        ({"url": "http://[::1]/x"}, "address-refused"),
        ({"url": "ftp://127.0.0.1/x"}, "unusable-input"),
        ({"cameras": ["nowhere"]}, "unusable-input"),
        ({"hours": ["late"]}, "unusable-input"),
        ({"picture": True}, "unusable-input"),
        ({"secret_env": "HOME"}, "invalid"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(
    start: Start, more: dict[str, Any], kind: str
) -> None:
    client = start(watch=WatchFile(cameras=(Camera(name="film", source="x.mp4"),)))
    refused = add(client, **{"url": "http://192.0.2.1/x", **more})
    assert refused.json()["type"] == f"urn:mien:problem:{kind}", refused.text
    assert client.http.get("/v1/rules").json()["rules"] == []


@pytest.mark.slow
def test_who_comes_again_hears_what_was_missed(begin: Callable[[], Client]) -> None:
    """By Last-Event-ID, as browsers do; pages by cursors hold each visit once."""
    watching = begin()
    for person in ("Ada", "Ben", "Cleo"):
        happen(watching, person)
    until(lambda: len(watching.http.get("/v1/events").json()["events"]) == 3)
    first = _heard(watching, {"after": 0})
    assert [one["person"] for one in first] == ["Ada", "Ben", "Cleo"]
    heard = {"Last-Event-ID": str(first[0]["number"])}
    rest = _heard(watching, {"after": 0}, heard)
    assert [one["person"] for one in rest] == ["Ben", "Cleo"]
    odd = _heard(watching, {"after": first[1]["number"]}, {"Last-Event-ID": "x2"})
    assert [one["person"] for one in odd] == ["Cleo"]
    pages: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = watching.http.get("/v1/events", params={"limit": 1, **cursor}).json()
        pages += [one["person"] for one in page["events"]]
        if page["next"] is None:
            break
        cursor = {"before": page["next"]}
    assert pages == ["Cleo", "Ben", "Ada"]


def _heard(
    client: Client, params: dict[str, Any], headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """What a listener hears until there is nothing more."""
    last = client.http.get("/v1/events", params={"limit": 1}).json()["events"][0]
    heard: list[dict[str, Any]] = []
    client.service.stopping.clear()
    asked = client.http.stream(
        "GET", "/v1/events", params={"follow": True, **params}, headers=headers
    )
    with asked as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                heard.append(json.loads(line.removeprefix("data: ")))
                if heard[-1]["number"] >= last["number"]:
                    client.service.stopping.set()
    client.service.stopping.clear()
    return heard


def test_a_rule_s_name_can_be_read(watching: Client, receiver: Receiver) -> None:
    for name in (" ", "a\x00b", "\u200b"):
        refused = add(watching, receiver.url, name=name)
        assert refused.status_code == 422, refused.text
        assert "printed" in refused.json()["detail"]


def test_odd_questions_are_refused_not_failed_by(watching: Client) -> None:
    for query in ("zone=leapseconds", "since=0001-01-01T00:00:00"):
        answer = watching.http.get(f"/v1/events/counts?{query}")
        assert answer.status_code in {200, 422}, answer.text
    long = {"content-length": "9" * 5000, "content-type": "application/json"}
    assert (
        watching.http.post("/v1/rules", content=b"{}", headers=long).status_code == 413
    )
    assert _latest(3, "9" * 5000) == 3
    assert _latest(3, "7") == 7


def test_a_zero_byte_is_refused_before_postgresql_fails_by_it(
    start: Start, postgres_url: str
) -> None:
    watching = start(watch=SAID, gallery=postgres_url)
    for place in ("?person=a%00", "/counts?camera=%00", "/%00", "/%00/pictures/0"):
        refused = watching.http.get(f"/v1/events{place}")
        assert refused.status_code == 403, refused.text
        assert "zero byte" in refused.json()["detail"]


def test_a_redirect_is_not_followed(
    watching: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told may not send us to an address of this machine."""

    def redirect(answer: BaseHTTPRequestHandler) -> None:
        answer.send_response(307)
        answer.send_header("Location", elsewhere.url)
        answer.end_headers()

    monkeypatch.setattr(receiver.RequestHandlerClass, "do_POST", redirect)
    with served(Receiver()) as elsewhere:
        place = add(watching, receiver.url).headers["location"]
        (why,) = watching.http.post(f"{place}/test").json()["told"].values()
    assert "answers 307" in why
    assert elsewhere.tries == 0
