"""Weights in files of PyTorch without PyTorch: tensors by name, and nothing else of what such a file may hold.

A `.pth` is a pickle, and a pickle is a program. Here it is first read as a list of its steps, of which only those that
build dictionaries, tuples and plain values are allowed; then it runs with three names at its disposal: an ordered
dictionary, "a tensor of this storage", and the kinds of storage. It cannot import or call anything else.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError

Array = NDArray[Any]

_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_KINDS = frozenset(_STORAGES.values())
_STEPS = frozenset(
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE"
    " BINPUT LONG_BINPUT BINGET LONG_BINGET"
    " EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS"
    " EMPTY_DICT SETITEM SETITEMS GLOBAL REDUCE BUILD BINPERSID".split()
)
_REMEMBERS = frozenset({"BINPUT", "LONG_BINPUT"})
_MAGIC = 0x1950A86A20F9469CFC6C  # of files from before PyTorch 1.6
_PROTOCOL = 1001
_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    OverflowError,
)


def read_tensors(data: bytes, name: str) -> dict[str, Array]:
    """The tensors of a state dictionary, by name. `name` is what messages call the file.

    Raises:
        ModelError: It is damaged, or holds something else than tensors.
    """
    try:
        zipped = data.startswith(b"PK")
        state, storages = _read_zip(data) if zipped else _read_plain(data)
        return {
            key: tensor.of(storages)
            for key, tensor in state.items()
            if isinstance(tensor, _Tensor)
        }
    except _DAMAGED as exc:
        raise ModelError(
            f"{name} is no file of weights of PyTorch that can be read without running it: {exc}; "
            "get the published file again"
        ) from exc


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies in a storage, in elements."""

    storage: tuple[Any, ...]
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, storages: Mapping[str, bytes]) -> Array:
        _, kind, key, _, count = self.storage[:5]
        values = np.frombuffer(storages[key], np.dtype(kind))
        steps = [
            stride * (size - 1)
            for size, stride in zip(self.size, self.stride, strict=True)
        ]
        last = self.offset + sum(steps)
        least = min((self.offset, *self.size, *self.stride))
        if least < 0 or last >= len(values) or prod(self.size) > len(values):
            raise ValueError(f"a tensor does not lie in its {count} numbers")
        strides = [values.itemsize * stride for stride in self.stride]
        view = np.lib.stride_tricks.as_strided(
            values[self.offset :], self.size, strides, writeable=False
        )
        return view.copy()


class _Rebuild:
    """What stands for PyTorch's function that makes a tensor of a storage."""

    __slots__ = ()

    def __call__(
        self, storage: Any, offset: int, size: Any, stride: Any, *_: object
    ) -> _Tensor:
        return _Tensor(tuple(storage), offset, tuple(size), tuple(stride))


class _TensorUnpickler(pickle.Unpickler):
    """Knows three names. Storages are told by where they are: ("storage", kind, key, device, count, …)."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", kind, str(), _, int(), *_) if kind in _KINDS:
                return pid
        raise pickle.UnpicklingError("it refers to something that is no storage")


def _load(stream: io.BytesIO) -> Any:
    """The next pickle of a stream, if all its steps are harmless."""
    start = stream.tell()
    for step, argument, _ in pickletools.genops(stream):
        if step.name not in _STEPS:
            raise pickle.UnpicklingError(f"it has the step {step.name}")
        if step.name in _REMEMBERS and (argument or 0) > len(stream.getbuffer()):
            raise pickle.UnpicklingError("it remembers more than it holds")
    end = stream.tell()
    stream.seek(start)
    return _TensorUnpickler(io.BytesIO(stream.read(end - start))).load()


def _read_plain(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """As PyTorch wrote before 1.6: five pickles, then each storage's count and numbers."""
    stream = io.BytesIO(data)
    if (_load(stream), _load(stream)) != (_MAGIC, _PROTOCOL):
        raise ValueError("it does not begin like one")
    if not _load(stream)["little_endian"]:
        raise ValueError("its numbers are big-endian")
    state, keys = _load(stream), _load(stream)
    kinds = {tensor.storage[2]: tensor.storage[1] for tensor in _tensors(state)}
    storages = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        length = count * np.dtype(kinds[key]).itemsize
        storages[key] = stream.read(min(length, len(data)))
        if len(storages[key]) != length:
            raise ValueError("it ends too early")
    return state, storages


def _read_zip(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """As PyTorch writes since 1.6: a zip with one pickle and a file for each storage, none of them packed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(entry.compress_type for entry in archive.infolist()):
            raise ValueError("it is packed")
        names = archive.namelist()
        (main,) = (name for name in names if name.endswith("/data.pkl"))
        folder = main.removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in names and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        state = _load(io.BytesIO(archive.read(main)))
        keys = {str(tensor.storage[2]) for tensor in _tensors(state)}
        return state, {key: archive.read(f"{folder}data/{key}") for key in keys}


def _tensors(state: Any) -> Iterator[_Tensor]:
    if not isinstance(state, dict):
        raise ValueError("it holds no tensors by name")
    return (value for value in state.values() if isinstance(value, _Tensor))
