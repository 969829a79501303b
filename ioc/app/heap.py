"""Keeps the memory of the process flat although its threads, and large answers of peers, come and go."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of mallopt(3)."""
_HEAPS = 2
_LARGE = 2**20
"""Bytes; larger blocks return to the system when they are freed."""


def bound_heap() -> None:
    """Let all threads share two heaps of the C library. Call it at the start of a process, before it has threads.

    By default, glibc gives threads up to eight heaps per processor, and what is freed in one cannot be used by others.
    Each internal restart starts new threads, so the process grew by 2.6 MB in 16 restarts although nothing was kept;
    with two heaps by 0.1 MB (docs/performance.md). By default, glibc also keeps as much free memory as was ever needed
    at once: one answer of 16 MB from an ECC server gone wild, and the process stayed 18 MB larger for ever.
    No effect with another C library.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _HEAPS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
