"""The compiled kernels are those of the sources, and their memory behaves."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from mien.dlib_models import kernels
from mien.errors import MemoryShort

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "kernels"
COMPILED = ROOT / "src" / "mien" / "dlib_models" / "kernels.wasm"


def test_the_compiled_file_names_its_sources() -> None:
    text = b"".join((SOURCES / name).read_bytes() for name in ("hog.c", "landmarks.c"))
    assert COMPILED.read_bytes().endswith(
        b"sources" + hashlib.sha256(text).hexdigest().encode()
    )


@pytest.mark.skipif(
    not (shutil.which("clang-16") and shutil.which("wasm-ld-16")),
    reason="clang-16 or lld-16 missing",
)
def test_the_sources_compile_to_the_file(tmp_path: Path) -> None:
    subprocess.run([SOURCES / "make.sh", tmp_path / "again.wasm"], check=True)
    assert (tmp_path / "again.wasm").read_bytes() == COMPILED.read_bytes()


def test_what_is_put_is_seen_and_what_is_moved_follows() -> None:
    with kernels.arena() as memory:
        first = memory.put(np.arange(5, dtype=np.float32))
        second = memory.put(np.arange(7, dtype=np.int16))
        np.testing.assert_array_equal(
            memory.view(first, (5,), np.float32), np.arange(5)
        )
        np.testing.assert_array_equal(memory.view(second, (7,), np.int16), np.arange(7))
        assert first % 64 == second % 64 == 0
        moved = memory.move(second, first, 14)
        np.testing.assert_array_equal(memory.view(moved, (7,), np.int16), np.arange(7))
        assert memory.take(1) == second


def test_memory_grows_and_a_large_one_is_given_back() -> None:
    with kernels.arena() as memory:
        kept = memory.put(np.array([7], np.uint8))
        memory.take(300 << 20)
        assert memory.size > 300 << 20
        assert memory.view(kept, (1,), np.uint8)[0] == 7
    with kernels.arena() as another:
        assert another is not memory
        assert another.size < 300 << 20


def test_threads_and_calls_within_calls_have_their_own() -> None:
    seen: list[kernels.Arena] = []

    def use() -> None:
        with kernels.arena() as memory, kernels.arena() as inner:
            seen.extend((memory, inner))

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(memory) for memory in seen}) == 6


def test_more_than_there_can_be_is_a_memory_error() -> None:
    with kernels.arena() as memory, pytest.raises(MemoryError, match="make it smaller"):
        memory.take(5 << 30)


def test_a_machine_without_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `ulimit -v`: the addresses cannot be reserved, or the memory cannot grow."""
    import wasmtime

    def short(*_: object) -> None:
        raise wasmtime.WasmtimeError("mmap failed")

    with kernels.arena() as memory:
        monkeypatch.setattr(wasmtime.Memory, "grow", short)
        with pytest.raises(MemoryShort, match="MB more memory"):
            memory.take(memory.size + 1)
        monkeypatch.setattr(wasmtime, "Instance", short)
        with pytest.raises(MemoryShort, match="ulimit"):
            kernels.Arena()
