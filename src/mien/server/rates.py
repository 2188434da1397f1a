"""How often one caller may ask."""

from __future__ import annotations

import time
from collections import OrderedDict

_CALLERS = 10_000  # remembered; the longest unseen is forgotten first


class Rates:
    """A token bucket per caller: `per_minute` on average, a tenth of that in one burst (10 at least); 0 is no limit."""

    def __init__(self, per_minute: int) -> None:
        self.per_second = per_minute / 60
        self.burst = max(10.0, per_minute / 10)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Seconds until this caller may come again; 0 lets it in. Called on the event loop only."""
        if not self.per_second:
            return 0.0
        now = time.monotonic()
        tokens, seen = self._buckets.pop(caller, (self.burst, now))
        tokens = min(self.burst, tokens + (now - seen) * self.per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self.per_second
        self._buckets[caller] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return wait
