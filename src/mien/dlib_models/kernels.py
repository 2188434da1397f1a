"""The inner loops of dlib's models as WebAssembly: near a compiler's speed on every machine, without a compiler.

`kernels/` holds their source. The file is plain code without any access to the machine: numbers go into its
memory, numbers come out. Every thread has an instance of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mien.errors import MemoryShort

_PAGE = 65_536
_SPARE = 64  # bytes behind each part: vectors are read beyond its end
_MOST = 2 << 30  # bytes: addresses are whole numbers of 31 bits
_KEEP = 256 << 20  # bytes: a larger memory goes back to the system after use
_threads = threading.local()
_open: WeakSet[Arena] = WeakSet()


class Arena:
    """One instance and its memory: parts are taken one after the other and given back from the end."""

    def __init__(self) -> None:
        import wasmtime

        engine, module = _module()
        self._store = wasmtime.Store(engine)
        try:
            instance = wasmtime.Instance(self._store, module, [])
        except wasmtime.WasmtimeError as exc:
            raise MemoryShort(
                "dlib's models reserve 4 GB of addresses, which a limit of this process forbids "
                "(ulimit -v, RLIMIT_AS); raise it by as much"
            ) from exc
        self._exports: dict[str, Any] = dict(instance.exports(self._store).items())
        self._memory = self._exports["memory"]
        self.size = 0  # bytes of memory
        self._base = self._used = int(self._exports["__heap_base"].value(self._store))
        self._bytes = self._all()
        _open.add(self)

    def call(self, name: str, *args: int) -> int | None:
        """Runs one kernel; addresses are what `take` and `put` gave. Other threads run meanwhile."""
        answer: int | None = self._exports[name](self._store, *args)
        return answer

    def take(self, size: int) -> int:
        """The address of `size` bytes, which hold anything.

        Raises:
            MemoryError: There is no more; an instance can have 2 GiB.
            MemoryShort: The machine has no more.
        """
        at = -(-self._used // 64) * 64
        end = at + size + _SPARE
        if end > _MOST:
            raise MemoryError(
                f"the image needs {end / 2**30:.1f} GiB where dlib's models may have 2; make it smaller"
            )
        if end > self.size:
            self._grow(-(-(end - self.size) // _PAGE))
            self._bytes = self._all()
        self._used = end
        return at

    def _grow(self, pages: int) -> None:
        import wasmtime

        try:
            self._memory.grow(self._store, pages)
        except wasmtime.WasmtimeError as exc:
            raise MemoryShort(
                f"dlib's models need {pages * _PAGE / 2**20:.0f} MB more memory than there is; "
                f"make the picture smaller, or end other programs"
            ) from exc

    def put(self, values: NDArray[Any] | bytes) -> int:
        """The address of a copy."""
        flat = (
            np.frombuffer(values, np.uint8)
            if isinstance(values, bytes)
            else values.reshape(-1).view(np.uint8)
        )
        at = self.take(flat.size)
        self._bytes[at : at + flat.size] = flat
        return at

    def view(self, at: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """The memory from `at` on as an array; good until the next `take` or `clear`."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self._bytes[at : at + size].view(dtype).reshape(shape)

    def move(self, old: int, new: int, size: int) -> int:
        """Moves `size` bytes down to the earlier address `new`, and gives back all that lies behind; `new`."""
        self._bytes[new : new + size] = self._bytes[old : old + size]
        self._used = new + size + _SPARE
        return new

    def release(self, at: int) -> None:
        """Gives back the part at `at` and all that were taken after it."""
        self._used = at

    def clear(self) -> None:
        """Gives back everything."""
        self._used = self._base

    def close(self) -> None:
        """The memory goes back to the system."""
        self._store.close()

    def _all(self) -> NDArray[np.uint8]:
        """The whole memory; it may move when it grows."""
        self.size = int(self._memory.data_len(self._store))
        start = ctypes.cast(self._memory.data_ptr(self._store), ctypes.c_void_p).value
        assert start is not None  # noqa: S101 - a memory has an address
        return np.ctypeslib.as_array((ctypes.c_ubyte * self.size).from_address(start))


@contextmanager
def arena() -> Iterator[Arena]:
    """This thread's instance, empty; a call within a call gets a new one."""
    mine: Arena = _threads.__dict__.pop("arena", None) or Arena()
    try:
        yield mine
    finally:
        mine.clear()
        if mine.size <= _KEEP:
            _threads.arena = mine


@lru_cache(maxsize=1)
def _module() -> tuple[Any, Any]:
    import wasmtime

    engine = wasmtime.Engine()
    return engine, wasmtime.Module(
        engine, Path(__file__).with_name("kernels.wasm").read_bytes()
    )


@atexit.register
def _close() -> None:
    """Before the interpreter takes modules apart: wasmtime's objects complain when they are closed after that."""
    for one in list(_open):
        one.close()
    if _module.cache_info().currsize:
        for part in reversed(_module()):
            part.close()
