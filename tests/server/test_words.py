"""What goes wrong is said in the right words: no traceback, no path of the server, no name in the log."""

from __future__ import annotations

import logging
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from onnx import TensorProto, helper, numpy_helper

from mien import private
from mien.errors import GalleryError, InputError
from mien.gallery import FolderGallery, SqliteGallery, check_name
from mien.models.backbone_head import BackboneHead
from mien.models.own import load_own, try_out
from mien.pipeline import Analyzer
from mien.server import KeyFile
from mien.server.logs import JsonFormatter
from mien.server.problems import is_disk_full
from mien.text import from_json
from mien.types import Faces
from mien.zoo import DLIB

from .harness import EVERYWHERE, Client, Start, model_folder, write_head

STATIC = Path(__file__).parents[2] / "src" / "mien" / "server" / "static"


def kind(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]  # type: ignore[attr-defined]


def full(path: Path) -> BinaryIO:
    """A file on a disk without room."""
    return Path("/dev/full").open("wb", buffering=0)


def test_a_video_on_a_full_disk(
    client: Client, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "new_file", full)
    answer = client.http.post("/v1/videos", files={"file": clip})
    assert kind(answer) == (507, "no-space")
    assert int(answer.headers["retry-after"]) > 0
    assert list(client.service.jobs.folder.iterdir()) == []


def test_a_result_on_a_full_disk(
    client: Client, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "make_file", lambda path: Path("/dev/full"))
    job = client.wait(client.http.post("/v1/videos", files={"file": clip}).json()["id"])
    assert job["problem"]["type"] == "urn:mien:problem:no-space"
    assert job["problem"]["status"] == 507


def test_other_errors_of_the_system_are_no_full_disk() -> None:
    assert not is_disk_full(PermissionError(13, "no"))
    assert not is_disk_full(None)
    wrapped = GalleryError("cannot write")
    wrapped.__cause__ = OSError(28, "No space left on device")
    assert is_disk_full(wrapped)


@pytest.mark.parametrize("damage", [b"short", b"x" * 516, b"", "text"])
def test_a_damaged_descriptor(
    damage: object, start: Start, photo: bytes, tmp_path: Path
) -> None:
    client = start()
    client.enrol("Ada", photo)
    with sqlite3.connect(tmp_path / "people.db") as database:
        database.execute("UPDATE photos SET embedding = ?", (damage,))
    database.close()
    answers = [client.analyze(photo), client.http.get("/readyz")]
    assert [kind(answer) for answer in answers] == [(503, "gallery-unavailable")] * 2
    assert "damaged" in answers[0].json()["detail"]
    with pytest.raises(GalleryError, match="damaged"):
        list(client.analyzer.gallery.enrolled())  # type: ignore[union-attr]
    assert client.http.get("/healthz").status_code == 200


def test_a_file_that_breaks_off(tmp_path: Path) -> None:
    file = tmp_path / "people.db"
    gallery = SqliteGallery(file, space=replace(DLIB, name="e"))
    gallery.check_ready()
    gallery.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(GalleryError):
        SqliteGallery(file, space=replace(DLIB, name="e")).check_ready()


@pytest.mark.parametrize("name", ["雨" * 100, "a%" * 100])
def test_a_name_too_long_for_a_folder(
    name: str, start: Start, photo: bytes, tmp_path: Path
) -> None:
    client = start(gallery="people")
    ada = client.enrol("Ada", photo).json()
    del ada["verdicts"]  # on the photos just given
    answers = [
        client.enrol(name, photo),
        client.http.patch(f"/v1/people/{ada['id']}", json={"name": name}),
    ]
    assert [kind(answer) for answer in answers] == [(422, "unusable-input")] * 2
    assert "255" in answers[0].json()["detail"]
    assert client.http.get("/v1/people").json()["people"] == [ada]


def test_no_path_of_the_server_is_told(
    start: Start,
    photo: bytes,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = start(gallery="people")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mien.gallery.folder.store.write_atomically", refuse)
    answer = client.enrol("Ada Lovelace", photo)
    assert kind(answer) == (503, "gallery-unavailable")
    assert "Permission denied" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    logged = [
        record for record in caplog.records if record.name == "mien.server.problems"
    ]
    assert str(tmp_path) in logged[0].getMessage()
    assert "Lovelace" not in logged[0].getMessage()


def test_names_of_a_folder_gallery_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "Ada Lovelace.jpg").write_bytes(b"no picture")
    (tmp_path / "Grace Hopper").symlink_to("/")

    def refuse(content: bytes) -> Faces:
        raise InputError("the photo cannot be read")

    with caplog.at_level(logging.WARNING):
        list(
            FolderGallery(
                tmp_path, space=replace(DLIB, name="e"), describe=refuse
            ).enrolled()
        )
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert len(lines) >= 2
    assert not [line for line in lines if "Lovelace" in line or "Hopper" in line]
    assert "is passed over" in lines[0]


