"""Writes Caffe's files byte by byte, by the field numbers of caffe.proto, and computes what Caffe computes, plainly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mien.types import F32, F64

Blobs = Mapping[str, Sequence[F32]]
V1_TYPES = {
    "Convolution": 4,
    "InnerProduct": 14,
    "LRN": 15,
    "Pooling": 17,
    "ReLU": 18,
    "Softmax": 20,
    "Data": 5,
}


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def integer(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def new_blob(values: F32) -> bytes:
    """A shape, then packed numbers."""
    shape = block(7, block(1, b"".join(map(varint, values.shape))))
    return shape + block(5, values.astype("<f4").tobytes())


def old_blob(values: F32) -> bytes:
    """Four sizes, then numbers one by one (as before packing)."""
    sizes = (1,) * (4 - values.ndim) + values.shape
    head = b"".join(integer(field, size) for field, size in enumerate(sizes, start=1))
    tagged = np.empty(values.size, dtype=[("tag", "u1"), ("value", "<f4")])
    tagged["tag"], tagged["value"] = 5 << 3 | 5, values.ravel()
    return head + tagged.tobytes()


def new_caffemodel(blobs: Blobs) -> bytes:
    layers = [
        block(1, name) + b"".join(block(7, new_blob(one)) for one in values)
        for name, values in blobs.items()
    ]
    return block(1, "net") + b"".join(block(100, layer) for layer in layers)


def old_caffemodel(blobs: Blobs, types: Mapping[str, str]) -> bytes:
    """V1LayerParameter: name 4, type 5, blobs 6; with a data layer in front, as training leaves it."""
    layers = [block(4, "data") + integer(5, V1_TYPES["Data"])]
    for name, values in blobs.items():
        head = (
            block(2, "below")
            + block(3, name)
            + block(4, name)
            + integer(5, V1_TYPES[types[name]])
        )
        layers.append(head + b"".join(block(6, old_blob(one)) for one in values))
    return block(1, "net") + b"".join(block(2, layer) for layer in layers)


def mean_image(values: F32) -> bytes:
    """What compute_image_mean writes: sizes 1, 3, H, W and the numbers."""
    sizes = (1, *values.shape)
    head = b"".join(integer(field, size) for field, size in enumerate(sizes, start=1))
    return head + block(5, values.astype("<f4").tobytes())


def conv(
    x: F64,
    weights: F32,
    bias: F32 | None,
    *,
    stride: int = 1,
    pad: int = 0,
    group: int = 1,
) -> F64:
    """Sizes rounded down. x (N, C, H, W), weights (O, C / group, K, K)."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    kernel = weights.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(
        x, (kernel, kernel), axis=(2, 3)
    )[:, :, ::stride, ::stride]
    outputs = []
    for one, part in zip(
        np.split(weights, group), np.split(windows, group, axis=1), strict=True
    ):
        count, _, rows, columns = part.shape[:4]
        flat = (
            part.transpose(0, 2, 3, 1, 4, 5).reshape(count * rows * columns, -1)
            @ one.reshape(len(one), -1).T
        )
        outputs.append(flat.reshape(count, rows, columns, -1).transpose(0, 3, 1, 2))
    y = np.concatenate(outputs, axis=1)
    return y if bias is None else y + bias[:, None, None]


def pool(x: F64, kind: str, *, kernel: int, stride: int, pad: int = 0) -> F64:
    """PoolingLayer::Reshape and Forward_cpu: sizes rounded up, a last window beyond the padded input left out."""
    side = x.shape[2]
    count = int(np.ceil((side + 2 * pad - kernel) / stride)) + 1
    if pad and (count - 1) * stride >= side + pad:
        count -= 1
    y = np.empty((*x.shape[:2], count, count))
    for row in range(count):
        for column in range(count):
            top, left = row * stride - pad, column * stride - pad
            bottom, right = (
                min(top + kernel, side + pad),
                min(left + kernel, side + pad),
            )
            area = (bottom - top) * (right - left)
            window = x[
                :, :, max(top, 0) : min(bottom, side), max(left, 0) : min(right, side)
            ]
            y[:, :, row, column] = (
                window.max((2, 3)) if kind == "MAX" else window.sum((2, 3)) / area
            )
    return y


def lrn(x: F64, *, size: int, alpha: float, beta: float, k: float = 1) -> F64:
    """Across channels: alpha divided by the number of channels summed over."""
    squares = np.pad(x**2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    total = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x / (k + alpha / size * total) ** beta


def inner_product(x: F64, weights: F32, bias: F32) -> F64:
    return x.reshape(len(x), -1) @ weights.T + bias


def softmax(x: F64) -> F64:
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
