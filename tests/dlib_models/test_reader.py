"""The format itself, and that no damaged file ever gives anything but a ModelError."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mien.dlib_models import landmarks, mmod, reader, resnet
from mien.dlib_models.reader import IntStream, Reader
from mien.errors import ModelError

from .conftest import MMOD, POINTS, RESNET


def integer(value: int) -> bytes:
    """A number as dlib writes it."""
    raw = abs(value).to_bytes(8, "little").rstrip(b"\0") or b"\0"
    return bytes([len(raw) | (0x80 if value < 0 else 0)]) + raw


def number(value: float) -> bytes:
    """A float as dlib writes it: mantissa, then exponent."""
    mantissa, exponent = math.frexp(np.float32(value))
    return integer(int(mantissa * 2**24)) + integer(exponent - 24)


def numbers(values: Iterable[float]) -> bytes:
    return b"".join(map(number, values))


@pytest.mark.parametrize(
    "value", [0, 1, -1, 255, 256, -300, 65536, 2**31, -(2**40), 2**63]
)
def test_integers(value: int) -> None:
    stream = Reader(integer(value) + b"rest", "file")
    assert stream.int_() == value
    assert stream.left == 4


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 122.782, 1e-30, -3.4e38])
def test_floats(value: float) -> None:
    assert Reader(number(value), "file").float_() == np.float32(value)


@pytest.mark.slow
@given(
    st.lists(st.integers(-(2**32) + 1, 2**32 - 1), min_size=1, max_size=400),
    st.integers(1, 300),
)
def test_a_stream_of_integers_in_blocks(values: list[int], block: int) -> None:
    stream = IntStream(Reader(b"".join(map(integer, values)), "file"))
    stream._BLOCK = block  # type: ignore[misc]
    half = len(values) // 2
    assert [*stream.take(half), *stream.take(len(values) - half)] == values
    with pytest.raises(ModelError, match="file is damaged"):
        stream.take(1)


@given(st.lists(st.floats(-(2.0**20), 2.0**20, width=32), max_size=100))
def test_a_stream_of_floats(values: list[float]) -> None:
    assert (
        IntStream(Reader(numbers(values), "file")).floats(len(values)).tolist()
        == values
    )


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"", lambda r: r.int_()),
        (b"\x00", lambda r: r.int_()),
        (b"\x09" + b"1" * 9, lambda r: r.int_()),
        (b"\x71\x01", lambda r: r.int_()),
        (b"\x04\x01\x01", lambda r: r.int_()),
        (b"2", lambda r: r.bool_()),
        (integer(1) + integer(32000), lambda r: r.float_()),
        (integer(2**60) + integer(0), lambda r: r.float_()),
        (integer(2**50) + integer(1999), lambda r: r.float_()),
        (integer(10**15) + b"abc", lambda r: r.string()),
        (integer(-1), lambda r: r.string()),
        (integer(2) + "é".encode(), lambda r: r.string()),
        (integer(2) + integer(2**40) * 4, lambda r: r.tensor()),
        (integer(2) + integer(-1) * 4, lambda r: r.tensor()),
        (
            integer(2) + integer(1) * 4 + struct.pack("<f", math.nan),
            lambda r: r.tensor(),
        ),
        (integer(2) + integer(1) * 4 + b"\0\0", lambda r: r.tensor()),
        (integer(7), lambda r: r.tensor()),
        (b"x", lambda r: r.end()),
    ],
)
def test_damaged_primitives_are_refused_by_name(
    data: bytes, read: Callable[[Reader], object]
) -> None:
    with pytest.raises(
        ModelError, match=r"some\.dat is damaged or not the expected file"
    ):
        read(Reader(data, "some.dat"))


PARSERS: dict[str, Callable[[bytes], object]] = {
    RESNET: lambda data: reader.read_resnet(data, RESNET),
    MMOD: lambda data: mmod.to_onnx(data, MMOD),
    POINTS[5]: lambda data: landmarks.read_shape_predictor(data, POINTS[5]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_the_real_files_are_read_to_their_last_byte(
    name: str, weights: Callable[[str], bytes]
) -> None:
    assert PARSERS[name](weights(name))
    for wrong in (weights(name) + b"\x01\x00", weights(name)[:-1], b"", b"GIF89a" * 20):
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            PARSERS[name](wrong)


@pytest.mark.parametrize("name", PARSERS)
def test_a_file_of_another_model_is_refused(
    name: str, weights: Callable[[str], bytes]
) -> None:
    for other in PARSERS:
        if other != name:
            with pytest.raises(ModelError, match="damaged or not the expected file"):
                PARSERS[name](weights(other))


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_cut_files_are_refused(name: str, weights: Callable[[str], bytes]) -> None:
    data = weights(name)
    places = np.unique(np.geomspace(1, len(data) - 1, 60).astype(int))
    assert len(places) > 40
    for place in places:
        with pytest.raises(ModelError, match="damaged"):
            PARSERS[name](data[:place])


def outcome(parse: Callable[[bytes], object], data: bytes) -> bool:
    """Whether the data was taken; anything but a result or a ModelError, or more than two seconds, fails the test."""
    start = time.process_time()
    try:
        parse(data)
    except ModelError:
        return False
    finally:
        assert time.process_time() - start < 2
    return True


@pytest.mark.slow
def test_flipped_bytes_in_the_detector(weights: Callable[[str], bytes]) -> None:
    data, rng = weights(MMOD), np.random.default_rng(3)
    heads = [
        data.find(b"con_4", 1),
        data.find(b"bn_con2"),
        data.find(b"loss_mmod_"),
        data.find(b"input_rgb"),
    ]
    places = np.concatenate(
        [rng.integers(head, head + 90, 60) for head in heads]
        + [rng.integers(0, len(data), 30)]
    )
    taken = 0
    for place in places:
        broken = bytearray(data)
        broken[place] ^= int(rng.integers(1, 256))
        taken += outcome(PARSERS[MMOD], bytes(broken))
    assert 0 < taken < len(places)


@pytest.mark.slow
def test_flipped_bytes_in_the_face_network(weights: Callable[[str], bytes]) -> None:
    data, rng = weights(RESNET), np.random.default_rng(4)
    body = data[
        : data.find(b"affine_") + 400
    ]  # the whole file is long; its first layers have every kind of field
    places = np.concatenate(
        [
            rng.integers(0, 600, 30),
            rng.integers(body.find(b"affine_") - 50, len(body), 20),
        ]
    )
    taken = 0
    for place in places:
        broken = bytearray(data)
        broken[place] ^= int(rng.integers(1, 256))
        taken += outcome(PARSERS[RESNET], bytes(broken))
    assert 0 < taken < len(places)


def tiny_predictor() -> bytes:
    """A shape predictor of two points: two cascades of three trees with three splits over five pixels."""
    rng = np.random.default_rng(1)
    split = lambda: (  # noqa: E731
        integer(int(rng.integers(5)))
        + integer(int(rng.integers(5)))
        + number(float(rng.normal()))
    )
    leaf = lambda: integer(-4) + integer(-1) + numbers(rng.normal(size=4) / 50)  # noqa: E731
    tree = lambda: (  # noqa: E731
        integer(3)
        + b"".join(split() for _ in range(3))
        + integer(4)
        + b"".join(leaf() for _ in range(4))
    )
    forest = lambda: integer(3) + b"".join(tree() for _ in range(3))  # noqa: E731
    anchors = integer(5) + b"".join(integer(int(a)) for a in rng.integers(0, 2, 5))
    deltas = integer(5) + numbers(rng.normal(size=10))
    head = integer(1) + integer(-4) + integer(-1) + numbers([0.2, 0.5, 0.8, 0.5])
    return (
        head
        + integer(2)
        + forest()
        + forest()
        + integer(2)
        + anchors * 2
        + integer(2)
        + deltas * 2
    )


def use(data: bytes) -> object:
    """Read a predictor and put it to work."""
    predictor = landmarks.read_shape_predictor(data, "tiny.dat")
    return landmarks.predict(predictor, use.image, np.array([[5, 5, 50, 50]]))  # type: ignore[attr-defined]


use.image = np.random.default_rng(2).integers(0, 256, (60, 60, 3), dtype=np.uint8)  # type: ignore[attr-defined]


def test_tiny_predictor_is_read() -> None:
    predictor = landmarks.read_shape_predictor(tiny_predictor(), "tiny.dat")
    assert predictor.leaves.shape == (2, 3, 4, 4)
    assert np.abs(predictor.leaves).max() < 0.2
    assert outcome(use, tiny_predictor())


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300)
def test_mutated_predictors(data: st.DataObject) -> None:
    whole = tiny_predictor()
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "count"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if kind == "flip":
        broken = (
            whole[:place]
            + bytes([whole[place] ^ data.draw(st.integers(1, 255))])
            + whole[place + 1 :]
        )
    elif kind == "cut":
        broken = whole[:place] + whole[place + data.draw(st.integers(1, 40)) :]
    elif kind == "insert":
        broken = (
            whole[:place] + data.draw(st.binary(min_size=1, max_size=9)) + whole[place:]
        )
    else:
        huge = data.draw(st.sampled_from([2**31, 2**40, 2**63, -(2**31), 10**6]))
        broken = whole[:place] + integer(huge) + whole[place + 2 :]
    with np.errstate(all="raise", under="ignore"):
        outcome(use, broken)


@given(st.binary(max_size=300))
@settings(max_examples=150)
def test_any_bytes_at_all(data: bytes) -> None:
    for parse in (
        *PARSERS.values(),
        resnet.to_onnx,
        lambda raw: landmarks.loads(raw, "any.npz"),
    ):
        assert not outcome(parse, data)
