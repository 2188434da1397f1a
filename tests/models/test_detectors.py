"""Each detector finds real faces, and nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien import geometry
from mien.media import images
from mien.models.detectors.base import load_detector, scales_for
from mien.models.detectors.yunet import Yunet, decode_yunet
from mien.types import U8


def test_scales() -> None:
    small, large = (
        np.zeros((480, 640, 3), np.uint8),
        np.zeros((3000, 4000, 3), np.uint8),
    )
    assert scales_for(small, min_face=40, reliable=16) == (1.0,)
    assert scales_for(large, min_face=40, reliable=16) == (0.4, 0.16)
    assert scales_for(large, min_face=200, reliable=16) == (0.32,)
    assert scales_for(large, min_face=10, reliable=16) == (1.0, 0.16)


@pytest.mark.slow
def test_mmod_finds_the_astronaut(astronaut: U8) -> None:
    faces = load_detector("mmod")(astronaut)
    assert len(faces) == 1
    left, top, right, bottom = faces.boxes[0]
    assert 150 < left < 200 < right < 280
    assert 50 < top < 100 < bottom < 200


@pytest.mark.slow
def test_mmod_finds_nobody_in_a_cup_of_coffee(face_free: U8) -> None:
    faces = load_detector("mmod")(face_free)
    assert len(faces) == 0
    assert faces.boxes.dtype == np.float32


def yn_boxes(image: U8, model: str) -> np.ndarray:
    detector = cv2.FaceDetectorYN.create(
        model, "", (image.shape[1], image.shape[0]), 0.6, 0.3, 5000
    )
    found = detector.detect(image)[1]
    found = np.zeros((0, 15), np.float32) if found is None else found
    return np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)


@pytest.mark.slow
def test_yunet_agrees_with_opencv_on_every_photo(
    yunet: str, shared: Path, fixture_photos: list[Path]
) -> None:
    model = str(shared / "weights" / "face_detection_yunet_2023mar.onnx")
    detector = load_detector(yunet)
    compared = 0
    for photo in fixture_photos:
        image = images.read_image(photo)
        image = geometry.shrink(image, min(1.0, 1280 / max(image.shape[:2])))
        ours, theirs = detector(image).boxes, yn_boxes(image, model)
        assert len(ours) == len(theirs), photo.name
        if len(ours):
            nearest = geometry.iou(ours, theirs).argmax(axis=1)
            np.testing.assert_allclose(
                ours, theirs[nearest], atol=1.0, err_msg=photo.name
            )
            compared += len(ours)
    assert compared > 50


def test_yunet_decodes_nothing_to_empty_columns() -> None:
    maps = {
        f"{name}_{s}": np.zeros((1, (64 // s) ** 2, k), np.float32)
        for s in (8, 16, 32)
        for name, k in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }
    boxes, scores, landmarks = decode_yunet(maps, 64, 64, threshold=0.5)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("size_wh", [(1, 1), (31, 500), (641, 479)], ids=str)
def test_yunet_takes_any_size(yunet: str, size_wh: tuple[int, int]) -> None:
    detector = load_detector(yunet)
    assert isinstance(detector, Yunet)
    assert len(detector(np.zeros((size_wh[1], size_wh[0], 3), np.uint8))) == 0
