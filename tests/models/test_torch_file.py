"""Files of PyTorch, written here without PyTorch; what is more than tensors is refused and never run."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import ModelError
from mien.models.attributes.torch_file import read_tensors

Array = np.ndarray[Any, Any]
WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
COUNT = np.array(7, np.int64)
KINDS = {"float32": "FloatStorage", "int64": "LongStorage"}


class Stored:
    """A tensor as PyTorch pickles it."""

    def __init__(self, key: str, values: Array, **other: Any) -> None:
        self.key, self.values, self.other = key, values, other

    def __reduce__(self) -> tuple[Any, ...]:
        steps = tuple(step // self.values.itemsize for step in self.values.strides)
        where = {"offset": 0, "size": self.values.shape, "stride": steps, **self.other}
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(self), *where.values(), False, OrderedDict())


class Storage:
    def __init__(self, tensor: Stored) -> None:
        self.tensor = tensor


class Writer(pickle.Pickler):
    def persistent_id(self, found: Any) -> Any:
        if not isinstance(found, Storage):
            return None
        values = found.tensor.values
        kind = getattr(sys.modules["torch"], KINDS[values.dtype.name])
        place = ("storage", kind, found.tensor.key, "cuda:0", values.size)
        return place if self.zipped else (*place, None)  # type: ignore[attr-defined]


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that pickles can say; nothing of PyTorch itself."""
    package, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in KINDS.values():
        setattr(package, name, type(name, (), {"__module__": "torch"}))

    def rebuild() -> None: ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def pickled(value: object, *, zipped: bool = False) -> bytes:
    out = io.BytesIO()
    writer = Writer(out, protocol=2)
    writer.zipped = zipped  # type: ignore[attr-defined]
    writer.dump(value)
    return out.getvalue()


def state(**tensors: Stored) -> OrderedDict[str, Any]:
    found: OrderedDict[str, Any] = OrderedDict(tensors)
    found._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    return found


def plain(main: bytes, *tensors: Stored) -> bytes:
    """As before PyTorch 1.6."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    keys = pickled([tensor.key for tensor in tensors])
    tail = [struct.pack("<q", t.values.size) + t.values.tobytes() for t in tensors]
    return b"".join([*map(pickled, head), main, keys, *tail])


def zipped(main: bytes, *tensors: Stored, packed: bool = False) -> bytes:
    out = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", how) as archive:
        archive.writestr("net/data.pkl", main)
        archive.writestr("net/byteorder", "little")
        for tensor in tensors:
            archive.writestr(f"net/data/{tensor.key}", tensor.values.tobytes())
    return out.getvalue()


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("new", [False, True], ids=["before 1.6", "zip"])
def test_tensors_come_back_by_name(new: bool) -> None:
    tensors = Stored("0", WEIGHT), Stored("1", COUNT)
    main = pickled(state(weight=tensors[0], count=tensors[1]), zipped=new)
    data = (zipped if new else plain)(main, *tensors)
    found = read_tensors(data, "net.pth")
    assert list(found) == ["weight", "count"]
    np.testing.assert_array_equal(found["weight"], WEIGHT)
    assert (found["count"].dtype, found["count"].shape, found["count"]) == ("i8", (), 7)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    "where",
    [
        {"offset": 1},
        {"offset": -1},
        {"size": (3, 3, 4)},
        {"size": (2, 3, -4)},
        {"size": (2, 3, 4, 10**12), "stride": (12, 4, 1, 0)},
        {"size": "no", "stride": (1,)},
        {"offset": 2**70},
    ],
)
def test_a_tensor_outside_its_numbers_is_refused(where: dict[str, Any]) -> None:
    tensor = Stored("0", WEIGHT, **where)
    data = zipped(pickled(state(weight=tensor), zipped=True), tensor)
    with pytest.raises(ModelError, match=r"net\.pth is no file of weights"):
        read_tensors(data, "net.pth")


class Runs:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


HOSTILE = {
    "calls the shell": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
    "evaluates": b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
    "an old way to make objects": b"(iposix\nsystem\n.",
    "a new way to name": b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
    "makes objects": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "takes a name apart": b"\x80\x04ccollections\nOrderedDict.__init__.__globals__\n.",
    "remembers too much": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "changes a class": b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
    "refers to no storage": b"\x80\x02NQ.",
    "stores objects": b"\x80\x02(X\x07\x00\x00\x00storageX\x01\x00\x00\x00OX\x01\x00\x00\x000NK\x01tQ.",
    "never ends": b"\x80\x02}",
    "is no dictionary": b"\x80\x02].",
}


@pytest.mark.parametrize("main", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("make", [plain, zipped], ids=["before 1.6", "zip"])
def test_nothing_of_a_hostile_file_is_run(make: Any, main: bytes) -> None:
    with pytest.raises(ModelError, match="without running it"):
        read_tensors(make(main), "evil.pth")


def test_what_a_pickle_would_do_is_not_done(tmp_path: Path) -> None:
    evil = pickle.dumps({"weight": Runs(tmp_path / "touched")}, protocol=2)
    pickle.loads(evil)  # noqa: S301 - it would
    assert (tmp_path / "touched").exists()
    (tmp_path / "touched").unlink()
    with pytest.raises(ModelError, match="which is no tensor"):
        read_tensors(zipped(evil), "evil.pth")
    assert not (tmp_path / "touched").exists()


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 no zip",
        b"\x80\x02K\x01.\x80\x02K\x01.",
        zipped(b"\x80\x02}.", packed=True),
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="no file of weights"):
        read_tensors(data, "net.pth")


@pytest.mark.usefixtures("torch")
def test_a_file_cut_short_is_refused_wherever_it_is_cut() -> None:
    tensor = Stored("0", WEIGHT)
    data = plain(pickled(state(weight=tensor)), tensor)
    assert read_tensors(data, "net.pth")
    for length in range(0, len(data), 7):
        with pytest.raises(ModelError):
            read_tensors(data[:length], "net.pth")