def write_broken(file: Path, *, constant: float | None) -> Path:
    """A model that loads: it fails when it runs, or answers a constant."""
    x = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 128])
    y = helper.make_tensor_value_info("p", TensorProto.FLOAT, None)
    shape = numpy_helper.from_array(np.array([7, -1, 31], np.int64), "shape")
    nodes, constants = (
        [helper.make_node("Reshape", ["embedding", "shape"], ["p"])],
        [shape],
    )
    if constant is not None:
        row = numpy_helper.from_array(np.full((128, 2), constant, np.float32), "w")
        nodes, constants = (
            [helper.make_node("MatMul", ["embedding", "w"], ["p"])],
            [row],
        )
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    helper.set_model_props(
        model, {"labels": '["Calm", "Wild"]', "preprocessing": '{"reads": "backbone"}'}
    )
    onnx.save(model, file)
    return file


def test_a_model_is_tried_before_it_is_taken(
    start: Start, photo: bytes, tmp_path: Path
) -> None:
    folder = model_folder(tmp_path / "models")
    write_broken(folder / "fails.onnx", constant=None)
    write_broken(folder / "nan.onnx", constant=float("nan"))
    client = start(models_dir=folder)
    before = client.analyze(photo).json()["faces"][0]["emotion"]
    for name in ("fails", "nan"):
        answer = client.http.put("/v1/models/emotion", json={"model": name})
        assert kind(answer) == (422, "unusable-input")
        assert name in answer.json()["detail"]
        assert str(tmp_path) not in answer.text
    assert client.http.get("/v1/models").json()["serving"]["emotion"] is None
    assert client.analyze(photo).json()["faces"][0]["emotion"] == before


def test_heads_of_mien_0_1_still_work(models: Analyzer, tmp_path: Path) -> None:
    old = {"preprocessing": '{"reads": "trunk"}'}
    head = load_own(write_head(tmp_path / "a.onnx", ["a", "b"], **old), "emotion")
    assert isinstance(head, BackboneHead)
    try_out(head, models.backbone)


def test_a_model_that_works_passes(models: Analyzer, tmp_path: Path) -> None:
    try_out(
        load_own(write_head(tmp_path / "a.onnx", ["a", "b"]), "emotion"),
        models.backbone,
    )


def test_a_model_with_data_of_other_files_is_refused(
    start: Start, tmp_path: Path
) -> None:
    folder = model_folder(tmp_path / "models")
    model = onnx.load(folder / "moods.onnx")
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "1024")):
        weights.external_data.add(key=key, value=value)
    (tmp_path / "secret").write_bytes(b"\0" * 1024)
    (folder / "thief.onnx").write_bytes(model.SerializeToString())
    client = start(models_dir=folder)
    listed = {
        row["name"]: row for row in client.http.get("/v1/models").json()["models"]
    }
    assert listed["thief"]["error"]
    assert kind(client.http.put("/v1/models/emotion", json={"model": "thief"})) == (
        422,
        "unusable-input",
    )


def test_json_nested_too_deeply_is_no_traceback(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from mien.cli.people import people_app

    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json(deep.read_bytes())
    told = CliRunner().invoke(
        people_app, ["import", str(deep), "--gallery", str(tmp_path / "people.db")]
    )
    assert isinstance(told.exception, InputError)
    assert "nested too deeply" in str(told.exception)
    (tmp_path / "keys.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="no list of keys"):
        KeyFile(tmp_path / "keys.json").all()


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[31m", "\u3164", "x" * 101])
def test_a_keys_name_is_one_line_of_text(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name"):
        KeyFile(tmp_path / "keys.json").add(name, "read")
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize(
    "name",
    [
        "\u3164",
        "\u2800\u2800",
        "Ada\u115f",
        "\u200d",
        "\ufe0f",
        "Ada\u034f",
        "\u200bAda",
    ],
)
def test_invisible_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["Ada ❤️", "نیما\u200cپور", "O'Brien", "雨", "👩\u200d🚀"]
)
def test_names_with_joiners_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://["}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 404),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8000"}, 404),
        ({"sec-fetch-site": "none"}, 404),
        ({}, 404),
        ({"host": "["}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "localhost:evil"}, 403),
        ({"host": "localhost:80:80"}, 403),
        ({"host": "127.0.0.1@evil.example"}, 403),
        (
            {
                "host": "evil.example",
                "x-forwarded-host": "localhost",
                "forwarded": "host=localhost",
            },
            403,
        ),
        ({"host": "LOCALHOST:8000"}, 404),
        ({"host": "[::1]:8000"}, 404),
    ],
)
def test_whom_a_change_is_taken_from(
    client: Client, headers: dict[str, str], status: int
) -> None:
    assert client.http.delete("/v1/jobs/none", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("mode", "status"),
    [("navigate", 200), ("no-cors", 403), ("cors", 403)],
    ids=["a link", "a picture", "a script"],
)
def test_other_pages_may_link_here_and_nothing_else(
    client: Client, mode: str, status: int
) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}
    assert client.http.get("/", headers=headers).status_code == status


