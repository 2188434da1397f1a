"""Model files of a folder, chosen while the service runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.testclient import WebSocketTestSession

from background import free_port
from mien.server import KeyFile, ServerSettings

from .harness import (
    EVERYWHERE,
    LIVE,
    Client,
    Listening,
    Process,
    Start,
    model_folder,
    with_gallery,
    write_head,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "models")


def put(
    client: Client, attribute: str, model: str | None, **more: object
) -> httpx.Response:
    return client.http.put(f"/v1/models/{attribute}", json={"model": model}, **more)


def face(client: Client, photo: bytes) -> dict[str, object]:
    (found,) = client.analyze(photo).json()["faces"]
    return found


def test_the_files_of_the_folder_are_listed(start: Start, folder: Path) -> None:
    client = start(models_dir=folder)
    answer = client.http.get("/v1/models").json()
    models = {model["name"]: model for model in answer["models"]}
    assert list(models) == ["ages", "broken", "glasses", "moods", "other moods"]
    assert models["moods"] == {
        "name": "moods",
        "attribute": "emotion",
        "labels": ["Calm", "Wild"],
        "licence": "CC0-1.0",
        "active": False,
        "error": None,
    }
    assert (models["ages"]["attribute"], models["glasses"]["attribute"]) == (
        "age",
        "glasses",
    )
    assert "not a network" in models["broken"]["error"]
    assert str(folder) not in json.dumps(answer)
    assert answer["serving"] == {"age": None, "emotion": None, "gender": None}
    write_head(folder / "new.onnx", ["x", "y"])
    assert "new" in [
        model["name"] for model in client.http.get("/v1/models").json()["models"]
    ]


@pytest.mark.slow
def test_a_switch_tells_from_the_next_request_on_and_back(
    start: Start, folder: Path, photo: bytes
) -> None:
    client = start(models_dir=folder)
    before = face(client, photo)
    assert before["emotion"] == "happiness"
    answer = put(client, "emotion", "moods")
    assert answer.status_code == 200
    assert answer.json()["serving"]["emotion"] == "moods"
    assert [m["name"] for m in answer.json()["models"] if m["active"]] == ["moods"]
    moody = face(client, photo)
    assert moody["emotion"] == "Calm"
    assert moody["emotion_probs"].keys() == {"Calm", "Wild"}
    assert (moody["age"], moody["gender"]) == (before["age"], before["gender"])
    assert put(client, "emotion", "other moods").status_code == 200
    assert put(client, "age", "ages").status_code == 200
    assert put(client, "glasses", "glasses").status_code == 200
    changed = face(client, photo)
    assert (changed["emotion"], changed["age"], changed["glasses"]) == (
        "Glad",
        33.0,
        "glasses",
    )
    for attribute in ("emotion", "age", "glasses"):
        assert put(client, attribute, None).status_code == 200
    assert face(client, photo) == before
    assert client.http.get("/v1/models").json()["serving"] == {
        "age": None,
        "emotion": None,
        "gender": None,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attribute", "model", "status", "kind"),
    [
        ("emotion", "missing", 404, "model-not-found"),
        ("emotion", "../moods", 404, "model-not-found"),
        ("emotion", "broken", 422, "unusable-input"),
        ("age", "moods", 422, "unusable-input"),
        ("identity", "moods", 422, "invalid"),
        ("box", "moods", 422, "invalid"),
        ("Emotion", "moods", 422, "invalid"),
        ("mood_probs", "moods", 422, "invalid"),
    ],
)
def test_what_cannot_be_chosen_changes_nothing(
    start: Start,
    folder: Path,
    photo: bytes,
    attribute: str,
    model: str,
    status: int,
    kind: str,
) -> None:
    client = start(models_dir=folder)
    answer = put(client, attribute, model)
    assert (answer.status_code, answer.json()["type"]) == (
        status,
        f"urn:mien:problem:{kind}",
    )
    assert face(client, photo)["emotion"] == "happiness"


def test_a_choice_is_the_admins(start: Start, folder: Path, tmp_path: Path) -> None:
    client = start(models_dir=folder, host=EVERYWHERE, hosts=("127.0.0.1",))
    keys = KeyFile(tmp_path / "keys.json")
    statuses = {
        role: put(
            client,
            "emotion",
            "moods",
            headers={"authorization": f"Bearer {keys.add('x', role)[1]}"},
        ).status_code
        for role in ("read", "analyse", "admin")
    }
    assert statuses == {"read": 403, "analyse": 403, "admin": 200}


def test_without_a_folder_there_is_nothing_to_choose(client: Client) -> None:
    assert client.http.get("/v1/models").json()["models"] == []
    assert "--models-dir" in put(client, "emotion", "moods").json()["detail"]


def test_live_pictures_are_told_by_the_new_model(
    start: Start, folder: Path, photo: bytes
) -> None:
    client = start(models_dir=folder)
    with client.http.websocket_connect(LIVE) as socket:
        assert told_live(socket, photo) == "happiness"
        put(client, "emotion", "moods")
        assert told_live(socket, photo) == "Calm"


def told_live(socket: WebSocketTestSession, photo: bytes) -> object:
    """The emotion of the first face that is sure enough to be shown."""
    for _ in range(20):
        socket.send_bytes(photo)
        for one in socket.receive_json()["faces"]:
            if one.get("emotion"):
                return one["emotion"]
    raise AssertionError("no face was shown in 20 frames")


@pytest.mark.slow
def test_jobs_are_told_by_the_new_model(
    start: Start, folder: Path, clip: bytes
) -> None:
    client = start(models_dir=folder)
    put(client, "emotion", "moods")
    job = client.http.post("/v1/videos", files={"file": ("clip.mp4", clip)}).json()
    assert client.wait(job["id"])["state"] == "done"
    lines = client.http.get(f"/v1/jobs/{job['id']}/result").text.splitlines()
    moods = [one["emotion"] for line in lines for one in json.loads(line)["faces"]]
    assert set(moods) == {"Calm"}


@pytest.mark.slow
def test_switching_under_load_fails_nobody(
    models: object, tmp_path: Path, folder: Path, photo: bytes
) -> None:
    settings = ServerSettings(data=tmp_path, port=free_port(), models_dir=folder)
    service = Listening(settings, with_gallery(models, tmp_path / "people.db")).start()  # type: ignore[arg-type]
    seen: list[tuple[int, str, frozenset[str]]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as http:
            while not stop.is_set():
                answer = http.post(
                    f"{service.base}/v1/analyze", files={"file": ("a.jpg", photo)}
                )
                (found,) = answer.json()["faces"]
                seen.append(
                    (
                        answer.status_code,
                        found["emotion"],
                        frozenset(found["emotion_probs"]),
                    )
                )

    askers = [threading.Thread(target=ask) for _ in range(2)]
    try:
        for asker in askers:
            asker.start()
        for model in ["moods", "other moods", None] * 4:
            before = len(seen)
            assert (
                service.http.put(
                    f"{service.base}/v1/models/emotion", json={"model": model}
                ).status_code
                == 200
            )
            wait_for(lambda before=before: len(seen) >= before + 3)
    finally:
        stop.set()
        for asker in askers:
            asker.join(30)
        service.stop()
    assert {status for status, _, _ in seen} == {200}
    assert {emotion for _, emotion, _ in seen} == {"Calm", "Glad", "happiness"}
    assert all(emotion in labels for _, emotion, labels in seen)


def wait_for(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        threading.Event().wait(0.05)
    raise AssertionError("did not happen in time")


@pytest.mark.slow
def test_the_command_takes_the_folder(
    process: Callable[..., Process], folder: Path, photo: bytes
) -> None:
    served = process("--models-dir", str(folder))
    assert (
        httpx.put(
            f"{served.base}/v1/models/emotion", json={"model": "moods"}
        ).status_code
        == 200
    )
    answer = httpx.post(
        f"{served.base}/v1/analyze", files={"file": ("a.jpg", photo)}, timeout=30
    ).json()
    assert answer["faces"][0]["emotion"] == "Calm"
