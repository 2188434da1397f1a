"""Memory that is not used any more, given back to the system; where the C library is not glibc, less of it."""

from __future__ import annotations

import contextlib
import ctypes
import gc

# glibc's M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
_ARENA_MAX, _MMAP_FROM, _TRIM_FROM = -8, -3, -1
_ARENAS = 2
_LARGEST = 32 << 20  # bytes: as far as glibc goes by itself


def keep_few_arenas() -> None:
    """Lets all threads share two heaps: with one each, pictures that are long gone lie about in dozens."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def keep_what_is_freed() -> None:
    """Lets what is freed, up to 64 MB, be used again at once, as glibc itself does after the first network.

    Before that each copy of a network's weights is made of new pages, which the system has to clear: a tenth of the
    processor time of a command.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_FROM, _LARGEST)
        mallopt(_TRIM_FROM, 2 * _LARGEST)


def give_back() -> None:
    """What is left of networks that were loaded and of connections that were lost: tens of megabytes. The collector,
    which counts objects, is in no hurry, and the C library keeps what lies below something that is used."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
