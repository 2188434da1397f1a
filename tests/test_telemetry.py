"""Nothing phones home: no library we load looks up a name, opens a connection or leaves an identity."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from background import free_port
from mien import runtime
from mien.types import U8
from server.harness import write_clip

ROOT = Path(__file__).parents[1]
LIVES_S = (
    20  # ONNX Runtime's telemetry looks up its collector some 10 s after it is loaded
)

# Where ONNX Runtime sees one of these it sends nothing, and a test would prove nothing.
IN_CI = (
    "CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS", "JENKINS_URL", "CODEBUILD_BUILD_ID",
    "BUILDKITE", "TEAMCITY_VERSION", "KUBERNETES_SERVICE_HOST",
)  # fmt: skip
ELSEWHERE = re.compile(
    r'(connect|sendto|sendmsg|sendmmsg)\(.*(htons\(53\)|inet_addr\("(?!127\.)|inet_pton\(AF_INET6, "(?!::1"))'
)
TELEMETRY = re.compile(
    r'openat\(.*"[^"]*(Microsoft|onnxruntime\.db|deviceid|usage_stats)'
)


class Watch:
    """Notes what the environment says at the moment a module is looked for, and says that it is not there."""

    def __init__(self, module: str, variable: str) -> None:
        self.module, self.variable = module, variable
        self.seen: list[str | None] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.module:
            self.seen.append(os.environ.get(self.variable))
            raise ModuleNotFoundError(name)


def test_telemetry_is_off_before_onnx_runtime_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch("onnxruntime", "ORT_DISABLE_TELEMETRY")
    monkeypatch.setattr(sys, "meta_path", [watch, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with pytest.raises(ModuleNotFoundError):
        runpy.run_path(str(runtime.__file__))
    assert watch.seen == ["1"]


def test_a_library_that_was_loaded_before_us_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert "onnxruntime" in sys.modules
    runpy.run_path(str(runtime.__file__))
    assert "set ORT_DISABLE_TELEMETRY=1 before" in caplog.text


def test_ray_starts_without_usage_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    from mien.batch import cluster
    from mien.errors import MienError

    watch = Watch("ray", "RAY_USAGE_STATS_ENABLED")
    monkeypatch.setattr(sys, "meta_path", [watch, *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    for name in cluster._QUIET:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MienError, match="needs Ray"):
        cluster.connect("local")
    assert watch.seen == ["0"]


def test_nobody_else_loads_onnx_runtime() -> None:
    files = [
        file
        for place in ("src", "training", "benchmarks")
        for file in (ROOT / place).rglob("*.py")
    ]
    importing = re.compile(r"^\s*(import|from) onnxruntime", re.MULTILINE)
    assert [file.name for file in files if importing.search(file.read_text())] == [
        "runtime.py"
    ]


class Traced:
    """A program under strace, with a home of its own and nothing in its environment that keeps libraries quiet.

    It does something and lives on until telemetry would have shown itself.
    """

    def __init__(self, home: Path, code: str) -> None:
        home.mkdir()
        self.home, self.trace, self.log = (
            home,
            home.with_suffix(".strace"),
            home.with_suffix(".log"),
        )
        env = {
            name: value
            for name, value in os.environ.items()
            if name not in {*IN_CI, "ORT_DISABLE_TELEMETRY"}
        }
        env = {
            **env,
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "MIEN_CACHE": str(home / "mien"),
        }
        strace = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-e",
            "trace=network,openat",
            "-o",
            str(self.trace),
        ]
        with self.log.open("wb") as log:
            command = [*strace, sys.executable, "-c", code]
            self.popen = subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def lines(self, pattern: re.Pattern[str]) -> list[str]:
        return [
            line for line in self.trace.read_text().splitlines() if pattern.search(line)
        ]

    def strange_files(self) -> list[Path]:
        ours = self.home / "mien"
        return [
            file
            for file in self.home.rglob("*")
            if file.is_file() and not file.is_relative_to(ours)
        ]


def _lasting(code: str) -> str:
    return f"import time; end = time.time() + {LIVES_S}; {code}; time.sleep(max(0, end - time.time()))"


def _command(*arguments: str) -> str:
    return f"from mien.cli import app; app({list(arguments)!r}, standalone_mode=False)"


@pytest.mark.slow(20)
@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is missing: 'apt-get install strace'"
)
def test_nothing_is_looked_up_or_connected_to(
    astronaut: U8, astronaut_file: Path, tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "film.mp4", astronaut, seconds=2)
    port = free_port()
    stop = f"import os, signal, threading; threading.Timer({LIVES_S}, os.kill, (os.getpid(), signal.SIGTERM)).start()"
    serve = _command("serve", "--port", str(port), "--data", str(tmp_path / "data"))
    drop_in = f"import face_recognition as f; f.face_encodings(f.load_image_file({str(astronaut_file)!r}))"
    programs = {
        "analyze": _lasting(_command("analyze", str(astronaut_file))),
        "live": _lasting(_command("live", str(film), "--no-window", "--stats")),
        "drop-in": _lasting(drop_in),
        "serve": f"{stop}; {serve}",
    }
    traced = {name: Traced(tmp_path / name, code) for name, code in programs.items()}
    assert _analyzed_over_http(port, astronaut_file) == 200
    for name, program in traced.items():
        assert program.popen.wait(timeout=90) in {0, -signal.SIGTERM}, (
            f"{name}: {program.log.read_text()}"
        )
        assert program.lines(re.compile("openat")), name
        assert program.lines(ELSEWHERE) == [], name
        assert program.lines(TELEMETRY) == [], name
        assert program.strange_files() == [], name


def _analyzed_over_http(port: int, photo: Path) -> int:
    """The status of a photo's analysis by the service, which may take its time to start."""
    transport = httpx.HTTPTransport(retries=0)
    until = time.monotonic() + LIVES_S
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=LIVES_S
    ) as client:
        while time.monotonic() < until:
            try:
                return client.post(
                    "/v1/analyze", files={"file": photo.read_bytes()}
                ).status_code
            except httpx.ConnectError:
                time.sleep(0.2)
    return 0
