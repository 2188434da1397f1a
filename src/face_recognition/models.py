"""dlib's five models as callables that look like dlib's and load on first use, once, whichever thread comes first."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from face_recognition.jitter import jittered
from face_recognition.shapes import FullObjectDetection, MmodRectangle, Point, Rectangle
from mien.dlib_models import chip, hog, landmarks, mmod
from mien.errors import InputError
from mien.models.detectors import load_detector
from mien.models.trunk import load_predictor, load_resnet
from mien.runtime import Compute, OnnxModel, default_threads, in_chunks

Image = NDArray[np.uint8]
T = TypeVar("T")

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

    def __call__(self, image: Image, upsample_num_times: int = 0) -> list[Rectangle]:
        return self.run(image, upsample_num_times)[0]

    def run(
        self, image: Image, upsample_num_times: int = 0, adjust_threshold: float = 0.0
    ) -> tuple[list[Rectangle], list[float]]:
        """Boxes and their scores; above 0 `adjust_threshold` leaves out, below 0 it lets in."""
        checked, ups = _image(image), _times(upsample_num_times)
        if not checked.size:
            return [], []
        boxes, scores = hog.detect(self._score.get(), checked, upsample=ups, threshold=adjust_threshold)
        return [Rectangle(*box) for box in boxes.tolist()], scores.tolist()


class CnnFaceDetector:
    """dlib's `cnn_face_detection_model_v1`: slower, finds turned and small faces too."""

    def __init__(self) -> None:
        self._model = Lazy(_mmod_model)

    def __call__(self, image: Image | list[Image], upsample_num_times: int = 0, batch_size: int = 128) -> Any:
        """A list of MmodRectangle for an image, a list of such lists for a list of images of one size."""
        ups = _times(upsample_num_times)
        if not isinstance(image, list):
            return self._many([_rgb(image)], ups, 1)[0]
        images = [_rgb(one) for one in image]
        if len({one.shape for one in images}) > 1:
            raise UnsupportedImage("Images in list must all have the same dimensions. Pass them one by one instead.")
        return self._many(images, ups, max(1, operator.index(batch_size)))

    def _many(self, images: Sequence[Image], ups: int, batch_size: int) -> list[list[MmodRectangle]]:
        min_face = mmod.WINDOW / 2**ups
        at_once = _at_once(images, ups, batch_size)
        if at_once < 2:
            found = [mmod.detect(self._run, _swap(one), min_face=min_face) for one in images]
            return [_mmod_rectangles(*one) for one in found]
        out: list[list[MmodRectangle]] = []
        for start in range(0, len(images), at_once):
            tiled = [mmod.tile(_swap(one), min_face=min_face) for one in images[start : start + at_once]]
            maps = self._run(np.concatenate([canvas.pixels for canvas in tiled]))
            parts = zip(maps, tiled, strict=True)
            out += [_mmod_rectangles(*mmod.decode(scores[None], canvas)) for scores, canvas in parts]
        return out

    def _run(self, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._model.get()(canvas)[0], np.float32)


class ShapePredictor:
    """dlib's `shape_predictor`: the points of the face in a box."""

    def __init__(self, name: str) -> None:
        self._predictor = Lazy(_Loader(name))

    def __call__(self, image: Image, box: Rectangle) -> FullObjectDetection:
        edges = np.array([[box.left(), box.top(), box.right(), box.bottom()]], np.int64)
        points = landmarks.predict(self._predictor.get(), _image(image), edges)[0]
        return FullObjectDetection(box, tuple(Point(int(x), int(y)) for x, y in points))


class FaceEncoder:
    """dlib's `face_recognition_model_v1`: 128 numbers per face."""

    def __init__(self) -> None:
        self._model = Lazy(_resnet_model)

    def compute_face_descriptor(
        self, img: Image, face: FullObjectDetection, num_jitters: int = 0, padding: float = 0.25
    ) -> NDArray[np.float64]:
        """The descriptor (128,) of one face, the mean of `num_jitters` slightly moved copies where more than one."""
        return np.asarray(self.describe(img, [face], num_jitters, padding)[0])

    def describe(
        self, img: Image, faces: Sequence[FullObjectDetection], num_jitters: int = 0, padding: float = 0.25
    ) -> NDArray[np.float64]:
        """The descriptors (N, 128) of faces of one image, in one run of the network."""
        image, jitters = _rgb(img, "compute_face_descriptor"), operator.index(num_jitters)
        if not faces:
            return np.zeros((0, 128))
        points = np.array([[(p.x, p.y) for p in face.parts()] for face in faces], np.float32)
        chips = chip.cut_chips(image, points, padding=padding)[..., ::-1]
        if jitters <= 1:
            return self._descriptors(np.ascontiguousarray(chips))
        means = [self._descriptors(jittered(one, jitters)).mean(axis=0) for one in chips]
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


def _threads() -> int:
    chosen = os.environ.get(THREADS, "")
    return int(chosen) if chosen.isdecimal() and int(chosen) else default_threads()


def _compute() -> Compute:
    return Compute(threads=_threads())


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
    return min(batch_size, BATCH_PIXELS // (height * width)) if height * width <= mmod.CANVAS_PIXELS else 1


def _mmod_rectangles(boxes: NDArray[np.int64], scores: NDArray[np.float32]) -> list[MmodRectangle]:
    pairs = zip(boxes.tolist(), scores.tolist(), strict=True)
    return [MmodRectangle(Rectangle(*box), score) for box, score in pairs]


def _swap(image: Image) -> Image:
    return np.ascontiguousarray(image[:, :, ::-1])


def _image(image: Image) -> Image:
    """The image, if dlib would take it."""
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image is a numpy array, e.g. from load_image_file(); got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise UnsupportedImage(
            "Unsupported image type, must be 8bit gray or RGB image. "
            f"Got {image.dtype} of shape {image.shape}; convert it, e.g. with load_image_file(file)."
        )
    return image


def _rgb(image: Image, function: str = "") -> Image:
    checked = _image(image)
    if checked.ndim == 3:
        return checked
    if function:
        raise TypeError(f"{function}(): a grey image has no descriptor; load it in colour, load_image_file(file)")
    return np.repeat(checked[:, :, None], 3, axis=2)


def _times(count: int) -> int:
    times = operator.index(count)
    if times < 0:
        raise TypeError(f"number_of_times_to_upsample is {times}; use 0 or more")
    return times
