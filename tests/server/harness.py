"""What the tests of the service are made with: one in this process, one on a socket, one in its own process."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import onnx
from fastapi.testclient import TestClient
from onnx import TensorProto, helper, numpy_helper

from background import free_port, until
from mien import store
from mien.pipeline import PARTS, Analyzer
from mien.server import ServerSettings, create_app
from mien.server.run import make_server
from mien.types import U8
from mien.zoo import ZOO

SHARED = Path(
    os.environ.get("MIEN_SHARED", Path(__file__).parents[2].parent / "shared")
)
BASE = "http://127.0.0.1:8000"
LIVE = "ws://127.0.0.1:8000/v1/live"
EVERYWHERE = "0.0.0.0"  # noqa: S104
PARTS_HERE = PARTS if "attributes" in ZOO else ("identity",)


def fast_detector() -> str | None:
    """A quick detector's name where its weights are, else None (the default one)."""
    weights = SHARED / "weights" / "face_detection_yunet_2023mar.onnx"
    return store.import_file(weights).name if weights.is_file() else None


@dataclass
class Client:
    """A client of a running service and the service itself."""

    http: TestClient
    analyzer: Analyzer
    settings: ServerSettings

    @property
    def service(self):
        return self.http.app.state.service

    def analyze(self, *pictures: bytes, **query: object) -> httpx.Response:
        files = [("file", (f"{i}.jpg", picture)) for i, picture in enumerate(pictures)]
        return self.http.post("/v1/analyze", files=files, params=query)

    def enrol(self, name: str, picture: bytes, **fields: str) -> httpx.Response:
        return self.http.post(
            "/v1/people",
            data={"name": name, **fields},
            files=[("file", ("photo.jpg", picture))],
        )

    def wait(self, job_id: str) -> dict[str, object]:
        """The job when it has ended."""

        def ended() -> dict[str, object]:
            job = self.http.get(f"/v1/jobs/{job_id}").json()
            return job if job["state"] in {"done", "failed"} else {}

        return until(ended, every_s=0.1)


def with_gallery(models: Analyzer, place: Path | str) -> Analyzer:
    """The same networks with a gallery of their own."""
    analyzer = copy.copy(models)
    analyzer.gallery = analyzer._open(place)
    return analyzer


def encoded(image: U8, suffix: str = ".jpg") -> bytes:
    return bytes(cv2.imencode(suffix, image)[1].tobytes())


def takes(image: U8, count: int) -> list[bytes]:
    """Photos of one person that are not the same: each a little darker and cut a little closer."""
    height, width = image.shape[:2]
    cuts = [image[2 * i : height - 3 * i, 3 * i : width - 2 * i] for i in range(count)]
    return [
        encoded(np.clip(cut * (1 - 0.03 * i), 0, 255).astype(np.uint8))
        for i, cut in enumerate(cuts)
    ]


def write_clip(
    path: Path, image: U8, *, seconds: float, rate: int = 10, side: int = 320
) -> Path:
    """A video in which a photo moves slowly to and fro."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for i in range(round(seconds * rate)):
            moved = np.roll(small, round(6 * np.sin(i / 5)), axis=1)
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(
                        np.ascontiguousarray(moved), format="bgr24"
                    )
                )
            )
        container.mux(stream.encode(None))
    return path


def write_head(file: Path, labels: list[str], **metadata: str) -> Path:
    """A model that reads the backbone's descriptor and is always sure of its first label."""
    bias = np.zeros(len(labels), np.float32)
    bias[0] = 50
    constants = [
        numpy_helper.from_array(np.zeros((128, len(labels)), np.float32), "w"),
        numpy_helper.from_array(bias, "b"),
    ]
    nodes = [
        helper.make_node("Gemm", ["embedding", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"]),
    ]
    x = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 128])
    y = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", len(labels)])
    graph = helper.make_graph(nodes, "head", [x], [y], constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    own = {
        "labels": json.dumps(labels),
        "preprocessing": json.dumps({"reads": "backbone"}),
        **metadata,
    }
    helper.set_model_props(model, own)
    onnx.save(model, file)
    return file


def model_folder(place: Path) -> Path:
    """A folder with model files for three attributes, a broken one, and something else."""
    place.mkdir()
    write_head(place / "moods.onnx", ["Calm", "Wild"], licence="CC0-1.0")
    write_head(place / "other moods.onnx", ["Glad", "Sad"])
    write_head(place / "ages.onnx", ["33", "70"])
    write_head(place / "glasses.onnx", ["glasses", "none"], attribute="glasses")
    (place / "broken.onnx").write_bytes(b"no network")
    (place / "notes.txt").write_text("not a model")
    return place


@dataclass
class Process:
    """`mien serve` in a process of its own."""

    data: Path
    options: list[str] = field(default_factory=list)
    port: int = 0
    files: int = 0  # the most it may have open; 0: as many as the tests
    popen: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Process:
        self.port = self.port or free_port()
        code = "from mien.cli import main; main()"
        place = ["--port", str(self.port), "--data", str(self.data), *self.options]
        with (self.data / "serve.log").open("ab") as log:
            command = [sys.executable, "-c", code, "serve", *place]
            if self.files:
                command = ["prlimit", f"--nofile={self.files}:{self.files}", *command]
            self.popen = subprocess.Popen(command, stderr=log, stdout=log)
        until(self._is_ready_or_gone)
        assert self.popen.poll() is None, (self.data / "serve.log").read_text()[-3000:]
        return self

    def _is_ready_or_gone(self) -> bool:
        try:
            return httpx.get(f"{self.base}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return self.popen is None or self.popen.poll() is not None

    def kill(self, how: int = signal.SIGKILL) -> int:
        """Ends the process; its exit status."""
        if self.popen is None:
            return 0
        self.popen.send_signal(how)
        status = self.popen.wait(timeout=40)
        self.popen = None
        return status


class Listening:
    """The application on a real socket, served from a thread with limits of the test's choice."""

    def __init__(self, settings: ServerSettings, analyzer: Analyzer) -> None:
        self.app = create_app(settings, analyzer)
        self.port = settings.port
        self.http = httpx.Client(timeout=20)
        self.server = make_server(self.app, settings)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Listening:
        self.thread.start()
        until(lambda: self.server.started)
        return self

    def stop(self) -> None:
        self.http.close()
        self.server.handle_exit(signal.SIGTERM, None)
        self.thread.join(30)

    def raw(self, *parts: bytes, pause_s: float = 0.0, wait_s: float = 10.0) -> bytes:
        """What comes back for some bytes, sent with pauses between; until the other side closes or says no more."""
        with socket.create_connection(("127.0.0.1", self.port), wait_s) as s:
            s.settimeout(wait_s)
            answer = b""
            try:
                for i, part in enumerate(parts):
                    if i:
                        time.sleep(pause_s)
                    s.sendall(part)
            except OSError:
                pass  # the other side had enough and says why
            try:
                while chunk := s.recv(65536):
                    answer += chunk
                    if b"\r\n\r\n" in answer:
                        s.settimeout(0.3)
            except (TimeoutError, OSError):
                pass
            return answer


Start = Callable[..., Client]
