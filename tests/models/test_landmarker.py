"""MediaPipe's face landmarker: as TFLite tells it, turned and mirrored, and through what tells of faces."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import mien
from commands import Inside
from mien import plugins, store
from mien.errors import ModelError
from mien.models.attributes import landmarker, tflite
from mien.models.attributes.landmarker import BLENDSHAPES, FaceLandmarker
from mien.types import U8, Faces
from mien.zoo import asked_as, spec_of, specs_of

# What TensorFlow's TFLite interpreter says of the astronaut's face, [32:200, 140:308] at 256 pixels.
POINTS = {
    1: (126.7293, 150.6897, -34.9927),
    33: (84.9094, 104.9949, 5.7576),
    152: (123.7686, 224.3170, 17.1179),
    263: (175.9096, 109.6858, 4.0979),
    477: (161.8526, 114.8732, -0.2623),
}
SHAPES = {
    "mouthSmileLeft": 0.88823,
    "mouthSmileRight": 0.8965,
    "eyeBlinkLeft": 0.04852,
    "jawOpen": 0.01534,
    "browInnerUp": 0.02883,
}


@pytest.fixture(scope="session")
def published(shared: Path) -> Iterator[Path]:
    """The published file, taken in."""
    file = shared / "weights" / "face_landmarker.task"
    assert asked_as(store.import_file(file)) == "face_landmarker"
    yield file
    store.path_of(spec_of("face_landmarker")).unlink()


@pytest.fixture(scope="session")
def model(published: Path) -> FaceLandmarker:
    return FaceLandmarker.load()


def told(analyzer: mien.Analyzer, model: FaceLandmarker, image: U8) -> dict[str, float]:
    (face,) = model(image, analyzer.detector(image))
    return {name: float(one.number or 0) for name, one in face.attributes.items()}


def test_both_networks_tell_what_tflite_tells(
    model: FaceLandmarker, astronaut: U8
) -> None:
    crop = cv2.resize(astronaut[32:200, 140:308], (256, 256))
    raw, presence, *_ = model.mesh(crop[None, ..., ::-1].astype(np.float32) / 255)
    points = raw.reshape(478, 3)
    np.testing.assert_allclose(points[list(POINTS)], list(POINTS.values()), atol=1e-3)
    assert presence.item() == pytest.approx(21.6746, abs=1e-3)
    shapes = model._blendshapes(points)
    rows = [BLENDSHAPES.index(name) for name in SHAPES]
    np.testing.assert_allclose(shapes[rows], list(SHAPES.values()), atol=1e-3)


def test_points_lie_on_the_face_however_the_box_is_drawn(
    analyzer: mien.Analyzer, model: FaceLandmarker, astronaut: U8
) -> None:
    faces = analyzer.detector(astronaut)
    (points,) = model.points(astronaut, faces)
    mouth = points[[61, 291], :2]  # the corners
    np.testing.assert_allclose(mouth, faces.landmarks[0, 3:], atol=6)
    wider = Faces(faces.boxes + np.float32([-15, -5, 10, 20]), *_rest(faces))
    (again,) = model.points(astronaut, wider)
    np.testing.assert_allclose(again[:, :2], points[:, :2], atol=2.5)


def _rest(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    return faces.scores, faces.landmarks


def test_a_mirror_turns_yaw_and_roll_round(
    analyzer: mien.Analyzer, model: FaceLandmarker, astronaut: U8
) -> None:
    plain = told(analyzer, model, astronaut)
    mirrored = told(analyzer, model, np.ascontiguousarray(astronaut[:, ::-1]))
    for name in ("yaw", "roll"):
        assert mirrored[name] == pytest.approx(-plain[name], abs=3)
    for name in ("pitch", "blink", "mouth_smile_left"):
        assert mirrored[name] == pytest.approx(plain[name], abs=5)
    assert plain["mouth_smile_left"] > 80
    assert plain["blink"] < 15


@pytest.mark.parametrize("degrees", [-20, 20])
def test_a_tilted_photo_tilts_the_face(
    analyzer: mien.Analyzer, model: FaceLandmarker, astronaut: U8, degrees: int
) -> None:
    turn = cv2.getRotationMatrix2D((224, 120), -degrees, 1)  # OpenCV's is the other way
    tilted = np.asarray(cv2.warpAffine(astronaut, turn, (512, 512)), np.uint8)
    by = (
        told(analyzer, model, tilted)["roll"] - told(analyzer, model, astronaut)["roll"]
    )
    assert by == pytest.approx(degrees, abs=3)


def test_the_pose_is_that_of_the_canonical_face(model: FaceLandmarker) -> None:
    for pose in ((0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, -40), (-25, 15, 10)):
        yaw, pitch, roll = np.deg2rad(pose)
        c, s = np.cos(-roll), np.sin(-roll)
        about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        turn = landmarker._about_y(yaw) @ landmarker._about_x(pitch) @ about_z
        seen = 7 * model.canonical @ turn.T * [1, -1, -1] + [300, 200, 5]
        np.testing.assert_allclose(model.pose(seen.astype(np.float32)), pose, atol=0.01)


def test_of_no_face_nothing_is_told(
    analyzer: mien.Analyzer, model: FaceLandmarker, face_free: U8, astronaut: U8
) -> None:
    somewhere = Faces(
        np.float32([[100, 100, 200, 200]]), *_rest(analyzer.detector(astronaut))
    )
    (face,) = model(face_free, somewhere)
    assert {one.number for one in face.attributes.values()} == {None}
    nobody = model(face_free, Faces.empty())
    assert {one.probs.shape for one in nobody.attributes.values()} == {(0, 1)}


@pytest.mark.slow
@pytest.mark.usefixtures("published")
def test_single_attributes_are_told_and_its_name_stands_for_all(
    inside: Inside, astronaut_file: Path
) -> None:
    beside = ("--only", "yaw,pitch", "--attributes", "face_landmarker")
    for options in (beside, ("--only", "face_landmarker")):
        done = inside("analyze", astronaut_file, *options, "--format", "json")
        assert done.returncode == 0, done.stderr
        (face,) = json.loads(done.stdout)[0]["faces"]
        assert -15 < face["yaw"] < 15
        assert ("jaw_open" in face) == (options != beside)
        assert face.get("age") is None


def test_it_comes_by_the_door_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plugins.found(plugins.ATTRIBUTES)["face_landmarker"].package == plugins.OWN
    assert specs_of("face-landmarker") == (spec_of("face_landmarker"),)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="run 'mien models get face_landmarker'"):
        mien.Analyzer(only=["face_landmarker"])


def test_damaged_files_are_refused(published: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(published.read_bytes())) as archive:
        network = archive.read("face_blendshapes.tflite")
    for step in (3, 1001):
        cuts = range(0, 5000, 499) if step == 3 else range(5000, len(network), 90_001)
        for length in cuts:
            with pytest.raises(ModelError, match="no TFLite network"):
                tflite.to_onnx(network[:length], "net")
    for data in (b"", b"PK\x03\x04", b"\x18\0\0\0TFL3" + b"\xff" * 64):
        with pytest.raises(ModelError):
            tflite.to_onnx(data, "net")
        with pytest.raises(ModelError, match="no face landmarker"):
            landmarker.converted(data, "net")
