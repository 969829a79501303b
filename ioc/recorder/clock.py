"""This machine's wall clock, which may be set at any time."""

from __future__ import annotations

import time

_STEP_SECONDS = 1.0
"""Smaller steps are corrections by NTP, not a clock that was set."""


class Clock:
    """Returns the time, and the step by which it was set."""

    def __init__(self) -> None:
        self._boot = time.time() - time.monotonic()

    def now(self) -> tuple[float, float]:
        """The time in POSIX seconds, and by how much it was set forward (negative: back) since the last call."""
        now = time.time()
        before, self._boot = self._boot, now - time.monotonic()
        step = self._boot - before
        return now, step if abs(step) > _STEP_SECONDS else 0.0
