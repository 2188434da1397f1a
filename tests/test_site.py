"""The documentation as a site: built without a dead link, with every command, read without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mien.cli import app

ROOT = Path(__file__).parents[1]
_FETCHED = re.compile(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:[^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=quiet, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_command_has_its_place(site: Path) -> None:
    page = (site / "commands.html").read_text(encoding="utf-8")
    top = typer.main.get_command(app)
    names = top.list_commands(top.make_context("mien", ["doctor"]))  # type: ignore[attr-defined]
    assert {"analyze", "watch"} <= set(names)
    assert [name for name in names if f">mien {name}<" not in page] == []


@pytest.mark.slow
def test_every_route_has_its_place(site: Path) -> None:
    page = (site / "http.html").read_text(encoding="utf-8")
    for route in ("POST /v1/analyze", "GET /v1/people", "DELETE /v1/jobs/{job_id}"):
        assert f">{route}<" in page


@pytest.mark.slow
def test_every_command_has_a_manual_page(tmp_path: Path) -> None:
    words = [sys.executable, ROOT / "docs" / "man.py", tmp_path]
    subprocess.run(words, check=True, cwd=tmp_path)
    top = typer.main.get_command(app)
    names = top.list_commands(top.make_context("mien", ["doctor"]))  # type: ignore[attr-defined]
    assert [name for name in names if not (tmp_path / f"mien-{name}.1").exists()] == []
    text = (tmp_path / "mien-analyze.1").read_text(encoding="utf-8")
    assert "\\-\\-draw" in text
    man = shutil.which("groff")
    if man is not None:
        told = subprocess.run(
            [man, "-man", "-Kutf8", "-Tutf8", "-ww", tmp_path / "mien-analyze.1"],
            capture_output=True,
            text=True,
        )
        assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert len(pages) > 12
    fetched = {
        address
        for page in pages
        for address in _FETCHED.findall(page.read_text(encoding="utf-8"))
    }
    assert fetched == set()
