"""Find, measure, describe and compare faces: the functions of `face_recognition`, computed without dlib.

Locations are (top, right, bottom, left) in pixels, images are RGB as `load_image_file` gives them. Nothing is loaded
before it is needed; every function may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import IO, Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageFile

from face_recognition import model_files as face_recognition_models, native
from face_recognition.models import (
    CnnFaceDetector,
    FaceDetector,
    FaceEncoder,
    LazyShapePredictor,
)
from face_recognition.shapes import FullObjectDetection, MmodRectangle, Rectangle
from mien.media import images

__all__ = [  # the original's names; ours beside them stay out of `import *`
    "PIL",
    "ImageFile",
    "batch_face_locations",
    "cnn_face_detector",
    "compare_faces",
    "face_detector",
    "face_distance",
    "face_encoder",
    "face_encodings",
    "face_landmarks",
    "face_locations",
    "face_recognition_models",
    "load_image_file",
    "np",
    "pose_predictor_5_point",
    "pose_predictor_68_point",
]

ImageFile.LOAD_TRUNCATED_IMAGES = (
    True  # as the original: half a JPEG is still looked at
)

Css = tuple[int, int, int, int]  # top, right, bottom, left
Image = NDArray[np.uint8]
Encoding = NDArray[np.float64]  # (128,)

_FORMATS = (
    *images.FORMATS,
    "ICO",
    "PCX",
    "PSD",
    "QOI",
    "SGI",
    "TGA",
)  # what else a picture of the original may be

# Programs delete or replace these five.
face_detector = FaceDetector()
cnn_face_detector = CnnFaceDetector()
pose_predictor_68_point = LazyShapePredictor("dlib_landmarks_68")
pose_predictor_5_point = LazyShapePredictor("dlib_landmarks_5")
face_encoder = FaceEncoder()

_PATHS = {  # the files that they are read from, under the original's names
    "predictor_68_point_model": face_recognition_models.pose_predictor_model_location,
    "predictor_5_point_model": face_recognition_models.pose_predictor_five_point_model_location,
    "cnn_face_detection_model": face_recognition_models.cnn_face_detector_model_location,
    "face_recognition_model": face_recognition_models.face_recognition_model_location,
}
__all__ += [*_PATHS, *(["dlib"] if native.installed() else [])]

_LARGE: dict[str, tuple[int, ...]] = {  # iBUG 300-W's numbering, from 0
    "chin": tuple(range(17)),
    "left_eyebrow": tuple(range(17, 22)),
    "right_eyebrow": tuple(range(22, 27)),
    "nose_bridge": tuple(range(27, 31)),
    "nose_tip": tuple(range(31, 36)),
    "left_eye": tuple(range(36, 42)),
    "right_eye": tuple(range(42, 48)),
    "top_lip": (*range(48, 55), 64, 63, 62, 61, 60),
    "bottom_lip": (*range(54, 60), 48, 60, 67, 66, 65, 64),
}
_SMALL: dict[str, tuple[int, ...]] = {
    "nose_tip": (4,),
    "left_eye": (2, 3),
    "right_eye": (0, 1),
}  # dlib's 5 points


def load_image_file(
    file: str | PathLike[str] | IO[bytes], mode: str | None = "RGB"
) -> Image:
    """The pixels of a picture, (H, W, 3) in RGB or (H, W) in mode "L". EXIF rotation is not applied."""
    with images.open_picture(file, _FORMATS) as picture:
        return np.array(picture.convert(mode) if mode else picture)


def face_locations(
    img: Image, number_of_times_to_upsample: int = 1, model: str = "hog"
) -> list[Css]:
    """Where the faces are, cut to the image.

    Args:
        img: the picture.
        number_of_times_to_upsample: each time finds faces half as large, from 80 pixels, and takes four times as long.
        model: "cnn" finds more and takes longer; anything else is "hog".
    """
    found = _raw_face_locations(img, number_of_times_to_upsample, model)
    boxes = (
        getattr(face, "rect", face) for face in found
    )  # dlib's CNN says how sure it is of each
    return [_trim_css_to_bounds(_rect_to_css(box), img.shape) for box in boxes]


def batch_face_locations(
    images: list[Image], number_of_times_to_upsample: int = 1, batch_size: int = 128
) -> list[list[Css]]:
    """The locations in each of several images of one size, looked at together by the CNN detector."""
    found = _raw_face_locations_batched(images, number_of_times_to_upsample, batch_size)
    return [
        [
            _trim_css_to_bounds(_rect_to_css(face.rect), images[0].shape)
            for face in faces
        ]
        for faces in found
    ]


def face_landmarks(
    face_image: Image, face_locations: Sequence[Css] | None = None, model: str = "large"
) -> list[dict[str, list[tuple[int, int]]]]:
    """The points (x, y) of eyes, nose and so on of each face: 68 for "large", 5 for "small".

    The predictor of the 68 points was trained on iBUG 300-W, whose terms exclude commercial use.

    Raises:
        ValueError: another model.
    """
    found = _raw_face_landmarks(face_image, face_locations, model)
    if model not in ("large", "small"):
        raise ValueError(
            "Invalid landmarks model type. Supported models are ['small', 'large']."
        )
    parts = _LARGE if model == "large" else _SMALL
    faces = [[(point.x, point.y) for point in face.parts()] for face in found]
    return [
        {name: [points[i] for i in numbers] for name, numbers in parts.items()}
        for points in faces
    ]


def face_encodings(
    face_image: Image,
    known_face_locations: Sequence[Css] | None = None,
    num_jitters: int = 1,
    model: str = "small",
) -> list[Encoding]:
    """128 numbers per face; faces of one person lie within 0.6 of each other.

    Args:
        face_image: an RGB picture.
        known_face_locations: where the faces are; None finds them with "hog".
        num_jitters: how many slightly moved copies of a face to average; 100 takes 100 times as long.
        model: "small" aligns by 5 points, anything else by the 68 points (see `face_landmarks` for their licence).
    """
    found = _raw_face_landmarks(face_image, known_face_locations, model)
    if not found:
        return []
    if isinstance(face_encoder, FaceEncoder):
        return list(face_encoder.describe(face_image, found, num_jitters))
    return [
        np.array(face_encoder.compute_face_descriptor(face_image, face, num_jitters))
        for face in found
    ]


def face_distance(
    face_encodings: Sequence[Encoding] | Encoding, face_to_compare: Encoding
) -> NDArray[np.float64]:
    """The Euclidean distance (N,) of each encoding to the one compared."""
    if len(face_encodings) == 0:
        return np.empty(0)
    return np.asarray(
        np.linalg.norm(np.asarray(face_encodings) - face_to_compare, axis=1)
    )


def compare_faces(
    known_face_encodings: Sequence[Encoding] | Encoding,
    face_encoding_to_check: Encoding,
    tolerance: float = 0.6,
) -> list[np.bool_]:
    """For each known encoding whether it is of the same person."""
    return list(
        face_distance(known_face_encodings, face_encoding_to_check) <= tolerance
    )


def _raw_face_locations(
    img: Image, number_of_times_to_upsample: int = 1, model: str = "hog"
) -> Any:
    if model == "cnn":
        return cnn_face_detector(img, number_of_times_to_upsample)
    return face_detector(img, number_of_times_to_upsample)


def _raw_face_locations_batched(
    images: list[Image], number_of_times_to_upsample: int = 1, batch_size: int = 128
) -> list[list[MmodRectangle]]:
    found: list[list[MmodRectangle]] = cnn_face_detector(
        images, number_of_times_to_upsample, batch_size=batch_size
    )
    return found


def _raw_face_landmarks(
    face_image: Image, face_locations: Sequence[Css] | None = None, model: str = "large"
) -> list[FullObjectDetection]:
    boxes = (
        _raw_face_locations(face_image)
        if face_locations is None
        else map(_css_to_rect, face_locations)
    )
    predictor = pose_predictor_5_point if model == "small" else pose_predictor_68_point
    return [predictor(face_image, box) for box in boxes]


def _rect_to_css(rect: Rectangle) -> Css:
    return rect.top(), rect.right(), rect.bottom(), rect.left()


def _css_to_rect(css: Css) -> Rectangle:
    rectangle: Rectangle = native.rectangle(css[3], css[0], css[1], css[2])
    return rectangle


def _trim_css_to_bounds(css: Css, image_shape: Sequence[int]) -> Css:
    return (
        max(css[0], 0),
        min(css[1], image_shape[1]),
        min(css[2], image_shape[0]),
        max(css[3], 0),
    )


def __getattr__(name: str) -> Any:
    """What is looked for when somebody asks: the models' files, and dlib where it is installed."""
    if name in _PATHS:
        return _PATHS[name]()
    if name != "dlib":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = native.dlib()
    if module is None:
        raise AttributeError(
            "dlib cannot be imported here, and nothing here needs it; 'pip install dlib-bin' has it"
        )
    return module
