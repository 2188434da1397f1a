"""Threads whose results keep their order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mien.pool import Ahead


def test_items_are_made_ahead_and_no_further() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = Ahead(items(), most=2)
    assert third.wait(5)  # two lie ready, the third waits for room
    assert made == [0, 1, 2]
    assert list(ahead) == list(range(6))


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("lost")

    taken = iter(Ahead(items(), most=2))
    assert next(taken) == 1
    with pytest.raises(OSError, match="lost"):
        next(taken)


def test_closing_ends_a_thread_that_waits_and_what_it_makes() -> None:
    left = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            left.set()

    before = threading.active_count()
    ahead = Ahead(items(), most=1)
    taken = iter(ahead)
    assert next(taken) == 0
    ahead.close()
    assert left.wait(5)
    assert threading.active_count() == before
    assert list(taken) == []  # nothing to wait for any more
