from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mien.dlib_models import chip, landmarks, resnet
from mien.dlib_models.landmarks import ShapePredictor
from mien.runtime import Compute, OnnxModel

from .conftest import RESNET, Face, rectangle, rgb, weights_path


@pytest.fixture(scope="module")
def network(weights: Callable[[str], bytes]) -> OnnxModel:
    return OnnxModel(resnet.to_onnx(weights(RESNET)), RESNET, Compute("cpu", 1))


@pytest.fixture(scope="module")
def their_network(dlib: ModuleType) -> Any:
    return dlib.face_recognition_model_v1(str(weights_path(RESNET)))


@pytest.mark.slow
@pytest.mark.oracle
def test_descriptors_are_dlibs(
    network: OnnxModel,
    their_network: Any,
    oracle: Callable[[int], Any],
    predictor: Callable[[int], ShapePredictor],
    many_faces: list[Face],
    dlib: ModuleType,
) -> None:
    for face in many_faces[::2] if len(many_faces) > 20 else many_faces:
        image = rgb(face.image)
        shape = oracle(5)(image, rectangle(dlib, face.box))
        theirs = np.array(their_network.compute_face_descriptor(image, shape))
        at = landmarks.predict(predictor(5), face.image, face.box[None])
        ours = network(chip.cut_chips(face.image, at), outputs=[resnet.EMBEDDING])[0][0]
        assert np.linalg.norm(ours - theirs) < 0.002, face.name
        assert 1.1 < np.linalg.norm(ours) < 1.7, (
            face.name
        )  # not normalised: dlib's threshold relies on it


@pytest.mark.slow
@pytest.mark.oracle
def test_the_network_alone_is_dlibs_to_rounding(
    network: OnnxModel, their_network: Any, dlib: ModuleType, faces: list[Face]
) -> None:
    crop = np.ascontiguousarray(faces[0].image[40:190, 150:300])
    theirs = np.array(their_network.compute_face_descriptor(rgb(crop)))
    assert (
        np.linalg.norm(network(crop[None], outputs=[resnet.EMBEDDING])[0][0] - theirs)
        < 1e-5
    )


def test_outputs_in_a_batch_are_those_of_single_faces(network: OnnxModel) -> None:
    chips = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3), dtype=np.uint8)
    together = network(chips)
    shapes = [(3, 128), (3, 128, 8, 8), (3, 256, 4, 4)]
    assert network.outputs == (resnet.EMBEDDING, resnet.MAP_128, resnet.MAP_256)
    assert [out.shape for out in together] == shapes
    for name, out in zip(network.outputs, together, strict=True):
        alone = np.concatenate([network(one[None], outputs=[name])[0] for one in chips])
        np.testing.assert_allclose(out, alone, atol=1e-5)
        assert out.std() > 0


def test_inner_maps_are_after_a_relu(network: OnnxModel, faces: list[Face]) -> None:
    _, map_128, map_256 = network(faces[0].image[None, 40:190, 150:300])
    for inner in (map_128, map_256):
        assert inner.min() == 0
        assert inner.max() > 0
