"""Keras, imported here alone, when a network is trained: always on TensorFlow, quietly, the same each time."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import ModelError
from mien.installs import lacking
from mien.runtime import default_threads

BACKEND = "tensorflow"


def load_keras() -> Any:
    """The module `keras`, ready to train the same network twice.

    Raises:
        ModelError: It is not installed, or the process has already begun to use it with something else.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = BACKEND
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault(
            "HF_HUB_DISABLE_TELEMETRY", "1"
        )  # Keras loads huggingface_hub where it is installed
    try:
        with _silence():
            import keras
            import tensorflow as tf

            _take_threads(tf)
    except ImportError as exc:
        raise ModelError(
            lacking("any network but face", f"Keras ({exc})", "train")
        ) from exc
    if keras.backend.backend() != BACKEND:
        raise ModelError(
            f"Keras runs on {keras.backend.backend()} in this process; set KERAS_BACKEND={BACKEND}"
        )
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
    return keras


def _take_threads(tf: Any) -> None:
    """Starts TensorFlow with no more threads than this process has processors."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(default_threads())
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # it already runs in this process and keeps the threads it has
        return
    tf.zeros(1)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps what TensorFlow's C++ writes to stderr as it starts, whatever it is told, off the terminal."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def to_onnx(model: Any, size: int) -> Any:
    """A Keras model of pictures (N, size, size, 3) as an ONNX message with a free batch."""
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)

    signature = [tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")]
    proto, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=17)
    return proto


def scalars_to(folder: Path | None) -> Callable[[Mapping[str, float], int], None]:
    """What writes an epoch's figures by name where TensorBoard looks for them; without a folder it does nothing."""
    if folder is None:
        return lambda values, epoch: None
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))
    kind = tf.compat.v1.SummaryMetadata(  # tf.summary.scalar says the same, but only with TensorBoard itself installed
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
        data_class="DATA_CLASS_SCALAR",
    )

    def write(values: Mapping[str, float], epoch: int) -> None:
        with writer.as_default():
            for name, value in values.items():
                tf.summary.write(
                    name.replace(" ", "_"),
                    tf.constant(value, tf.float32),
                    step=epoch,
                    metadata=kind,
                )
        writer.flush()

    return write


def local_response_norm() -> Any:
    """A layer of Caffe's across-channel normalisation as Levi and Hassner use it: 5 channels, alpha 1e-4, beta 0.75.

    TensorFlow's alpha is per channel, Caffe's is divided by the number of channels.
    """
    keras = load_keras()
    import tensorflow as tf

    class LocalResponseNorm(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return tf.nn.local_response_normalization(
                x, depth_radius=2, bias=1.0, alpha=1e-4 / 5, beta=0.75
            )

    return LocalResponseNorm()
