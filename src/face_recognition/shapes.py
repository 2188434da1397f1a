"""What dlib's functions return, as far as programs written for `face_recognition` look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, TypeVar

import numpy as np

_P = TypeVar("_P", bound="_Vector")


def whole(value: Any) -> int:
    """A number as dlib takes it for a whole one: cut off towards zero, but Python's own floats are refused.

    Raises:
        TypeError: a float (np.float64 is one), or no number.
    """
    if isinstance(value, float) or not (
        hasattr(value, "__int__") or hasattr(value, "__index__")
    ):
        raise TypeError(
            f"{value!r} ({type(value).__name__}) is no whole number; use int(…)"
        )
    try:
        number = (
            index(value)
            if hasattr(value, "__index__") and not isinstance(value, np.ndarray)
            else int(value)
        )
    except (TypeError, ValueError, OverflowError) as exc:
        raise TypeError(f"{value!r} is no whole number: {exc}") from exc
    if not -(2**63) <= number < 2**63:
        raise TypeError(f"{number} is too large")
    return number


@dataclass(frozen=True, slots=True)
class _Vector:
    """What dlib's points share: sums with their like, products and quotients with numbers."""

    x: Any
    y: Any

    def __add__(self: _P, other: Any) -> _P:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(self.x + other.x, self.y + other.y)

    def __sub__(self: _P, other: Any) -> _P:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(self.x - other.x, self.y - other.y)

    def __mul__(self, factor: float) -> DPoint:
        if isinstance(factor, _Vector):
            return NotImplemented
        return DPoint(float(self.x * factor), float(self.y * factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> DPoint:
        if isinstance(divisor, _Vector):
            return NotImplemented
        with np.errstate(
            divide="ignore", invalid="ignore"
        ):  # as in C++: a point over 0 is infinite
            return DPoint(
                float(np.divide(self.x, divisor)), float(np.divide(self.y, divisor))
            )

    def normalize(self) -> DPoint:
        """The same direction, of length 1."""
        return self / float(np.hypot(self.x, self.y))


@dataclass(frozen=True, slots=True)
class Point(_Vector):
    """dlib's point: whole pixels, `.x` to the right, `.y` down."""

    x: int
    y: int

    def __repr__(self) -> str:
        return f"point({self.x}, {self.y})"

    def __str__(self) -> str:
        return f"({self.x}, {self.y})"


@dataclass(frozen=True, slots=True)
class DPoint(_Vector):
    """dlib's dpoint: the same with fractions."""

    x: float
    y: float

    def __repr__(self) -> str:
        return f"dpoint({self.x:g}, {self.y:g})"

    def __str__(self) -> str:
        return f"({self.x:g}, {self.y:g})"


class Rectangle:
    """dlib's rectangle: its edges are methods, and its right column and bottom row belong to it."""

    __slots__ = ("_edges",)

    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        try:
            self._edges = (whole(left), whole(top), whole(right), whole(bottom))
        except TypeError as exc:
            raise TypeError(
                f"a face location is four whole numbers (top, right, bottom, left): {exc}"
            ) from exc

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self._edges

    def left(self) -> int:
        return self._edges[0]

    def top(self) -> int:
        return self._edges[1]

    def right(self) -> int:
        return self._edges[2]

    def bottom(self) -> int:
        return self._edges[3]

    def width(self) -> int:
        return max(0, self.right() - self.left() + 1)

    def height(self) -> int:
        return max(0, self.bottom() - self.top() + 1)

    def area(self) -> int:
        return self.width() * self.height()

    def is_empty(self) -> bool:
        return not self.area()

    def tl_corner(self) -> Point:
        return Point(self.left(), self.top())

    def tr_corner(self) -> Point:
        return Point(self.right(), self.top())

    def bl_corner(self) -> Point:
        return Point(self.left(), self.bottom())

    def br_corner(self) -> Point:
        return Point(self.right(), self.bottom())

    def center(self) -> Point:
        return Point(
            _half(self.left() + self.right() + 1), _half(self.top() + self.bottom() + 1)
        )

    def dcenter(self) -> Point:
        """The same as `center`, in whole pixels, as dlib's own."""
        return self.center()

    def contains(
        self, x: int | Point | DPoint | Rectangle, y: int | None = None
    ) -> bool:
        """Whether a point (x, y), a Point or all of a Rectangle lies inside."""
        if isinstance(x, Rectangle):
            return self + x == self
        point = x if isinstance(x, Point | DPoint) else Point(whole(x), whole(y))
        return (
            self.left() <= point.x <= self.right()
            and self.top() <= point.y <= self.bottom()
        )

    def intersect(self, other: Rectangle) -> Rectangle:
        low = (max(self.left(), other.left()), max(self.top(), other.top()))
        return Rectangle(
            *low, min(self.right(), other.right()), min(self.bottom(), other.bottom())
        )

    def __add__(self, other: Rectangle | Point) -> Rectangle:
        """The smallest rectangle around both."""
        if isinstance(other, Point):
            other = Rectangle(other.x, other.y, other.x, other.y)
        if self.is_empty() or other.is_empty():
            return other if self.is_empty() else self
        low = (min(self.left(), other.left()), min(self.top(), other.top()))
        return Rectangle(
            *low, max(self.right(), other.right()), max(self.bottom(), other.bottom())
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rectangle) and self._edges == other._edges

    def __hash__(self) -> int:
        return hash(self._edges)

    def __repr__(self) -> str:
        return "rectangle({},{},{},{})".format(*self._edges)

    def __str__(self) -> str:
        return "[({}, {}) ({}, {})]".format(*self._edges)


def _half(doubled: int) -> int:
    """dlib's integer division, which drops the sign's remainder."""
    return int(doubled / 2)


@dataclass(frozen=True, slots=True)
class FullObjectDetection:
    """A face's box and the points found in it."""

    rect: Rectangle
    points: Sequence[Point]

    @property
    def num_parts(self) -> int:
        return len(self.points)

    def part(self, number: int) -> Point:
        return self.points[number]

    def parts(self) -> list[Point]:
        return list(self.points)


@dataclass(frozen=True, slots=True)
class MmodRectangle:
    """A box of the CNN detector and how sure it is of it."""

    rect: Rectangle
    confidence: float
