"""ONNX files read and written as the messages they are: what is needed of the package `onnx`, which takes 33 MB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of onnx.proto3 (Apache-2.0) what is written here; other fields of a file that is read stay in it as they are.
_SCHEMA = """
message ModelProto
  optional int64 ir_version = 1
  repeated OperatorSetIdProto opset_import = 8
  optional string producer_name = 2
  optional GraphProto graph = 7
  repeated StringStringEntryProto metadata_props = 14
message OperatorSetIdProto
  optional string domain = 1
  optional int64 version = 2
message StringStringEntryProto
  optional string key = 1
  optional string value = 2
message GraphProto
  repeated NodeProto node = 1
  optional string name = 2
  repeated TensorProto initializer = 5
  repeated ValueInfoProto input = 11
  repeated ValueInfoProto output = 12
  repeated ValueInfoProto value_info = 13
message NodeProto
  repeated string input = 1
  repeated string output = 2
  optional string name = 3
  optional string op_type = 4
  repeated AttributeProto attribute = 5
  optional string domain = 7
message AttributeProto
  optional string name = 1
  optional float f = 2
  optional int64 i = 3
  optional bytes s = 4
  optional TensorProto t = 5
  repeated float floats = 7
  repeated int64 ints = 8
  optional int32 type = 20
message TensorProto
  repeated int64 dims = 1
  optional int32 data_type = 2
  optional string name = 8
  optional bytes raw_data = 9
message ValueInfoProto
  optional string name = 1
  optional TypeProto type = 2
message TypeProto
  optional TensorTypeProto tensor_type = 1
message TensorTypeProto
  optional int32 elem_type = 1
  optional TensorShapeProto shape = 2
message TensorShapeProto
  repeated DimensionProto dim = 1
message DimensionProto
  optional int64 dim_value = 1
  optional string dim_param = 2
"""
_OPSET, _IR = 17, 8
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
_TYPES |= {"float16": 10, "float64": 11}

Message = Any  # protobuf makes its classes as it runs


@cache
def _messages() -> dict[str, Any]:
    from mien.protobufs import message_classes  # loads protobuf, which few need

    return message_classes(_SCHEMA, "mien_onnx")


def node(
    kind: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    name: str = "",
    **options: Any,
) -> Message:
    """An operation; options are numbers, words, lists of numbers or `tensor`s."""
    made = _messages()["NodeProto"](
        op_type=kind, input=inputs, output=outputs, name=name
    )
    for key, value in options.items():
        made.attribute.append(_attribute(key, value))
    return made


def _attribute(name: str, value: Any) -> Message:
    made = _messages()["AttributeProto"](name=name)
    if isinstance(value, float):
        made.f, made.type = value, 1
    elif isinstance(value, int | np.integer):
        made.i, made.type = int(value), 2
    elif isinstance(value, str | bytes):
        made.s, made.type = value.encode() if isinstance(value, str) else value, 3
    elif isinstance(value, _messages()["TensorProto"]):
        made.t.CopyFrom(value)
        made.type = 4
    elif any(isinstance(number, float) for number in value):
        made.floats.extend(value)
        made.type = 6
    else:
        made.ints.extend(int(number) for number in value)
        made.type = 7
    return made


def tensor(values: NDArray[Any], name: str = "") -> Message:
    """Constant values."""
    return _messages()["TensorProto"](
        dims=values.shape,
        data_type=_TYPES[values.dtype.name],
        name=name,
        raw_data=values.astype(values.dtype.newbyteorder("<")).tobytes(),
    )


def value(
    name: str, shape: Sequence[int | str | None] | None, kind: str = "float32"
) -> Message:
    """What goes in or comes out: a dimension is a number, the name of what may vary, or None; so may the shape be."""
    made = _messages()["ValueInfoProto"](name=name)
    made.type.tensor_type.elem_type = _TYPES[kind]
    if shape is not None:
        made.type.tensor_type.shape.SetInParent()
    for size in shape or ():
        dimension = made.type.tensor_type.shape.dim.add()
        if isinstance(size, int):
            dimension.dim_value = size
        elif size is not None:
            dimension.dim_param = size
    return made


def model(
    name: str,
    nodes: Sequence[Message],
    inputs: Sequence[Message],
    outputs: Sequence[Message],
    weights: Sequence[Message],
) -> Message:
    """A network: `node`s from `value`s to `value`s with `tensor`s as weights."""
    made = _messages()["ModelProto"](ir_version=_IR, producer_name="mien")
    made.opset_import.add(domain="", version=_OPSET)
    made.graph.name = name
    made.graph.node.extend(nodes)
    made.graph.input.extend(inputs)
    made.graph.output.extend(outputs)
    made.graph.initializer.extend(weights)
    return made


def read(data: bytes) -> Message:
    """The message of a file."""
    return _messages()["ModelProto"].FromString(data)


def describe(network: Message, properties: Mapping[str, str]) -> None:
    """Sets what stands in a network's metadata, this alone."""
    del network.metadata_props[:]
    for key, text in properties.items():
        network.metadata_props.add(key=key, value=text)
