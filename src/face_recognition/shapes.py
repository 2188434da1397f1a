"""What dlib's functions return, as far as programs written for `face_recognition` look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index


@dataclass(frozen=True, slots=True)
class Point:
    """dlib's point: whole pixels, `.x` to the right, `.y` down."""

    x: int
    y: int

    def __repr__(self) -> str:
        return f"point({self.x}, {self.y})"

    def __str__(self) -> str:
        return f"({self.x}, {self.y})"


class Rectangle:
    """dlib's rectangle: its edges are methods, and its right column and bottom row belong to it."""

    __slots__ = ("_edges",)

    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        try:
            self._edges = (index(left), index(top), index(right), index(bottom))
        except TypeError as exc:
            raise TypeError(f"a face location is four whole numbers (top, right, bottom, left): {exc}") from exc

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
        return Point(_half(self.left() + self.right() + 1), _half(self.top() + self.bottom() + 1))

    def contains(self, x: int | Point | Rectangle, y: int | None = None) -> bool:
        """Whether a point (x, y), a Point or all of a Rectangle lies inside."""
        if isinstance(x, Rectangle):
            return self + x == self
        point = x if isinstance(x, Point) else Point(x, index(y))  # type: ignore[arg-type]
        return self.left() <= point.x <= self.right() and self.top() <= point.y <= self.bottom()

    def intersect(self, other: Rectangle) -> Rectangle:
        low = (max(self.left(), other.left()), max(self.top(), other.top()))
        return Rectangle(*low, min(self.right(), other.right()), min(self.bottom(), other.bottom()))

    def __add__(self, other: Rectangle) -> Rectangle:
        if self.is_empty() or other.is_empty():
            return other if self.is_empty() else self
        low = (min(self.left(), other.left()), min(self.top(), other.top()))
        return Rectangle(*low, max(self.right(), other.right()), max(self.bottom(), other.bottom()))

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
