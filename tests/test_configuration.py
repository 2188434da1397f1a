"""One tree of settings: what docs/configuration.md says of it is so, and every limit of the service can be reached."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from commands import Inside
from mien import said, store
from mien.cli import serve
from mien.config import Settings, load_settings, serve_settings
from mien.errors import InputError
from mien.limits import Limits
from mien.said import ServeSettings, read_said
from mien.server.settings import ServerSettings
from mien.train.keras.architectures import ARCHITECTURES, check_weights
from mien.train.learners import IMAGENET

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
_ROW = re.compile(r"^\| `([\w.]+)` \| (\S+) \| `(\w+)` \| (.+) \|$", re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings in the environment; its mien.toml is what a test writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name in ("MIEN_CACHE", "MIEN_DATA", "MIEN_OFFLINE", "MIEN_GALLERY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def tree() -> Iterator[tuple[str, Any]]:
    """Every key with its value where nothing is said; None for none, or where it depends on the machine."""
    for setting in fields(Settings):
        yield setting.name, setting.default
    for name, field in ServeSettings.model_fields.items():
        if name != "limits":
            yield f"serve.{name}", field.default
    for limit in fields(Limits):
        default = None if limit.default is MISSING else limit.default
        yield f"serve.limits.{limit.name}", default


def test_the_page_and_the_tree_agree() -> None:
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    told = {}
    for key, default, variable, _ in rows:
        assert variable == f"MIEN_{key.upper().replace('.', '__')}"
        plain = default.strip("`")
        plain = plain if plain.startswith('"') else plain.replace("_", "")
        told[key] = None if default == "–" else json.loads(plain)
    expected = {
        key: list(value) if isinstance(value, tuple) else value for key, value in tree()
    }
    assert told == expected
    assert len(told) == len(rows)


def test_every_limit_is_reached_by_the_file_and_by_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [field.name for field in fields(Limits)]
    lines = [f"{name} = {i + 1}" for i, name in enumerate(names)]
    (here / "mien.toml").write_text("[serve.limits]\n" + "\n".join(lines))
    limits = serve_settings().limits
    assert [getattr(limits, name) for name in names] == [*range(1, len(names) + 1)]
    for name in names:
        monkeypatch.setenv(f"MIEN_SERVE__LIMITS__{name.upper()}", "77")
    limits = serve_settings().limits
    assert {getattr(limits, name) for name in names} == {77}


def test_the_environment_comes_before_the_file_key_by_key(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mien.toml").write_text(
        'detector = "hog"\n[serve]\nport = 81\nhosts = ["a"]\n[serve.limits]\nfiles = 3'
    )
    monkeypatch.setenv("MIEN_SERVE__PORT", "82")
    monkeypatch.setenv("MIEN_SERVE__ORIGINS", '["http://b"]')
    monkeypatch.setenv("MIEN_SERVE__LIMITS__URL_S", "2.5")
    assert load_settings().detector == "hog"
    found = serve_settings()
    assert (found.port, found.hosts) == (82, ("a",))
    assert found.origins == ("http://b",)
    limits = found.limits
    assert (limits.files, limits.url_s, limits.waiting) == (3, 2.5, 64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serve.limits]\nvideo_seconds = 3", r"serve\.limits\.video_seconds"),
        ("[serve.limits]\nvideo_s = 0", r"serve\.limits\.video_s: .*greater than 0"),
        ("[serve]\nport = 70000", r"serve\.port"),
        ("[serve]\nhots = ['a']", r"serve\.hots"),
        ('min_face = "small"', "min_face"),
    ],
)
def test_a_setting_that_cannot_be_is_named(here: Path, text: str, words: str) -> None:
    (here / "mien.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        load_settings()


def test_where_things_are_kept_stands_in_the_file_too(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not store.is_offline()
    (here / "mien.toml").write_text('cache = "c"\ndata = "d"\noffline = true')
    found = load_settings()
    assert (store.cache_dir(), store.data_dir()) == (found.cache, found.data)
    assert (found.cache, found.data) == (Path("c"), Path("d"))
    assert store.is_offline()
    assert found.offline
    monkeypatch.setenv("MIEN_DATA", "e")
    monkeypatch.setenv("MIEN_OFFLINE", "0")
    assert store.data_dir() == Path("e") == load_settings().data
    assert not store.is_offline()


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("MIEN_DATA", "d", False),
        ("MIEN_DETECTOR", "", False),
        ("MIEN_DETECTOR", "hog", True),
        ("mien_detector", "hog", True),
        ("MIEN_SERVE__PORT", "81", True),
    ],
)
def test_pydantic_reads_settings_only_where_something_is_said(
    here: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, read: bool
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        said, "read_said", lambda *args: asked.append(args) or read_said(*args)
    )
    monkeypatch.setenv(variable, value)
    found = load_settings()
    assert bool(asked) == read
    checked = read_said(Settings)
    assert all(
        getattr(checked, one.name) == getattr(found, one.name)
        for one in fields(Settings)
    )
    (here / "mien.toml").write_text("crops = 12")
    assert load_settings().crops == 12


def test_offline_keras_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    pretrained = next(one for one in ARCHITECTURES.values() if one.pretrained)
    with pytest.raises(InputError, match="MIEN_OFFLINE is set"):
        check_weights(pretrained, IMAGENET)


def test_options_of_the_service_come_first(
    inside: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[ServerSettings] = []
    monkeypatch.setattr(serve, "_run", lambda _, settings: told.append(settings))
    (here / "mien.toml").write_text(
        "[serve]\nport = 81\nurls = true\nkeep_unknown_days = 3\n"
        "[serve.limits]\nrequests_per_minute = 5\nfiles = 2"
    )
    assert inside("serve", "--data", here).returncode == 0
    assert inside("serve", "--port", 82, "--rate", 0, "--data", here).returncode == 0
    usual, given = told
    assert (usual.port, usual.urls, usual.keep_unknown_days) == (81, True, 3)
    assert (usual.limits.requests_per_minute, usual.limits.files) == (5, 2)
    assert (given.port, given.urls) == (82, True)
    assert (given.limits.requests_per_minute, given.limits.files) == (0, 2)
