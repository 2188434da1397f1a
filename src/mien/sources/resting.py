"""A decoder that rests while nothing happens: of a stream's packets those that are to be decoded now."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mien.sources.base import Need

_MOST_HELD, _MOST_BYTES = 600, 16 << 20  # packets since the last key picture
_OFTEN_S = 1.25
_REMEMBERED = 60  # sizes
_ENOUGH = 10  # of them, to know what is usual
_TIMES, _MOST_TIMES = 5.0, 60.0  # the usual spread of sizes, above which one is large
_LEAST = 0.02  # of the usual size; a smaller difference says nothing
_ALERT_S = 0.6  # decoded after a large one, for whoever looks for motion
_RAISE, _RELAX = 1.6, 0.97  # after a false alarm; with every key picture


class Resting:
    """Says which packets to decode. Where not all pictures are needed, key pictures alone are decoded and the others
    held: as soon as they are needed they come first, so that nothing is missing. Key pictures that come too seldom are
    not enough: of a stream of an even rate the sizes say nothing. Of others a packet larger than usual says that
    something moves before anybody can see it.

    Args:
        need: How many pictures are needed now.
        clock: Seconds.
    """

    def __init__(
        self, need: Callable[[], Need], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.need = need
        self.able = True  # False: the decoder gives a key picture only with the next
        self._clock = clock
        self._held: list[Any] = []
        self._bytes = 0
        self._sizes: deque[int] = deque(maxlen=_REMEMBERED)
        self._times = _TIMES
        self._alert_until: float | None = None
        self._key_s = float("-inf")
        self._often = False  # whether key pictures come often enough

    def due(self, packet: Any) -> Sequence[Any]:
        """The packets to decode when this one has come, perhaps none."""
        if packet.dts is None:  # the end
            return [packet]
        if packet.is_keyframe:
            self._times = max(_TIMES, self._times * _RELAX)
            before, self._key_s = self._key_s, float(packet.dts * packet.time_base)
            self._often = 0 < self._key_s - before <= _OFTEN_S
            self._forget()
            return [packet]
        usual, large = np.array(self._sizes), False
        self._sizes.append(packet.size)
        if len(usual) >= _ENOUGH:
            middle = float(np.median(usual))
            spread = 1.48 * float(np.median(np.abs(usual - middle)))
            large = packet.size - middle > max(self._times * spread, _LEAST * middle)
        self._held.append(packet)
        self._bytes += packet.size
        full = len(self._held) > _MOST_HELD or self._bytes > _MOST_BYTES
        if self.able and self._may_rest(large=large) and not full:
            return []
        held = self._held
        self._forget()
        return held

    def _forget(self) -> None:
        self._held, self._bytes = [], 0

    def _may_rest(self, *, large: bool) -> bool:
        now = self._clock()
        need = self.need()
        if need is Need.ALL or (need is Need.SOME and not self._often):
            self._alert_until = None
            return False
        if self._alert_until is None:
            self._alert_until = now + _ALERT_S if large else None
            return not large
        if now < self._alert_until:
            return False
        self._alert_until = None  # nobody saw anything: such sizes mean nothing
        self._times = min(_MOST_TIMES, self._times * _RAISE)
        return True
