"""What stands in a frozen graph's file: TensorFlow's GraphDef as nodes and constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.protobufs import message_classes

# Of graph.proto, node_def.proto, attr_value.proto and tensor.proto (TensorFlow), what is needed here.
_SCHEMA = """
message GraphDef
  repeated NodeDef node = 1
message NodeDef
  optional string name = 1
  optional string op = 2
  repeated string input = 3
  repeated Attribute attr = 5
message Attribute
  optional string key = 1
  optional AttrValue value = 2
message AttrValue
  optional ListValue list = 1
  optional bytes s = 2
  optional int64 i = 3
  optional float f = 4
  optional bool b = 5
  optional int32 type = 6
  optional TensorShapeProto shape = 7
  optional TensorProto tensor = 8
message ListValue
  repeated int64 i = 3
message TensorShapeProto
  repeated Dimension dim = 2
message Dimension
  optional int64 size = 1
message TensorProto
  optional int32 dtype = 1
  optional TensorShapeProto tensor_shape = 2
  optional bytes tensor_content = 4
  repeated float float_val = 5
  repeated double double_val = 6
  repeated int32 int_val = 7
  repeated int64 int64_val = 10
"""
_MOST = 1 << 28  # numbers of one constant; the largest there are have some millions
_TYPES = {
    1: ("float32", "float_val"),
    2: ("float64", "double_val"),
    3: ("int32", "int_val"),
    9: ("int64", "int64_val"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: what it reads (without control inputs) and its attributes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, node: Any) -> Node:
        """Of a message of the graph."""
        inputs = tuple(
            name.removesuffix(":0") for name in node.input if not name.startswith("^")
        )
        return cls(
            node.name, node.op, inputs, {one.key: one.value for one in node.attr}
        )


@cache
def messages() -> dict[str, Any]:
    """TensorFlow's message classes."""
    return message_classes(_SCHEMA, "frozen_graph", "proto3")


def read_graph(file: Path) -> dict[str, Node]:
    """The nodes of a frozen graph by name.

    Raises:
        ModelError: The file cannot be read, is damaged or no graph.
    """
    from google.protobuf.message import DecodeError

    graph = messages()["GraphDef"]()
    try:
        graph.ParseFromString(file.read_bytes())
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
    except DecodeError as exc:
        raise ModelError(
            f"{file} is damaged or no frozen TensorFlow graph; make or fetch it again"
        ) from exc
    if not graph.node or not all(node.name and node.op for node in graph.node):
        raise ModelError(
            f"{file} is no frozen TensorFlow graph: it holds no nodes (a SavedModel must be frozen first)"
        )
    return {node.name: Node.of(node) for node in graph.node}


def array_of(node: Node, file: Path) -> NDArray[Any]:
    """A constant's values; the last one written stands for all that follow, none for zeros.

    Raises:
        ModelError: It is damaged, or of a type no weight has.
    """
    tensor = node.attributes["value"].tensor if "value" in node.attributes else None
    if tensor is None or tensor.dtype not in _TYPES:
        raise ModelError(
            f"{file}: the constant {node.name} holds no numbers that can be read"
        )
    dtype, field = _TYPES[tensor.dtype]
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    count = math.prod(shape)
    content, listed = tensor.tensor_content, getattr(tensor, field)
    whole = (
        len(content) == count * np.dtype(dtype).itemsize
        if content
        else len(listed) <= count
    )
    if not whole or count > _MOST or min(shape, default=0) < 0:
        raise ModelError(
            f"{file} is damaged: the constant {node.name} does not fill its shape {shape}"
        )
    if content:
        return np.frombuffer(content, dtype=dtype).reshape(shape)
    rest = listed[-1] if listed else 0
    return np.array([*listed, *[rest] * (count - len(listed))], dtype=dtype).reshape(
        shape
    )
