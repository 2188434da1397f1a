from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
from starlette.websockets import WebSocketDisconnect
from typer.testing import CliRunner

from mien import locks
from mien.cli.serve import serve_app
from mien.errors import InputError
from mien.pipeline import Analyzer
from mien.server import KeyFile, keys as keys_module
from mien.server.rates import Rates
from mien.server.run import run
from mien.server.settings import ServerSettings

from .harness import EVERYWHERE, LIVE, Client, Start


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    ("host", "guarded"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        (EVERYWHERE, True),
        ("192.168.1.4", True),
        ("::", True),
    ],
)
def test_keys_are_needed_beyond_loopback(host: str, guarded: bool) -> None:
    assert ServerSettings(data=Path(), host=host).guarded is guarded


def test_roles(start: Start, photo: bytes, tmp_path: Path) -> None:
    client = start(host=EVERYWHERE)
    keys = KeyFile(tmp_path / "keys.json")
    secrets = {role: keys.add(role, role)[1] for role in ("read", "analyse", "admin")}
    calls = {
        "list": lambda h: client.http.get("/v1/people", headers=h),
        "analyse": lambda h: client.http.post(
            "/v1/analyze", files={"file": photo}, headers=h
        ),
        "enrol": lambda h: client.http.post(
            "/v1/people",
            data={"name": h.get("authorization", "-")[-9:]},
            files={"file": photo},
            headers=h,
        ),
    }
    table = {
        role: [
            calls[call](bearer(secret)).status_code
            for call in ("list", "analyse", "enrol")
        ]
        for role, secret in {**secrets, "wrong": "mien_wrong"}.items()
    }
    assert table == {
        "read": [200, 403, 403],
        "analyse": [200, 200, 403],
        "admin": [200, 200, 201],
        "wrong": [401, 401, 401],
    }
    without = client.http.get("/v1/people")
    assert without.status_code == 401
    assert without.headers["www-authenticate"].startswith("Bearer")
    assert client.http.get("/healthz").status_code == 200
    assert client.http.get("/").status_code == 200
    assert client.http.get("/metrics").status_code == 401


def test_a_removed_key_ends_at_once(start: Start, tmp_path: Path) -> None:
    client = start(host=EVERYWHERE)
    keys = KeyFile(tmp_path / "keys.json")
    key, secret = keys.add("door", "read")
    assert client.http.get("/v1/people", headers=bearer(secret)).status_code == 200
    keys.remove(key.id)
    assert client.http.get("/v1/people", headers=bearer(secret)).status_code == 401


def test_secrets_are_not_kept(tmp_path: Path) -> None:
    secret = KeyFile(tmp_path / "keys.json").add("door", "admin")[1]
    content = (tmp_path / "keys.json").read_text()
    assert secret not in content
    assert len(secret) > 40
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


def test_jobs_of_others_are_not_there(
    start: Start, clip: bytes, tmp_path: Path
) -> None:
    client = start(host=EVERYWHERE)
    keys = KeyFile(tmp_path / "keys.json")
    ours, theirs, admin = (
        bearer(keys.add(n, r)[1])
        for n, r in (("a", "analyse"), ("b", "analyse"), ("c", "admin"))
    )
    job = client.http.post("/v1/videos", files={"file": clip}, headers=ours).json()[
        "id"
    ]
    assert client.http.get(f"/v1/jobs/{job}", headers=theirs).status_code == 404
    assert client.http.delete(f"/v1/jobs/{job}", headers=theirs).status_code == 404
    assert client.http.get("/v1/jobs", headers=theirs).json() == {"jobs": []}
    assert client.http.get(f"/v1/jobs/{job}", headers=admin).status_code == 200


def test_live_needs_a_key(start: Start, tmp_path: Path) -> None:
    client = start(host=EVERYWHERE)
    secret = KeyFile(tmp_path / "keys.json").add("cam", "analyse")[1]
    with (
        client.http.websocket_connect(LIVE) as socket,
        pytest.raises(WebSocketDisconnect) as refused,
    ):
        socket.receive_text()
    assert refused.value.code == 1008
    with client.http.websocket_connect(
        LIVE, subprotocols=["mien.v1", f"mien.key.{secret}"]
    ) as socket:
        assert socket.accepted_subprotocol == "mien.v1"


def test_requests_per_key_are_limited(start: Start, tmp_path: Path) -> None:
    client = start(host=EVERYWHERE, limits={"requests_per_minute": 60})
    keys = KeyFile(tmp_path / "keys.json")
    busy, calm = (bearer(keys.add(name, "read")[1]) for name in ("busy", "calm"))
    answers = [client.http.get("/v1/people", headers=busy) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 5 <= len(refused) <= 10
    assert int(refused[0].headers["retry-after"]) >= 1
    assert client.http.get("/v1/people", headers=calm).status_code == 200


def test_rates_refill() -> None:
    rates = Rates(60_000)
    assert sum(rates.take("a") == 0 for _ in range(7000)) >= 6000
    assert Rates(0).take("a") == 0


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(
        serve_app, ["key", "add", "door", "--role", "read", "--data", str(tmp_path)]
    )
    assert made.exit_code == 0
    secret = next(line for line in made.output.splitlines() if line.startswith("mien_"))
    key = KeyFile(tmp_path / "keys.json").find(secret)
    assert key is not None
    assert key.role == "read"
    assert key.id in run(serve_app, ["key", "list", "--data", str(tmp_path)]).output
    assert (
        run(serve_app, ["key", "remove", key.id, "--data", str(tmp_path)]).exit_code
        == 0
    )
    assert KeyFile(tmp_path / "keys.json").find(secret) is None


def test_clients(client: Client) -> None:
    assert client.http.get("/v1/server").json()["role"] == "admin"


@pytest.mark.slow
def test_keys_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    """And the one removed meanwhile does not come back."""
    file = tmp_path / "keys.json"
    gone = KeyFile(file).add("gone", "admin")[0]
    fork = multiprocessing.get_context("fork")
    made = [
        fork.Process(target=KeyFile(file).add, args=("x", "read")) for _ in range(3)
    ]
    for one in made:
        one.start()
    threads = [
        threading.Thread(target=KeyFile(file).add, args=(f"k{i}", "read"))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    KeyFile(file).remove(gone.id)
    for thread in threads:
        thread.join()
    for one in made:
        one.join(60)
    assert [one.exitcode for one in made] == [0, 0, 0]
    names = [key.name for key in KeyFile(file).all()]
    assert sorted(names) == sorted([f"k{i}" for i in range(12)] + ["x"] * 3)
    assert file.with_name("keys.json.lock").stat().st_mode & 0o077 == 0


def test_a_lock_that_is_never_given_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    key = KeyFile(file).add("door", "read")[0]
    monkeypatch.setattr(keys_module, "_WAIT_S", 0.1)
    with (
        locks.locked(tmp_path / "keys.json.lock", busy=""),
        pytest.raises(InputError, match="another program has been changing"),
    ):
        KeyFile(file).remove(key.id)
    assert [key.name for key in KeyFile(file).all()] == ["door"]


def test_a_second_service_in_one_data_folder_is_refused(
    tmp_path: Path, models: Analyzer
) -> None:
    """It would begin the first one's running jobs anew."""
    with (
        locks.locked(tmp_path / "jobs.lock", busy=""),
        pytest.raises(InputError, match="another 'mien serve' works in"),
    ):
        run(ServerSettings(data=tmp_path), models)
