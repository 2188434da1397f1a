"""A broker behind TLS, with a certificate of the user's own authority, a user and a password."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from background import until
from mien.errors import InputError
from mien.watch.mqtt import MqttTarget
from mien.watch.sending import NotTold
from mien.watch.settings import Mqtt
from mien.watch.store import Message
from watch.test_telling import Broker

OPENSSL = shutil.which("openssl")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]


def certified(folder: Path, name: str) -> Path:
    """A certificate authority in a folder, and a certificate of its for 127.0.0.1."""
    subjects = {"ca": "/CN=Our own", "broker": "/CN=127.0.0.1"}
    folder.mkdir()
    common = ["-newkey", "rsa:2048", "-nodes", "-x509", "-days", "2"]
    own = ["-subj", subjects["ca"], "-keyout", "ca.key", "-out", "ca.pem"]
    signed = [
        *("-subj", subjects["broker"], "-keyout", "broker.key", "-out", "broker.pem"),
        *(
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    ]
    for more in (own, signed):
        command = [str(OPENSSL), "req", *common, *more]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "broker.key").chmod(0o644)
    return folder / name


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto, an MQTT broker, is missing")
    made = Broker(tmp_path)
    folder = certified(tmp_path / "tls", "ca.pem").parent
    more = f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
    made.config.write_text(made.config.read_text() + more)
    made.start()
    yield made
    made.stop()


def target(broker: Broker, ca: Path) -> MqttTarget:
    said = Mqtt(
        host="127.0.0.1",
        port=broker.port,
        user="house",
        password_env="BROKER_PASSWORD",  # noqa: S106 - the variable's name
        tls=True,
        ca_file=ca,
    )
    return MqttTarget(said, list)


MESSAGE = Message(1, "mqtt", "a", '{"id": "1"}', 0.0, 0)


def test_a_broker_behind_tls_is_told(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    mqtt = target(broker, broker.folder / "tls" / "ca.pem")
    mqtt.start()
    until(lambda: mqtt._client.is_connected())
    mqtt.tell(MESSAGE)
    mqtt.close()


def test_a_wrong_password_behind_tls_is_said(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "guess")
    mqtt = target(broker, broker.folder / "tls" / "ca.pem")
    mqtt.start()
    until(lambda: "check user and password" in caplog.text)
    mqtt.close()


def test_a_broker_of_another_authority_is_not_told_and_said_as_such(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    mqtt = target(broker, certified(tmp_path / "other", "ca.pem"))
    mqtt.start()
    until(lambda: "certificate" in why(mqtt))
    assert "ca_file" in why(mqtt), "the cure"
    mqtt.close()


def why(mqtt: MqttTarget) -> str:
    with pytest.raises(NotTold) as told:
        mqtt.tell(MESSAGE)
    return str(told.value)


def test_a_ca_file_that_is_none_is_said(tmp_path: Path) -> None:
    for ca in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(InputError, match=r"ca_file.*pem"):
            MqttTarget(Mqtt(host="127.0.0.1", tls=True, ca_file=ca / "x.pem"), list)
