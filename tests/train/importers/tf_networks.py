"""rude-carnie's networks in TensorFlow's own words (compat.v1), with its names, saved as it saves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.types import F32

tf = pytest.importorskip(
    "tensorflow", reason="TensorFlow is not installed (pip install mien[train])"
)
v1 = tf.compat.v1
_STEP = 14999


def session() -> Any:
    return v1.Session(
        config=v1.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=1
        )
    )


class Layers:
    """slim's layers: variables by scope, batch normalisation without gamma."""

    def __init__(self, *, normalized: bool, width: float = 1.0) -> None:
        self.normalized = normalized
        self.width = width
        self.seed = 0

    def variable(
        self, name: str, shape: Sequence[int], scale: float, *, around: float = 0
    ) -> Any:
        """Random numbers with this deviation."""
        self.seed += 1
        spread = scale * 3**0.5
        start = v1.random_uniform_initializer(
            around - spread, around + spread, seed=self.seed
        )
        return v1.get_variable(name, [int(size) for size in shape], initializer=start)

    def weights(self, *shape: int, gain: float = 1) -> Any:
        """Such that values neither grow nor fade from layer to layer, but by `gain`."""
        fan_in = np.prod([int(size) for size in shape[:-1]])
        return self.variable("weights", shape, gain * (2 / fan_in) ** 0.5)

    def conv(
        self,
        x: Any,
        depth: int,
        kernel: tuple[int, int],
        scope: str,
        stride: int = 1,
        padding: str = "SAME",
    ) -> Any:
        depth = max(4, int(depth * self.width))
        gain = (
            30 if scope == "conv1" and not self.normalized else 1
        )  # so that normalisation has something to do
        with v1.variable_scope(scope):
            y = tf.nn.conv2d(
                x, self.weights(*kernel, x.shape[3], depth, gain=gain), stride, padding
            )
            if not self.normalized:
                return tf.nn.relu(y + self.variable("biases", [depth], 1.0))
            with v1.variable_scope("BatchNorm"):
                beta = self.variable("beta", [depth], 1.0)
                mean = self.variable("moving_mean", [depth], 0.3)
                variance = self.variable("moving_variance", [depth], 0.4, around=1.0)
            return tf.nn.relu(
                tf.nn.batch_normalization(y, mean, variance, beta, None, 0.001)
            )

    def dense(
        self, x: Any, width: int, scope: str, *, relu: bool = True, gain: float = 1
    ) -> Any:
        with v1.variable_scope(scope):
            weights = self.weights(x.shape[1], width, gain=gain)
            y = x @ weights + self.variable("biases", [width], 0.1)
        return tf.nn.relu(y) if relu else y


def max_pool(x: Any) -> Any:
    return tf.nn.max_pool2d(x, 3, 2, "VALID")


def levi_hassner(
    x: Any,
    classes: int,
    *,
    scope: str = "LeviHassner",
    width: float = 1.0,
    radius: int = 5,
) -> Any:
    layers = Layers(normalized=scope.endswith("BN"), width=width)

    def lrn(value: Any) -> Any:
        if layers.normalized:
            return value
        return tf.nn.local_response_normalization(
            value, radius, alpha=0.0001, beta=0.75
        )

    with v1.variable_scope(scope):
        y = lrn(max_pool(layers.conv(x, 96, (7, 7), "conv1", 4, "VALID")))
        y = lrn(max_pool(layers.conv(y, 256, (5, 5), "conv2")))
        y = max_pool(layers.conv(y, 384, (3, 3), "conv3"))
        y = tf.reshape(y, [-1, y.shape[1] * y.shape[2] * y.shape[3]])
        y = layers.dense(
            layers.dense(y, int(512 * width), "full1"), int(512 * width), "full2"
        )
    return layers.dense(
        y, classes, "output", relu=False, gain=0.2 if layers.normalized else 0.1
    )