def test_malformed_hosts_are_refused_with_keys_too(start: Start) -> None:
    client = start(host=EVERYWHERE)
    assert client.http.get("/healthz", headers={"host": "[::1"}).status_code == 403
    assert (
        client.http.get("/healthz", headers={"host": "faces.example"}).status_code
        == 200
    )


PUBLIC = {"GET /healthz", "GET /readyz"}
ADMIN = {
    *(
        "POST /v1/people",
        "PATCH /v1/people/{person_id}",
        "DELETE /v1/people/{person_id}",
    ),
    *(
        "POST /v1/people/{person_id}/photos",
        "POST /v1/people/{person_id}/merge",
        "PUT /v1/models/{attribute}",
    ),
    *(
        "POST /v1/unknown/undo",
        "POST /v1/unknown/{group_id}/name",
        "POST /v1/unknown/{group_id}/split",
    ),
    *("POST /v1/unknown/{group_id}/merge", "DELETE /v1/unknown/{group_id}"),
    *(
        "DELETE /v1/people/{person_id}/photos/{sha256}",
        "POST /v1/people/{person_id}/not",
        "DELETE /v1/people/{person_id}/not/{example_id}",
        "GET /v1/people/{person_id}/about",
    ),
    *(
        "POST /v1/cameras",
        "PATCH /v1/cameras/{camera_id}",
        "DELETE /v1/cameras/{camera_id}",
    ),
    *(
        "POST /v1/events/{visit_id}/name",
        "POST /v1/events/{visit_id}/not",
        "DELETE /v1/events/{visit_id}",
    ),
    *(
        "GET /v1/rules",
        "POST /v1/rules",
        "POST /v1/rules/{rule_id}/test",
        "PATCH /v1/rules/{rule_id}",
        "DELETE /v1/rules/{rule_id}",
    ),
}
ANALYSE = {
    *(
        "POST /",
        "POST /v1/analyze",
        "POST /v1/blur",
        "POST /v1/verify",
        "POST /v1/find",
        "POST /v1/videos",
        "POST /v1/urls",
    ),
    "DELETE /v1/jobs/{job_id}",
}


@pytest.mark.slow
def test_each_route_wants_its_role(start: Start, tmp_path: Path) -> None:
    client = start(host=EVERYWHERE)
    keys = KeyFile(tmp_path / "keys.json")
    bearers = {
        role: {"authorization": f"Bearer {keys.add(role, role)[1]}"}
        for role in ("read", "analyse")
    }
    routes = [
        f"{method.upper()} {path}"
        for path, methods in client.http.get("/openapi.json").json()["paths"].items()
        for method in methods
    ]
    assert len(routes) > 25
    wrong = [
        route
        for route in routes
        if roles_refused(client.http, route, bearers) != expected_refusals(route)
    ]
    assert wrong == []


def roles_refused(
    http: TestClient, route: str, bearers: dict[str, dict[str, str]]
) -> list[str]:
    """Who is refused: nobody's call without a key, and the keys that may not."""
    method, path = route.split(" ")
    place = (
        path.replace("{attribute}", "emotion")
        .replace("{face_id}", "1")
        .replace("{number}", "1")
        .replace("{", "")
        .replace("}", "")
    )
    refused = ["nobody"] if http.request(method, place).status_code == 401 else []
    return refused + [
        role
        for role, key in bearers.items()
        if http.request(method, place, headers=key).status_code == 403
    ]


def expected_refusals(route: str) -> list[str]:
    if route in PUBLIC:
        return []
    return [
        "nobody",
        *(["read"] if route in ANALYSE | ADMIN else []),
        *(["analyse"] if route in ADMIN else []),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("gallery", ["people.db", "people"])
def test_names_are_text_and_nothing_else(
    start: Start, photo: bytes, gallery: str
) -> None:
    client = start(gallery=gallery)
    names = [
        "Robert'); DROP TABLE people;--",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "%00{0}",
    ]
    for name in names:
        assert client.enrol(name, photo).status_code == 201
    listed = client.http.get("/v1/people")
    assert sorted(person["name"] for person in listed.json()["people"]) == sorted(names)
    assert listed.headers["content-type"].startswith("application/json")
    assert listed.headers["x-content-type-options"] == "nosniff"


def test_the_page_writes_texts_never_markup() -> None:
    scripts = sorted(STATIC.glob("*.js"))
    assert len(scripts) >= 8
    forbidden = re.compile(
        r"(inner|outer)HTML *=[^=]|insertAdjacentHTML|document\.write|\beval\(|new Function"
    )
    assert [
        (file.name, found[0])
        for file in scripts
        for found in forbidden.finditer(file.read_text())
    ] == []


def test_it_cannot_be_framed(client: Client) -> None:
    answer = client.http.get("/")
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
