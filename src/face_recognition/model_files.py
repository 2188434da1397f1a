"""Where dlib's model files lie: the four functions of the package `face_recognition_models`, which carries them.

That package itself cannot be imported where setuptools is new or missing (it asks for `pkg_resources`).
"""

from __future__ import annotations

from mien import store, zoo


def pose_predictor_model_location() -> str:
    """The predictor of 68 points."""
    return _place("dlib_landmarks_68")


def pose_predictor_five_point_model_location() -> str:
    """The predictor of 5 points."""
    return _place("dlib_landmarks_5")


def cnn_face_detector_model_location() -> str:
    """The CNN face detector."""
    return _place("mmod")


def face_recognition_model_location() -> str:
    """The network that describes faces."""
    return _place("dlib_resnet")


def _place(name: str) -> str:
    return str(store.path_of(zoo.spec_of(name)))
