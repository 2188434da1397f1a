"""dlib's own types where dlib is installed, ours where it is not: what is handed out goes into dlib's functions."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from face_recognition.shapes import FullObjectDetection, Point, Rectangle


def installed() -> bool:
    """Whether dlib is there, as far as can be told without importing it."""
    try:
        return importlib.util.find_spec("dlib") is not None
    except (
        ImportError,
        ValueError,
    ):  # somebody's import hook, or a stand-in put into sys.modules
        return False


@cache
def dlib() -> ModuleType | None:
    """The package dlib, if it can be imported here; nothing is computed with it."""
    try:
        return importlib.import_module("dlib")
    except Exception:  # not there, or built for other libraries or another GPU: both are no reason to stop
        return None


def rectangle(left: Any, top: Any, right: Any, bottom: Any) -> Any:
    """A rectangle of whole pixels, its right column and bottom row included."""
    ours = Rectangle(left, top, right, bottom)
    theirs = dlib()
    return theirs.rectangle(*ours.edges) if theirs else ours


def rectangles(boxes: Iterable[Sequence[int]]) -> Any:
    """A list of rectangles, dlib's kind of list where dlib is there."""
    found = [rectangle(*box) for box in boxes]
    theirs = dlib()
    return theirs.rectangles(found) if theirs else found


def detection(box: Any, points: Iterable[tuple[int, int]]) -> Any:
    """A face's box and the points found in it."""
    theirs = dlib()
    if theirs is None:
        return FullObjectDetection(box, tuple(Point(x, y) for x, y in points))
    rect = theirs.rectangle(box.left(), box.top(), box.right(), box.bottom())
    return theirs.full_object_detection(rect, [theirs.point(x, y) for x, y in points])


def vector(descriptor: Any) -> Any:
    """A descriptor (128,): dlib's vector, or a numpy array."""
    theirs = dlib()
    return theirs.vector(descriptor) if theirs else descriptor


def vectors(descriptors: Iterable[Any]) -> Any:
    """Descriptors (N, 128): dlib's vectors, or a list of numpy arrays."""
    found = [vector(descriptor) for descriptor in descriptors]
    theirs = dlib()
    return theirs.vectors(found) if theirs else found


def vectorss(batches: Iterable[Iterable[Any]]) -> Any:
    """Descriptors of the faces of several images."""
    found = [vectors(descriptors) for descriptors in batches]
    theirs = dlib()
    return theirs.vectorss(found) if theirs else found
