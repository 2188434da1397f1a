"""Where people are when no gallery is named: one place for all commands, the server and nobody else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.cli.options import SharedOptions
from mien.config import gallery_place
from mien.errors import GalleryError, InputError
from mien.gallery import check_there, kind_of, make_gallery
from mien.pipeline import Analyzer
from mien.server.run import check_port
from server.harness import EVERYWHERE

Inside = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MIEN_GALLERY", raising=False)
    return tmp_path / "data"


def test_nobody_is_there_until_somebody_is_enrolled(data: Path) -> None:
    assert gallery_place(None) is None
    assert not data.exists()
    place = gallery_place(None, make=True)
    assert place == str(data / "people.db")
    assert gallery_place(None) == place
    assert (
        data.stat().st_mode & 0o777,
        (data / "people.db").stat().st_mode & 0o777,
    ) == (0o700, 0o600)


def test_an_empty_gallery_says_which_it_is(inside: Inside, tmp_path: Path) -> None:
    place = tmp_path / "team.db"
    make_gallery(str(place))
    told = inside("people", "--gallery", place).stdout.replace("\n", " ")
    assert told.replace(" ", "").startswith(f"nobodyin{place}yet;")
    assert "--gallery names another place" in told
    secret = SharedOptions(gallery="postgresql://me:secret@db/mien")
    assert secret.place_in_words() == "postgresql://…@db/mien"


def test_none_is_nobody_though_there_are_people(data: Path) -> None:
    gallery_place(None, make=True)
    assert gallery_place("none") is None
    assert gallery_place("none", make=True) is None


def test_the_environment_comes_before_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery_place(None, make=True)
    make_gallery(str(tmp_path / "team.db"))
    monkeypatch.setenv("MIEN_GALLERY", str(tmp_path / "team.db"))
    assert gallery_place(None) == str(tmp_path / "team.db")
    make_gallery(str(tmp_path / "mine"))
    assert gallery_place(str(tmp_path / "mine")) == str(tmp_path / "mine")
    monkeypatch.setenv("MIEN_GALLERY", "none")
    assert gallery_place(None, make=True) is None


@pytest.mark.parametrize("name", ["typo.db", "typo", "a/b/typo.db"])
def test_who_reads_is_told_of_a_gallery_that_is_not_there(
    name: str, tmp_path: Path
) -> None:
    place = str(tmp_path / name)
    with pytest.raises(GalleryError, match="there is no gallery at"):
        gallery_place(place)
    with pytest.raises(GalleryError, match="there is no gallery at"):
        check_there(place)
    assert gallery_place(place, make=True) == place
    check_there(place)


def test_python_refuses_it_too_and_has_none_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="there is no gallery at"):
        Analyzer(gallery=tmp_path / "typo.db", only=["identity"])
    gallery_place(None, make=True)
    assert Analyzer(only=["identity"]).gallery is None


def test_none_is_nobody_in_python_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Analyzer(gallery="none", only=["identity"]).gallery is None
    with pytest.raises(GalleryError, match="none is the name of no gallery"):
        kind_of("none")
    assert kind_of("./none") == "folder"


def test_a_name_no_file_can_have_is_an_error_of_ours() -> None:
    with pytest.raises(GalleryError, match="too long"):
        check_there("x" * 300)


def test_a_port_that_is_taken_is_told_in_words() -> None:
    told = pytest.raises(InputError, match="is taken; does 'mien serve' run already")
    with socket.create_server(("127.0.0.1", 0)) as taken, told:
        check_port("127.0.0.1", taken.getsockname()[1])
    check_port("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        (EVERYWHERE, "http://127.0.0.1:8123"),
        ("::1", "http://[::1]:8123"),
    ],
)
def test_serve_tells_a_terminal_what_to_open(
    host: str, address: str, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[str] = []
    monkeypatch.setattr("mien.server.run.check_port", lambda host, port: None)
    monkeypatch.setattr(
        "mien.server.run.run",
        lambda settings, analyzer, level: served.append(settings.host),
    )
    monkeypatch.setattr(SharedOptions, "analyzer", lambda self: Silent())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told = inside("serve", "--host", host, "--port", "8123").stderr
    assert told.splitlines()[0] == f"open {address} in a browser; Ctrl-C ends it"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert inside("serve", "--host", host, "--port", "8123").stderr == ""
    assert served == [host, host]


def test_serve_takes_what_the_file_says_that_it_watches(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "house.db")
    file = tmp_path / "house.toml"
    file.write_text(
        f"gallery = {json.dumps(place)}\nonly_here = 1\n[serve]\nport = 0\nurls = true\n"
    )
    served: list[tuple[str | None, bool]] = []
    monkeypatch.setattr(
        "mien.cli.serve._run",
        lambda shared, settings: served.append((shared.gallery, settings.urls)),
    )
    assert "only_here" in inside("serve", "--watch", file).stderr
    file.write_text(file.read_text().replace("only_here = 1\n", ""))
    assert inside("serve", "--watch", file).returncode == 0
    inside("serve", "--watch", file, "--gallery", "none")
    assert served == [(place, True), ("none", True)]
    lost = inside("serve", "--watch", tmp_path / "nowhere.toml")
    assert "write one with [[cameras]]" in lost.stderr


def test_what_is_to_be_told_may_be_said_in_one_or_several() -> None:
    options = SharedOptions(only=["age, gender", "emotion"], attributes=["glasses"])
    assert options.parts() == ("age", "gender", "emotion")
    assert options.with_live().parts() == ("age", "gender", "emotion", "live")
    assert options.with_live().choices()["attributes"] == ["glasses", "live"]


def test_keys_lie_where_serve_is_told(tmp_path: Path, inside: Inside) -> None:
    place = ["serve", "--data", tmp_path / "srv"]
    assert "no keys yet" in inside(*place, "key", "list").stderr
    inside(*place, "key", "add", "door")
    assert "door" in inside("serve", "key", "list", "--data", tmp_path / "srv").stdout


class Silent:
    """An analyzer that loads nothing."""

    gallery = None
