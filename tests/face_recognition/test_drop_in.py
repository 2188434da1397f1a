from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

import face_recognition
from face_recognition import api
from face_recognition.jitter import jittered
from face_recognition.models import FaceDetector, Lazy, LazyShapePredictor
from face_recognition.shapes import FullObjectDetection, MmodRectangle, Point, Rectangle
from mien.types import U8

BOX = (76, 265, 166, 175)  # dlib's own for the astronaut, upsampled once
SMALL = np.s_[40:240, 120:320]  # around the astronaut's face


def test_exports_are_the_originals() -> None:
    assert sorted(face_recognition.__all__) == [
        "batch_face_locations",
        "compare_faces",
        "face_distance",
        "face_encodings",
        "face_landmarks",
        "face_locations",
        "load_image_file",
    ]
    assert face_recognition.__version__ == "1.4.0"


@pytest.mark.slow
def test_import_loads_no_model() -> None:
    code = (
        "import face_recognition.api as a; "
        "import sys; assert 'dlib' not in sys.modules; "
        "assert not any(x._made for x in (a.face_detector._score, a.cnn_face_detector._model, "
        "a.face_encoder._model, a.pose_predictor_5_point._predictor, a.pose_predictor_68_point._predictor))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("mode", "shape"), [("RGB", (8, 9, 3)), ("L", (8, 9)), (None, (8, 9, 4))]
)
def test_load_image_file(
    mode: str | None, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    PIL.Image.fromarray(np.zeros((8, 9, 4), np.uint8)).save(path)
    for source in (str(path), path, io.BytesIO(path.read_bytes())):
        image = face_recognition.load_image_file(source, mode)  # type: ignore[arg-type]
        assert (image.shape, image.dtype) == (shape, np.uint8)


def test_half_a_jpeg_is_looked_at(photo: U8) -> None:
    data = io.BytesIO()
    PIL.Image.fromarray(photo).save(data, "JPEG")
    half = io.BytesIO(data.getvalue()[: len(data.getvalue()) // 2])
    assert face_recognition.load_image_file(half).shape == photo.shape


@pytest.mark.parametrize("grey", [False, True])
def test_locations(photo: U8, grey: bool) -> None:
    found = face_recognition.face_locations(photo[..., 1].copy() if grey else photo)
    assert all(type(edge) is int for box in found for edge in box)
    assert any(
        np.abs(np.subtract(box, BOX)).max() <= (20 if grey else 0) for box in found
    )


def test_locations_are_cut_to_the_image(photo: U8) -> None:
    cut = np.ascontiguousarray(photo[84:300, 182:400])
    (raw,) = api._raw_face_locations(cut)
    assert str(raw) == "[(-14, -13) (86, 86)]"
    assert face_recognition.face_locations(cut) == [(0, 86, 86, 0)]


@pytest.mark.parametrize("model", ["hog", "anything else"])
def test_any_other_model_is_hog(photo: U8, model: str) -> None:
    assert face_recognition.face_locations(photo, 1, model)[0] == BOX


def test_cnn_and_batches(photo: U8) -> None:
    small = np.ascontiguousarray(photo[SMALL])
    (face,) = api._raw_face_locations(small, 0, "cnn")
    assert isinstance(face, MmodRectangle)
    assert face.confidence > 0.9
    single = face_recognition.face_locations(small, 0, "cnn")
    images = [small, small[:, ::-1].copy(), small]
    batch = face_recognition.batch_face_locations(images, 0)
    assert [len(faces) for faces in batch] == [1, 1, 1]
    assert batch[0] == batch[2] == single
    assert face_recognition.batch_face_locations(images, 0, batch_size=1) == batch
    assert face_recognition.batch_face_locations([]) == []


def test_landmarks(photo: U8) -> None:
    (large,) = face_recognition.face_landmarks(photo, [BOX])
    assert {name: len(points) for name, points in large.items()} == {
        "chin": 17,
        "left_eyebrow": 5,
        "right_eyebrow": 5,
        "nose_bridge": 4,
        "nose_tip": 5,
        "left_eye": 6,
        "right_eye": 6,
        "top_lip": 12,
        "bottom_lip": 12,
    }
    (small,) = face_recognition.face_landmarks(photo, [BOX], "small")
    assert {name: len(points) for name, points in small.items()} == {
        "nose_tip": 1,
        "left_eye": 2,
        "right_eye": 2,
    }
    assert all(
        type(value) is int
        for points in small.values()
        for point in points
        for value in point
    )
    with pytest.raises(ValueError, match=r"Supported models are \['small', 'large'\]"):
        face_recognition.face_landmarks(photo, [BOX], "huge")


@pytest.mark.parametrize("model", ["small", "large"])
def test_encodings(photo: U8, model: str) -> None:
    (found,) = face_recognition.face_encodings(photo, [BOX], model=model)
    assert (found.shape, found.dtype) == ((128,), np.float64)
    two = face_recognition.face_encodings(photo, [BOX, BOX], model=model)
    assert len(two) == 2
    np.testing.assert_allclose(two[1], found, atol=1e-5)
    assert face_recognition.face_encodings(photo, []) == []


def test_jitters_average_near_the_face(photo: U8) -> None:
    plain, jitters = (
        face_recognition.face_encodings(photo, [BOX], num_jitters=n)[0] for n in (1, 10)
    )
    assert 0.005 < np.linalg.norm(plain - jitters) < 0.25
    np.testing.assert_array_equal(
        jitters, face_recognition.face_encodings(photo, [BOX], num_jitters=10)[0]
    )


def test_jittered_copies_differ_a_little(photo: U8) -> None:
    chip = cv2.resize(photo[SMALL], (150, 150))
    copies = jittered(chip, 8)
    assert (copies.shape, copies.dtype) == ((8, 150, 150, 3), np.uint8)
    near = [
        min(np.abs(copy.astype(int) - side).mean() for side in (chip, chip[:, ::-1]))
        for copy in copies
    ]
    assert min(near) > 1
    assert max(near) < 30


def test_distances_and_matches() -> None:
    known = [np.zeros(128), np.full(128, 0.1)]
    assert face_recognition.face_distance(known, np.zeros(128)).tolist() == [
        0,
        pytest.approx(0.1 * 128**0.5),
    ]
    matches = face_recognition.compare_faces(known, np.zeros(128))
    assert type(matches) is list
    assert matches == [True, False]
    assert face_recognition.compare_faces(known, np.zeros(128), tolerance=2) == [
        True,
        True,
    ]
    for nobody in ([], np.array([])):
        assert face_recognition.face_distance(nobody, np.zeros(128)).shape == (0,)
        assert face_recognition.compare_faces(nobody, np.zeros(128)) == []


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda im: face_recognition.face_locations(im.astype(float)),
            RuntimeError,
            "8bit gray or RGB",
        ),
        (
            lambda im: face_recognition.face_locations(np.dstack([im, im])),
            RuntimeError,
            "8bit gray or RGB",
        ),
        (
            lambda im: face_recognition.face_locations(im.tolist()),
            TypeError,
            "numpy array",
        ),
        (lambda im: face_recognition.face_locations(im, -1), TypeError, "0 or more"),
        (lambda im: face_recognition.face_locations(im, 1.5), TypeError, "float"),
        (
            lambda im: face_recognition.face_encodings(im, [(1.5, 2, 3, 4)]),
            TypeError,
            "whole numbers",
        ),
        (
            lambda im: face_recognition.face_encodings(im[..., 0].copy(), [BOX]),
            TypeError,
            "grey",
        ),
        (
            lambda im: face_recognition.batch_face_locations([im, im[:9]], 0),
            RuntimeError,
            "same dimensions",
        ),
    ],
)
def test_refuses_what_dlib_refuses(
    photo: U8, call: Callable[[U8], Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(photo)


def test_empty_and_tiny_images_have_no_faces() -> None:
    for shape in ((0, 0, 3), (5, 5, 3), (1, 1)):
        for model in ("hog", "cnn"):
            assert (
                face_recognition.face_locations(np.zeros(shape, np.uint8), 0, model)
                == []
            )


def test_programs_may_replace_the_models(
    photo: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        api, "face_detector", lambda image, times: [Rectangle(175, 76, 265, 166)]
    )
    monkeypatch.setattr(api, "cnn_face_detector", None)
    assert face_recognition.face_locations(photo) == [BOX]
    assert len(face_recognition.face_encodings(photo)) == 1


def test_shapes_quack_as_dlibs() -> None:
    box = Rectangle(10, 20, 29, 59)
    edges = (
        box.left(),
        box.top(),
        box.right(),
        box.bottom(),
        box.width(),
        box.height(),
        box.area(),
    )
    assert edges == (10, 20, 29, 59, 20, 40, 800)
    assert (repr(box), str(box)) == ("rectangle(10,20,29,59)", "[(10, 20) (29, 59)]")
    assert box.center() == Point(20, 40)
    assert box.contains(10, 59)
    assert not box.contains(Point(30, 20))
    assert box.contains(Rectangle(11, 21, 12, 22))
    assert box.intersect(Rectangle(0, 0, 15, 25)) == Rectangle(10, 20, 15, 25)
    assert box + Rectangle(0, 0, 1, 1) == Rectangle(0, 0, 29, 59)
    face = FullObjectDetection(box, (Point(1, 2), Point(3, 4)))
    assert (face.num_parts, face.part(1).x, face.parts()[0].y, face.rect) == (
        2,
        3,
        2,
        box,
    )
    assert pickle.loads(pickle.dumps(face)) == face  # noqa: S301 - our own bytes


@pytest.mark.oracle
@pytest.mark.parametrize(
    "edges", [(10, 20, 29, 59), (-7, -3, 4, 9), (5, 5, 4, 4), (0, 0, 0, 0)]
)
def test_rectangles_are_dlibs(edges: tuple[int, int, int, int]) -> None:
    dlib = pytest.importorskip("dlib")
    ours, theirs, other = Rectangle(*edges), dlib.rectangle(*edges), (1, 2, 20, 21)
    for name in (
        "left",
        "top",
        "right",
        "bottom",
        "width",
        "height",
        "area",
        "is_empty",
    ):
        assert getattr(ours, name)() == getattr(theirs, name)(), name
    for name in ("center", "tl_corner", "tr_corner", "bl_corner", "br_corner"):
        assert str(getattr(ours, name)()) == str(getattr(theirs, name)()), name
    assert (repr(ours), str(ours)) == (repr(theirs), str(theirs))
    assert str(ours + Rectangle(*other)) == str(theirs + dlib.rectangle(*other))
    assert ours.contains(3, 4) == theirs.contains(3, 4)


def test_models_load_once_whichever_thread_comes_first() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    lazy = Lazy(make)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: lazy.get(), range(64))) == {1}
    assert made == [1]


