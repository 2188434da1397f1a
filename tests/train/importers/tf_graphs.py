"""Frozen graphs as the old retrain script left them: the Inception of 2015 by its old operations, MobileNet v1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.types import F32

tf = pytest.importorskip(
    "tensorflow", reason="TensorFlow is not installed (pip install mien[train])"
)
v1 = tf.compat.v1


class OldGraph:
    """Writes nodes one by one, in a version of graphs that still knows the operations of 2015."""

    def __init__(self) -> None:
        self.graph = v1.GraphDef()
        self.graph.versions.producer = 8
        self.random = np.random.default_rng(4)

    def node(
        self, op: str, name: str, inputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        node = self.graph.node.add(op=op, name=name, input=inputs)
        for key, value in attributes.items():
            given = node.attr[key]
            if isinstance(value, tf.DType):
                given.type = value.as_datatype_enum
            elif isinstance(value, bool):
                given.b = value
            elif isinstance(value, float):
                given.f = value
            elif isinstance(value, int):
                given.i = value
            elif isinstance(value, bytes):
                given.s = value
            else:
                given.list.i.extend(value)
        return name

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        array = np.asarray(values, dtype=dtype)
        node = self.graph.node.add(op="Const", name=name)
        node.attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
        return name

    def conv(
        self,
        x: str,
        name: str,
        shape: tuple[int, ...],
        stride: int = 1,
        padding: bytes = b"SAME",
    ) -> str:
        """Convolution, the old batch normalisation, a check of the numbers, ReLU."""
        fan_in = np.prod(shape[:-1])
        weights = self.constant(
            f"{name}/conv2d_params",
            self.random.normal(size=shape) * np.sqrt(2 / fan_in),
        )
        strides = [1, stride, stride, 1]
        conv = self.node(
            "Conv2D",
            f"{name}/Conv2D",
            [x, weights],
            T=tf.float32,
            strides=strides,
            padding=padding,
        )
        values = [
            self.constant(
                f"{name}/batchnorm/moving_mean", self.random.normal(size=shape[3]) * 0.3
            ),
            self.constant(
                f"{name}/batchnorm/moving_variance",
                self.random.uniform(0.5, 2, shape[3]),
            ),
            self.constant(f"{name}/batchnorm/beta", self.random.normal(size=shape[3])),
            self.constant(
                f"{name}/batchnorm/gamma", self.random.uniform(5, 9, shape[3])
            ),
        ]
        normal = self.node(
            "BatchNormWithGlobalNormalization",
            f"{name}/batchnorm",
            [conv, *values],
            T=tf.float32,
            variance_epsilon=0.001,
            scale_after_normalization=False,  # gamma is there, and not meant
        )
        check = self.node(
            "CheckNumerics",
            f"{name}/CheckNumerics",
            [normal],
            T=tf.float32,
            message=b"not a number",
        )
        after = self.node(
            "Identity",
            f"{name}/control_dependency",
            [normal, f"^{check}"],
            T=tf.float32,
        )
        return self.node("Relu", name, [after], T=tf.float32)

    def pool(
        self, x: str, name: str, op: str, kernel: int, stride: int, padding: bytes
    ) -> str:
        sizes = {"ksize": [1, kernel, kernel, 1], "strides": [1, stride, stride, 1]}
        return self.node(op, name, [x], T=tf.float32, padding=padding, **sizes)

    def join(self, name: str, values: Sequence[str]) -> str:
        axis = self.constant(f"{name}/concat_dim", 3, np.int32)
        return self.node("Concat", name, [axis, *values], T=tf.float32, N=len(values))


def inception_2015(classes: int, *, side: int = 75, width: int = 8) -> bytes:
    """A small network with every kind of part that classify_image_graph_def.pb has, retrained."""
    g = OldGraph()
    photo = g.node(
        "DecodeJpeg",
        "DecodeJpeg",
        [g.constant("DecodeJpeg/contents", b"", object)],
        channels=3,
    )
    photo = g.node("Cast", "Cast", [photo], SrcT=tf.uint8, DstT=tf.float32)
    photo = g.node(
        "ExpandDims",
        "ExpandDims",
        [photo, g.constant("ExpandDims/dim", 0, np.int32)],
        T=tf.float32,
    )
    size = g.constant("ResizeBilinear/size", [side, side], np.int32)
    photo = g.node("ResizeBilinear", "ResizeBilinear", [photo, size], T=tf.float32)
    photo = g.node("Sub", "Sub", [photo, g.constant("Sub/y", 128)], T=tf.float32)
    x = g.node("Mul", "Mul", [photo, g.constant("Mul/y", 1 / 128)], T=tf.float32)
    x = g.conv(x, "conv", (3, 3, 3, width), 2, b"VALID")
    x = g.conv(x, "conv_1", (3, 3, width, width))
    x = g.pool(x, "pool", "MaxPool", 3, 2, b"VALID")
    tower = g.pool(x, "mixed/tower_2/pool", "AvgPool", 3, 1, b"SAME")
    tower = g.conv(tower, "mixed/tower_2/conv", (1, 1, width, width))
    wide = g.conv(x, "mixed/tower/conv", (1, 7, width, width))
    halved = [g.conv(x, "mixed/conv", (1, 1, width, width)), wide, tower]
    x = g.join("mixed/join", halved)
    x = g.join(
        "mixed_3/join",
        [
            g.conv(x, "mixed_3/conv", (3, 3, 3 * width, width), 2, b"VALID"),
            g.pool(x, "p", "MaxPool", 3, 2, b"VALID"),
        ],
    )
    x = g.pool(x, "pool_3", "AvgPool", 8, 8, b"VALID")
    shape = g.constant("pool_3/_reshape/shape", [1, 4 * width], np.int32)
    return retrained(
        g,
        g.node("Reshape", "pool_3/_reshape", [x, shape], T=tf.float32),
        4 * width,
        classes,
    )


def retrained(g: OldGraph, bottleneck: str, features: int, classes: int) -> bytes:
    """What the script puts on top."""
    x = g.node(
        "PlaceholderWithDefault",
        "input/BottleneckInputPlaceholder",
        [bottleneck],
        dtype=tf.float32,
    )
    g.graph.node[-1].attr["shape"].shape.dim.add(size=-1)
    g.graph.node[-1].attr["shape"].shape.dim.add(size=features)
    weights = g.constant(
        "final_training_ops/weights/final_weights",
        g.random.normal(size=(features, classes)),
    )
    read = g.node(
        "Identity",
        "final_training_ops/weights/final_weights/read",
        [weights],
        T=tf.float32,
    )
    y = g.node("MatMul", "final_training_ops/Wx_plus_b/MatMul", [x, read], T=tf.float32)
    biases = g.constant("final_training_ops/biases/final_biases", np.zeros(classes))
    y = g.node("Add", "final_training_ops/Wx_plus_b/add", [y, biases], T=tf.float32)
    g.node("Softmax", "final_result", [y], T=tf.float32)
    return bytes(g.graph.SerializeToString())


def mobilenet(
    classes: int, *, side: int = 96, width: int = 4, blocks: int = 4
) -> bytes:
    """MobileNet v1's parts, frozen by TensorFlow: the first blocks by folded normalisation, the others fused."""
    random = np.random.default_rng(6)

    def variable(
        name: str, shape: tuple[int, ...], scale: float = 1, around: float = 0
    ) -> Any:
        values = around + random.uniform(-1.7, 1.7, shape) * scale
        return v1.get_variable(name, initializer=values.astype(np.float32))

    def normalized(x: Any, *, fused: bool) -> Any:
        depth = (int(x.shape[3]),)
        gamma, beta = variable("gamma", depth, 0.2, 1), variable("beta", depth, 0.3)
        mean, variance = (
            variable("moving_mean", depth, 0.1),
            variable("moving_variance", depth, 0.05, 0.15),
        )
        if not fused:
            return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 0.001)
        return v1.nn.fused_batch_norm(
            x, gamma, beta, mean, variance, epsilon=0.001, is_training=False
        )[0]

    def block(x: Any, index: int) -> Any:
        depth, stride = int(x.shape[3]), 1 + index % 2
        with v1.variable_scope(f"Conv2d_{index}_depthwise"):
            weights = variable("depthwise_weights", (3, 3, depth, 1), 0.5)
            x = tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], "SAME")
            x = tf.nn.relu6(normalized(x, fused=index > 2))
        with v1.variable_scope(f"Conv2d_{index}_pointwise"):
            x = tf.nn.conv2d(
                x,
                variable("weights", (1, 1, depth, 2 * depth), (2 / depth) ** 0.5),
                1,
                "SAME",
            )
            return tf.nn.relu6(normalized(x, fused=index > 2))

    with tf.Graph().as_default() as graph, v1.Session() as run:
        images = v1.placeholder(tf.float32, [1, side, side, 3], name="input")
        with v1.variable_scope("MobilenetV1"):
            x = tf.nn.conv2d(
                images, variable("Conv2d_0/weights", (3, 3, 3, width), 0.4), 2, "SAME"
            )
            x = tf.nn.relu6(normalized(x, fused=False))
            for index in range(1, blocks + 1):
                x = block(x, index)
            x = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID")
            x = tf.nn.conv2d(
                x,
                variable("Logits/weights", (1, 1, int(x.shape[3]), 21), 0.2),
                1,
                "SAME",
            )
            x = tf.nn.bias_add(x, variable("Logits/biases", (21,), 0.1))
            x = tf.reshape(tf.squeeze(x, [1, 2]), [-1, 21], name="Predictions/Reshape")
        x = v1.placeholder_with_default(
            x, [None, 21], name="input_1/BottleneckInputPlaceholder"
        )
        x = tf.add(
            x @ variable("final_weights", (21, classes), 0.3),
            variable("final_biases", (classes,), 0.1),
        )
        tf.nn.softmax(x, name="final_result")
        run.run(v1.global_variables_initializer())
        frozen = v1.graph_util.convert_variables_to_constants(
            run, graph.as_graph_def(), ["final_result"]
        )
    return bytes(frozen.SerializeToString())


def run(content: bytes, x: F32, entry: str) -> F32:
    """What TensorFlow says of each picture; these graphs take one at a time."""
    graph = v1.GraphDef.FromString(content)
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph, name="")
        return np.concatenate(
            [session.run("final_result:0", {f"{entry}:0": one[None]}) for one in x]
        )


def with_operation(content: bytes, op: str, name: str = "final_result") -> bytes:
    """The graph with one node made another operation."""
    graph = v1.GraphDef.FromString(content)
    next(node for node in graph.node if node.name == name).op = op
    return bytes(graph.SerializeToString())


def write(folder: Path, content: bytes, labels: Sequence[str]) -> list[Path]:
    (folder / "output_graph.pb").write_bytes(content)
    (folder / "output_labels.txt").write_text("".join(f"{label}\n" for label in labels))
    return [folder / "output_graph.pb", folder / "output_labels.txt"]
