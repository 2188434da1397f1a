"""A model file of one's own: labels and preprocessing travel inside it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mien.errors import ModelError
from mien.models.classifier import Classifier
from mien.pipeline import Analyzer
from mien.types import U8, Faces


def write_model(
    path: Path, labels: object = ("calm", "lively"), **preprocessing: object
) -> Path:
    """A network that tells how bright the crop is: its mean in [0, 1] is the logit of the second label."""
    size = int(str(preprocessing.get("size", 32)))
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], [-10.0, 10.0]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", size, size, 3])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "brightness", [x], [y], constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    metadata = {
        "preprocessing": json.dumps(
            {"size": size, "mean": [128], "std": [128], **preprocessing}
        )
    }
    helper.set_model_props(
        model,
        metadata if labels is None else {"labels": json.dumps(labels), **metadata},
    )
    onnx.save(model, path)
    return path


def test_a_model_of_ones_own_replaces_ours(astronaut: U8, tmp_path: Path) -> None:
    file = write_model(tmp_path / "mood.onnx")
    (face,) = (
        Analyzer(only=["emotion"], models={"emotion": file}).analyze(astronaut).faces
    )
    assert face.probs["emotion"].keys() == {"calm", "lively"}
    assert sum(face.probs["emotion"].values()) == pytest.approx(1)
    (dark,) = (
        Analyzer(only=["emotion"], models={"emotion": file})
        .analyze(astronaut // 2)
        .faces
    )
    assert dark.probs["emotion"]["lively"] < face.probs["emotion"]["lively"]


def test_no_faces_need_no_pass(tmp_path: Path, astronaut: U8) -> None:
    stage = Classifier.load(write_model(tmp_path / "mood.onnx"), "mood")
    assert len(stage(astronaut, Faces.empty())) == 0


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(None, "no labels"), ([], "no labels"), ("calm", "no labels")],
    ids=["none", "empty", "text"],
)
def test_files_without_labels_are_refused(
    tmp_path: Path, labels: object, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        Classifier.load(write_model(tmp_path / "mood.onnx", labels), "mood")


def test_files_that_are_no_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"x\.onnx"):
        Classifier.load(tmp_path / "x.onnx", "mood")
    with pytest.raises(ModelError, match="cannot read"):
        Classifier.load(tmp_path / "missing.onnx", "mood")


def test_ages_are_the_mean_of_their_labels(tmp_path: Path, astronaut: U8) -> None:
    file = write_model(tmp_path / "age.onnx", ["20", "40"])
    (face,) = Analyzer(only=["age"], models={"age": file}).analyze(astronaut).faces
    assert face.age is not None
    assert 20 <= face.age <= 40
