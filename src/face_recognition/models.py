"""dlib's five models as callables that look like dlib's and load on first use, once, whichever thread comes first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from face_recognition.jitter import jittered
from face_recognition.native import (
    detection,
    rectangle,
    rectangles,
    vector,
    vectors,
    vectorss,
)
from face_recognition.shapes import FullObjectDetection, MmodRectangle, Rectangle, whole
from mien.dlib_models import chip, hog, landmarks, mmod
from mien.errors import InputError
from mien.models.backbone import load_predictor, load_resnet
from mien.models.detectors.base import load_detector
from mien.runtime import Compute, OnnxModel, default_threads, in_chunks

Image = NDArray[np.uint8]
T = TypeVar("T")

_ONE_NAME = {
    "batch_img": "img",
    "faces": "face",
    "batch_faces": "face",
}  # dlib's five forms name the same two things

THREADS = "FACE_RECOGNITION_THREADS"  # environment: threads of one call; the commands' worker processes set 1
BATCH_PIXELS = 10_000_000  # canvas pixels the CNN detector looks at in one run, about 1 GB of memory at its peak


class UnsupportedImage(InputError, RuntimeError):  # noqa: N818 - says what it is
    """Not an image that dlib would take; a RuntimeError as dlib's own."""


class Lazy(Generic[T]):
    """A value that is made when it is first asked for; the other threads wait."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def get(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def __reduce__(self) -> tuple[type[Lazy[T]], tuple[Callable[[], T]]]:
        return Lazy, (self._make,)


class FaceDetector:
    """dlib's `get_frontal_face_detector()`: upright faces from 80 pixels, the fast one."""

    def __init__(self) -> None:
        self._score = Lazy(_hog_scorer)

    num_detectors = 5  # filters: ahead, turned left and right, tilted left and right
    detection_window_width = detection_window_height = hog.MIN_FACE

    def __call__(
        self, image: Image, upsample_num_times: int = 0
    ) -> Sequence[Rectangle]:
        return self.run(image, upsample_num_times)[0]

    def run(
        self, image: Image, upsample_num_times: int = 0, adjust_threshold: float = 0.0
    ) -> tuple[Sequence[Rectangle], list[float], list[int]]:
        """Boxes, their scores, and which of the five filters found each.

        Above 0 `adjust_threshold` leaves out, below 0 it lets in.
        """
        checked, ups = _image(image), _times(upsample_num_times)
        if not checked.size:
            return rectangles([]), [], []
        found = hog.detect(
            self._score.get(), checked, upsample=ups, threshold=adjust_threshold
        )
        boxes, scores, filters = (column.tolist() for column in found)
        return rectangles(boxes), scores, filters


class CnnFaceDetector:
    """dlib's `cnn_face_detection_model_v1`: slower, finds turned and small faces too."""

    def __init__(self) -> None:
        self._model = Lazy(_mmod_model)

    def __call__(
        self,
        image: Image | list[Image],
        upsample_num_times: int = 0,
        batch_size: int = 128,
    ) -> Any:
        """A list of MmodRectangle for an image, a list of such lists for a list of images of one size."""
        ups = _times(upsample_num_times)
        if not isinstance(image, list):
            return self._many([_rgb(image)], ups, 1)[0]
        images = [_rgb(one) for one in image]
        if len({one.shape for one in images}) > 1:
            raise UnsupportedImage(
                "Images in list must all have the same dimensions. Pass them one by one instead."
            )
        return self._many(images, ups, max(1, whole(batch_size)))

    def _many(
        self, images: Sequence[Image], ups: int, batch_size: int
    ) -> list[list[MmodRectangle]]:
        min_face = mmod.WINDOW / 2**ups
        at_once = _at_once(images, ups, batch_size)
        if at_once < 2:
            found = [
                mmod.detect(self._run, _swap(one), min_face=min_face) for one in images
            ]
            return [_mmod_rectangles(*one) for one in found]
        out: list[list[MmodRectangle]] = []
        for start in range(0, len(images), at_once):
            tiled = [
                mmod.tile(_swap(one), min_face=min_face)
                for one in images[start : start + at_once]
            ]
            maps = self._run(np.concatenate([canvas.pixels for canvas in tiled]))
            parts = zip(maps, tiled, strict=True)
            out += [
                _mmod_rectangles(*mmod.decode(scores[None], canvas))
                for scores, canvas in parts
            ]
        return out

    def _run(self, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._model.get()(canvas)[0], np.float32)


