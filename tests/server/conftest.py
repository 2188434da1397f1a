"""A service around a real analyzer, in this process and (for what needs sockets and kills) in one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mien.pipeline import Analyzer
from mien.server import ServerSettings, create_app
from mien.types import U8

from .harness import (
    BASE,
    PARTS_HERE,
    Client,
    Process,
    Start,
    encoded,
    fast_detector,
    with_gallery,
    write_clip,
)


@pytest.fixture(scope="session")
def models() -> Analyzer:
    """The networks, loaded once."""
    detector = fast_detector()
    return Analyzer(
        threads=1, only=PARTS_HERE, **({"detector": detector} if detector else {})
    )


@pytest.fixture
def start(models: Analyzer, tmp_path: Path) -> Iterator[Start]:
    """Starts services; settings and limits by name."""
    clients: list[Client] = []

    def begin(
        *,
        gallery: str = "people.db",
        limits: dict[str, object] | None = None,
        **changes: object,
    ) -> Client:
        settings = ServerSettings(data=tmp_path, **changes)
        settings = replace(settings, limits=replace(settings.limits, **(limits or {})))
        analyzer = with_gallery(
            models, gallery if "://" in gallery else tmp_path / gallery
        )
        http = TestClient(
            create_app(settings, analyzer), base_url=BASE, raise_server_exceptions=False
        )
        clients.append(Client(http.__enter__(), analyzer, settings))
        return clients[-1]

    yield begin
    for client in clients:
        client.http.__exit__(None, None, None)
        client.analyzer.close()


@pytest.fixture
def client(start: Start) -> Client:
    return start()


@pytest.fixture(scope="session")
def photo(astronaut: U8) -> bytes:
    """A JPEG with one face."""
    return encoded(astronaut)


@pytest.fixture(scope="session")
def two_faces(astronaut: U8) -> bytes:
    """A JPEG with two faces: the astronaut, and her mirror image beside her."""
    return encoded(np.hstack([astronaut, np.ascontiguousarray(astronaut[:, ::-1])]))


@pytest.fixture(scope="session")
def no_face(face_free: U8) -> bytes:
    return encoded(face_free)


@pytest.fixture(scope="session")
def clip(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of two seconds with one face."""
    return write_clip(
        tmp_path_factory.mktemp("clips") / "clip.mp4", astronaut, seconds=2
    ).read_bytes()


@pytest.fixture(scope="session")
def long_clip(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that takes a while."""
    return write_clip(
        tmp_path_factory.mktemp("clips") / "long.mp4", astronaut, seconds=40
    ).read_bytes()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts `mien serve` processes."""
    started: list[Process] = []
    detector = fast_detector()

    def begin(*options: str, files: int = 0) -> Process:
        look = [
            "--only",
            ",".join(PARTS_HERE),
            *(["--detector", detector] if detector else []),
        ]
        started.append(Process(tmp_path, [*look, *options], files=files).start())
        return started[-1]

    yield begin
    for one in started:
        one.kill()
