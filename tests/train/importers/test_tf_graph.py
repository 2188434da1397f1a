"""Frozen graphs of the old retrain script, against TensorFlow running the same graphs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from mien.errors import InputError, ModelError
from mien.models.classifier import Classifier
from mien.runtime import OnnxModel
from mien.train.importers.model_file import ImportOptions, convert
from mien.types import F32

pytestmark = pytest.mark.slow
tf = pytest.importorskip(
    "tensorflow", reason="TensorFlow is not installed (pip install mien[train])"
)

from . import tf_graphs  # noqa: E402 - it needs TensorFlow

LABELS = ["angry", "calm", "happy", "sad"]


def pictures(side: int, count: int = 32) -> F32:
    """Noise of different brightness, -1 to 1."""
    random = np.random.default_rng(2)
    noise = random.uniform(-1, 1, (count, side, side, 3)) * random.uniform(
        0.1, 0.6, (count, 1, 1, 1)
    )
    return (noise + random.uniform(-0.4, 0.4, (count, 1, 1, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def inception() -> bytes:
    return tf_graphs.inception_2015(len(LABELS))


@pytest.mark.parametrize(
    ("make", "side", "entry"),
    [("inception_2015", 75, "Mul"), ("mobilenet", 96, "input")],
)
def test_the_graph_computes_what_tensorflow_computes(
    tmp_path: Path, make: str, side: int, entry: str
) -> None:
    content = getattr(tf_graphs, make)(len(LABELS))
    x = pictures(side)
    reference = tf_graphs.run(content, x, entry)
    assert reference.std(axis=0).max() > 0.01, (
        "the network must tell these pictures apart"
    )
    data = convert(tf_graphs.write(tmp_path, content, LABELS), ImportOptions())
    assert np.abs(OnnxModel(data, make)(x)[0] - reference).max() <= 1e-4


def test_tensorflow_s_own_local_response_normalisation(tmp_path: Path) -> None:
    """5 channels to each side, alpha undivided."""
    graph, v1 = tf.Graph(), tf.compat.v1
    weights = np.random.default_rng(3).normal(size=(16, 4)).astype(np.float32) * 0.1
    with graph.as_default():
        images = v1.placeholder(tf.float32, [1, 4, 4, 16], name="input")
        x = tf.nn.local_response_normalization(
            images * 20.0, 5, bias=2.0, alpha=1e-3, beta=0.6
        )
        tf.nn.softmax(tf.reduce_mean(x, [1, 2]) @ weights, name="final_result")
    content = graph.as_graph_def().SerializeToString()
    x = np.random.default_rng(1).normal(size=(32, 4, 4, 16)).astype(np.float32)
    from mien.train.importers.tf_graph import read_frozen_graph

    file = tf_graphs.write(tmp_path, content, LABELS)[0]
    model = read_frozen_graph(file).graph
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 16
    probs = OnnxModel(model.SerializeToString(), "lrn")(x)[0]
    assert np.abs(probs - tf_graphs.run(content, x, "input")).max() <= 1e-5


def test_what_the_model_file_carries(tmp_path: Path, inception: bytes) -> None:
    (tmp_path / "emotion.onnx").write_bytes(
        convert(
            tf_graphs.write(tmp_path, inception, LABELS), ImportOptions(padding=0.4)
        )
    )
    stage = Classifier.load(tmp_path / "emotion.onnx", "emotion")
    how = stage.preprocessing
    assert stage.labels == tuple(LABELS)
    assert (how.size, list(how.mean), list(how.std), how.channels) == (
        75,
        [128],
        [128],
        "rgb",
    )
    assert (how.crop, how.padding, how.padding_px, how.sampling) == (
        "box",
        0.4,
        0,
        "corner",
    )
    assert stage.model.metadata["source"] == "TensorFlow frozen graph: output_graph.pb"


def test_reading_needs_no_tensorflow(tmp_path: Path, inception: bytes) -> None:
    files = tf_graphs.write(tmp_path, inception, LABELS)
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from mien.cli import main; sys.argv[1:] = ['models', 'import', *sys.argv[1:]]; main()"
    )
    command = [
        sys.executable,
        "-c",
        code,
        *map(str, files),
        "--output",
        str(tmp_path / "emotion.onnx"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    metadata = {
        one.key: one.value
        for one in onnx.load(tmp_path / "emotion.onnx").metadata_props
    }
    assert json.loads(metadata["labels"]) == LABELS
    graph = onnx.load(tmp_path / "emotion.onnx").graph
    assert {one.name for one in graph.initializer} <= {
        name for node in graph.node for name in node.input
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda graph: graph[: len(graph) // 2], "damaged"),
        (lambda graph: np.random.default_rng(0).bytes(3000), "damaged|no frozen"),
        (lambda graph: b"a text of no meaning\n" * 50, "damaged|no frozen"),
        (
            lambda graph: graph.replace(b"conv_1", b"\xff\xfe\xc7\xc7\xc7\xc7"),
            "damaged",
        ),
        (lambda graph: b"", "no frozen TensorFlow graph"),
        (
            lambda graph: tf_graphs.with_operation(
                graph, "VariableV2", "mixed/conv/conv2d_params"
            ),
            "not frozen|freeze",
        ),
        (
            lambda graph: tf_graphs.with_operation(graph, "QuantizedRelu", "conv_1"),
            "quantised",
        ),
        (
            lambda graph: tf_graphs.with_operation(graph, "Erf", "conv_1"),
            "Erf 'conv_1' cannot be read",
        ),
        (
            lambda graph: graph.replace(b"conv_1/Conv2D", b"conv_1/Conv3D", 1),
            "lacks its node conv_1/Conv2D|cut",
        ),
        (
            lambda graph: graph.replace(b"final_result", b"other_result").replace(
                b"Softmax", b"Sigmoid"
            ),
            "retrained",
        ),
        (lambda graph: graph.replace(b"VALID", b"CAVED"), "padding CAVED"),
    ],
)
def test_damaged_and_foreign_graphs_are_named(
    tmp_path: Path, inception: bytes, change: object, reason: str
) -> None:
    files = tf_graphs.write(tmp_path, change(inception), LABELS)  # type: ignore[operator]
    with pytest.raises(ModelError, match=rf"output_graph\.pb.*({reason})"):
        convert(files, ImportOptions())


@pytest.mark.parametrize("labels", [[], ["one"], [*LABELS, "bored"]])
def test_labels_must_be_as_many_as_the_network_has(
    tmp_path: Path, inception: bytes, labels: list[str]
) -> None:
    with pytest.raises(InputError, match="4 classes"):
        convert(tf_graphs.write(tmp_path, inception, labels), ImportOptions())


def test_a_graph_without_labels_asks_for_them(tmp_path: Path, inception: bytes) -> None:
    with pytest.raises(InputError, match="--labels"):
        convert(tf_graphs.write(tmp_path, inception, LABELS)[:1], ImportOptions())
