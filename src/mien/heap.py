"""Memory that is not used any more, given back to the system; where the C library is not glibc, less of it."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_ARENA_MAX = -8  # glibc's M_ARENA_MAX
_ARENAS = 2


def keep_few_arenas() -> None:
    """Lets all threads share two heaps: with one each, pictures that are long gone lie about in dozens."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """What is left of networks that were loaded and of connections that were lost: tens of megabytes. The collector,
    which counts objects, is in no hurry, and the C library keeps what lies below something that is used."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
