"""Batches that are stopped: by Ctrl-C, by kill -9 at random moments; and the command as people use it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from background import until
from batch import archives
from commands import MIEN, Inside
from mien.batch import BatchSummary, run_batch
from mien.cli.batch import exit_code
from mien.types import U8

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

KILLS = int(
    os.environ.get("MIEN_KILLS", "3")
)  # 20 is as thorough as a release wants it
QUICK = ("--only", "identity", "--jobs", 2, "--device", "cpu")
SCRIPT = """
import sys
from pathlib import Path
from mien.batch import BatchOptions, run_batch

if __name__ == "__main__":
    choices = {"only": ("identity",), "device": "cpu"}
    run_batch([sys.argv[1]], Path(sys.argv[2]), BatchOptions(choices, jobs=2, shard_files=2))
"""


def start(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_gone(group: int) -> bool:
    """Whether all processes of a session have ended."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


class Undisturbed(NamedTuple):
    """Photos, the result of a run that nobody stopped, and how long that took."""

    photos: Path
    result: Path
    took_s: float


@pytest.fixture(scope="module")
def undisturbed(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    photos, result = folder / "photos", folder / "result"
    archives.write_photos(photos, astronaut, 96)
    (folder / "script.py").write_text(SCRIPT)
    begin = time.monotonic()
    run = start(sys.executable, folder / "script.py", photos, result)
    assert run.wait(300) == 0
    return Undisturbed(photos, result, time.monotonic() - begin)


@pytest.mark.slow
def test_the_command(astronaut: U8, tmp_path: Path, inside: Inside) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    archives.write_photos(photos, astronaut, 3)
    (photos / "bad.jpg").write_bytes(b"bad")
    command = (
        "batch",
        photos,
        tmp_path / "missing",
        "-o",
        out,
        "--only",
        "identity",
        "--jobs",
        1,
    )
    first = inside(*command)
    assert (first.returncode, first.stdout) == (1, "")
    assert "bad.jpg is no picture" in first.stderr
    assert "missing: No such file" in first.stderr
    assert "4 files analysed, 2 faces, 2 failed" in first.stderr
    report = inside("report", out, "--format", "json")
    assert '"photos": 4' in report.stdout
    assert report.returncode == 0
    nothing = inside("batch", tmp_path / "missing", "-o", out)
    assert "missing" in nothing.stderr
    assert nothing.returncode == 2


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (BatchSummary(analyzed=3), 0),
        (BatchSummary(unchanged=3, failed_before=1), 0),
        (BatchSummary(analyzed=1, errors=["missing"]), 1),
        (BatchSummary(analyzed=2, failed=1, errors=["bad"]), 1),
        (BatchSummary(unchanged=1, errors=["missing"]), 1),
        (BatchSummary(analyzed=2, failed=2, errors=["bad", "bad"]), 2),
    ],
)
def test_exit_codes(summary: BatchSummary, code: int) -> None:
    assert exit_code(summary) == code


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_broken(undisturbed: Undisturbed, tmp_path: Path) -> None:
    photos, out = undisturbed.photos, tmp_path / "out"
    running = start(*MIEN, "batch", photos, "-o", out, "--gallery", "none", *QUICK)
    while running.poll() is None and not list(out.glob("sources/part-*")):
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to every process
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    until(partial(is_gone, running.pid))
    done = len(archives.rows(out, "sources"))
    assert 0 < done < 96
    summary = run_batch([str(photos)], out, archives.options(jobs=2))
    assert (summary.analyzed, summary.unchanged) == (96 - done, done)
    assert archives.same_rows(out, undisturbed.result)


@pytest.mark.slow(40)
def test_killed_at_random_moments_the_rows_are_those_of_an_undisturbed_run(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    photos, fresh, whole_run_s = undisturbed
    out, script = tmp_path / "out", fresh.with_name("script.py")
    chance = random.Random(os.environ.get("MIEN_SEED", "8"))
    done = [0]
    for moment in range(KILLS):
        running = start(sys.executable, script, photos, out)
        if (
            moment % 2
        ):  # however long the start takes on a busy machine, some are killed in the middle of the work
            while (
                running.poll() is None
                and len(list(out.glob("sources/part-*"))) <= done[-1]
            ):
                time.sleep(0.01)
            time.sleep(whole_run_s * chance.uniform(0, 0.1))
        else:
            time.sleep(whole_run_s * chance.uniform(0.3, 0.6))
        running.kill()  # the owner only: its workers have to notice
        running.communicate()
        until(partial(is_gone, running.pid))
        done.append(len(list(out.glob("sources/part-*"))))
    assert sorted(done) == done
    assert done[-1] > 0
    assert start(sys.executable, script, photos, out).wait(300) == 0
    assert archives.same_rows(out, fresh)
    assert len(archives.rows(out, "sources")) == 96
    assert archives.debris(out) == []
