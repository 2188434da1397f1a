"""Places that requests and connections hold: so many in all, so many for one caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mien.server.problems import Problem


class Places:
    """`total` places, `each` of them for one caller (a key or an address). Used on the event loop only.

    A place is counted in the step that gives it, so that no more are held however many come at once.
    """

    def __init__(self, total: int, each: int, *, what: str, retry_s: int) -> None:
        self.total = total
        self.each = each
        self.what = what
        self.retry_s = retry_s
        self._held: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many are held."""
        return self._held.total()

    def check(self) -> None:
        """Raises Problem where all are taken."""
        if self.taken >= self.total:
            raise self._problem(
                "busy", f"too many {self.what} at once; come again later"
            )

    @contextmanager
    def held(self, caller: str) -> Iterator[None]:
        """Holds a place while its body runs.

        Raises:
            Problem: All are taken, or this caller's part of them.
        """
        self.check()
        if self._held[caller] >= self.each:
            raise self._problem(
                "too-many-requests",
                f"you have {self.each} {self.what} already; let one end first",
            )
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            self._held += Counter()  # forgets who holds none

    def _problem(self, kind: str, detail: str) -> Problem:
        return Problem(kind, detail, {"retry-after": str(self.retry_s)})
