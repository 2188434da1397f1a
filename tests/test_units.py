"""The systemd units: what systemd itself says of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[1] / "deploy").glob("*.service"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    assert "/opt/mien/bin/mien" in text
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/opt/mien/bin/mien", sys.executable))
    asked = ["systemd-analyze", "verify", "--recursive-errors=no", str(copy)]
    said = subprocess.run(asked, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
