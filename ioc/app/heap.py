"""Keeps the memory of the process flat although its threads come and go."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8
"""Of mallopt(3)."""
_HEAPS = 2


def few_heaps() -> None:
    """Let all threads share two heaps of the C library. For the begin of a process, before it has threads.

    By default, glibc gives threads up to eight heaps per processor, and what is freed in one cannot be used by others.
    Each internal restart starts new threads, so the process grew by 2.6 MB in 16 restarts although nothing was kept;
    with two heaps by 0.1 MB (docs/performance.md). No effect with another C library.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)
