"""What a mien.toml may say about cameras, and what is said of one that is wrong."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from commands import Inside
from mien.errors import InputError
from mien.pipeline import Analyzer
from mien.watch.cameras import read_hours, within
from mien.watch.settings import read_file
from mien.watch.watcher import Watcher

DOOR = '[[cameras]]\nname = "door"\nsource = "rtsp://10.0.0.7/1"\n'


def said(folder: Path, text: str) -> Path:
    file = folder / "mien.toml"
    file.write_text(text)
    file.chmod(0o644)
    return file


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no camera; add [[cameras]] with name"),
        (DOOR + 'idle_source = "small"', "idle_source: the address of a small stream"),
        (
            DOOR + 'idle_source = "rtsp://me:secret@10.0.0.7/2"',
            "camera 'door': its source holds a password and others can read",
        ),
        ('[[cameras]]\nname = "door"\nsource = "' + "9" * 5000 + '"', "one from 0 to"),
        ('[[cameras]]\nname = "door"\nsource = 10000', "one from 0 to"),
        ('[[cameras]]\nname = "door"\nsource = ' + "9" * 5000, "cannot read"),
        (DOOR + DOOR, "two cameras are called 'door'; rename one"),
        (
            DOOR + "sorce = 1",
            "camera door: there is no key 'sorce'; did you mean 'source'",
        ),
        (DOOR.replace("cameras", "camera"), "there is no key 'camera'; did you mean"),
        ('[[cameras]]\nname = "door"', "camera door: source: Field required"),
        ('[[cameras]]\nname = " "\nsource = 0', "printable characters"),
        (DOOR + "turn = 45", "camera door: turn: Input should be 0, 90, 180 or 270"),
        (DOOR + 'hours = ["late"]', "camera door: hour 1: 'late' is no time; write"),
        (DOOR + 'hours = ["dom 8:00-9:00"]', "'dom' is no day; days are mon, tue"),
        (DOOR + 'hours = ["8:00-25:00"]', "there is no 25:00"),
        (
            DOOR + 'zones = [{name = "gate", look = [[0, 0], [1.2, 0], [1, 1]]}]',
            "camera door: zone gate: the point [1.2, 0] lies outside the picture",
        ),
        (
            DOOR + "zones = [{leave_out = [[0, 0], [1, 0]]}]",
            "camera door: zone 1: a zone needs three points",
        ),
        (
            DOOR + "zones = [{look = [[0, 0], [1, 0], [1, 1]]}]",
            "a zone to look at needs a name",
        ),
        (
            DOOR + 'zones = [{name = "x", look = [[0,0],[1,0],[1,1]], to = 1}]',
            "camera door: zone x: there is no key 'to'",
        ),
        (
            DOOR + 'user = "me"\npassword_env = "NO_SUCH_SECRET"',
            "camera 'door': the environment has no NO_SUCH_SECRET",
        ),
        (DOOR + 'password_env = "X"', "camera door: a password needs a user"),
        (
            DOOR.replace("10.0", "me:hushhush@10.0"),
            "its source holds a password and others can read",
        ),
        (DOOR + '[watch]\nkeep_pictures = "all"', "watch: keep_pictures: Input should"),
        (DOOR + "[watch]\nkeep_clips = 5", "say keep_days, too"),
        (DOOR + "[watch]\nkeep_clips = 5\nkeep_days = 0", "say keep_days, too"),
        (DOOR + "[watch]\nkeep_clips = 60", "watch: keep_clips: Input should be less"),
        (DOOR + "[watch]\nkeep_days = -1", "watch: keep_days: Input should be greater"),
        ('[[cameras]]\nname = "a"\nsource = "a.mp4"', "camera 'a': there is no file"),
        ("[[cameras", "cannot read"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    file = said(tmp_path, text)
    with pytest.raises(InputError) as failed:
        read_file(file)
    assert sentence in str(failed.value)
    assert str(file) in str(failed.value)
    assert "hushhush" not in str(failed.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as failed:
        read_file(said(tmp_path, DOOR + "turn = 45\nflop = true"))
    assert len(str(failed.value).splitlines()) == 2


def test_settings_of_other_commands_may_stand_in_the_file(tmp_path: Path) -> None:
    text = f'gallery = "people.db"\ntolerance = 0.5\n{DOOR}'
    assert [c.name for c in read_file(said(tmp_path, text)).cameras] == ["door"]


def test_a_password_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR_PASSWORD", "p@ss/word")
    text = DOOR + 'user = "me"\n'
    file = said(tmp_path, text + 'password_env = "DOOR_PASSWORD"')
    assert read_file(file).cameras[0].uri == "rtsp://me:p%40ss%2Fword@10.0.0.7/1"
    secret = tmp_path / "secret"
    secret.write_text("p@ss\n")
    file = said(tmp_path, text + 'password_file = "secret"')
    secret.chmod(0o640)
    with pytest.raises(InputError, match=r"others can read .*chmod 600"):
        read_file(file)
    secret.chmod(0o600)
    camera = read_file(file).cameras[0]
    assert camera.uri == "rtsp://me:p%40ss@10.0.0.7/1"
    assert "p@ss" not in repr(camera)


@pytest.mark.parametrize(
    ("text", "moment", "on"),
    [
        ("8:00-18:00", "2026-11-27 12:00", True),
        ("8:00-18:00", "2026-11-27 18:00", False),
        ("22:00-6:00", "2026-11-27 23:30", True),
        ("22:00-6:00", "2026-11-27 05:59", True),
        ("22:00-6:00", "2026-11-27 12:00", False),
        ("mon-fri 8:00-18:00", "2026-11-28 12:00", False),  # a Saturday
        ("fri 22:00-6:00", "2026-11-28 03:00", True),
        ("fri 22:00-6:00", "2026-11-29 03:00", False),
        ("sat,sun 0:00-24:00", "2026-11-29 23:59", True),
        ("fri-mon 0:00-24:00", "2026-11-29 12:00", True),
    ],
)
def test_hours(text: str, moment: str, on: bool) -> None:
    at = datetime.fromisoformat(moment).timestamp()
    assert within([read_hours(text)], at) is on


def test_the_command_says_what_is_missing(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = inside("watch", "nowhere.toml")
    assert done.returncode == 2
    assert "there is no nowhere.toml; write one with [[cameras]]" in done.stderr


HOOK = '[[webhooks]]\nname = "house"\nurl = "http://10.0.0.2/hook"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[rules]]\nwho = "anybody"', "rules tell webhooks, and there is none"),
        (HOOK + HOOK, "two webhooks are called 'house'"),
        (
            HOOK + '[[rules]]\ntell = ["hose"]',
            "rule 1: there is no webhook 'hose'; did",
        ),
        (HOOK + '[[rules]]\ncameras = ["yard"]', "there is no camera 'yard'"),
        (HOOK.replace("http:", "ftp:"), "webhook house: url: ftp://"),
        (HOOK + 'secret_env = "NO_SUCH"', "webhook 'house': the environment has no"),
        (
            '[mqtt]\nhost = "b"\npassword_env = "NO_SUCH"',
            "mqtt: the environment has no",
        ),
        ('[mqtt]\nhost = "b"\nport = 0', "mqtt: port: Input should be greater"),
    ],
)
def test_what_is_wrong_with_telling_is_said(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(InputError) as failed:
        read_file(said(tmp_path, DOOR + text))
    assert sentence in str(failed.value)


def test_who_must_be_alive_needs_to_be_told_so(tmp_path: Path) -> None:
    watched = read_file(said(tmp_path, DOOR + "require_live = true"))
    blind = cast(Analyzer, SimpleNamespace(only=frozenset({"identity"})))
    with pytest.raises(InputError, match="'door': require_live needs the attribute"):
        Watcher(blind, watched, lambda _: None)
