"""Devices are chosen by name, refused with the cure, and give the processor's answers."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from onnx import TensorProto, helper

from mien import runtime
from mien.errors import ModelError
from mien.models.detectors.compact import Compact
from mien.pipeline import Analyzer
from mien.runtime import CPU, PROVIDERS, Compute, OnnxModel
from mien.types import U8

THERE = [
    device
    for device, provider in PROVIDERS.items()
    if provider.name in runtime.ort.get_available_providers()
]
MISSING = [device for device in PROVIDERS if device not in THERE]


@pytest.mark.parametrize("device", MISSING)
def test_a_device_that_is_not_there_is_refused_with_the_cure(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = PROVIDERS[device]
    with pytest.raises(ModelError, match="choose the device 'cpu'"):
        runtime._providers(device)
    monkeypatch.setattr(sys, "platform", wanted.system or sys.platform)
    with pytest.raises(ModelError, match=f"pip install {wanted.package}'"):
        runtime._providers(device)


def test_an_unknown_device_is_told_which_there_are() -> None:
    with pytest.raises(ModelError, match="cuda, openvino, coreml, directml"):
        runtime._providers("tpu")


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime._providers("cpu") == [CPU]
    for there, expected in (([CPU], [CPU]), (_cuda(), _cuda())):
        monkeypatch.setattr(runtime.ort, "get_available_providers", lambda t=there: t)
        assert runtime._providers("auto") == expected


def _cuda() -> list[str]:
    return [PROVIDERS["cuda"].name, CPU]


def test_a_device_that_does_not_start_is_not_replaced_silently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ONNX Runtime goes over to the processor where CUDA's libraries are missing."""

    class Fallen:
        def get_providers(self) -> list[str]:
            return [CPU]

    monkeypatch.setattr(runtime.ort, "get_available_providers", _cuda)
    monkeypatch.setattr(runtime.ort, "InferenceSession", lambda *_, **__: Fallen())
    with pytest.raises(ModelError, match="cuda is in this ONNX Runtime, but does not"):
        OnnxModel(b"", "net", Compute("cuda"))


@pytest.mark.slow
@pytest.mark.parametrize("device", THERE)
def test_a_device_gives_the_answers_of_the_processor(
    device: str, astronaut: U8, analyzer: Analyzer
) -> None:
    expected = analyzer.analyze(astronaut).faces
    found = Analyzer(device=device).analyze(astronaut).faces
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1.0)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-2)
    for name, scores in expected.attributes.items():
        np.testing.assert_allclose(
            found.attributes[name].probs, scores.probs, atol=1e-2
        )


def test_a_damaged_network_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime would print an error on stdout, into what a program reads, and try again."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N"]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    odd = helper.make_model(graph).SerializeToString().replace(b"Relu", b"\x80elu")
    with pytest.raises(ModelError, match="not a network"):
        OnnxModel(odd, "net")  # its message quotes what is no text
    assert capsys.readouterr().out == ""


def test_networks_too_small_for_two_threads_have_one() -> None:
    wide = Compute("cpu", 2)
    analyzer = Analyzer(only=["age"], device="cpu", threads=2)
    detector = analyzer.detector
    assert isinstance(detector, Compact)
    (heads,) = analyzer.backbone.heads
    small = [detector.verifier, detector.angle, detector.points, heads]
    assert [_threads(part.model) for part in small] == [1] * 4
    assert [_threads(part.model) for part in (detector, analyzer.backbone)] == [2, 2]
    assert runtime.for_small(wide) == Compute("cpu", 1)


def _threads(model: OnnxModel) -> int:
    return int(model._session.get_session_options().intra_op_num_threads)
