"""`mien report` on the visits of cameras: from a database, a service, and the lines that were printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from background import served
from commands import Inside
from mien.watch.store import VisitStore
from mien.watch.visits import Event

NOON = 1_800_000_000.0
MIDDAY = {"TZ": "UTC"}


def event(visit: str, camera: str, minute: float, person: str | None) -> Event:
    at = NOON + 60 * minute
    who = "unknown" if person is None else "known"
    told: dict[str, Any] = {
        "begin": "", "who": who, "person": person, "count": 9,
        "age": 30.5, "gender": "female", "emotion": "happiness",
    }  # fmt: skip
    return Event("end", visit, camera, at, at + 30, at + 30, told)


VISITS = [
    event("a", "door", 0, "Ada <b>"),
    event("b", "hall", 2, "Ada <b>"),
    event("c", "door", 200, None),
]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A gallery beside which three visits are kept."""
    store = VisitStore(tmp_path / "people.visits.db")
    for one in VISITS:
        begin = Event("begin", one.visit, one.camera, one.begins, None, one.seen, {})
        store.record(begin)
        store.record(one)
    store.close()
    (tmp_path / "people.db").touch()
    return tmp_path / "people.db"


def told(inside: Inside, *args: object, **more: str) -> dict[str, Any]:
    done = inside("report", *map(str, args), "--format", "json", **more)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_of_a_database_as_json_and_as_a_page(inside: Inside, kept: Path) -> None:
    counts = told(inside, kept)
    assert (counts["visits"], counts["stays"], counts["crossed"]) == (3, 2, 1)
    assert counts["people"][0]["cameras"] == ["door", "hall"]
    assert counts == told(inside, kept.with_name("people.visits.db"))
    page = kept.with_name("visits.html")
    done = inside("report", str(kept), "--output", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "Ada &lt;b&gt;" in text
    assert "<b>" not in text.replace("<b>2</b>", "").replace("<b>1</b>", "")
    for heading in ("Who came", "Visits per hour of the day", "Ages", "Emotions"):
        assert f"<h2>{heading}</h2>" in text
    assert "http" not in text, "it needs no network"


def test_of_lines_the_last_of_each_visit_counts(inside: Inside, tmp_path: Path) -> None:
    lines = [
        {"event": "begin", "id": "a", "camera": "door", "begin": "2027-01-15T08:00:00Z"},
        {"event": "begin", "id": "b", "camera": "door", "begin": "2027-01-15T08:00:05Z"},
        {"event": "joined", "id": "b", "camera": "door", "begin": "2027-01-15T08:00:05Z"},
        {"event": "end", "id": "a", "camera": "door", "begin": "2027-01-15T08:00:00Z",
         "end": "2027-01-15T08:01:00Z", "age": 47.0},
    ]  # fmt: skip
    file = tmp_path / "visits.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    counts = told(inside, file)
    assert counts["visits"] == 1
    assert counts["attributes"]["ages"]["rows"] == ["40-49"]


class Exporting(BaseHTTPRequestHandler):
    """A service that gives one visit a page to who has the key."""

    always: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        said = parse_qs(urlsplit(self.path).query)
        before = int(said.get("before", ["3"])[0])
        if self.headers.get("Authorization") != "Bearer open-sesame":
            self.send_error(401)
            return
        one = VISITS[before - 1]
        visit = {**one.told, "id": one.visit, "camera": one.camera}
        visit |= {"begin": "2027-01-15T08:00:00Z", "end": None}
        body = {"events": [visit], "next": before - 1 if before > 1 else None}
        body |= self.always
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with served(HTTPServer(("127.0.0.1", 0), Exporting)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_of_a_service_page_by_page_with_its_key(inside: Inside, service: str) -> None:
    assert told(inside, service, MIEN_KEY="open-sesame")["visits"] == 3
    filtered = f"{service}/v1/events?person=Ada"
    assert told(inside, filtered, MIEN_KEY="open-sesame")["visits"] == 3
    refused = inside("report", service)
    assert refused.returncode == 2
    assert "set MIEN_KEY" in refused.stderr


@pytest.mark.parametrize(
    "always",
    [{"next": 2}, {"next": "2"}, {"next": [2], "events": []}, {"next": 10**4000}],
    ids=["same", "text", "list", "long"],
)
def test_a_service_that_never_ends_is_said(
    inside: Inside,
    service: str,
    monkeypatch: pytest.MonkeyPatch,
    always: dict[str, Any],
) -> None:
    monkeypatch.setattr(Exporting, "always", always)
    done = inside("report", service, MIEN_KEY="open-sesame")
    assert done.returncode == 2
    assert "does not come to an end" in done.stderr


def test_what_holds_no_visits_is_said(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "people.db").touch()
    (tmp_path / "odd.jsonl").write_text('{"id": 1}\n')
    for source, message in {
        tmp_path / "people.db": "keep_days under [watch]",
        tmp_path / "none.db": "there is no",
        tmp_path / "odd.jsonl": "line 1: this is no visit",
    }.items():
        refused = inside("report", str(source))
        assert refused.returncode == 2, refused.stderr
        assert message in refused.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"begin": "yesterday"},
        {"begin": "2026-01-01T00:00:00"},
        {"begin": "9999-12-31T23:59:59-12:00"},
        {"end": 7.5e300},
        {"count": "many"},
        {"person": ["Ada"]},
        {"count": float("inf")},
    ],
)
def test_a_line_that_is_no_visit_is_named(
    wrong: dict[str, object], inside: Inside, tmp_path: Path
) -> None:
    good = {"id": "1", "begin": "2026-01-01T00:00:00+00:00", "camera": "door"}
    lines = tmp_path / "odd.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in (good, good | wrong)))
    refused = inside("report", str(lines))
    assert refused.returncode == 2, refused.stderr
    assert "line 2: this is no visit" in refused.stderr.replace("\n", " ")


def test_odd_values_and_marks_at_the_begin_are_passed_over(
    inside: Inside, tmp_path: Path
) -> None:
    visit = {"id": "1", "begin": "2026-01-01T00:00:00+00:00", "camera": "door"}
    odd = visit | {"age": float("nan"), "gender": "\udcff"}
    lines, page = tmp_path / "odd.jsonl", tmp_path / "page.html"
    lines.write_text(json.dumps(odd), encoding="utf-8-sig")
    done = inside("report", str(lines), "--output", str(page))
    assert done.returncode == 0, done.stderr
    lines.write_text("[" * 100_000)
    assert "line 1" in inside("report", str(lines)).stderr


@pytest.mark.parametrize("command", ["report", "analyze", "batch"])
def test_an_address_that_is_none_is_said(
    command: str, inside: Inside, tmp_path: Path
) -> None:
    more = ("-o", str(tmp_path / "out")) if command == "batch" else ()
    refused = inside(command, "http://[::1", *more)
    assert refused.returncode == 2, refused.stderr
    assert "http://[::1 is no address" in refused.stderr.replace("\n", " ")
