"""A decoder that crashes, hangs or eats memory takes nothing else with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mien.errors import InputError
from mien.media import apart, images
from mien.media.apart import Decoders
from mien.types import U8

from .harness import Client, Start, encoded


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders()
    yield made
    made.close()


def picture(suffix: str) -> tuple[bytes, U8]:
    image = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    content = encoded(image, suffix)
    return content, images.read_image(content)


def test_what_is_plain_needs_no_process() -> None:
    decoders = Decoders()
    for suffix in (".jpg", ".png", ".webp"):
        content, expected = picture(suffix)
        assert apart.is_plain(content)
        np.testing.assert_array_equal(decoders.read(content, max_pixels=9999), expected)
    assert decoders._idle == []


def test_others_are_the_same_from_a_process(decoders: Decoders) -> None:
    for suffix in (".bmp", ".tiff", ".jp2"):
        content, expected = picture(suffix)
        assert not apart.is_plain(content)
        np.testing.assert_array_equal(decoders.read(content, max_pixels=9999), expected)
    (child,) = decoders._idle
    content, _ = picture(".bmp")
    with pytest.raises(InputError, match="megapixels"):
        decoders.read(content, max_pixels=100)
    with pytest.raises(InputError, match="damaged or cut off"):
        decoders.read(content[:-3000], max_pixels=9999)
    assert decoders._idle == [child]  # it said what is wrong, and goes on


def hit_while_it_reads(decoders: Decoders, how: int) -> subprocess.Popen[bytes]:
    """The idle one is stopped, and hit once a picture is given to it."""
    (child,) = decoders._idle
    child.send_signal(signal.SIGSTOP)

    def hit() -> None:
        while decoders._idle:
            time.sleep(0.01)
        child.send_signal(how)
        if how != signal.SIGSTOP:
            child.send_signal(
                signal.SIGCONT
            )  # what is stopped gets others than SIGKILL then

    threading.Thread(target=hit).start()
    return child


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_a_decoder_that_fails_is_told_and_replaced(
    how: int, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, expected = picture(".bmp")
    decoders.read(content, max_pixels=9999)
    child = hit_while_it_reads(decoders, how)
    monkeypatch.setattr(apart, "_WAIT_S", 1.0)
    with pytest.raises(InputError, match="made its decoder fail"):
        decoders.read(content, max_pixels=9999)
    assert child.poll() is not None
    monkeypatch.undo()
    np.testing.assert_array_equal(decoders.read(content, max_pixels=9999), expected)


def test_who_was_killed_while_idle_fails_no_picture(decoders: Decoders) -> None:
    """Where memory is short, processes that do nothing are killed first."""
    content, expected = picture(".bmp")
    decoders.read(content, max_pixels=9999)
    (child,) = decoders._idle
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    np.testing.assert_array_equal(decoders.read(content, max_pixels=9999), expected)
    assert child not in decoders._idle


def test_the_process_has_limits(decoders: Decoders) -> None:
    content, _ = picture(".bmp")
    decoders.read(content, max_pixels=9999)
    (child,) = decoders._idle
    limits = Path(f"/proc/{child.pid}/limits").read_text()
    for name, most in (("address space", apart.MEMORY), ("file size", 0)):
        (line,) = [row for row in limits.splitlines() if row.startswith(f"Max {name}")]
        assert int(line.split()[3]) <= most


def test_the_service_lives(client: Client) -> None:
    content, _ = picture(".bmp")
    assert client.analyze(content).status_code == 200
    hit_while_it_reads(client.service.decoders, signal.SIGKILL)
    answer = client.analyze(content)
    assert answer.status_code == 422
    assert "made its decoder fail" in answer.json()["detail"]
    assert client.analyze(content).status_code == 200


def test_wrong_keys_are_counted_by_address(start: Start, tmp_path: Path) -> None:
    from mien.server import KeyFile
    from mien.server.security import place_of

    client = start(host="0.0.0.0", limits={"wrong_keys_per_minute": 60})  # noqa: S104
    _, right = KeyFile(tmp_path / "keys.json").add("door", "read")

    def ask(secret: str) -> int:
        head = {"authorization": f"Bearer {secret}"}
        return client.http.get("/v1/people", headers=head).status_code

    answers = [ask(f"mien_{k}") for k in range(12)]
    assert answers[:10] == [401] * 10
    assert answers[-1] == 429
    assert ask(right) == 200
    assert place_of("2001:db8::1") == place_of("2001:db8::ffff")
    assert place_of("10.0.0.1") != place_of("10.0.0.2")


def test_what_admins_do_is_noted_without_names(
    start: Start, photo: bytes, tmp_path: Path
) -> None:
    from mien.server import KeyFile

    client = start(host="0.0.0.0")  # noqa: S104
    keys = KeyFile(tmp_path / "keys.json")
    admin, secret = keys.add("boss", "admin")
    reader, other = keys.add("door", "read")
    for key in (secret, other, "mien_wrong"):
        client.http.post(
            "/v1/people",
            data={"name": "Ada Lovelace"},
            files={"file": photo},
            headers={"authorization": f"Bearer {key}"},
        )
    client.http.get("/v1/people", headers={"authorization": f"Bearer {secret}"})
    file = client.settings.data / "audit.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    told = [(row["key"], row["route"], row["status"]) for row in rows]
    assert told == [
        (admin.id, "/v1/people", 201),
        (reader.id, "/v1/people", 403),
    ]
    assert "Ada" not in file.read_text()
