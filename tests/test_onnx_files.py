"""Files we write are ONNX to ONNX's own checker; what we read and write again loses nothing."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mien import onnx_files
from mien.runtime import Compute, OnnxModel


def test_the_checker_and_the_runtime_take_a_network() -> None:
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    nodes = [
        onnx_files.node(
            "Constant", [], ["b"], value=onnx_files.tensor(np.ones(3, "f"))
        ),
        onnx_files.node("Gemm", ["x", "w", "b"], ["y"], "sum", alpha=0.5, transB=0),
        onnx_files.node("Softmax", ["y"], ["p"], axis=1),
    ]
    ends = [onnx_files.value("x", ["N", 4])], [onnx_files.value("p", ["N", None])]
    made = onnx_files.model("m", nodes, *ends, [onnx_files.tensor(weights, "w")])
    onnx_files.describe(made, {"labels": "ä"})
    data = made.SerializeToString()
    read = onnx.load_model_from_string(data)
    onnx.checker.check_model(read, full_check=True)
    assert {entry.key: entry.value for entry in read.metadata_props} == {"labels": "ä"}
    x = np.ones((2, 4), np.float32)
    (answers,) = OnnxModel(data, "m", Compute("cpu", 1))(x)
    sums = np.exp(0.5 * x @ weights + 1)
    np.testing.assert_allclose(
        answers, sums / sums.sum(axis=1, keepdims=True), rtol=1e-5
    )


@pytest.mark.parametrize(
    "option", [3, 0.25, "nearest", [1, 2, 3], [0.5, 2.0], [1, 0.5]], ids=repr
)
def test_options_are_onnxs(option: object) -> None:
    ours = onnx_files.node("Any", ["a"], ["b"], "n", option=option)
    theirs = helper.make_node("Any", ["a"], ["b"], "n", option=option)
    assert onnx.NodeProto.FromString(ours.SerializeToString()) == theirs


@pytest.mark.parametrize("kind", ["f4", "f8", "f2", "u1", "i1", "i4", "i8", "?"])
def test_tensors_are_onnxs(kind: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(kind).T  # not contiguous
    tensor = TensorProto.FromString(onnx_files.tensor(values, "t").SerializeToString())
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), values)
    assert numpy_helper.to_array(tensor).dtype == values.dtype


def test_what_we_know_nothing_of_stays_in_a_file() -> None:
    """A network with a branch, a note and a sparse constant, described anew."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["then"])],
        "body",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "cxy"]
    graph = helper.make_graph([node], "g", ends[:2], ends[2:], doc_string="a note")
    theirs = helper.make_model(graph, doc_string="another", domain="somebody")
    ours = onnx_files.read(theirs.SerializeToString())
    onnx_files.describe(ours, {"licence": "MIT"})
    helper.set_model_props(theirs, {"licence": "MIT"})
    assert onnx.load_model_from_string(ours.SerializeToString()) == theirs
