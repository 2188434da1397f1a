"""The functions of the `face_recognition` package without dlib: same names, same numbers, nothing to compile."""

__author__ = "the mien contributors"
__email__ = ""
__version__ = "1.4.0"  # the version of the original whose functions and commands these are

from face_recognition.api import (
    batch_face_locations,
    compare_faces,
    face_distance,
    face_encodings,
    face_landmarks,
    face_locations,
    load_image_file,
)

__all__ = [
    "batch_face_locations",
    "compare_faces",
    "face_distance",
    "face_encodings",
    "face_landmarks",
    "face_locations",
    "load_image_file",
]
