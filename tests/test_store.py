"""Weights are found, checked, converted once, and never half there."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from background import served
from mien import store
from mien.config import load_settings
from mien.errors import InputError, ModelError
from mien.zoo import ZOO, ModelSpec, spec_of

CONTENT = b"weights of a network" * 100


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def spec_for(address: str, content: bytes = CONTENT) -> ModelSpec:
    digest = hashlib.sha256(content).hexdigest()
    return replace(
        spec_of("yunet"),
        name="toy",
        source=address,
        sha256=digest,
        size_bytes=len(content),
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "toy.onnx").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "www"))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as httpd:
        yield f"http://127.0.0.1:{httpd.server_port}/toy.onnx"


@pytest.mark.parametrize("spec", ZOO.values(), ids=lambda spec: spec.name)
def test_every_row_of_the_zoo_is_complete(spec: ModelSpec) -> None:
    assert len(spec.sha256) == 64
    assert spec.licence
    assert spec.trained_on
    assert spec.size_bytes > 0


@pytest.mark.parametrize(
    "spec", [s for s in ZOO.values() if s.bundled], ids=lambda spec: spec.name
)
def test_what_pip_installs_is_there_and_as_published(spec: ModelSpec) -> None:
    data = store.read(spec)
    assert len(data) == spec.size_bytes


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="yunet"):
        spec_of("yolo")


def test_a_missing_model_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(ModelError, match="mien models get yunet"):
        store.path_of(spec_of("yunet"))


def test_a_missing_package_says_how_to_install_it() -> None:
    spec = replace(spec_of("mmod"), source="package:no_such_package/x.dat")
    with pytest.raises(ModelError, match="pip install no_such_package"):
        store.path_of(spec)


@pytest.mark.slow
def test_download_verifies_and_a_second_one_needs_no_server(
    cache: Path, server: str
) -> None:
    spec = replace(spec_for(server), source=server)
    assert store.download(spec).read_bytes() == CONTENT
    (cache.parent / "www" / "toy.onnx").unlink()
    assert store.download(spec).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_wrong_hash_leaves_nothing_behind(cache: Path, server: str) -> None:
    spec = replace(spec_for(server, b"other"), source=server)
    with pytest.raises(ModelError, match="mien models import"):
        store.download(spec)
    assert [p for p in cache.rglob("*") if p.is_file()] == []


@pytest.mark.slow
def test_offline_means_offline(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    with pytest.raises(ModelError, match="MIEN_OFFLINE"):
        store.download(
            replace(spec_of("yunet"), source="https://127.0.0.1:9/yunet.onnx")
        )


def test_import_goes_by_hash_not_by_name(
    cache: Path, shared: Path, tmp_path: Path
) -> None:
    file = tmp_path / "anything.bin"
    file.write_bytes(
        (shared / "weights" / "face_detection_yunet_2023mar.onnx").read_bytes()
    )
    assert store.import_file(file).name == "yunet"
    assert store.read(spec_of("yunet"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="none of the published"):
        store.import_file(file)


def test_a_damaged_download_is_named(cache: Path) -> None:
    place = cache / "models" / "face_detection_yunet_2023mar.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half")
    with pytest.raises(
        ModelError,
        match=r"face_detection_yunet_2023mar.onnx is not the published yunet.*4 bytes",
    ):
        store.read(spec_of("yunet"))


@pytest.fixture
def toy(tmp_path: Path) -> ModelSpec:
    package = tmp_path / "models_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('never imported')")
    (package / "toy.dat").write_bytes(CONTENT)
    return replace(spec_for(""), source="package:models_of_a_test/toy.dat")


def convert(data: bytes) -> bytes:
    return data[::-1]


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))


def test_converted_once_then_taken_from_the_cache(
    cache: Path, toy: ModelSpec, importable: None
) -> None:
    calls: list[int] = []

    def counted(data: bytes) -> bytes:
        calls.append(1)
        return convert(data)

    assert store.derived(toy, counted, version=1) == CONTENT[::-1]
    assert store.derived(toy, counted, version=1) == CONTENT[::-1]
    assert len(calls) == 1
    assert store.derived(toy, counted, version=2) == CONTENT[::-1]
    assert len(calls) == 2


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b"\0" + b[1:], lambda b: b""],
    ids=["cut", "bit", "0"],
)
def test_a_damaged_entry_is_made_anew(
    cache: Path, toy: ModelSpec, importable: None, damage: object
) -> None:
    store.derived(toy, convert, version=1)
    (entry,) = (cache / "converted").iterdir()
    entry.write_bytes(damage(entry.read_bytes()))  # type: ignore[operator]
    assert store.derived(toy, convert, version=1) == CONTENT[::-1]
    assert store.read_checked(entry) == CONTENT[::-1]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, toy: ModelSpec, importable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "a file, not a folder"
    blocker.write_text("")
    monkeypatch.setenv("MIEN_CACHE", str(blocker))
    assert store.derived(toy, convert, version=1) == CONTENT[::-1]


def _derive_in_process(cache: str, folder: str, spec: ModelSpec) -> bool:
    import sys

    os.environ["MIEN_CACHE"] = cache
    sys.path.insert(0, folder)
    return store.derived(spec, convert, version=1) == CONTENT[::-1]


@pytest.mark.slow
def test_several_processes_may_start_at_once(
    cache: Path, toy: ModelSpec, tmp_path: Path
) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        arguments = [(str(cache), str(tmp_path), toy)] * 8
        assert pool.starmap(_derive_in_process, arguments) == [True] * 8
    assert [p.name for p in (cache / "converted").iterdir()] == [
        f"toy-{toy.sha256[:12]}-v1"
    ]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(TypeError):
        store.write_atomically(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "HOME",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "MIEN_CACHE",
        "MIEN_DATA",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: path
    )  # as where the list of users does not name them
    assert load_settings().device == "auto"
    with pytest.raises(InputError, match="set HOME, or MIEN_CACHE"):
        store.cache_dir()
    with pytest.raises(InputError, match="set HOME, or MIEN_DATA"):
        store.data_dir()
