"""What the published examples of face_recognition do with it, in our words, on the photos of its own tests."""

from __future__ import annotations

import io
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import face_recognition
from face_recognition.face_recognition_cli import image_files_in_folder
from mien.types import U8


@pytest.fixture(scope="module")
def frame(photo: U8) -> U8:
    """A frame of a camera, (H, W, 3) BGR; the examples turn it by a view, `frame[:, :, ::-1]`."""
    return np.ascontiguousarray(photo[40:240, 120:320, ::-1])


@pytest.fixture(scope="module")
def known(original_tests: Path) -> dict[str, list[float]]:
    """An encoding of each of two men, as plain lists, as the web service has it."""
    photos = {
        name: original_tests / "test_images" / f"{name}.jpg"
        for name in ("obama", "biden")
    }
    encodings = {
        n: face_recognition.face_encodings(face_recognition.load_image_file(p))[0]
        for n, p in photos.items()
    }
    return {name: encoding.tolist() for name, encoding in encodings.items()}


@pytest.mark.slow
def test_who_is_it(known: dict[str, list[float]], original_tests: Path) -> None:
    """recognize_faces_in_pictures, face_distance, web_service_example, facerec_from_webcam_faster."""
    upload = io.BytesIO((original_tests / "test_images" / "obama2.jpg").read_bytes())
    (unknown,) = face_recognition.face_encodings(
        face_recognition.load_image_file(upload)
    )
    matches = face_recognition.compare_faces([*known.values()], unknown)
    assert True in matches
    assert matches.index(True) == 0
    distances = face_recognition.face_distance([*known.values()], unknown)
    assert matches[np.argmin(distances)]
    assert [d < 0.6 for d in distances] == [True, False]


@pytest.mark.slow
def test_views_of_frames(frame: U8) -> None:
    """facerec_from_webcam, facerec_from_video_file, find_faces_in_batches, blink_detection, blur_faces_on_webcam."""
    rgb, copy = frame[:, :, ::-1], np.ascontiguousarray(frame[:, :, ::-1])
    locations = face_recognition.face_locations(rgb)
    assert locations == face_recognition.face_locations(copy) != []
    encodings = face_recognition.face_encodings(rgb, locations)
    np.testing.assert_array_equal(
        encodings, face_recognition.face_encodings(copy, locations)
    )
    assert face_recognition.face_landmarks(rgb) == face_recognition.face_landmarks(copy)
    assert face_recognition.face_locations(
        rgb, model="cnn"
    ) == face_recognition.face_locations(copy, model="cnn")
    batch = face_recognition.batch_face_locations(
        [rgb, rgb], number_of_times_to_upsample=0
    )
    assert batch == face_recognition.batch_face_locations(
        [copy, copy], number_of_times_to_upsample=0
    )


def test_drawing_on_a_face(photo: U8) -> None:
    """digital_makeup, find_facial_features_in_picture, find_faces_in_picture."""
    picture = Image.fromarray(photo)
    (face, *_) = face_recognition.face_landmarks(photo)
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.polygon(face["top_lip"], fill=(150, 0, 0, 128))
    draw.line(face["left_eye"] + [face["left_eye"][0]], fill=(0, 0, 0, 110), width=6)
    assert (np.asarray(picture) != photo).any()
    for name in face:
        for point in face[name]:
            assert isinstance(point, tuple), name
    top, right, bottom, left = face_recognition.face_locations(photo)[0]
    assert photo[top:bottom, left:right].shape == (90, 90, 3)


@pytest.mark.slow
def test_neighbours(original_tests: Path) -> None:
    """face_recognition_knn and face_recognition_svm: a table of encodings with the names beside it."""
    table, names = [], []
    for path in image_files_in_folder(str(original_tests / "test_images")):
        if Path(path).stem in {"obama", "obama2", "biden"}:
            image = face_recognition.load_image_file(path)
            boxes = face_recognition.face_locations(image)
            assert len(boxes) == 1
            table.append(
                face_recognition.face_encodings(image, known_face_locations=boxes)[0]
            )
            names.append(Path(path).stem)
    rows = np.array(table)
    assert rows.shape == (3, 128)
    obama, obama2, biden = (names.index(name) for name in ("obama", "obama2", "biden"))
    nearest = np.linalg.norm(rows - rows[obama2], axis=1)
    assert nearest[obama] < nearest[biden]


def _asked(frame: U8) -> tuple[list[tuple[int, ...]], list[list[float]]]:
    locations = face_recognition.face_locations(frame[:, :, ::-1])
    return locations, [
        found.tolist()
        for found in face_recognition.face_encodings(frame[:, :, ::-1], locations)
    ]


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(),
    reason="this system does not fork",
)
def test_forked_children_answer(frame: U8) -> None:
    """facerec_from_webcam_multiprocessing: the models are loaded, then the program forks."""
    here = _asked(frame)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for there in pool.map_async(_asked, [frame] * 4).get(60):
            assert there[0] == here[0] != []
            np.testing.assert_allclose(there[1], here[1], atol=1e-5)