class LazyShapePredictor:
    """dlib's `shape_predictor`: the points of the face in a box."""

    def __init__(self, name: str) -> None:
        self._predictor = Lazy(_Loader(name))

    def __call__(self, image: Image, box: Rectangle) -> FullObjectDetection:
        edges = np.array([[box.left(), box.top(), box.right(), box.bottom()]], np.int64)
        points = landmarks.predict(self._predictor.get(), _image(image), edges)[0]
        face: FullObjectDetection = detection(box, points.astype(int).tolist())
        return face


class FaceEncoder:
    """dlib's `face_recognition_model_v1`: 128 numbers per face."""

    def __init__(self) -> None:
        self._model = Lazy(_resnet_model)

    def compute_face_descriptor(self, *given: Any, **named: Any) -> Any:
        """128 numbers for each face asked for, in dlib's five forms.

            compute_face_descriptor(img, face, num_jitters=0, padding=0.25)                a vector
            compute_face_descriptor(img, faces, num_jitters=0, padding=0.25)               a list of them
            compute_face_descriptor(batch_img, batch_faces, num_jitters=0, padding=0.25)   a list of lists
            compute_face_descriptor(img, num_jitters=0)             of a face chip (150, 150, 3): a vector
            compute_face_descriptor(batch_img, num_jitters=0)       of several chips: a list of them

        Above 1 `num_jitters` takes the mean of so many slightly moved copies. Vectors are dlib's where dlib is
        installed, else numpy's (128,).
        """
        form = {_ONE_NAME.get(name, name): value for name, value in named.items()}
        return self._compute(*given, **form)

    def _compute(
        self, img: Any, face: Any = None, num_jitters: int = 0, padding: float = 0.25
    ) -> Any:
        batch = isinstance(img, list | tuple)
        if face is None or hasattr(
            face, "__int__"
        ):  # the second number of the forms without faces
            found = self.describe_chips(
                img if batch else [img], num_jitters if face is None else face
            )
            return vectors(found) if batch else vector(found[0])
        if not batch:
            one = hasattr(face, "parts")
            found = self.describe(
                img, [face] if one else list(face), num_jitters, padding
            )
            return vector(found[0]) if one else vectors(found)
        if len(img) != len(face):
            raise UnsupportedImage(
                f"{len(img)} images have {len(face)} lists of faces; give one list for each image"
            )
        pairs = zip(img, face, strict=True)
        return vectorss(
            self.describe(one, list(faces), num_jitters, padding)
            for one, faces in pairs
        )

    def describe(
        self,
        img: Image,
        faces: Sequence[FullObjectDetection],
        num_jitters: int = 0,
        padding: float = 0.25,
    ) -> NDArray[np.float64]:
        """The descriptors (N, 128) of faces of one image, in one run of the network."""
        image = _rgb(img, "compute_face_descriptor")
        if not faces:
            return np.zeros((0, 128))
        points = [_points(face) for face in faces]
        chips = np.concatenate(
            [chip.cut_chips(image, one[None], padding=padding) for one in points]
        )
        return self.describe_chips(chips, num_jitters)

    def describe_chips(
        self, chips: Sequence[Image] | Image, num_jitters: int = 0
    ) -> NDArray[np.float64]:
        """The descriptors (N, 128) of aligned RGB faces (150, 150, 3)."""
        faces, jitters = [_chip(one) for one in chips], whole(num_jitters)
        if not faces:
            return np.zeros((0, 128))
        if jitters <= 1:
            return self._descriptors(np.stack(faces))
        means = [
            self._descriptors(jittered(one, jitters)).mean(axis=0) for one in faces
        ]
        return np.asarray(means, np.float64)

    def _descriptors(self, chips: Image) -> NDArray[np.float64]:
        (found,) = in_chunks(self._model.get(), chips, outputs=("embedding",))
        return np.asarray(found, np.float64)


