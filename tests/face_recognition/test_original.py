"""The published test-suite of face_recognition 1.3.0, unchanged, against ours."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

TEST_COUNT = 30


@pytest.mark.slow(60)
def test_the_original_tests_pass_without_dlib(
    original_tests: Path, without_dlib: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    environment = {**os.environ, "PYTHONPATH": str(without_dlib)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(original_tests),
    ]
    command += [
        f"--junitxml={report}",
        str(original_tests / "test_face_recognition.py"),
    ]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=original_tests.parent,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    suite = ElementTree.parse(report).getroot().find("testsuite")  # noqa: S314 - written by our own pytest
    assert suite is not None
    counts = {
        name: int(suite.attrib[name])
        for name in ("tests", "failures", "errors", "skipped")
    }
    assert counts == {"tests": TEST_COUNT, "failures": 0, "errors": 0, "skipped": 0}


@pytest.mark.slow
def test_dlib_is_really_out_of_reach(without_dlib: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(without_dlib)}
    for code, status in (("import dlib", 1), ("import face_recognition", 0)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
