"""What stands in Caffe's files: messages of caffe.proto, layers in either form, weights, the mean image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import ModelError
from mien.models.classifier import bilinear
from mien.protobufs import message_classes
from mien.types import F32

# Of caffe.proto (BVLC), what the networks need that can be read.
_V1_NAMES = "".join(
    f"\n  {name} = {number}"
    for number, name in enumerate(
        "NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA HDF5_OUTPUT IM2COL "
        "IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS POOLING RELU SIGMOID SOFTMAX "
        "SOFTMAX_LOSS SPLIT TANH WINDOW_DATA ELTWISE POWER SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA "
        "ARGMAX THRESHOLD DUMMY_DATA SLICE MVN ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION".split()
    )
)
_LAYER_FIELDS = """
  optional ConvolutionParameter convolution_param = {0}
  optional InnerProductParameter inner_product_param = {1}
  optional LRNParameter lrn_param = {2}
  optional PoolingParameter pooling_param = {3}
  optional ReLUParameter relu_param = {4}
  optional SoftmaxParameter softmax_param = {5}"""
_SCHEMA = f"""
message BlobShape
  repeated int64 dim = 1
message BlobProto
  optional int32 num = 1
  optional int32 channels = 2
  optional int32 height = 3
  optional int32 width = 4
  repeated float data = 5
  optional BlobShape shape = 7
  repeated double double_data = 8
message NetParameter
  optional string name = 1
  repeated V1LayerParameter layers = 2
  repeated string input = 3
  repeated int32 input_dim = 4
  repeated BlobShape input_shape = 8
  repeated LayerParameter layer = 100
message NetStateRule
  optional Phase phase = 1
message LayerParameter
  optional string name = 1
  optional string type = 2
  repeated string bottom = 3
  repeated string top = 4
  repeated BlobProto blobs = 7
  repeated NetStateRule include = 8
  repeated NetStateRule exclude = 9
  optional InputParameter input_param = 143{_LAYER_FIELDS.format(106, 117, 118, 121, 123, 125)}
message V1LayerParameter
  optional V0LayerParameter layer = 1
  repeated string bottom = 2
  repeated string top = 3
  optional string name = 4
  optional V1LayerType type = 5
  repeated BlobProto blobs = 6
  repeated NetStateRule include = 32
  repeated NetStateRule exclude = 33{_LAYER_FIELDS.format(10, 17, 18, 19, 30, 39)}
message V0LayerParameter
  optional string name = 1
message InputParameter
  repeated BlobShape shape = 1
message ConvolutionParameter
  optional uint32 num_output = 1
  optional bool bias_term = 2 [default = true]
  repeated uint32 pad = 3
  repeated uint32 kernel_size = 4
  optional uint32 group = 5 [default = 1]
  repeated uint32 stride = 6
  optional uint32 pad_h = 9
  optional uint32 pad_w = 10
  optional uint32 kernel_h = 11
  optional uint32 kernel_w = 12
  optional uint32 stride_h = 13
  optional uint32 stride_w = 14
  repeated uint32 dilation = 18
message InnerProductParameter
  optional uint32 num_output = 1
  optional bool bias_term = 2 [default = true]
  optional int32 axis = 5 [default = 1]
  optional bool transpose = 6 [default = false]
message LRNParameter
  optional uint32 local_size = 1 [default = 5]
  optional float alpha = 2 [default = 1]
  optional float beta = 3 [default = 0.75]
  optional NormRegion norm_region = 4
  optional float k = 5 [default = 1]
message PoolingParameter
  optional PoolMethod pool = 1
  repeated uint32 kernel_size = 2
  repeated uint32 stride = 3
  repeated uint32 pad = 4
  optional uint32 kernel_h = 5
  optional uint32 kernel_w = 6
  optional uint32 stride_h = 7
  optional uint32 stride_w = 8
  optional uint32 pad_h = 9
  optional uint32 pad_w = 10
  optional bool global_pooling = 12
message ReLUParameter
  optional float negative_slope = 1
message SoftmaxParameter
  optional int32 axis = 2 [default = 1]
enum Phase
  TRAIN = 0
  TEST = 1
enum NormRegion
  ACROSS_CHANNELS = 0
  WITHIN_CHANNEL = 1
enum PoolMethod
  MAX = 0
  AVE = 1
  STOCHASTIC = 2
enum V1LayerType{_V1_NAMES}
"""
_V1_TYPES = {  # how the newer form calls them
    "CONVOLUTION": "Convolution",
    "DROPOUT": "Dropout",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "POOLING": "Pooling",
    "RELU": "ReLU",
    "SOFTMAX": "Softmax",
}
_TEST = 1


@cache
def messages() -> dict[str, Any]:
    """Caffe's message classes."""
    return message_classes(_SCHEMA, "caffe")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a prototxt, in whichever form it was written."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any


