"""The functions of the `face_recognition` package without dlib: same names, same numbers, nothing to compile."""

__author__ = "the mien contributors"
__email__ = ""
__version__ = (
    "1.4.0"  # the version of the original whose functions and commands these are
)

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


def _warn() -> None:
    """Tells of the original distribution in the same folder: whichever is uninstalled takes the other along."""
    import warnings

    from mien.installs import drop_in

    if wrong := drop_in():
        warnings.warn(wrong, RuntimeWarning, stacklevel=3)


_warn()