def test_the_models_go_to_worker_processes(photo: U8) -> None:
    detector, predictor = pickle.loads(  # noqa: S301
        pickle.dumps((FaceDetector(), LazyShapePredictor("dlib_landmarks_5")))
    )
    (box,) = detector(photo)
    assert predictor(photo, box).num_parts == 5


@pytest.mark.slow
def test_hundreds_of_calls_from_eight_threads_answer_as_one(photo: U8) -> None:
    images = [
        np.ascontiguousarray(photo[66 + i % 7 : 190, 160 + i % 5 : 290])
        for i in range(35)
    ]

    def everything(image: U8) -> list[Any]:
        boxes = face_recognition.face_locations(image)
        points = face_recognition.face_landmarks(image, boxes)
        return [
            boxes,
            points,
            [found.tolist() for found in face_recognition.face_encodings(image, boxes)],
        ]

    alone = [everything(image) for image in images]
    assert sum(len(found[0]) for found in alone) > 30
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: everything(images[i % 35]), range(280)))
    assert all(found == alone[i % 35] for i, found in enumerate(together))


@pytest.mark.slow
def test_memory_stays_flat(photo: U8) -> None:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("this system does not tell how much memory is used")

    def used_mib() -> float:
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    widths = np.random.default_rng(1).integers(140, 240, 40)
    for width in [*widths, *widths]:
        face_recognition.face_encodings(
            np.ascontiguousarray(photo[60:200, 100 : 100 + int(width)])
        )
    before = used_mib()
    for width in [*widths] * 3:
        face_recognition.face_encodings(
            np.ascontiguousarray(photo[60:200, 100 : 100 + int(width)])
        )
    assert used_mib() - before < 20
