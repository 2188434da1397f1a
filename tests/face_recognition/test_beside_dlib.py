"""What programs do with dlib and ours together, and what of dlib's there is where dlib is not."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import face_recognition
from face_recognition import api, native
from face_recognition.models import FaceDetector, FaceEncoder
from face_recognition.shapes import DPoint, Point, Rectangle
from mien.types import U8

BOX = (76, 265, 166, 175)  # dlib's own for the astronaut, upsampled once


@pytest.fixture(scope="session")
def dlib() -> ModuleType:
    return pytest.importorskip("dlib")


@pytest.fixture(params=["with dlib", "without dlib"])
def both(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """With dlib's types where dlib is installed, and with ours."""
    if request.param == "without dlib":
        monkeypatch.setattr(native, "dlib", lambda: None)
    elif native.dlib() is None:
        pytest.skip("dlib is not installed")
    return request.param


@pytest.mark.slow
@pytest.mark.oracle
def test_dlibs_models_take_the_place_of_ours(
    photo: U8, dlib: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = face_recognition.face_encodings(photo, model="small")
    cut = np.ascontiguousarray(photo[40:240, 120:320])
    boxes = face_recognition.face_locations(cut, 0, "cnn")
    for name, theirs in (
        ("face_detector", dlib.get_frontal_face_detector()),
        ("pose_predictor_5_point", dlib.shape_predictor(api.predictor_5_point_model)),
        ("face_encoder", dlib.face_recognition_model_v1(api.face_recognition_model)),
        (
            "cnn_face_detector",
            dlib.cnn_face_detection_model_v1(api.cnn_face_detection_model),
        ),
    ):
        monkeypatch.setattr(api, name, theirs)
        found = face_recognition.face_encodings(photo, model="small")
        assert len(found) == len(ours) > 0, name
        np.testing.assert_allclose(found, ours, atol=1e-3, err_msg=name)
        assert face_recognition.face_landmarks(photo, [BOX], "small"), name
    assert face_recognition.face_locations(cut, 0, "cnn") == boxes != []


@pytest.mark.slow(10)
@pytest.mark.oracle
def test_what_we_find_goes_into_dlibs_functions(photo: U8, dlib: ModuleType) -> None:
    (rect,) = api._raw_face_locations(photo)[:1]
    (face,) = api._raw_face_landmarks(photo, [BOX])
    assert dlib.get_face_chip(photo, face).shape == (150, 150, 3)
    assert api.dlib is dlib
    tracker = dlib.correlation_tracker()
    tracker.start_track(photo, rect)
    assert dlib.shape_predictor(api.predictor_5_point_model)(photo, rect).num_parts == 5
    faces = dlib.full_object_detections()
    faces.append(face)
    found = list(api.face_encoder.compute_face_descriptor(photo, faces))
    assert dlib.chinese_whispers_clustering([*found, *found], 0.5) == [0, 0]


def test_without_dlib_nothing_of_it_is_offered(
    photo: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "dlib", lambda: None)
    assert not hasattr(api, "dlib")
    with pytest.raises(AttributeError, match="pip install dlib-bin"):
        _ = api.dlib
    with pytest.raises(AttributeError, match="no attribute 'dilb'"):
        _ = api.dilb
    (face,) = api._raw_face_landmarks(photo, [BOX], "small")
    assert face.rect == Rectangle(175, 76, 265, 166)
    assert isinstance(face.part(0) - face.part(4), Point)
    assert len(face_recognition.face_encodings(photo, [BOX])) == 1


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("threshold", [0.0, -0.6])
def test_run_gives_dlibs_three_results(
    threshold: float, photo: U8, dlib: ModuleType, both: str
) -> None:
    detector = dlib.get_frontal_face_detector()
    boxes, scores, filters = FaceDetector().run(photo, 1, threshold)
    expected = detector.run(photo, 1, threshold)
    assert [str(box) for box in boxes] == [str(box) for box in expected[0]]
    np.testing.assert_allclose(scores, expected[1], atol=2e-5)
    assert filters == expected[2]
    assert len(set(filters)) > 1 or threshold == 0
    for name in ("num_detectors", "detection_window_width", "detection_window_height"):
        assert getattr(FaceDetector, name) == getattr(detector, name)


@pytest.mark.slow
@pytest.mark.oracle
def test_the_five_forms_are_dlibs(photo: U8, dlib: ModuleType, both: str) -> None:
    theirs = dlib.face_recognition_model_v1(api.face_recognition_model)
    face = dlib.shape_predictor(api.predictor_5_point_model)(
        photo, dlib.rectangle(175, 76, 265, 166)
    )
    faces = dlib.full_object_detections()
    faces.append(face)
    chip = dlib.get_face_chip(photo, face)
    forms: list[tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
        ((photo, face), {}, (128,)),
        ((), {"img": photo, "face": face, "padding": 0.3}, (128,)),
        ((photo, faces), {}, (1, 128)),
        (([photo, photo], [faces, faces]), {}, (2, 1, 128)),
        (
            (),
            {"batch_img": [photo], "batch_faces": [faces], "num_jitters": 1},
            (1, 1, 128),
        ),
        ((chip,), {}, (128,)),
        ((chip, 1), {}, (128,)),
        (([chip, chip],), {}, (2, 128)),
        (([chip],), {"num_jitters": 0}, (1, 128)),
    ]
    for given, named, shape in forms:
        expected = theirs.compute_face_descriptor(*given, **named)
        found = FaceEncoder().compute_face_descriptor(*given, **named)
        if both == "with dlib":
            assert type(found) is type(expected)
        assert np.shape(numbers(found, len(shape))) == shape
        np.testing.assert_allclose(
            numbers(found, len(shape)), numbers(expected, len(shape)), atol=1e-3
        )


def numbers(found: Any, deep: int) -> NDArray[np.float64]:
    return np.array(found if deep == 1 else [numbers(one, deep - 1) for one in found])


def test_jittered_chips_are_near_the_face(photo: U8, both: str) -> None:
    (face,) = api._raw_face_landmarks(photo, [BOX], "small")
    plain, jittered = (
        np.array(api.face_encoder.compute_face_descriptor(photo, face, n))
        for n in (0, 5)
    )
    assert 0.005 < np.linalg.norm(plain - jittered) < 0.25


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda encoder, im: encoder.compute_face_descriptor(im),
            RuntimeError,
            "150x150; got 512x512",
        ),
        (
            lambda encoder, im: encoder.compute_face_descriptor([im]),
            RuntimeError,
            "150x150",
        ),
        (
            lambda encoder, im: encoder.compute_face_descriptor([im, im], [[]]),
            RuntimeError,
            "one list for each image",
        ),
        (
            lambda encoder, im: encoder.compute_face_descriptor(im, wrong_face()),
            RuntimeError,
            "1 points",
        ),
        (
            lambda encoder, im: encoder.compute_face_descriptor(im[:150, :150, 0]),
            TypeError,
            "grey",
        ),
        (
            lambda encoder, im: encoder.compute_face_descriptor(
                im[:150, :150], num_jitters=1.5
            ),
            TypeError,
            "whole number",
        ),
    ],
)
def test_the_encoder_refuses(
    photo: U8, call: Callable[[Any, U8], Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(FaceEncoder(), photo)


def wrong_face() -> Any:
    return native.detection(Rectangle(0, 0, 9, 9), [(1, 1)])


CUT = [
    np.float32(175.9),
    np.float16(175.5),
    Decimal("175.99"),
    Fraction(351, 2),
    np.longdouble(175.9),
    np.array(175.7),
]
WHOLE = [np.int64(175), np.uint8(175), True, np.bool_(True), -3, np.float32(-3.9)]
NO_NUMBER = [
    175.0,
    np.float64(175),
    "175",
    b"175",
    None,
    1j,
    2**70,
    np.float32("nan"),
    np.float32("inf"),
    [175],
]


@pytest.mark.oracle
@pytest.mark.parametrize("value", [*CUT, *WHOLE, *NO_NUMBER], ids=repr)
def test_edges_are_cut_as_dlib_cuts_them(
    value: Any, dlib: ModuleType, both: str
) -> None:
    try:
        expected = str(dlib.rectangle(value, 0, 300, 300))
    except TypeError:
        with pytest.raises(TypeError, match="four whole numbers"):
            api._css_to_rect((0, 300, 300, value))
    else:
        assert str(api._css_to_rect((0, 300, 300, value))) == expected


@pytest.mark.parametrize("kind", [np.float32, np.float16, Decimal])
def test_boxes_of_other_numbers_are_encoded(
    kind: Callable[[int], Any], photo: U8, both: str
) -> None:
    box = tuple(kind(edge) for edge in BOX)
    (found,) = face_recognition.face_encodings(photo, [box], num_jitters=np.float32(1))  # type: ignore[list-item, arg-type]
    np.testing.assert_array_equal(
        found, face_recognition.face_encodings(photo, [BOX])[0]
    )


@pytest.mark.parametrize(
    "image",
    ["no image", None, np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3))],
    ids=str,
)
def test_nothing_to_encode_gives_nothing(image: Any) -> None:
    assert face_recognition.face_encodings(image, []) == []
    assert face_recognition.face_landmarks(image, []) == []