def parse_text(file: Path) -> Any:
    """A prototxt as a NetParameter."""
    from google.protobuf import text_format

    net = messages()["NetParameter"]()
    try:
        text_format.Parse(
            file.read_text(encoding="utf-8"), net, allow_unknown_field=True
        )
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
    except (text_format.ParseError, UnicodeDecodeError) as exc:
        raise ModelError(f"{file} is no Caffe prototxt: {exc}") from exc
    if not net.layer and not net.layers:
        raise ModelError(f"{file} holds no layers: it is no Caffe prototxt")
    return net


def _parse_binary(file: Path, kind: str, what: str) -> Any:
    from google.protobuf.message import DecodeError

    message = messages()[kind]()
    try:
        message.ParseFromString(file.read_bytes())
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
    except DecodeError as exc:
        raise ModelError(f"{file} is damaged or no {what}; fetch it again") from exc
    return message


def layers(net: Any, file: Path) -> Iterator[Layer]:
    """The layers of the test phase, in order."""
    for message in net.layer or net.layers:
        if not net.layer and message.HasField("layer"):
            raise ModelError(
                f"{file} is in Caffe's oldest form; run Caffe's upgrade_net_proto_text on it first"
            )
        if _in_test_phase(message):
            kind = message.type
            if not net.layer:  # the first form numbers its types
                values = message.DESCRIPTOR.fields_by_name["type"].enum_type
                name = str(values.values_by_number[kind].name)
                kind = _V1_TYPES.get(name, name)
            yield Layer(
                message.name, kind, tuple(message.bottom), tuple(message.top), message
            )


def _in_test_phase(message: Any) -> bool:
    if message.include:
        return any(
            not rule.HasField("phase") or rule.phase == _TEST
            for rule in message.include
        )
    return all(
        rule.HasField("phase") and rule.phase != _TEST for rule in message.exclude
    )


def input_of(net: Any, file: Path) -> tuple[str, tuple[int, ...]]:
    """The name of the input and its shape (3, side, side)."""
    names, dims = (
        list(net.input),
        list(net.input_dim)
        or [dim for shape in net.input_shape[:1] for dim in shape.dim],
    )
    for message in net.layer:
        if message.type == "Input" and message.input_param.shape:
            names, dims = list(message.top), list(message.input_param.shape[0].dim)
    if (
        len(names) != 1
        or len(dims) != 4
        or dims[1] != 3
        or dims[2] != dims[3]
        or dims[2] < 1
    ):
        raise ModelError(
            f"{file} says no input of 3 colours and equal sides (found {dims or 'none'}); give the deploy prototxt"
        )
    return names[0], tuple(dims[1:])


def read_weights(file: Path) -> dict[str, list[F32]]:
    """The blobs of each layer of a caffemodel that has some."""
    net = _parse_binary(file, "NetParameter", "caffemodel")
    layers = [*net.layer, *net.layers]
    found = {
        layer.name: [_array(blob, file, layer.name) for blob in layer.blobs]
        for layer in layers
    }
    if not any(found.values()):
        raise ModelError(
            f"{file} holds no weights: it is no caffemodel, or one in Caffe's oldest form"
        )
    return {name: blobs for name, blobs in found.items() if blobs}


def _array(blob: Any, file: Path, name: str) -> F32:
    shape = (
        tuple(blob.shape.dim)
        if blob.HasField("shape")
        else (blob.num, blob.channels, blob.height, blob.width)
    )
    data = np.array(blob.data or blob.double_data, dtype=np.float32)
    if math.prod(shape) != data.size:
        raise ModelError(
            f"{file} is damaged: {name} has {data.size} numbers for the shape {shape}; fetch it again"
        )
    return data.reshape(shape)


def read_mean(file: Path, shape: tuple[int, ...]) -> F32:
    """The mean image (3, H, W), or (3, 1, 1) where the file holds one number per colour."""
    blob = _array(
        _parse_binary(file, "BlobProto", "mean image (.binaryproto)"),
        file,
        "the mean image",
    )
    mean = (
        blob.reshape(blob.shape[-3:])
        if blob.ndim >= 3 and blob.size == math.prod(blob.shape[-3:])
        else blob
    )
    if mean.ndim != 3 or mean.shape[0] != shape[0] or mean.size == 0:
        raise ModelError(
            f"{file} is no mean image of 3 colours: its shape is {blob.shape}"
        )
    if mean.shape[1:] == (1, 1):
        return mean
    return np.ascontiguousarray(
        bilinear(mean.transpose(1, 2, 0), shape[1], sampling="centre").transpose(
            2, 0, 1
        )
    )
