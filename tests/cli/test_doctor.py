"""`mien doctor` says what is here, what is missing, and its cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Inside
from mien import __version__
from mien.cli import doctor
from mien.cli.doctor import Finding
from mien.zoo import ZOO


def findings(inside: Inside) -> tuple[int, dict[str, dict[str, str]]]:
    result = inside("doctor", "--json")
    return result.returncode, {row["name"]: row for row in json.loads(result.stdout)}


def test_a_sound_installation(inside: Inside) -> None:
    code, found = findings(inside)
    assert found["mien"] == {
        "name": "mien",
        "state": "ok",
        "detail": __version__,
        "cure": "",
    }
    assert {f"model {name}" for name in ZOO} <= found.keys()
    assert found["telemetry"]["state"] == "ok"
    assert all(row["cure"] for row in found.values() if row["state"] != "ok")
    assert code == (1 if any(row["state"] == "wrong" for row in found.values()) else 0)


def test_what_is_wrong_is_told_with_its_cure(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(
        "mien.installs.clashes",
        lambda: ("a and b are both in one folder; keep one: pip …",),
    )
    monkeypatch.setattr(doctor, "_EXTRAS", {"server": ("no_such_module",)})
    code, found = findings(inside)
    assert code == 1
    assert found["packages"] == {
        "name": "packages",
        "state": "wrong",
        "detail": "a and b are both in one folder",
        "cure": "keep one: pip …",
    }
    assert (found["data"]["state"], "MIEN_DATA" in found["data"]["cure"]) == (
        "wrong",
        True,
    )
    assert found["extra server"]["cure"] == "pip install 'mien[server]'"
    assert found["extra server"]["state"] == "missing"


def test_the_table_names_everything(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        doctor,
        "CHECKS",
        (lambda: iter([Finding("thing", "wrong", "[lost]", "look for it")]),),
    )
    result = inside("doctor")
    assert result.returncode == 1
    assert all(
        word in result.stdout for word in ("thing", "wrong", "[lost]", "look for it")
    )


def test_a_long_path_is_whole(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/" + "/".join(f"folder{i}" for i in range(20))
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(
        doctor, "CHECKS", (lambda: iter([Finding("data", "ok", path)]),)
    )
    lines = inside("doctor").stdout.splitlines()[1:]
    assert "".join(lines).replace("data", "").replace("ok", "").replace(" ", "") == path