def test_a_grey_picture_without_a_face_has_no_encodings() -> None:
    assert face_recognition.face_encodings(np.zeros((90, 90), np.uint8)) == []


@pytest.mark.slow
def test_import_star_brings_the_originals_names(original_source: Path) -> None:
    tree = ast.parse((original_source / "face_recognition" / "api.py").read_text())
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    ]
    bound = {target.id for target in targets if isinstance(target, ast.Name)}
    bound |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    bound |= {
        (alias.asname or alias.name).partition(".")[0]
        for node in imports
        for alias in node.names
    }
    public = {name for name in bound if not name.startswith("_")}
    there = public if native.dlib() else public - {"dlib"}
    assert set(api.__all__) == there
    assert {"pose_predictor_68_point", "np", "predictor_68_point_model"} <= public
    assert all(
        hasattr(api, name) for name in (bound if native.dlib() else bound - {"dlib"})
    )


def test_import_star_leaves_pillow_alone() -> None:
    names: dict[str, Any] = {}
    exec(  # noqa: S102
        "from PIL import Image; from face_recognition.api import *; from face_recognition import *",
        names,
    )
    assert names["Image"].__name__ == "PIL.Image"
    assert names["face_encodings"] is face_recognition.face_encodings


def test_the_models_files_are_there() -> None:
    models = api.face_recognition_models
    for path in (
        models.pose_predictor_model_location(),
        models.pose_predictor_five_point_model_location(),
        models.cnn_face_detector_model_location(),
        models.face_recognition_model_location(),
    ):
        assert Path(path).suffix == ".dat"
        assert Path(path).stat().st_size > 500_000
    assert api.predictor_68_point_model == models.pose_predictor_model_location()


