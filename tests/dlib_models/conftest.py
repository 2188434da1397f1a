"""dlib as the oracle, its weight files as bytes, and faces to compare on: as they come, turned, cut by the border."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from mien.dlib_models import landmarks
from mien.types import I64, U8

RESNET = "dlib_face_recognition_resnet_model_v1.dat"
MMOD = "mmod_human_face_detector.dat"
POINTS = {
    5: "shape_predictor_5_face_landmarks.dat",
    68: "shape_predictor_68_face_landmarks.dat",
}
ASTRONAUT_BOX = (168, 65, 276, 173)  # near what dlib's HOG detector draws


@dataclass(frozen=True)
class Face:
    """A photo (H, W, 3) BGR and a face box in it: left, top, right, bottom, corners included."""

    name: str
    image: U8
    box: I64


def weights_path(name: str) -> Path:
    """Where the package of dlib's models lies; it is not imported, its own import needs more than is installed."""
    spec = importlib.util.find_spec("face_recognition_models")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "models" / name


@pytest.fixture(scope="session")
def weights() -> Callable[[str], bytes]:
    """The bytes of a weight file by its name."""
    return lambda name: weights_path(name).read_bytes()


@pytest.fixture(scope="session")
def predictor() -> Callable[[int], landmarks.ShapePredictor]:
    """The predictor of 5 or 68 points, read from its file once."""

    @cache
    def load(points: int) -> landmarks.ShapePredictor:
        name = POINTS[points]
        return landmarks.read_shape_predictor(weights_path(name).read_bytes(), name)

    return load


@pytest.fixture(scope="session")
def dlib() -> ModuleType:
    """dlib itself, where its wheel is installed."""
    return pytest.importorskip("dlib", reason="the oracle dlib-bin is not installed")


@pytest.fixture(scope="session")
def oracle(dlib: ModuleType) -> Callable[[int], Any]:
    """dlib's own shape predictor of 5 or 68 points."""
    return cache(lambda points: dlib.shape_predictor(str(weights_path(POINTS[points]))))


@pytest.fixture(scope="session")
def faces(astronaut: U8) -> list[Face]:
    return variants("astronaut", astronaut, np.array(ASTRONAUT_BOX))


def variants(name: str, image: U8, box: I64) -> list[Face]:
    """The face as it is, turned by 20 degrees, cut by the right and the lower border, and enlarged 5 times."""
    middle = (box[:2] + box[2:]) / 2
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), 20, 1)
    turned = np.asarray(cv2.warpAffine(image, turn, image.shape[1::-1]), dtype=np.uint8)
    right, lower = (int(m + 0.2 * (box[2] - box[0])) for m in middle)
    large = np.asarray(cv2.resize(image, None, fx=5, fy=5), dtype=np.uint8)
    return [
        Face(f"{name} as it is", image, box),
        Face(f"{name} turned", turned, box),
        Face(f"{name} cut at the right", np.ascontiguousarray(image[:, :right]), box),
        Face(f"{name} cut below", np.ascontiguousarray(image[:lower]), box),
        Face(f"{name} large", large, box * 5),
    ]


def rectangle(dlib: ModuleType, box: I64) -> Any:
    return dlib.rectangle(*(int(side) for side in box))


def rgb(image: U8) -> U8:
    return np.ascontiguousarray(image[..., ::-1])


@pytest.fixture(scope="session")
def many_faces(
    dlib: ModuleType, faces: list[Face], request: pytest.FixtureRequest
) -> list[Face]:
    """The astronaut and, where the shared photos are, the faces dlib's HOG detector finds in them at 640 pixels."""
    try:
        photos = request.getfixturevalue("fixture_photos")
    except pytest.skip.Exception:
        return faces
    detector, found = dlib.get_frontal_face_detector(), list(faces)
    for path in photos:
        image = cv2.imread(str(path))
        assert image is not None
        scale = min(1.0, 640 / max(image.shape))
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
            dtype=np.uint8,
        )
        for hit in detector(rgb(image), 0)[:2]:
            found += variants(
                path.stem,
                image,
                np.array([hit.left(), hit.top(), hit.right(), hit.bottom()]),
            )[:4]
    assert len(found) > 20
    return found