def inception(x: Any, classes: int, *, width: float) -> Any:  # noqa: C901 - as long as the network
    """slim's inception_v3_base, block by block."""
    layers = Layers(normalized=True, width=width)
    conv = layers.conv

    def average(value: Any) -> Any:
        return tf.nn.avg_pool2d(value, 3, 1, "SAME")

    def block(value: Any, name: str, *branches: Callable[[Any], Any]) -> Any:
        with v1.variable_scope(name):
            ends = []
            for index, branch in enumerate(branches):
                with v1.variable_scope(f"Branch_{index}"):
                    ends.append(branch(value))
            return tf.concat(ends, 3)

    def one(depth: int, scope: str = "Conv2d_0a_1x1") -> Callable[[Any], Any]:
        return lambda y: conv(y, depth, (1, 1), scope)

    def five(y: Any, name: str, pool: int) -> Any:
        first, second = (
            ("Conv2d_0b_1x1", "Conv_1_0c_5x5")
            if name == "Mixed_5c"
            else ("Conv2d_0a_1x1", "Conv2d_0b_5x5")
        )
        return block(
            y,
            name,
            one(64),
            lambda y: conv(conv(y, 48, (1, 1), first), 64, (5, 5), second),
            lambda y: conv(
                conv(one(64)(y), 96, (3, 3), "Conv2d_0b_3x3"),
                96,
                (3, 3),
                "Conv2d_0c_3x3",
            ),
            lambda y: conv(average(y), pool, (1, 1), "Conv2d_0b_1x1"),
        )

    def six(y: Any, name: str, middle: int) -> Any:
        def long(y: Any) -> Any:
            y = conv(one(middle)(y), middle, (7, 1), "Conv2d_0b_7x1")
            y = conv(
                conv(y, middle, (1, 7), "Conv2d_0c_1x7"),
                middle,
                (7, 1),
                "Conv2d_0d_7x1",
            )
            return conv(y, 192, (1, 7), "Conv2d_0e_1x7")

        return block(
            y,
            name,
            one(192),
            lambda y: conv(
                conv(one(middle)(y), middle, (1, 7), "Conv2d_0b_1x7"),
                192,
                (7, 1),
                "Conv2d_0c_7x1",
            ),
            long,
            lambda y: conv(average(y), 192, (1, 1), "Conv2d_0b_1x1"),
        )

    def seven(y: Any, name: str, tall: str) -> Any:
        def split(y: Any, wide: str, tall: str) -> Any:
            return tf.concat(
                [conv(y, 384, (1, 3), wide), conv(y, 384, (3, 1), tall)], 3
            )

        return block(
            y,
            name,
            one(320),
            lambda y: split(one(384)(y), "Conv2d_0b_1x3", tall),
            lambda y: split(
                conv(one(448)(y), 384, (3, 3), "Conv2d_0b_3x3"),
                "Conv2d_0c_1x3",
                "Conv2d_0d_3x1",
            ),
            lambda y: conv(average(y), 192, (1, 1), "Conv2d_0b_1x1"),
        )

    def halved(y: Any, depth: int, kernel: int, scope: str) -> Any:
        return conv(y, depth, (kernel, kernel), scope, 2, "VALID")

    with v1.variable_scope("InceptionV3"):
        y = conv(
            halved(x, 32, 3, "Conv2d_1a_3x3"), 32, (3, 3), "Conv2d_2a_3x3", 1, "VALID"
        )
        y = max_pool(conv(y, 64, (3, 3), "Conv2d_2b_3x3"))
        y = conv(
            conv(y, 80, (1, 1), "Conv2d_3b_1x1", 1, "VALID"),
            192,
            (3, 3),
            "Conv2d_4a_3x3",
            1,
            "VALID",
        )
        y = five(
            five(five(max_pool(y), "Mixed_5b", 32), "Mixed_5c", 64), "Mixed_5d", 64
        )
        y = block(
            y,
            "Mixed_6a",
            lambda y: halved(y, 384, 3, "Conv2d_1a_1x1"),
            lambda y: halved(
                conv(one(64)(y), 96, (3, 3), "Conv2d_0b_3x3"), 96, 3, "Conv2d_1a_1x1"
            ),
            max_pool,
        )
        for name, middle in (
            ("Mixed_6b", 128),
            ("Mixed_6c", 160),
            ("Mixed_6d", 160),
            ("Mixed_6e", 192),
        ):
            y = six(y, name, middle)

        def turned(y: Any) -> Any:
            y = conv(
                conv(one(192)(y), 192, (1, 7), "Conv2d_0b_1x7"),
                192,
                (7, 1),
                "Conv2d_0c_7x1",
            )
            return halved(y, 192, 3, "Conv2d_1a_3x3")

        y = block(
            y,
            "Mixed_7a",
            lambda y: halved(one(192)(y), 320, 3, "Conv2d_1a_3x3"),
            turned,
            max_pool,
        )
        y = seven(seven(y, "Mixed_7b", "Conv2d_0b_3x1"), "Mixed_7c", "Conv2d_0c_3x1")
        y = tf.reshape(tf.nn.avg_pool2d(y, y.shape[1:3], 1, "VALID"), [-1, y.shape[3]])
    return layers.dense(y, classes, "output", relu=False, gain=0.5)


def save(
    folder: Path,
    network: Callable[[Any], Any],
    x: F32,
    *,
    version: int = 2,
    slots: bool = False,
) -> F32:
    """Saves a network as rude-carnie's training does, beside its optimiser's slots if wanted; gives its softmax."""
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), session() as run:
        images = v1.placeholder(tf.float32, [None, *x.shape[1:]])
        logits = network(images)
        global_step = v1.get_variable("global_step", initializer=_STEP, trainable=False)
        if slots:
            v1.train.MomentumOptimizer(0.01, 0.9).minimize(
                tf.reduce_sum(logits), global_step=global_step
            )
        run.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=version).save(
            run, str(folder / "checkpoint"), global_step=_STEP
        )
        return np.concatenate(
            [
                run.run(tf.nn.softmax(logits), {images: x[i : i + 8]})
                for i in range(0, len(x), 8)
            ]
        )