@pytest.mark.oracle
@pytest.mark.parametrize(
    "sum_of",
    [
        lambda p, q, r: p + q,
        lambda p, q, r: p - q,
        lambda p, q, r: p * 2,
        lambda p, q, r: 2.5 * p,
        lambda p, q, r: p / 3,
        lambda p, q, r: p / 0,
        lambda p, q, r: p.normalize(),
        lambda p, q, r: p / 2 + q / 2,
        lambda p, q, r: p * 2 - q * 1,
        lambda p, q, r: r.dcenter(),
        lambda p, q, r: r.center() + p,
        lambda p, q, r: r + p,
        lambda p, q, r: r.contains(p / 2),
        lambda p, q, r: p + q / 2,
        lambda p, q, r: p * q,
        lambda p, q, r: p / q,
        lambda p, q, r: p + 1,
    ],
)
def test_points_count_as_dlibs(sum_of: Callable[..., Any], dlib: ModuleType) -> None:
    theirs = (dlib.point(7, -3), dlib.point(2, 5), dlib.rectangle(-7, -3, 4, 9))
    ours = (Point(7, -3), Point(2, 5), Rectangle(-7, -3, 4, 9))
    try:
        expected = sum_of(*theirs)
    except TypeError:
        with pytest.raises(TypeError):
            sum_of(*ours)
    else:
        assert (repr(sum_of(*ours)), str(sum_of(*ours))) == (
            repr(expected),
            str(expected),
        )


def test_points_are_values() -> None:
    assert Point(1, 2) / 2 == DPoint(0.5, 1)
    assert {Point(1, 2), Point(1, 2)} == {Point(1, 2)}