class _Loader:
    """Loads one predictor; a class, so that the lazy callables survive a trip to a worker process."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> landmarks.ShapePredictor:
        return load_predictor(self.name)


def _compute() -> Compute:
    chosen = os.environ.get(THREADS, "")
    return Compute(
        threads=int(chosen) if chosen.isdecimal() and int(chosen) else default_threads()
    )


def _hog_scorer() -> hog.Scorer:
    return load_detector("hog", compute=_compute()).score  # type: ignore[attr-defined, no-any-return]


def _mmod_model() -> OnnxModel:
    return load_detector("mmod", compute=_compute()).model  # type: ignore[attr-defined, no-any-return]


def _resnet_model() -> OnnxModel:
    return load_resnet(_compute())


def _at_once(images: Sequence[Image], ups: int, batch_size: int) -> int:
    """How many canvases fit one run."""
    if len(images) < 2 or not images[0].size:
        return 1
    levels = mmod.pyramid(*images[0].shape[:2], min_face=mmod.WINDOW / 2**ups)
    height, width = mmod.layout(levels.sizes)[1]
    return (
        min(batch_size, BATCH_PIXELS // (height * width))
        if height * width <= mmod.CANVAS_PIXELS
        else 1
    )


def _mmod_rectangles(
    boxes: NDArray[np.int64], scores: NDArray[np.float32]
) -> list[MmodRectangle]:
    pairs = zip(boxes.tolist(), scores.tolist(), strict=True)
    return [MmodRectangle(rectangle(*box), score) for box, score in pairs]


def _swap(image: Image) -> Image:
    return np.ascontiguousarray(image[:, :, ::-1])


def _image(image: Image) -> Image:
    """The image, if dlib would take it."""
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"an image is a numpy array, e.g. from load_image_file(); got {type(image).__name__}"
        )
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
    ):
        raise UnsupportedImage(
            "Unsupported image type, must be 8bit gray or RGB image. "
            f"Got {image.dtype} of shape {image.shape}; convert it, e.g. with load_image_file(file)."
        )
    return image


def _rgb(image: Image, function: str = "") -> Image:
    """The image in colour; a grey one is taken too unless a function that needs colour is named."""
    if function and getattr(image, "shape", ())[2:] != (3,):
        raise TypeError(
            f"{function}(): a grey image has no descriptor; load it in colour, load_image_file(file)"
        )
    checked = _image(image)
    return checked if checked.ndim == 3 else np.repeat(checked[:, :, None], 3, axis=2)


def _points(face: FullObjectDetection) -> NDArray[np.float32]:
    """A face's points (5 or 68, 2)."""
    points = np.array([(point.x, point.y) for point in face.parts()], np.float32)
    if len(points) not in (5, 68):
        raise UnsupportedImage(
            f"a face has {len(points)} points; it must have iBUG 300-W's 68 or dlib's 5, as the two predictors give"
        )
    return points


def _chip(image: Image) -> Image:
    """An aligned face, in the order the network reads it (BGR)."""
    checked = _rgb(image, "compute_face_descriptor")
    if checked.shape != (150, 150, 3):
        raise UnsupportedImage(
            f"Unsupported image size, it should be of size 150x150; got {checked.shape[1]}x{checked.shape[0]}. "
            "Cut it as dlib.get_face_chip does, or give the landmarks of its faces too."
        )
    return _swap(checked)


def _times(count: int) -> int:
    times = whole(count)
    if times < 0:
        raise TypeError(f"number_of_times_to_upsample is {times}; use 0 or more")
    return times
