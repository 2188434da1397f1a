"""The log of what admins did: bounded, and nobody's work fails by it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mien.server import audit
from mien.server.audit import AuditLog


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 200)
    log = AuditLog(tmp_path)
    for number in range(40):
        log.note(did=f"thing {number}")
    files = [tmp_path / "audit.jsonl.1", tmp_path / "audit.jsonl"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size < 300 for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    lines = [json.loads(line) for file in files for line in file.open()]
    told = [line["did"] for line in lines]
    assert told == [f"thing {number}" for number in range(40 - len(told), 40)]


def test_where_it_cannot_be_written_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    AuditLog(tmp_path).note(did="something")
    (tmp_path / "file").touch()
    AuditLog(tmp_path / "file").note(did="something")
    assert caplog.text.count("the audit log cannot be written") == 2
