"""What runs mien as a service: compose files and systemd units name commands, images and files that there are."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mien.cli import app
from mien.watch.settings import read_file
from test_docs import ROOT, parse
from watch.test_telling import free_port, until

COMPOSE = [ROOT / "compose.yaml", ROOT / "deploy" / "compose.watch.yaml"]
UNITS = sorted((ROOT / "deploy").glob("*.service"))
KEYS = {
    *("build", "image", "command", "restart", "depends_on", "environment"),
    *("read_only", "tmpfs", "cap_drop", "security_opt", "ports", "volumes"),
    *("healthcheck", "stop_grace_period", "mem_limit", "ulimits", "shm_size"),
}  # of the Compose Specification, as far as it is used


def services(file: Path) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(file.read_text())["services"]


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_services_have_all_they_name(file: Path) -> None:
    named = yaml.safe_load(file.read_text())["volumes"]
    there = services(file)
    assert "mien" in there
    for service in there.values():
        assert set(service) <= KEYS
        assert set(service.get("depends_on", ())) <= set(there)
        for volume in service.get("volumes", ()):
            source, place, *_ = volume.split(":")
            assert place.startswith("/")
            assert source.startswith("./") or source in named
        if "build" in service:
            assert (file.parent / service["build"] / "Dockerfile").is_file()
        else:
            assert re.fullmatch(r"[a-z/-]+:\w+", service["image"]), "with its version"


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_the_image_can_run_what_the_service_says(file: Path) -> None:
    docker = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["mien"]' in docker
    assert "'.[server,postgres,watch]'" in docker
    said = services(file)["mien"].get("command") or ["serve"]
    assert parse(typer.main.get_command(app), said)[-1] == said[0]


@pytest.mark.parametrize("unit", UNITS, ids=lambda file: file.name)
def test_a_unit_starts_a_command(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    program, *words = shlex.split(line)
    assert program == "/opt/mien/bin/mien"
    assert parse(typer.main.get_command(app), words)[-1] == words[0]


@pytest.mark.slow
def test_the_broker_s_recipe_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the compose file says about the broker's files and mien.toml, with a broker of this machine."""
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto, an MQTT broker, is missing")
    text = COMPOSE[1].read_text()
    monkeypatch.setenv("MQTT_PASSWORD", "s3cret")
    port = free_port()
    inside, outside = "/mosquitto/config", str(tmp_path)
    (command,) = re.findall(r"run --rm mosquitto (mosquitto_passwd .*)$", text, re.M)
    words = shlex.split(command.replace(inside, outside))
    words = ["s3cret" if word == "$MQTT_PASSWORD" else word for word in words]
    subprocess.run(words, check=True, capture_output=True)
    (lines,) = re.findall(r"mosquitto\.conf: (.*)$", text, re.M)
    lines = lines.replace(inside, outside).replace("1883", f"{port} 127.0.0.1")
    kept = f"persistence_location {tmp_path}/\nuser root\n"
    (tmp_path / "mosquitto.conf").write_text(lines.replace(" / ", "\n") + "\n" + kept)
    (mqtt,) = re.findall(r"\[mqtt\] with (.*)\n# (.*?)\. ", text)
    table = "\n".join(" ".join(mqtt).rstrip(",").split(", "))
    toml = tmp_path / "mien.toml"
    toml.write_text(f'[[cameras]]\nname = "a"\nsource = 0\n[mqtt]\n{table}\n')
    said = read_file(toml).mqtt
    assert said is not None
    assert said.host in services(COMPOSE[1])
    broker = subprocess.Popen(
        [
            shutil.which("mosquitto") or "/usr/sbin/mosquitto",
            "-c",
            tmp_path / "mosquitto.conf",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(port))
        assert _may_connect(port, said.user, said.password)
        assert not _may_connect(port, said.user, "guess")
    finally:
        broker.terminate()
        broker.wait(timeout=10)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _may_connect(port: int, user: str, password: str) -> bool:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    heard: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, password)
    client.on_connect = lambda _c, _d, _f, code, _p: heard.append(not code.is_failure)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until(lambda: heard)
    client.loop_stop()
    client.disconnect()
    return heard[0]
